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
    /// Players chat at a fixed rate while other versions of the chat plugin are deployed: latency over time, and whether
    /// each request is answered once.
    Swap,
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
            Self::Swap => "swap",
        }
    }
}

/// Arguments of `shaddock bench`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// What to measure, one after the other.
    #[arg(value_enum, default_values_t = [Scenario::Echo])]
    pub scenarios: Vec<Scenario>,
    /// Client connections (fanout: members of the channel; swap: players) [default: 50; fanout: 500; idle: 5000;
    /// swap: 1000].
    #[arg(long, short = 'c', value_parser = clap::value_parser!(u32).range(1..=20_000))]
    pub connections: Option<u32>,
    /// Requests that each connection keeps in flight (fanout: pushes of the sender).
    #[arg(long, short = 'w', default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub window: u32,
    /// Echo, forward: send at this rate, requests per second over all connections, instead of in a closed loop. Latency then
    /// counts from the moment at which a request should have been sent. Swap: the rate, instead of --load.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=5_000_000))]
    pub rate: Option<u64>,
    /// Length of a round in seconds; swap: of the closed loop that finds what the cluster can do.
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
    /// Frontends of the cluster that is started [default: 1; swap: 3].
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=8))]
    pub frontends: Option<u32>,
    /// Backends of the cluster that is started [default: 1; swap: 3 chat servers].
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=8))]
    pub backends: Option<u32>,
    /// What only swap knows.
    #[command(flatten)]
    pub swap: SwapArgs,
    /// The bench plugin's (swap: the chat plugin's) component file [default: found beside the program or in the build
    /// directory].
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
            Scenario::Swap => 1000,
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

/// Arguments of the scenario swap.
#[derive(Clone, Debug, clap::Args)]
pub struct SwapArgs {
    /// Swap: how many versions are deployed, one after the other.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub swaps: u32,
    /// Swap: the rate of requests, as a share of what the cluster can do.
    #[arg(long, default_value = "80%", value_name = "SHARE", value_parser = percent)]
    pub load: u8,
    /// Swap: seconds of load without a deployment before each one, and after the last.
    #[arg(long, default_value_t = 5, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(2..=60))]
    pub pause: u64,
    /// Swap: how long the first server runs a new version before the others (`shaddock plugin deploy --settle`).
    #[arg(long, default_value_t = 0, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(0..=60))]
    pub settle: u64,
    /// Swap: draw the latencies over time into this file.
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
}

/// Reads `80%` or `80`.
fn percent(text: &str) -> Result<u8, String> {
    let number = text.strip_suffix('%').unwrap_or(text).parse().ok();
    number.filter(|percent| (1..=100).contains(percent)).ok_or_else(|| "not a share of 1% to 100%".to_owned())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_a_whole_percentage() {
        assert_eq!((percent("80%"), percent("7")), (Ok(80), Ok(7)));
        for wrong in ["0%", "101%", "-1", "", "%", "8 %", "0.5"] {
            assert!(percent(wrong).is_err(), "{wrong}");
        }
    }
}
