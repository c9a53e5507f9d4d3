//! The first minutes of a version: what it may do wrong until the one before comes back.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use shaddock_config::UpdateSettings;
use shaddock_engine::PluginStats;
use shaddock_rollout::{Note, UNCOMMITTED_MAX};
use tokio_util::sync::CancellationToken;

use super::Rollout;
use crate::scheduler::lag_after;
use crate::server::Server;

/// How often versions are judged.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Calls of either version from which on their times are compared.
const P99_CALLS_MIN: u64 = 1_000;
/// How often it is measured how long the machine lets a task wait that is due.
const LAG_EVERY: Duration = Duration::from_millis(10);
/// So many of the last of those measurements count: 10 s.
const LAGS_MAX: usize = 1_000;
/// Ends of calls, besides misses of the deadline, that are the version's own fault.
const TRAPS: [&str; 4] = ["trap", "init", "cpu_budget", "memory"];

impl Server {
    /// Watches versions that are new, until `stop`.
    pub(crate) async fn watch_versions(&self, stop: CancellationToken) {
        let Some(rollout) = self.rollout.get() else { return };
        let mut alone_since = None;
        loop {
            // Nothing to watch: nothing wakes up for it.
            tokio::select! {
                () = stop.cancelled() => return,
                () = rollout.something_new.notified() => {}
            }
            let mut lags = Lags::default();
            while rollout.has_something_new().await {
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = lags.measure_for(LOOK_EVERY) => {}
                }
                let is_alone = !rollout.master.is_linked();
                alone_since = is_alone.then(|| alone_since.unwrap_or_else(Instant::now));
                if !is_alone {
                    rollout.judge(self, lags.p99()).await;
                    continue;
                }
                // What was said last may not have arrived.
                rollout.take_back_reports().await;
                if alone_since.is_some_and(|since| since.elapsed() > UNCOMMITTED_MAX) {
                    rollout.go_back_alone(self).await;
                }
            }
        }
    }
}

impl Rollout {
    /// Whether there is a version on trial; forgets what trials that have ended leave behind.
    async fn has_something_new(&self) -> bool {
        let is_canary = self.pending.lock().await.canary.is_some();
        let mut is_new = is_canary;
        for running in self.running().values_mut() {
            if running.probation.as_ref().is_some_and(|probation| probation.until <= Instant::now()) {
                running.probation = None;
            }
            if running.probation.is_none()
                && running.is_committed
                && let Some(before) = &mut running.before
            {
                before.state = None;
            }
            is_new |= running.probation.is_some() || !running.is_committed;
        }
        is_new
    }

    /// Tells the master of versions that are over their budget, on a machine that lags so much.
    async fn judge(&self, server: &Server, lag: Duration) {
        let Ok(loaded) = server.loaded() else { return };
        let settings = &server.settings.update;
        let mut over = Vec::new();
        for plugin in loaded.edition.plugins.all() {
            let name = &*plugin.name().name;
            let mut running = self.running();
            let Some(running) = running.get_mut(name) else { continue };
            let (Some(probation), Some(before), Some(deployment)) =
                (&mut running.probation, &running.before, running.deployment)
            else {
                continue;
            };
            if !probation.is_reported
                && let Some(reason) = over_budget(&plugin.stats(), &before.stats, settings, lag)
            {
                probation.is_reported = true;
                over.push((deployment, name.to_owned(), reason));
            }
        }
        let mut pending = self.pending.lock().await;
        if let super::Pending { canary: Some(canary), watched: Some(watched), .. } = &mut *pending
            && !watched.is_reported
            && let Some(reason) = over_budget(&canary.plugin.stats(), &watched.baseline, settings, lag)
        {
            watched.is_reported = true;
            over.push((canary.deployment, canary.plugin.name().name.to_string(), reason));
        }
        drop(pending);
        for (deployment, plugin, reason) in over {
            tracing::warn!(plugin, deployment, reason, "a version is over its budget");
            let note = Note::PluginOverBudget { deployment, plugin, reason };
            if let Ok(note) = serde_json::to_value(note) {
                self.master.note(note);
            }
        }
    }

    /// Lets versions that are over their budget be told of again.
    async fn take_back_reports(&self) {
        for running in self.running().values_mut() {
            if let Some(probation) = &mut running.probation {
                probation.is_reported = false;
            }
        }
        if let Some(watched) = &mut self.pending.lock().await.watched {
            watched.is_reported = false;
        }
    }

    /// Without a master nobody will commit what was switched to: the version before is what the cluster runs.
    async fn go_back_alone(&self, server: &Server) {
        let mut open: Vec<u64> =
            self.pending.lock().await.canary.iter().map(|canary| canary.deployment).collect();
        let uncommitted = |running: &super::Running| running.deployment.filter(|_| !running.is_committed);
        open.extend(self.running().values().filter_map(uncommitted));
        for deployment in open {
            tracing::warn!(deployment, "the master is gone in the middle of a deployment; going back");
            if let Err(error) = self.revert(server, deployment).await {
                tracing::error!(deployment, error, "the version before does not come back");
            }
        }
    }
}

/// How long the machine lately let a task wait that was due.
#[derive(Default)]
struct Lags(VecDeque<Duration>);

impl Lags {
    async fn measure_for(&mut self, time: Duration) {
        let start = Instant::now();
        while start.elapsed() < time {
            let lag = lag_after(LAG_EVERY).await;
            if self.0.len() == LAGS_MAX {
                self.0.pop_front();
            }
            self.0.push_back(lag);
        }
    }

    fn p99(&self) -> Duration {
        let mut sorted: Vec<Duration> = self.0.iter().copied().collect();
        sorted.sort_unstable();
        sorted.get(sorted.len() * 99 / 100).copied().unwrap_or_default()
    }
}

/// Which budget a version is over, by how much, on a machine that lags so much; none if it does well.
fn over_budget(
    stats: &PluginStats,
    before: &PluginStats,
    settings: &UpdateSettings,
    lag: Duration,
) -> Option<String> {
    let calls = stats.calls + stats.routings;
    if calls < settings.calls_min {
        return None;
    }
    let traps = |stats: &PluginStats| count(stats, &TRAPS);
    let misses = |stats: &PluginStats| count(stats, &["deadline"]);
    let over = |kind: &str, count: &dyn Fn(&PluginStats) -> u64, percent_max: u32| {
        let now = percent(count(stats), calls);
        // What the version before did as well is no reason to go back to it.
        let allowed =
            f64::from(percent_max).max(2.0 * percent(count(before), before.calls + before.routings));
        let found = count(stats);
        (now > allowed)
            .then(|| format!("{kind}: {found} of {calls} calls ({now:.1} %, allowed {allowed:.1} %)"))
    };
    over("traps", &traps, settings.trap_percent_max)
        .or_else(|| over("deadline misses", &misses, settings.deadline_percent_max))
        .or_else(|| slow(stats, before, settings, lag))
}

fn slow(
    stats: &PluginStats,
    before: &PluginStats,
    settings: &UpdateSettings,
    lag: Duration,
) -> Option<String> {
    if stats.calls.min(before.calls) < P99_CALLS_MIN {
        return None;
    }
    let (now, then) = (stats.p99?, before.p99?);
    // A call waits for the processor before it runs and whenever it goes on: that is not the version's fault.
    let allowed =
        (then * settings.p99_factor_max).max(Duration::from_millis(settings.p99_floor_ms)) + 2 * lag;
    (now > allowed).then(|| format!("p99: {now:.1?}, {then:.1?} before (allowed {allowed:.1?})"))
}

fn count(stats: &PluginStats, kinds: &[&str]) -> u64 {
    stats.errors.iter().filter(|(kind, _)| kinds.contains(kind)).map(|(_, count)| count).sum()
}

fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 * 100.0 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stats(calls: u64, errors: &[(&'static str, u64)], p99_ms: u64) -> PluginStats {
        PluginStats {
            calls,
            errors: errors.to_vec(),
            p99: Some(Duration::from_millis(p99_ms)),
            ..PluginStats::default()
        }
    }

    fn judged(now: &PluginStats, before: &PluginStats) -> Option<String> {
        over_budget(now, before, &UpdateSettings::default(), Duration::ZERO)
    }

    #[test]
    fn a_version_is_judged_by_traps_misses_and_time_against_the_one_before() {
        let good = stats(10_000, &[], 4);
        assert_eq!(
            judged(&stats(100, &[("trap", 1), ("failure", 50)], 4), &good),
            None,
            "as much as is allowed"
        );
        let trap = judged(&stats(100, &[("trap", 1), ("memory", 1)], 4), &good);
        assert_eq!(trap.as_deref(), Some("traps: 2 of 100 calls (2.0 %, allowed 1.0 %)"));
        let late = judged(&stats(100, &[("deadline", 5)], 4), &good);
        assert_eq!(late.as_deref(), Some("deadline misses: 5 of 100 calls (5.0 %, allowed 1.0 %)"));
        let slow = judged(&stats(1_000, &[], 13), &good);
        assert_eq!(slow.as_deref(), Some("p99: 13.0ms, 4.0ms before (allowed 12.0ms)"));
        let on_a_busy_machine =
            over_budget(&stats(1_000, &[], 13), &good, &UpdateSettings::default(), Duration::from_millis(1));
        assert_eq!(on_a_busy_machine, None);
        assert_eq!(judged(&stats(999, &[], 13), &good), None, "too few calls to compare times");
        assert_eq!(judged(&stats(19, &[("trap", 19)], 4), &good), None, "too few calls to judge");
    }

    #[tokio::test]
    async fn a_machine_without_time_is_noticed() {
        let mut lags = Lags::default();
        assert_eq!(lags.p99(), Duration::ZERO);
        let measuring = lags.measure_for(Duration::from_millis(300));
        // this runtime has one thread, which stands still
        let standing = async {
            tokio::time::sleep(Duration::from_millis(5)).await;
            std::thread::sleep(Duration::from_millis(200));
        };
        tokio::join!(measuring, standing);
        assert!(lags.p99() > Duration::from_millis(150), "{:?}", lags.p99());
    }

    #[test]
    fn what_the_version_before_did_as_well_is_no_reason() {
        let bad = stats(1_000, &[("trap", 50)], 1);
        assert_eq!(judged(&stats(100, &[("trap", 10)], 2), &bad), None);
        assert!(judged(&stats(100, &[("trap", 11)], 2), &bad).is_some());
        assert_eq!(
            judged(&stats(5_000, &[], 10), &stats(5_000, &[], 0)),
            None,
            "not slow, whatever it was before"
        );
    }
}
