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

/// So many calls of a thread are timed, each of them; further ones by chance.
const ALL_OF_FIRST: u64 = 1_024;
/// Of how many calls one is timed then, a power of two: reading the clock once more costs a warm call some percent.
const ONE_IN: u64 = 8;

/// For how many calls the call counts that is the `nth` of its thread; none if it need not be timed.
pub(crate) fn weight(nth: u64) -> Option<u64> {
    // Multiplied, so that a pattern in the kinds of calls does not meet one in the numbers.
    let chance = nth.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (u64::BITS - ONE_IN.ilog2());
    if nth < ALL_OF_FIRST { Some(1) } else { (chance == 0).then_some(ONE_IN) }
}

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
    /// One call, that counts for so many.
    pub(crate) fn record(&self, time: Duration, weight: u64) {
        if let Some(count) = self.0.own().0.get(bucket(time)) {
            count.fetch_add(weight, Ordering::Relaxed);
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
            latency.record(Duration::from_micros(us), 1);
        }
        for (percent, exact) in [(50, 500), (99, 990), (100, 1000), (1, 10)] {
            let [found] = latency.percentiles([percent]);
            let ratio = found.unwrap().as_secs_f64() / Duration::from_micros(exact).as_secs_f64();
            assert!((1.0..1.07).contains(&ratio), "{percent}: {found:?}");
        }
    }

    #[test]
    fn about_one_in_eight_counts_for_all_whatever_the_pattern() {
        for step in [1, 2, 8, 10] {
            let numbers = (0..100_000).map(|number| ALL_OF_FIRST + number * step);
            let counted: u64 = numbers.filter_map(weight).sum();
            assert!((95_000..105_000).contains(&counted), "{step}: {counted}");
        }
        assert_eq!((0..ALL_OF_FIRST).filter_map(weight).sum::<u64>(), ALL_OF_FIRST);
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
