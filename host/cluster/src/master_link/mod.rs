//! The links to the master: servers register, report ready and learn of each other; the master gives
//! orders; tools ask.
//!
//! Requests and answers are JSON values whose meaning belongs to the callers ([`Control`],
//! [`MasterService`]); registration and membership are this module's own.

mod client;
mod exchange;
mod listener;
mod membership;
mod registry;
mod session;
mod tool;

use std::future::Future;
use std::pin::Pin;

pub use client::{Control, MasterClient, MasterClientSettings};
pub use listener::{MasterListener, MasterListenerSettings};
pub use registry::{Registered, Registry, Snapshot};
use serde::{Deserialize, Serialize};
use serde_json::Value;
pub use session::{LostReason, MasterEvent, MasterService};
pub use tool::Tool;

/// What a handler of JSON requests gives back: the answer, or an error text for the asker.
pub type Answer = Pin<Box<dyn Future<Output = Result<Value, String>> + Send>>;

/// The process behind a member, as it registers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// The operating system's process id.
    pub pid: u32,
    /// The port of its metrics and health, if any.
    pub admin_port: Option<u16>,
}
