//! What players noticed of swaps.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::latency::Latency;

/// Length of a bin.
pub(crate) const BIN: Duration = Duration::from_millis(100);

/// Latencies of the requests that were due in a tenth of a second.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Bin {
    /// Its begin, in seconds from the first request at the fixed rate.
    pub at_s: f64,
    /// Requests that were due in it and answered at some time.
    pub requests: u64,
    /// From the moment at which a request was due to its answer.
    #[serde(flatten)]
    pub latency: Latency,
}

/// One deployment of another version. Moments are seconds from the first request at the fixed rate, as bins are.
#[derive(Clone, Debug, Serialize)]
pub struct Swap {
    /// Counted from 1.
    pub number: u32,
    /// When `shaddock plugin deploy` began.
    pub begun_s: f64,
    /// When that command told of each server that its pointer had changed, in order.
    pub changes_s: Vec<f64>,
    /// When it ended.
    pub ended_s: f64,
    /// 99 of 100 requests before the command, over [`SwapReport::before_s`].
    pub p99_before_us: Option<f64>,
    /// The same from the command to the second of the swap: the version is compiled and prepared.
    pub p99_preparing_us: Option<f64>,
    /// The same in the second of the swap. It begins with the bin before the one in which a change was told of; of the
    /// seconds of several changes the worst counts.
    pub p99_swap_us: Option<f64>,
    /// The slowest request of that second.
    pub max_swap_us: Option<f64>,
    /// `p99_swap_us` to `p99_before_us`.
    pub ratio: Option<f64>,
    /// The same ratio of the last second before the command to the time before that: what the machine does by itself.
    pub control_ratio: Option<f64>,
    /// Why the deployment failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Chat requests at a fixed rate while versions are exchanged.
#[derive(Clone, Debug, Serialize)]
pub struct SwapReport {
    /// Clients.
    pub players: usize,
    /// Players per chat room, each of whom hears what one of them says.
    pub room: usize,
    /// Connectors.
    pub frontends: u32,
    /// Chat servers.
    pub backends: u32,
    /// Requests per second in a closed loop, one in flight per player; none: the rate was given.
    pub capacity_per_second: Option<f64>,
    /// Requests per second.
    pub per_second: u64,
    /// How long the first server ran a version before the others, seconds.
    pub settle_s: u64,
    /// How long requests were sent at the fixed rate, seconds.
    pub seconds: f64,
    /// Requests that were sent, those of the closed loop included.
    pub requests: u64,
    /// Those answered with an error.
    pub failed: u64,
    /// Those never answered.
    pub lost: u64,
    /// Answers to requests that had been answered, or were never sent.
    pub doubled: u64,
    /// Lines that players heard.
    pub lines: u64,
    /// Lines that they should have heard.
    pub lines_due: u64,
    /// Players who lost their connection.
    pub connections_lost: u64,
    /// What went wrong first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_error: Option<String>,
    /// Returns to the version before that the cluster made by itself because of a version's budget.
    pub automatic_rollbacks: u64,
    /// Cores that neither the cluster nor this load generator used at the fixed rate, but others on this machine did: how
    /// noisy it was.
    pub other_cores: Option<f64>,
    /// Latency at the fixed rate, all of it.
    pub latency: Latency,
    /// How long before a command its swap is compared with, seconds.
    pub before_s: f64,
    /// Median of the swaps' ratios.
    pub median_ratio: Option<f64>,
    /// Median of their control ratios.
    pub median_control_ratio: Option<f64>,
    /// In order.
    pub swaps: Vec<Swap>,
    /// In order, without gaps.
    pub bins: Vec<Bin>,
}

impl SwapReport {
    /// What must not happen, and did.
    #[must_use]
    pub fn broken(&self) -> Option<String> {
        let failed_swaps = self.swaps.iter().filter(|swap| swap.error.is_some()).count() as u64;
        let counts = [
            (self.failed, "requests failed"),
            (self.lost, "requests were lost"),
            (self.doubled, "answers came twice"),
            (self.lines_due.saturating_sub(self.lines), "lines were not heard"),
            (self.lines.saturating_sub(self.lines_due), "lines were heard twice"),
            (self.connections_lost, "players lost their connection"),
            (failed_swaps, "deployments failed"),
        ];
        let broken: Vec<String> = counts
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| format!("{count} {what}"))
            .collect();
        if broken.is_empty() {
            return None;
        }
        let first = self.first_error.as_ref().map_or_else(String::new, |error| format!("; first: {error}"));
        Some(format!("swap: {}{first}", broken.join(", ")))
    }
}

impl fmt::Display for SwapReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "swap: {} players in rooms of {}, {} connectors, {} chat servers",
            self.players, self.room, self.frontends, self.backends
        )?;
        match self.capacity_per_second {
            Some(capacity) => writeln!(
                f,
                "  {} requests/s for {:.1} s: {:.0} % of the {capacity:.0} of a closed loop",
                self.per_second,
                self.seconds,
                self.per_second as f64 * 100.0 / capacity
            )?,
            None => writeln!(f, "  {} requests/s for {:.1} s", self.per_second, self.seconds)?,
        }
        writeln!(
            f,
            "  {} requests: {} failed, {} lost, {} answered twice; {} of {} lines heard; {} connections lost",
            self.requests,
            self.failed,
            self.lost,
            self.doubled,
            self.lines,
            self.lines_due,
            self.connections_lost
        )?;
        if let Some(error) = &self.first_error {
            writeln!(f, "  first error: {error}")?;
        }
        if self.automatic_rollbacks > 0 {
            writeln!(f, "  {} automatic rollbacks", self.automatic_rollbacks)?;
        }
        if let Some(cores) = self.other_cores {
            writeln!(f, "  other processes of this machine used {cores:.2} cores meanwhile")?;
        }
        let Latency { p50_us, p99_us, max_us } = self.latency;
        writeln!(
            f,
            "  latency from when a request was due: p50 {}, p99 {}, max {} ms",
            ms(Some(p50_us)),
            ms(Some(p99_us)),
            ms(Some(max_us))
        )?;
        writeln!(
            f,
            "  {:>4} {:>8} {:>9} {:>14} {:>17} {:>12} {:>12} {:>7} {:>8}",
            "swap",
            "at s",
            "took s",
            "p99 before ms",
            "p99 preparing ms",
            "p99 swap ms",
            "max swap ms",
            "ratio",
            "control"
        )?;
        for swap in &self.swaps {
            writeln!(
                f,
                "  {:>4} {:>8} {:>9.1} {:>14} {:>17} {:>12} {:>12} {:>7} {:>8}",
                swap.number,
                swap.changes_s.first().map_or("-".to_owned(), |at| format!("{at:.2}")),
                swap.ended_s - swap.begun_s,
                ms(swap.p99_before_us),
                ms(swap.p99_preparing_us),
                ms(swap.p99_swap_us),
                ms(swap.max_swap_us),
                ratio(swap.ratio),
                ratio(swap.control_ratio)
            )?;
            if let Some(error) = &swap.error {
                writeln!(f, "       {error}")?;
            }
        }
        let (swaps, control) = (ratio(self.median_ratio), ratio(self.median_control_ratio));
        writeln!(f, "  median ratio {swaps}, control {control}")?;
        writeln!(
            f,
            "  before: the {:.0} s before the command; swap: the second from the tenth before the one in which a server's\n  \
             change was told of (of several servers the worst); preparing: between these; ratio: swap to before;\n  \
             control: the last second before the command to the time before that",
            self.before_s
        )
    }
}

fn ratio(ratio: Option<f64>) -> String {
    ratio.map_or("-".to_owned(), |ratio| format!("{ratio:.2}"))
}

fn ms(us: Option<f64>) -> String {
    us.map_or("-".to_owned(), |us| format!("{:.1}", us / 1e3))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A run of 12 s with two swaps.
    pub(crate) fn sample() -> SwapReport {
        let swap = |number: u32, at: f64, ratio| Swap {
            number,
            begun_s: at - 1.0,
            changes_s: vec![at, at + 0.01],
            ended_s: at + 0.1,
            p99_before_us: Some(2_000.0),
            p99_preparing_us: Some(9_000.0),
            p99_swap_us: Some(2_000.0 * ratio),
            max_swap_us: Some(30_000.0),
            ratio: Some(ratio),
            control_ratio: Some(1.1),
            error: None,
        };
        let bin = |index: u32| Bin {
            at_s: f64::from(index) / 10.0,
            requests: 100,
            latency: Latency {
                p50_us: 900.0,
                p99_us: 2_000.0 + 100.0 * f64::from(index % 7),
                max_us: if index == 40 { 350_000.0 } else { 8_000.0 },
            },
        };
        SwapReport {
            players: 1000,
            room: 10,
            frontends: 3,
            backends: 3,
            capacity_per_second: Some(1250.0),
            per_second: 1000,
            settle_s: 0,
            seconds: 12.0,
            requests: 12_000,
            failed: 0,
            lost: 0,
            doubled: 0,
            lines: 120_000,
            lines_due: 120_000,
            connections_lost: 0,
            first_error: None,
            automatic_rollbacks: 0,
            other_cores: Some(0.1),
            latency: Latency { p50_us: 900.0, p99_us: 2_500.0, max_us: 350_000.0 },
            before_s: 3.0,
            median_ratio: Some(1.5),
            median_control_ratio: Some(1.1),
            swaps: vec![swap(1, 4.0, 1.0), swap(2, 8.0, 2.0)],
            bins: (0..120).map(bin).collect(),
        }
    }

    #[test]
    fn a_clean_run_breaks_nothing_and_shows_its_figures() {
        let report = sample();
        assert_eq!(report.broken(), None);
        let text = report.to_string();
        for part in [
            "1000 requests/s for 12.0 s: 80 % of the 1250",
            "0 failed, 0 lost, 0 answered twice",
            "median ratio 1.50, control 1.10",
        ] {
            assert!(text.contains(part), "{text}");
        }
    }

    #[test]
    fn everything_that_must_not_happen_is_named() {
        let base = sample();
        let failed_swap = vec![Swap { error: Some("no".to_owned()), ..base.swaps[0].clone() }];
        let cases = [
            (SwapReport { failed: 2, ..base.clone() }, "2 requests failed"),
            (SwapReport { lost: 3, ..base.clone() }, "3 requests were lost"),
            (SwapReport { doubled: 1, ..base.clone() }, "1 answers came twice"),
            (SwapReport { lines: 119_990, ..base.clone() }, "10 lines were not heard"),
            (SwapReport { lines: 120_001, ..base.clone() }, "1 lines were heard twice"),
            (SwapReport { connections_lost: 1, ..base.clone() }, "1 players lost their connection"),
            (SwapReport { swaps: failed_swap, ..base }, "1 deployments failed"),
        ];
        for (report, expected) in cases {
            let broken = report.broken().unwrap();
            assert!(broken.contains(expected), "{broken}");
        }
    }
}
