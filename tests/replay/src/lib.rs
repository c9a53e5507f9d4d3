//! Plays recorded client sessions ("captures") against a server and says what differs.
//!
//! A capture is a list of scenarios, each a list of steps: a client opens a connection, writes bytes, gets a package,
//! one side closes. The runner does what the clients did and compares what the server does, byte by byte, but for what
//! cannot be the same twice (see [`rules`]). Connections live on over scenarios until their `close`.
//!
//! A server that does something else on purpose says so in a file of its own: [`Intended`].
//!
//! The runner shares no code with the server, knows no async runtime, and never waits without a bound.
#![forbid(unsafe_code)]

mod astral;
mod capture;
mod connection;
mod difference;
mod error;
mod expectation;
mod intended;
mod kick;
mod line;
mod package;
mod player;
mod recording;
pub mod rules;
mod run;
mod table;
mod websocket;

pub use capture::{Capture, Scenario, Step, Transport};
pub use difference::{Difference, What};
pub use error::ReplayError;
pub use intended::{Intended, Intent};
pub use kick::{Kick, KickCommand};
pub use package::describe;
pub use run::{KickHook, Options, Report, ScenarioReport, Verdict, replay};
pub use table::Table;
