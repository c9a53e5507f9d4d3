//! What a run found out, for people and as JSON.

pub(crate) mod plot;
mod swap;

use std::fmt;

pub(crate) use swap::BIN;
pub use swap::{Bin, Swap, SwapReport};

use serde::Serialize;

use crate::args::Scenario;
use crate::latency::Latency;

/// One measured round.
#[derive(Clone, Debug, Serialize)]
pub struct Round {
    /// Answers (fanout: deliveries) within the round.
    pub requests: u64,
    /// The same per second.
    pub per_second: f64,
    /// From sending, or from the moment at which a request was due, to the answer (fanout: to the last delivery).
    pub latency: Latency,
    /// Wrong answers, missing answers, lost connections.
    pub errors: u64,
    /// What went wrong first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_error: Option<String>,
    /// CPU time of all server processes per answer, microseconds.
    pub server_cpu_us: Option<f64>,
    /// CPU time of this load generator per answer, microseconds.
    pub client_cpu_us: Option<f64>,
    /// Cores that neither server nor generator used, but others on this machine did: how noisy the round was.
    pub other_cores: Option<f64>,
}

/// All rounds against one server.
#[derive(Clone, Debug, Serialize)]
pub struct Side {
    /// Median answers (deliveries) per second.
    pub per_second: f64,
    /// Median of the rounds' latencies; `max_us` is the worst of all.
    pub latency: Latency,
    /// Sum over the rounds.
    pub errors: u64,
    /// Median CPU time of the server per answer, microseconds.
    pub server_cpu_us: Option<f64>,
    /// The rounds in order.
    pub rounds: Vec<Round>,
}

impl Side {
    pub(crate) fn new(rounds: Vec<Round>) -> Self {
        let all = |get: fn(&Round) -> f64| median(rounds.iter().map(get).collect());
        Self {
            per_second: all(|round| round.per_second),
            latency: Latency {
                p50_us: all(|round| round.latency.p50_us),
                p99_us: all(|round| round.latency.p99_us),
                max_us: rounds.iter().map(|round| round.latency.max_us).fold(0.0, f64::max),
            },
            errors: rounds.iter().map(|round| round.errors).sum(),
            server_cpu_us: optional_median(rounds.iter().map(|round| round.server_cpu_us).collect()),
            rounds,
        }
    }

    fn first_error(&self) -> Option<&str> {
        self.rounds.iter().find_map(|round| round.first_error.as_deref())
    }
}

/// Product against baseline, round by round: neighbours in time share the machine's mood.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Ratio {
    /// Median of the paired ratios of answers per second.
    pub per_second: f64,
    /// The lowest pair.
    pub per_second_min: f64,
    /// The highest pair.
    pub per_second_max: f64,
    /// Median of the paired ratios of server CPU time per answer (above 1: the product uses more).
    pub server_cpu: Option<f64>,
}

impl Ratio {
    pub(crate) fn new(product: &Side, baseline: &Side) -> Self {
        let pairs = || product.rounds.iter().zip(&baseline.rounds);
        let rates: Vec<f64> = pairs().map(|(product, bare)| product.per_second / bare.per_second).collect();
        Self {
            per_second_min: rates.iter().copied().fold(f64::INFINITY, f64::min),
            per_second_max: rates.iter().copied().fold(0.0, f64::max),
            per_second: median(rates),
            server_cpu: optional_median(
                pairs().map(|(product, bare)| Some(product.server_cpu_us? / bare.server_cpu_us?)).collect(),
            ),
        }
    }
}

/// Rate and latency of echo, forward or fanout.
#[derive(Clone, Debug, Serialize)]
pub struct LoadReport {
    /// What was measured.
    pub scenario: Scenario,
    /// Clients, or members of the channel.
    pub connections: usize,
    /// Requests in flight per connection.
    pub window: u32,
    /// Requests per second that were asked for; none: closed loop.
    pub rate: Option<u64>,
    /// Bytes of a body.
    pub body_bytes: u32,
    /// The cluster.
    pub product: Side,
    /// The bare server, where it was measured.
    pub baseline: Option<Side>,
    /// Product against baseline.
    pub ratio: Option<Ratio>,
}

/// What idle connections cost the frontend.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct IdleSide {
    /// Memory per connection, bytes, by growth of the proportional set.
    pub pss_bytes_per_connection: f64,
    /// The same by growth of the resident set.
    pub rss_bytes_per_connection: f64,
    /// Proportional set of the process with all connections, MiB.
    pub pss_mib: f64,
    /// Wake-ups of its threads per second.
    pub wakeups_per_second: f64,
    /// CPU time, milliseconds per second.
    pub cpu_ms_per_second: f64,
}

/// Idle connections.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct IdleReport {
    /// How many.
    pub connections: usize,
    /// The heartbeat that the server asks for, in seconds; none: no heartbeats.
    pub heartbeat_s: Option<u64>,
    /// The frontend of the cluster.
    pub product: IdleSide,
    /// The bare server, where it was measured.
    pub baseline: Option<IdleSide>,
}

/// One process of a cluster at rest.
#[derive(Clone, Debug, Serialize)]
pub struct IdleServer {
    /// Server id, or `master`.
    pub id: String,
    /// Proportional set, MiB.
    pub pss_mib: f64,
    /// Wake-ups of its threads per second.
    pub wakeups_per_second: f64,
}

/// Starting a whole cluster.
#[derive(Clone, Debug, Serialize)]
pub struct StartupReport {
    /// Processes of the cluster, the master included.
    pub processes: usize,
    /// From the start of the program to all servers ready, milliseconds, round by round (the cache was warm).
    pub ready_ms: Vec<f64>,
    /// Their median.
    pub ready_median_ms: f64,
    /// The servers of the last round at rest.
    pub idle: Vec<IdleServer>,
}

/// One scenario's outcome.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum Outcome {
    /// echo, forward, fanout.
    Load(LoadReport),
    /// idle.
    Idle {
        /// Memory and wake-ups.
        idle: IdleReport,
    },
    /// startup.
    Startup {
        /// Times and memory.
        startup: StartupReport,
    },
    /// swap.
    Swap {
        /// Latencies over time.
        swap: Box<SwapReport>,
    },
}

/// A whole run: what was measured, on what.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Cores that this program may use.
    pub cores: usize,
    /// Length of a round, seconds.
    pub round_s: u64,
    /// Rounds per scenario.
    pub rounds: u32,
    /// In the order of the command line.
    pub outcomes: Vec<Outcome>,
}

impl Report {
    /// Everything that went wrong: wrong or missing answers, lost connections, of product and baseline.
    #[must_use]
    pub fn errors(&self) -> u64 {
        let of = |outcome: &Outcome| match outcome {
            Outcome::Load(load) => load.product.errors + load.baseline.as_ref().map_or(0, |side| side.errors),
            Outcome::Idle { .. } | Outcome::Startup { .. } => 0,
            Outcome::Swap { swap } => swap.failed + swap.lost + swap.doubled,
        };
        self.outcomes.iter().map(of).sum()
    }

    /// What must not happen at all, and did: the measurement was made, but has failed. Errors under a load that only
    /// looks for limits do not count.
    #[must_use]
    pub fn broken(&self) -> Option<String> {
        self.outcomes.iter().find_map(|outcome| match outcome {
            Outcome::Swap { swap } => swap.broken(),
            _ => None,
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.outcomes.iter().all(|outcome| matches!(outcome, Outcome::Swap { .. })) {
            writeln!(f, "{} cores", self.cores)?;
        } else {
            writeln!(
                f,
                "{} rounds of {} s, {} cores; medians over the rounds",
                self.rounds, self.round_s, self.cores
            )?;
        }
        for outcome in &self.outcomes {
            writeln!(f)?;
            match outcome {
                Outcome::Load(load) => write!(f, "{load}")?,
                Outcome::Idle { idle } => write!(f, "{idle}")?,
                Outcome::Startup { startup } => write!(f, "{startup}")?,
                Outcome::Swap { swap } => write!(f, "{swap}")?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for LoadReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.scenario == Scenario::Fanout { "members" } else { "connections" };
        write!(f, "{}: {} {what}, {}-byte bodies", self.scenario.name(), self.connections, self.body_bytes)?;
        match self.rate {
            Some(rate) => writeln!(f, ", {rate} requests/s")?,
            None => writeln!(f, ", closed loop, {} in flight", self.window)?,
        }
        let unit = if self.scenario == Scenario::Fanout { "deliveries/s" } else { "requests/s" };
        writeln!(
            f,
            "  {:<9} {unit:>13} {:>10} {:>10} {:>10} {:>8} {:>14}",
            "", "p50 µs", "p99 µs", "max µs", "errors", "server CPU µs"
        )?;
        for (name, side) in [("product", Some(&self.product)), ("baseline", self.baseline.as_ref())] {
            let Some(side) = side else { continue };
            let Latency { p50_us, p99_us, max_us } = side.latency;
            let cpu = side.server_cpu_us.map_or("-".to_owned(), |us| format!("{us:.2}"));
            writeln!(
                f,
                "  {name:<9} {:>13.0} {p50_us:>10.0} {p99_us:>10.0} {max_us:>10.0} {:>8} {cpu:>14}",
                side.per_second, side.errors
            )?;
            if let Some(error) = side.first_error() {
                writeln!(f, "    first error: {error}")?;
            }
        }
        let Some(ratio) = self.ratio else { return Ok(()) };
        write!(f, "  ratio     {:>13.2}", ratio.per_second)?;
        write!(f, " [{:.2}..{:.2}]", ratio.per_second_min, ratio.per_second_max)?;
        match ratio.server_cpu {
            Some(cpu) => writeln!(f, "; server CPU × {cpu:.2}"),
            None => writeln!(f),
        }
    }
}

impl fmt::Display for IdleReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let heartbeat = self.heartbeat_s.map_or("no heartbeats".to_owned(), |s| format!("heartbeat {s} s"));
        writeln!(f, "idle: {} connections, {heartbeat}", self.connections)?;
        for (name, side) in [("product", Some(&self.product)), ("baseline", self.baseline.as_ref())] {
            let Some(side) = side else { continue };
            writeln!(
                f,
                "  {name:<9} {:.0} bytes per connection (PSS; RSS {:.0}), {:.1} MiB in all, {:.1} wake-ups/s, {:.1} ms CPU/s",
                side.pss_bytes_per_connection,
                side.rss_bytes_per_connection,
                side.pss_mib,
                side.wakeups_per_second,
                side.cpu_ms_per_second
            )?;
        }
        Ok(())
    }
}

impl fmt::Display for StartupReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let times: Vec<String> = self.ready_ms.iter().map(|ms| format!("{ms:.0}")).collect();
        writeln!(f, "startup: {} processes, warm cache", self.processes)?;
        writeln!(f, "  ready after {:.0} ms (rounds: {})", self.ready_median_ms, times.join(", "))?;
        for server in &self.idle {
            let IdleServer { id, pss_mib, wakeups_per_second } = server;
            writeln!(f, "  {id:<12} {pss_mib:>6.1} MiB PSS, {wakeups_per_second:>6.1} wake-ups/s")?;
        }
        Ok(())
    }
}

/// The middle value; of an even number the mean of both; 0 of none.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let half = values.len() / 2;
    let at = |index: usize| values.get(index).copied().unwrap_or_default();
    if values.len() % 2 == 1 { at(half) } else { f64::midpoint(at(half.wrapping_sub(1)), at(half)) }
}

fn optional_median(values: Vec<Option<f64>>) -> Option<f64> {
    values.into_iter().collect::<Option<Vec<_>>>().filter(|values| !values.is_empty()).map(median)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(per_second: f64, cpu: f64) -> Round {
        Round {
            requests: 100,
            per_second,
            latency: Latency { p50_us: 10.0, p99_us: 20.0, max_us: per_second },
            errors: 1,
            first_error: None,
            server_cpu_us: Some(cpu),
            client_cpu_us: None,
            other_cores: None,
        }
    }

    #[test]
    fn medians_of_odd_even_and_no_values() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(median(vec![]), 0.0);
        assert_eq!(optional_median(vec![Some(1.0), None]), None);
    }

    #[test]
    fn ratios_pair_each_round_with_its_neighbour_in_time() {
        // The machine halves its speed in the second pair: the paired ratio does not see it.
        let product = Side::new(vec![round(80.0, 12.0), round(40.0, 24.0), round(90.0, 10.0)]);
        let baseline = Side::new(vec![round(100.0, 10.0), round(50.0, 20.0), round(100.0, 10.0)]);
        let ratio = Ratio::new(&product, &baseline);
        assert!((ratio.per_second - 0.8).abs() < 1e-9, "{ratio:?}");
        assert!((ratio.server_cpu.unwrap() - 1.2).abs() < 1e-9, "{ratio:?}");
        assert_eq!((ratio.per_second_min, ratio.per_second_max), (0.8, 0.9));
        assert_eq!((product.errors, product.latency.max_us), (3, 90.0));
    }
}
