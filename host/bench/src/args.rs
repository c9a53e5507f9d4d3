//! The command line of `shaddock bench`, and the hard caps on what it may do.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;
use serde::Serialize;

/// What to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Scenario {
    /// A handler on the frontend answers with the body it got.
    Echo,
    /// The same on a backend: route function, RPC, handler.
    Forward,
    /// One sender pushes to a channel with many members.
    Fanout,
    /// Connections that do nothing: memory, wake-ups and CPU time of the frontend.
    Idle,
    /// Starts a cluster of 8 processes again and again: time to ready, memory per idle server.
    Startup,
}

impl Scenario {
    /// The name on the command line and in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Echo => "echo",
            Self::Forward => "forward",
            Self::Fanout => "fanout",
            Self::Idle => "idle",
            Self::Startup => "startup",
        }
    }
}

/// Arguments of `shaddock bench`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// What to measure, one after the other.
    #[arg(value_enum, default_values_t = [Scenario::Echo])]
    pub scenarios: Vec<Scenario>,
    /// Client connections (fanout: members of the channel) [default: 50; fanout: 500; idle: 5000].
    #[arg(long, short = 'c', value_parser = clap::value_parser!(u32).range(1..=20_000))]
    pub connections: Option<u32>,
    /// Requests that each connection keeps in flight (fanout: pushes of the sender).
    #[arg(long, short = 'w', default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub window: u32,
    /// Echo, forward: send at this rate, requests per second over all connections, instead of in a closed loop. Latency then
    /// counts from the moment at which a request should have been sent.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=5_000_000))]
    pub rate: Option<u64>,
    /// Length of a round in seconds.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=120))]
    pub seconds: u64,
    /// Rounds per scenario; medians are reported.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=50))]
    pub rounds: u32,
    /// Length of the JSON body of a request or push, in bytes.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(16..=32_768))]
    pub body_bytes: u32,
    /// Also measure bare servers (a tokio-tungstenite echo, an encode-once fan-out) in alternating rounds, and print
    /// the ratios.
    #[arg(long)]
    pub baseline: bool,
    /// Measure a frontend that runs already and serves the bench plugin, instead of starting a cluster.
    #[arg(long, value_name = "HOST:PORT")]
    pub connect: Option<SocketAddr>,
    /// With --connect: the process ids of the servers, for CPU time and memory (frontend first).
    #[arg(long, value_name = "PID", value_delimiter = ',', requires = "connect")]
    pub server_pids: Vec<u32>,
    /// Frontends of the cluster that is started.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=8))]
    pub frontends: u32,
    /// Backends of the cluster that is started.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=8))]
    pub backends: u32,
    /// The bench plugin's component file [default: found beside the program or in the build directory].
    #[arg(long, value_name = "FILE")]
    pub component: Option<PathBuf>,
    /// Print the report as JSON, one object on one line.
    #[arg(long)]
    pub json: bool,
}

impl Args {
    /// Connections for a scenario: what was asked for, else the scenario's own default.
    #[must_use]
    pub fn connections_for(&self, scenario: Scenario) -> usize {
        let default = match scenario {
            Scenario::Fanout => 500,
            Scenario::Idle => 5000,
            Scenario::Echo | Scenario::Forward | Scenario::Startup => 50,
        };
        self.connections.unwrap_or(default) as usize
    }

    /// How long one round measures.
    #[must_use]
    pub fn round_time(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }
}

/// A bare server to compare with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum BaselineKind {
    /// Answers every message with itself.
    Echo,
    /// Hands each message of a sender to all members.
    Fanout,
}

/// Arguments of the hidden command `shaddock bench-baseline`, which [`run`](crate::run) starts as a child process.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct BaselineArgs {
    /// Which bare server.
    #[arg(value_enum)]
    pub kind: BaselineKind,
}
