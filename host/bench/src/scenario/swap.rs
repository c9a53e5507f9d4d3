//! What players notice when versions of a plugin are exchanged while they play.
//!
//! Players chat on the shipped application, each request with a number of its own, at a rate that does not depend on
//! the answers. Meanwhile `shaddock plugin deploy` brings in one version of the chat plugin after the other: the same
//! component with a custom section of its own, and so with a digest of its own. Each is compiled anew.

mod capacity;
mod crowd;
mod deploy;
mod drive;
mod ledger;
mod noise;
mod timeline;

use std::ops::Range;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use self::crowd::Crowd;
use self::deploy::{Deployed, Versions};
use self::drive::{Drive, Driven};
use self::noise::Noise;
use self::timeline::{Timeline, bins};
use crate::args::{Args, Scenario};
use crate::cluster::{Application, Cluster, Layout};
use crate::latency::Histogram;
use crate::load::{Dialect, Target};
use crate::report::{Swap, SwapReport, median};

/// What a swap is compared with: this long before its command, unless the pause is too short for that.
const BEFORE: Duration = Duration::from_secs(3);
/// The second of a swap.
const SWAP: Duration = Duration::from_secs(1);
/// After this no other version is deployed.
const RUN_TIME_MAX: Duration = Duration::from_secs(900);

/// Starts the cluster, lets the players chat, and deploys.
pub(crate) async fn measure(args: &Args, component: &Path) -> Result<SwapReport> {
    let players = args.connections_for(Scenario::Swap);
    let layout = Layout {
        application: Application::Chat,
        frontends: args.frontends.unwrap_or(3),
        backends: args.backends.unwrap_or(3),
        connections_max: players + 100,
    };
    eprintln!("swap: starting a cluster");
    let cluster = Cluster::start(layout, component).await?;
    let measured = play(args, players, layout, &cluster, component).await;
    cluster.stop().await?;
    measured
}

async fn play(
    args: &Args,
    players: usize,
    layout: Layout,
    cluster: &Cluster,
    component: &Path,
) -> Result<SwapReport> {
    let pids = cluster.server_pids();
    let target = |address| Target { address, dialect: Dialect::Pomelo, pids: pids.clone() };
    let targets: Vec<Target> = cluster.client_addresses().into_iter().map(target).collect();
    let mut crowd = Crowd::enter(&targets, players, args.body_bytes as usize).await?;
    let (rate, capacity) = match args.rate {
        Some(rate) => (rate, None),
        None => {
            let found;
            (crowd, found) = capacity::find(crowd, args.round_time()).await?;
            eprintln!("swap: {found:.0} requests/s in a closed loop");
            ((found * f64::from(args.swap.load) / 100.0).round().max(1.0) as u64, Some(found))
        }
    };
    let versions = Versions::of(component, cluster.directory())?;
    let noise = Noise::of(cluster);
    let drive = Drive::start(crowd, rate);
    let deployed = swaps(args, cluster, &versions, &drive).await?;
    let other_cores = noise.other_cores();
    let driven = drive.end().await?;
    let automatic_rollbacks = deploy::automatic_rollbacks(cluster).await?;

    let swaps = swaps_of(&deployed, &driven.timeline, driven.start, before(args));
    let median_of = |ratio: fn(&Swap) -> Option<f64>| {
        let ratios: Vec<f64> = swaps.iter().filter_map(ratio).collect();
        (!ratios.is_empty()).then(|| median(ratios))
    };
    let (median_ratio, median_control_ratio) =
        (median_of(|swap| swap.ratio), median_of(|swap| swap.control_ratio));
    let Driven { timeline, outcomes, lines, lines_due, connections_lost, first_error, time, .. } = driven;
    Ok(SwapReport {
        players,
        room: crowd::ROOM,
        frontends: layout.frontends,
        backends: layout.backends,
        capacity_per_second: capacity,
        per_second: rate,
        settle_s: args.swap.settle,
        seconds: time.as_secs_f64(),
        requests: outcomes.right + outcomes.failed + outcomes.lost,
        failed: outcomes.failed,
        lost: outcomes.lost,
        doubled: outcomes.doubled,
        lines,
        lines_due,
        connections_lost,
        first_error,
        automatic_rollbacks,
        other_cores,
        latency: timeline.whole().summary(),
        before_s: before(args).as_secs_f64(),
        median_ratio,
        median_control_ratio,
        swaps,
        bins: timeline.report(),
    })
}

/// The second of the swap before does not count, and one is left for the control.
fn before(args: &Args) -> Duration {
    BEFORE.min(Duration::from_secs(args.swap.pause).saturating_sub(SWAP * 2).max(SWAP))
}

/// Deploys one version after the other, with load and nothing else in between.
async fn swaps(args: &Args, cluster: &Cluster, versions: &Versions, drive: &Drive) -> Result<Vec<Deployed>> {
    let pause = Duration::from_secs(args.swap.pause);
    let mut deployed = Vec::new();
    for number in 1..=args.swap.swaps {
        tokio::time::sleep(pause).await;
        ensure!(
            drive.running_for() < RUN_TIME_MAX,
            "after {} s only {} versions have been deployed; ask for fewer --swaps or a shorter --pause",
            RUN_TIME_MAX.as_secs(),
            number - 1
        );
        let one = versions.deploy(cluster, number, args.swap.settle).await?;
        let took = one.ended.duration_since(one.begun);
        let end = one.error.as_deref().unwrap_or("done");
        eprintln!("swap {number}/{}: {end} in {:.1} s", args.swap.swaps, took.as_secs_f64());
        let goes_on = one.goes_on;
        deployed.push(one);
        if goes_on {
            // Another one would only be refused.
            break;
        }
    }
    tokio::time::sleep(pause).await;
    Ok(deployed)
}

fn swaps_of(deployed: &[Deployed], timeline: &Timeline, start: Instant, before: Duration) -> Vec<Swap> {
    (1..).zip(deployed).map(|(number, one)| swap_of(number, one, timeline, start, before)).collect()
}

fn swap_of(number: u32, deployed: &Deployed, timeline: &Timeline, start: Instant, before: Duration) -> Swap {
    let offset = |at: Instant| at.saturating_duration_since(start).as_secs_f64();
    let (begun, before) = (timeline.bin_of(deployed.begun), bins(before));
    let until = |end: usize, length: usize| timeline.window(end.saturating_sub(length)..end);
    let p99_before_us = p99(&until(begun, before));
    let quiet = begun.saturating_sub(bins(SWAP));
    let control = p99(&until(begun, bins(SWAP))).zip(p99(&until(quiet, before)));

    let seconds: Vec<Range<usize>> =
        deployed.changes.iter().map(|change| second_of(timeline.bin_of(*change))).collect();
    let first = seconds.first().map_or(begun, |second| second.start);
    let p99_preparing_us = p99(&timeline.window(begun..first.max(begun)));
    let swaps = seconds.into_iter().map(|second| timeline.window(second));
    let worst = swaps.max_by(|a, b| a.summary().p99_us.total_cmp(&b.summary().p99_us));
    let p99_swap_us = worst.as_ref().and_then(p99);
    Swap {
        number,
        begun_s: offset(deployed.begun),
        changes_s: deployed.changes.iter().map(|change| offset(*change)).collect(),
        ended_s: offset(deployed.ended),
        p99_before_us,
        p99_preparing_us,
        p99_swap_us,
        max_swap_us: worst.filter(|worst| worst.total() > 0).map(|worst| worst.summary().max_us),
        ratio: p99_swap_us.zip(p99_before_us).map(|(swap, before)| swap / before),
        control_ratio: control.map(|(second, before)| second / before),
        error: deployed.error.clone(),
    }
}

/// None of no requests.
fn p99(histogram: &Histogram) -> Option<f64> {
    (histogram.total() > 0).then(|| histogram.summary().p99_us)
}

/// The second around a change of pointers: from the bin before the one in which it was told of, since a request that
/// was due just before it may have met it, and news of it take their time.
fn second_of(change: usize) -> Range<usize> {
    let from = change.saturating_sub(1);
    from..from + bins(SWAP)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Requests every 10 ms for 12 s, answered in `latency_ms` of the millisecond in which they are due.
    fn timeline(start: Instant, latency_ms: impl Fn(u64) -> u64) -> Timeline {
        let mut timeline = Timeline::new(start);
        for due_ms in (0..12_000).step_by(10) {
            let latency = Duration::from_millis(latency_ms(due_ms));
            timeline.record(start + Duration::from_millis(due_ms), latency);
        }
        timeline
    }

    fn deployed(start: Instant, begun_ms: u64, changes_ms: &[u64]) -> Deployed {
        let at = |ms: &u64| start + Duration::from_millis(*ms);
        Deployed {
            begun: at(&begun_ms),
            changes: changes_ms.iter().map(at).collect(),
            ended: at(&(changes_ms.last().unwrap_or(&begun_ms) + 100)),
            error: None,
            goes_on: false,
        }
    }

    fn close(value: Option<f64>, expected: f64) -> bool {
        value.is_some_and(|value| (value / expected - 1.0).abs() < 0.03)
    }

    #[test]
    fn a_swap_is_compared_with_the_time_before_its_command_and_not_with_its_preparation() {
        let start = Instant::now();
        let timeline = timeline(start, |due| match due {
            0..1_900 => 90,
            1_900..5_000 => 2,
            5_000..6_000 => 50,
            _ => 4,
        });
        let swap =
            swap_of(3, &deployed(start, 5_000, &[6_150, 6_160]), &timeline, start, Duration::from_secs(3));
        assert!(close(swap.p99_before_us, 2_000.0) && close(swap.p99_preparing_us, 50_000.0), "{swap:?}");
        assert!(close(swap.p99_swap_us, 4_000.0) && close(swap.ratio, 2.0), "{swap:?}");
        assert!(close(Some(swap.changes_s[1]), 6.16) && swap.number == 3, "{swap:?}");
        // The second before the command, and the three before that: the slow ones of the first two seconds are among these.
        assert!(close(swap.control_ratio, 2.0 / 90.0), "{swap:?}");
    }

    #[test]
    fn a_stall_that_begins_before_the_news_of_the_change_belongs_to_the_swap() {
        let start = Instant::now();
        let timeline = timeline(start, |due| if (5_950..6_000).contains(&due) { 80 } else { 2 });
        let swap = swap_of(1, &deployed(start, 5_000, &[6_010]), &timeline, start, Duration::from_secs(3));
        assert!(close(swap.p99_swap_us, 80_000.0) && close(swap.ratio, 40.0), "{swap:?}");
    }

    #[test]
    fn with_a_settle_time_the_worst_second_counts() {
        let start = Instant::now();
        let timeline = timeline(start, |due| if due >= 8_000 { 12 } else { 3 });
        let swap =
            swap_of(1, &deployed(start, 5_000, &[5_500, 8_100]), &timeline, start, Duration::from_secs(3));
        assert!(close(swap.p99_swap_us, 12_000.0) && close(swap.max_swap_us, 12_000.0), "{swap:?}");
    }

    #[test]
    fn a_deployment_that_changed_nothing_has_no_ratio() {
        let start = Instant::now();
        let timeline = timeline(start, |_| 2);
        let failed = Deployed { error: Some("no".to_owned()), ..deployed(start, 5_000, &[]) };
        let swap = swap_of(1, &failed, &timeline, start, Duration::from_secs(3));
        assert_eq!((swap.ratio, swap.p99_swap_us, swap.max_swap_us), (None, None, None));
        assert_eq!(swap.error.as_deref(), Some("no"));
    }
}
