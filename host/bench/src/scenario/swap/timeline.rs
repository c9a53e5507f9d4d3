//! Latencies over time, by the moment at which a request was due.

use std::ops::Range;
use std::time::{Duration, Instant};

use crate::latency::Histogram;
use crate::report::{BIN, Bin};

/// Bins of the longest run, 8 KiB each; what is due later counts into the last one.
const BINS_MAX: usize = 12_000;

/// Histograms of equal stretches of time.
pub(super) struct Timeline {
    start: Instant,
    bins: Vec<Histogram>,
}

impl Timeline {
    pub(super) fn new(start: Instant) -> Self {
        Self { start, bins: Vec::new() }
    }

    /// Records the latency of a request that was due at `due`.
    pub(super) fn record(&mut self, due: Instant, latency: Duration) {
        let index = self.bin_of(due);
        if index >= self.bins.len() {
            self.bins.resize_with(index + 1, Histogram::new);
        }
        if let Some(bin) = self.bins.get_mut(index) {
            bin.record(latency, 1);
        }
    }

    /// The bin that a moment falls into.
    pub(super) fn bin_of(&self, at: Instant) -> usize {
        let bin = at.saturating_duration_since(self.start).as_nanos() / BIN.as_nanos();
        usize::try_from(bin).unwrap_or(BINS_MAX).min(BINS_MAX - 1)
    }

    /// All latencies of some bins; of what lies beyond the end there are none.
    pub(super) fn window(&self, bins: Range<usize>) -> Histogram {
        let mut all = Histogram::new();
        for bin in self.bins.iter().take(bins.end).skip(bins.start) {
            all.merge(bin);
        }
        all
    }

    /// All latencies.
    pub(super) fn whole(&self) -> Histogram {
        self.window(0..self.bins.len())
    }

    /// What is reported of each bin, in the order of time.
    pub(super) fn report(&self) -> Vec<Bin> {
        let bin = |(index, histogram): (usize, &Histogram)| Bin {
            at_s: (BIN * index as u32).as_secs_f64(),
            requests: histogram.total(),
            latency: histogram.summary(),
        };
        self.bins.iter().enumerate().map(bin).collect()
    }
}

/// How many bins a time has.
pub(super) const fn bins(time: Duration) -> usize {
    (time.as_millis() / BIN.as_millis()) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_latency_belongs_to_the_bin_in_which_its_request_was_due() {
        let start = Instant::now();
        let mut timeline = Timeline::new(start);
        for (due_ms, latency_ms) in [(0, 1), (99, 250), (100, 3), (450, 5), (499, 7)] {
            timeline.record(start + MS * due_ms, MS * latency_ms);
        }
        let report = timeline.report();
        let counts: Vec<u64> = report.iter().map(|bin| bin.requests).collect();
        assert_eq!(counts, [2, 1, 0, 0, 2]);
        assert!((report[4].at_s - 0.4).abs() < 1e-9, "{report:?}");
        assert!((report[0].latency.max_us - 250e3).abs() < 1.0, "{report:?}");
        assert!(report[2].latency.max_us.abs() < f64::EPSILON, "{report:?}");
    }

    #[test]
    fn a_window_has_the_quantiles_of_all_its_bins_together() {
        let start = Instant::now();
        let mut timeline = Timeline::new(start);
        // 99 quick ones in a bin, one slow one in the next: neither bin alone shows the share of the slow one.
        for _ in 0..99 {
            timeline.record(start, MS);
        }
        timeline.record(start + BIN, MS * 80);
        let both = timeline.window(0..2).summary();
        assert!(both.p99_us < 1_100.0 && (both.max_us - 80e3).abs() < 1.0, "{both:?}");
        timeline.record(start + BIN, MS * 80);
        let both = timeline.window(0..2).summary();
        assert!((both.p99_us / 80e3 - 1.0).abs() < 0.02, "{both:?}");
        assert_eq!(timeline.window(0..1).total(), 99);
        assert_eq!(timeline.window(1..50).total(), 2);
        assert_eq!(timeline.window(7..9).total(), 0);
        assert_eq!(timeline.whole().total(), 101);
    }

    #[test]
    fn what_is_due_after_the_longest_run_does_not_grow_the_memory() {
        let start = Instant::now();
        let mut timeline = Timeline::new(start);
        assert_eq!(timeline.bin_of(start + Duration::from_secs(1 << 20)), BINS_MAX - 1);
        timeline.record(start - MS, MS);
        assert_eq!((timeline.bin_of(start), timeline.report().len()), (0, 1));
        assert_eq!(bins(Duration::from_secs(3)), 30);
    }
}
