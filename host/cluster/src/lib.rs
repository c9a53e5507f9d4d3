//! Membership and RPC between the server processes of a cluster.
//!
//! The crate knows servers, links and calls; bodies are opaque bytes. [`Cluster`] is what a server
//! calls, [`Service`] what it implements to be called; [`direct`] is the engine for one machine or one
//! trusted network: plain TCP links, one per pair of servers, opened when first needed.
//! [`master_link`] is how servers register with the master, learn of each other and take orders, and how
//! tools ask the master.
//!
//! Every connection proves the cluster's [`Secret`] in both directions before anything else is read
//! (see [`auth`]'s page for what that protects from and what not). Everything is bounded by
//! [`Settings`].
//!
//! Times are [`Instant`]s of tokio's clock, so that tests can pause it.
#![forbid(unsafe_code)]

pub mod auth;
mod backoff;
mod cluster;
pub mod direct;
mod error;
mod frame;
mod link;
pub mod master_link;
mod member;
mod reply;
mod secret;
mod settings;
mod socket;

pub use cluster::{Cluster, Completion, Service};
pub use error::{ClusterError, RpcError};
pub use member::{Member, Members};
pub use reply::Reply;
pub use secret::Secret;
pub use settings::Settings;
pub use tokio::time::Instant;
