//! Game loops: `tick` of plugins at a fixed rate.

use std::sync::Arc;
use std::time::Duration;

use shaddock_cluster::Instant;
use shaddock_engine::Track;
use tokio_util::sync::CancellationToken;

use crate::server::Server;

/// A tick that begins so much of its period after its time counts as late.
const LATE_SHARE: u32 = 4;

impl Server {
    /// Runs the game loop of a plugin, in the version that runs at a time, until `stop`. Ticks never overlap: those whose time passes while one runs are
    /// left out, and the next one is told how many.
    pub(crate) async fn run_ticks(self: Arc<Self>, name: Arc<str>, hz: u32, stop: CancellationToken) {
        let period = Duration::from_secs(1) / hz.max(1);
        let counters = self.metrics.ticks(&name);
        let mut due = Instant::now() + period;
        let mut number: u64 = 1;
        let mut missed = 0;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep_until(due) => {}
            }
            let Some(plugin) = self.own_plugin(&name, Track::UNDECIDED) else { return };
            let late = due.elapsed();
            counters.run.inc();
            if late > period / LATE_SHARE {
                counters.late.inc();
            }
            if let Err(error) = plugin.tick(number, late, missed).await
                && let Some(left_out) = self.failures.admit()
            {
                let of = plugin.name();
                tracing::warn!(plugin = %of.name, version = %of.version, digest = %of.digest, tick = number, %error, left_out, "a tick failed");
            }
            (due, number, missed) = next(due, number, period, Instant::now());
            counters.missed.inc_by(u64::from(missed));
        }
    }
}

/// The tick after the one that was due then: its time, its number, and how many are left out before it.
fn next(due: Instant, number: u64, period: Duration, now: Instant) -> (Instant, u64, u32) {
    let following = due + period;
    let behind = now.saturating_duration_since(following).as_nanos();
    let missed = u32::try_from(behind.checked_div(period.as_nanos()).unwrap_or(0)).unwrap_or(u32::MAX);
    (following + period * missed, number + 1 + u64::from(missed), missed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_keep_their_beat_and_count_what_is_left_out() {
        let period = Duration::from_millis(50);
        let due = Instant::now();
        let after = |ms| next(due, 7, period, due + Duration::from_millis(ms));
        assert_eq!(after(10), (due + period, 8, 0));
        assert_eq!(after(50), (due + period, 8, 0));
        // late, but its time has not passed altogether
        assert_eq!(after(99), (due + period, 8, 0));
        assert_eq!(after(100), (due + period * 2, 9, 1));
        assert_eq!(after(260), (due + period * 5, 12, 4));
    }
}
