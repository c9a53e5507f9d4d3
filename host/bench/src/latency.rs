//! Latencies of a round in a fixed amount of memory.

use std::time::Duration;

use serde::Serialize;

/// Each power of two is cut into this many buckets, so a value is kept to within 1.6 %.
const STEPS: usize = 64;
const STEP_BITS: u32 = STEPS.trailing_zeros();
/// Values from 2^STEP_BITS ns up to 2^37 ns (137 s); longer ones land in the last bucket.
const BUCKETS: usize = STEPS * (37 - STEP_BITS as usize + 1);

/// A log-linear histogram of nanoseconds: some 8 KiB, whatever is recorded.
#[derive(Clone)]
pub(crate) struct Histogram {
    counts: Vec<u32>,
    total: u64,
    max_ns: u64,
}

impl Histogram {
    pub(crate) fn new() -> Self {
        Self { counts: vec![0; BUCKETS], total: 0, max_ns: 0 }
    }

    /// Records `count` values of the same latency.
    pub(crate) fn record(&mut self, latency: Duration, count: u32) {
        let ns = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        if let Some(bucket) = self.counts.get_mut(bucket(ns)) {
            *bucket = bucket.saturating_add(count);
            self.total += u64::from(count);
        }
        self.max_ns = self.max_ns.max(ns);
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine = mine.saturating_add(*theirs);
        }
        self.total += other.total;
        self.max_ns = self.max_ns.max(other.max_ns);
    }

    pub(crate) fn summary(&self) -> Latency {
        Latency {
            p50_us: self.quantile_us(0.50),
            p99_us: self.quantile_us(0.99),
            max_us: self.max_ns as f64 / 1e3,
        }
    }

    /// How many values were recorded.
    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    fn quantile_us(&self, share: f64) -> f64 {
        let rank = (self.total as f64 * share).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += u64::from(*count);
            if seen >= rank {
                // The top of the bucket, but never above what was really seen.
                return upper_bound(index).min(self.max_ns) as f64 / 1e3;
            }
        }
        0.0
    }
}

fn bucket(ns: u64) -> usize {
    if ns < STEPS as u64 {
        return ns as usize;
    }
    let exponent = ns.ilog2();
    let step = (ns >> (exponent - STEP_BITS)) as usize - STEPS;
    (((exponent - STEP_BITS + 1) as usize) * STEPS + step).min(BUCKETS - 1)
}

fn upper_bound(index: usize) -> u64 {
    let (row, step) = (index / STEPS, (index % STEPS) as u64);
    match row {
        0 => step,
        _ => ((STEPS as u64 + step + 1) << (row - 1)) - 1,
    }
}

/// What is reported of the latencies of a round, in microseconds.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Latency {
    /// Half of the requests were answered within this time.
    pub p50_us: f64,
    /// 99 of 100 were.
    pub p99_us: f64,
    /// All were.
    pub max_us: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_falls_into_a_bucket_that_holds_it_closely() {
        for ns in [0, 1, 63, 64, 65, 127, 128, 1000, 123_456, 98_765_432, 5_000_000_000] {
            let top = upper_bound(bucket(ns));
            assert!(top >= ns && top as f64 <= ns as f64 * 1.02 + 1.0, "{ns} in a bucket up to {top}");
        }
    }

    #[test]
    fn quantiles_are_those_of_the_values_recorded() {
        let mut all = Histogram::new();
        for us in 1..=1000_u64 {
            let mut one = Histogram::new();
            one.record(Duration::from_micros(us), 1);
            all.merge(&one);
        }
        let latency = all.summary();
        assert!((490.0..=510.0).contains(&latency.p50_us), "{latency:?}");
        assert!((985.0..=1000.0).contains(&latency.p99_us), "{latency:?}");
        assert!((latency.max_us - 1000.0).abs() < f64::EPSILON, "{latency:?}");
    }

    #[test]
    fn nothing_recorded_is_zero_and_a_huge_value_is_kept_as_the_maximum() {
        assert!(Histogram::new().summary().p99_us.abs() < f64::EPSILON);
        let mut huge = Histogram::new();
        huge.record(Duration::from_secs(1_000_000), 1);
        assert!(huge.summary().max_us > 1e11);
    }
}
