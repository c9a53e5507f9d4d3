//! How long calls take: counts by duration, in buckets that widen with it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::per_thread::PerThread;

/// Buckets between a duration and twice of it: each is 3 to 6 % wide.
const STEPS: u32 = 16;
/// Shorter ones count as this, 2^7 ns.
const FIRST_POWER: u32 = 7;
/// Longer ones count as this, 2^37 ns or 137 s.
const LAST_POWER: u32 = 37;
const BUCKETS: usize = ((LAST_POWER - FIRST_POWER) * STEPS) as usize;

/// The durations of calls, by thread.
#[derive(Default)]
pub(crate) struct Latency(PerThread<Buckets>);

struct Buckets(Box<[AtomicU64]>);

impl Default for Buckets {
    fn default() -> Self {
        Self((0..BUCKETS).map(|_| AtomicU64::new(0)).collect())
    }
}

impl Latency {
    pub(crate) fn record(&self, time: Duration) {
        if let Some(count) = self.0.own().0.get(bucket(time)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The time that so many in a hundred calls took at most; none if there was no call.
    pub(crate) fn percentiles<const N: usize>(&self, percents: [u64; N]) -> [Option<Duration>; N] {
        let mut counts = vec![0; BUCKETS];
        for buckets in self.0.iter() {
            for (sum, count) in counts.iter_mut().zip(&buckets.0) {
                *sum += count.load(Ordering::Relaxed);
            }
        }
        let total: u64 = counts.iter().sum();
        percents.map(|percent| {
            let rank = (total * percent).div_ceil(100);
            let mut seen = 0;
            let reached = counts.iter().position(|count| {
                seen += count;
                *count > 0 && seen >= rank
            });
            reached.map(upper_end)
        })
    }
}

fn bucket(time: Duration) -> usize {
    let ns =
        u64::try_from(time.as_nanos()).unwrap_or(u64::MAX).clamp(1 << FIRST_POWER, (1 << LAST_POWER) - 1);
    let power = ns.ilog2();
    let step = (ns >> (power - STEPS.ilog2())) as u32 - STEPS;
    ((power - FIRST_POWER) * STEPS + step) as usize
}

fn upper_end(bucket: usize) -> Duration {
    let (power, step) = (bucket as u64 / u64::from(STEPS), bucket as u64 % u64::from(STEPS));
    let first = 1 << (u64::from(FIRST_POWER) + power);
    Duration::from_nanos(first + (step + 1) * first / u64::from(STEPS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_about_as_exact_as_promised() {
        let latency = Latency::default();
        assert_eq!(latency.percentiles([50, 99]), [None, None]);
        for us in 1..=1000 {
            latency.record(Duration::from_micros(us));
        }
        for (percent, exact) in [(50, 500), (99, 990), (100, 1000), (1, 10)] {
            let [found] = latency.percentiles([percent]);
            let ratio = found.unwrap().as_secs_f64() / Duration::from_micros(exact).as_secs_f64();
            assert!((1.0..1.07).contains(&ratio), "{percent}: {found:?}");
        }
    }

    #[test]
    fn every_duration_has_a_bucket() {
        for (time, upper) in [
            (Duration::ZERO, Duration::from_nanos(136)),
            (Duration::from_nanos(136), Duration::from_nanos(144)),
            (Duration::MAX, Duration::from_nanos(1 << LAST_POWER)),
        ] {
            assert_eq!(upper_end(bucket(time)), upper, "{time:?}");
        }
        let mut last = 0;
        for ns in (0..1_000_000).step_by(7) {
            let found = bucket(Duration::from_nanos(ns));
            assert!(found >= last && found < BUCKETS);
            assert!(upper_end(found) > Duration::from_nanos(ns));
            last = found;
        }
    }
}
