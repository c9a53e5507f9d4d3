//! wasmtime, narrowed to what plugins need.
//!
//! * [`Cache`] and [`compile`]: components become machine code once, in a child process; servers only load.
//! * [`Engine`] and [`Plugin`]: load, check, pools of instances, calls under deadlines and limits.
//! * [`Host`]: what the embedding server implements, as plain Rust.
//!
//! Architecture invariant: nothing of wasmtime shows outside, and nothing here knows sockets, servers.json
//! or the client protocol.

#![allow(
    unsafe_code,
    reason = "the one crate that needs it: loading compiled code, limits of the child process"
)]

mod bindings;
mod cache;
pub mod compile;
mod concurrent;
mod context;
mod copies;
mod copy;
mod deadline;
mod engine;
mod error;
mod functions;
mod hand_over;
mod host;
mod imports;
mod instance;
mod job;
mod kind;
mod latency;
pub mod limits;
mod load;
mod per_thread;
mod plugin;
mod pool;
mod recording;
mod report;
mod retire;
mod roles;
mod router;
mod run;
mod settings;
mod single;
mod stats;
mod summary;
mod throttle;
mod ticker;
mod track;
mod trap;
pub mod types;
mod wasm;
mod wear;
mod work;

pub use cache::{Cache, Compiled};
pub use engine::Engine;
pub use error::{CallError, EngineError};
pub use hand_over::{HandOverError, HandOverLimits, HandedOver, SavedState};
pub use host::{Call, CallScope, Chain, Host, PluginName};
pub use per_thread::PerThread;
pub use plugin::Plugin;
pub use recording::{Asked, Difference, Recorder, Recording, RecordingError, Replayed};
pub use settings::{EngineSettings, Grants, PluginLimits, PluginSpec, PoolPolicy};
pub use stats::PluginStats;
pub use summary::Summary;
pub use throttle::Throttle;
pub use track::Track;
pub use work::{ServerNews, SessionNews};
