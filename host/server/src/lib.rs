//! One server process: connectors, sessions, channels, routing, dispatch.
//!
//! A request of a client goes `listener` (past the `gate`) → `connection` (one task per client: reads, runs,
//! writes) → `lanes` (the order of its requests) → `server` (here, or over the cluster to the server that `routing` picks) →
//! a plugin of the engine → `host` (what the plugin asks of the host) → and its answer to `outbound`. What
//! other servers want comes in through `service`.
//!
//! **Invariants.** This crate does not know how bytes look on the client wire (`shaddock-wire` does), nor
//! wasmtime's types (`shaddock-engine` does), nor which cluster engine runs, but for the one line that starts
//! it. Nothing a client or a plugin does grows without bound: connections, queued bytes, waiting requests,
//! settings, channels and calls under way each have a limit.
#![forbid(unsafe_code)]

mod admin;
mod balancer;
mod bucket;
mod call_failure;
mod channel;
mod check;
mod check_client;
mod connection;
mod control;
mod crons;
mod delivery;
mod edition;
mod error;
mod events;
mod fail_mode;
mod filters;
mod first_poll;
mod frame;
mod gate;
mod host;
mod lanes;
mod listener;
mod load;
mod logins;
mod metrics;
mod outbound;
mod parked;
mod peer;
mod pieces;
mod plugins;
mod push;
mod push_host;
mod rate_limit;
mod reason;
mod ring;
mod rollout;
mod roster;
mod routing;
mod rpc_host;
#[cfg(test)]
mod rpc_tests;
mod run;
mod scheduler;
mod selected;
mod server;
mod service;
mod session;
mod socket;
mod stop;
#[cfg(test)]
mod testing;
mod tick;
mod timers;
mod trace;

pub use check::{Checked, CheckedPlugin, check};
pub use error::ServerError;
pub use run::{ServerOptions, run};
