//! `shaddock bench`: puts load on a cluster and measures it, beside bare servers that show what the machine can do.
//!
//! The client is cheap: its requests are finished frames, its answers are counted by length once the first ones were
//! compared byte by byte. It shares no code with the server. With a baseline, rounds against the product and against a
//! bare server alternate, so that both see the same machine; ratios are taken pair by pair.
//!
//! Everything is bounded: connections, rounds, their length, and every wait.
#![forbid(unsafe_code)]

mod answer;
mod args;
mod baseline;
mod closed_loop;
mod cluster;
mod connection;
mod fixed_rate;
mod frame;
mod latency;
mod load;
mod pomelo;
mod process;
mod report;
mod run;
mod scenario;
#[cfg(test)]
mod tests;

pub use args::{Args, BaselineArgs, BaselineKind, Scenario, SwapArgs};
pub use baseline::baseline;
pub use latency::Latency;
pub use process::Memory;
pub use report::{
    Bin, IdleReport, IdleServer, IdleSide, LoadReport, Outcome, Ratio, Report, Round, Side, StartupReport,
    Swap, SwapReport,
};
pub use run::run;
