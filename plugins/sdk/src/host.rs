//! The imports of the contract: those of the server, or on the machine's own target those of a test.

#[cfg(target_arch = "wasm32")]
pub(crate) use crate::bindings::shaddock::plugin::{app, channels, rpc, sessions, timers};
#[cfg(not(target_arch = "wasm32"))]
pub(crate) use crate::testing::host::{app, channels, rpc, sessions, timers};
