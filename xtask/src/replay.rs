//! `cargo xtask replay`: plays a recorded client session against a running server.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use shaddock_replay::{Capture, Intended, KickCommand, Options, ScenarioReport, Table, Transport, replay};

#[derive(Args)]
pub(crate) struct ReplayArgs {
    /// The capture: a JSON file of scenarios, as in tests/golden/
    file: PathBuf,
    /// The server under test
    #[arg(long, default_value = "127.0.0.1")]
    host: String,
    /// A port of the capture, and what it is at the server under test; the others stay
    #[arg(long = "port", value_name = "3014=PORT", value_delimiter = ',', value_parser = port_pair)]
    ports: Vec<(u16, u16)>,
    /// Play all connections over this transport instead of the recorded one
    #[arg(long, value_enum)]
    transport: Option<TransportName>,
    /// Gives a kick that the capture expects from outside: words apart by blanks, without a shell; {uid} and {reason}
    /// are filled in. Example: "target/release/shaddock kick {uid} --reason {reason}"
    #[arg(long, value_name = "COMMAND")]
    kick_command: Option<String>,
    /// What the server does otherwise than recorded on purpose: a JSON file of scenarios, each with the reason and the
    /// steps that count in place of the recorded ones, as tests/lab/expected.json
    #[arg(long, value_name = "FILE")]
    expected: Option<PathBuf>,
    /// A scenario that is known to differ and does not count; it counts if it does not differ
    #[arg(long = "known", value_name = "SCENARIO")]
    known: Vec<String>,
    /// Compare the server's order, too: what a request pushes to its own sender comes before its answer
    #[arg(long)]
    server_order: bool,
    /// How long to wait for a package that is expected, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 5000, value_parser = clap::value_parser!(u64).range(1..=60_000))]
    wait_ms: u64,
    /// How long nothing has to happen before nothing more is expected, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    quiet_ms: u64,
}

#[derive(Clone, Copy, ValueEnum)]
enum TransportName {
    Tcp,
    Ws,
}

fn port_pair(text: &str) -> Result<(u16, u16), String> {
    let ports = text.split_once('=').and_then(|(from, to)| Some((from.parse().ok()?, to.parse().ok()?)));
    ports.ok_or_else(|| "two ports are wanted, for example 3014=40123".to_owned())
}

/// Plays the capture and says what differs; an error if anything does that is not known to.
pub(crate) fn run(args: ReplayArgs) -> Result<()> {
    let capture = Capture::load(&args.file)?;
    for known in &args.known {
        let is_there = capture.scenarios.iter().any(|scenario| scenario.name == *known);
        is_there
            .then_some(())
            .with_context(|| format!("--known {known}: the capture has no such scenario"))?;
    }
    let kick = args.kick_command.as_deref().map(KickCommand::new).transpose()?;
    let intended = args.expected.as_deref().map(Intended::load).transpose()?.unwrap_or_default();
    let options = Options {
        intended,
        ports: args.ports.into_iter().collect(),
        transport: args.transport.map(|name| match name {
            TransportName::Tcp => Transport::Tcp,
            TransportName::Ws => Transport::Ws,
        }),
        server_order: args.server_order,
        wait: Duration::from_millis(args.wait_ms),
        quiet: Duration::from_millis(args.quiet_ms),
        kick: kick.map(|command| -> shaddock_replay::KickHook { Arc::new(move |kick| command.run(kick)) }),
        ..Options::new(args.host)
    };

    let is_known = |scenario: &ScenarioReport| args.known.contains(&scenario.name);
    let report = replay(&capture, &options, |scenario| {
        let known = if is_known(scenario) { " (known to differ)" } else { "" };
        println!("{scenario}{known}");
    });
    let counts = |scenario: &&ScenarioReport| scenario.differences.is_empty() == is_known(scenario);
    let surprises: Vec<&str> =
        report.scenarios.iter().filter(counts).map(|scenario| scenario.name.as_str()).collect();
    println!("\n{}", Table(&report));
    if !surprises.is_empty() {
        bail!("not as wanted: {}", surprises.join(", "));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_pairs() {
        assert_eq!(port_pair("3014=40123"), Ok((3014, 40_123)));
        for bad in ["3014", "3014=", "x=1", "3014=70000"] {
            assert!(port_pair(bad).is_err(), "{bad}");
        }
    }
}
