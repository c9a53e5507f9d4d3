//! When an instance is worn out: guests that leak, or whose heaps only grow, are replaced before they reach a limit.

use std::sync::atomic::Ordering;

use crate::context::Shared;
use crate::settings::PluginLimits;

/// Memory that an instance may grow by in any case.
const GROWTH_MIN: u64 = 8 << 20;

/// How much one instance has been used.
#[derive(Default)]
pub(crate) struct Wear {
    calls: u64,
    /// Known from the end of the first call on: only then has a guest the memory that it needs to work at all.
    bytes_max: Option<u64>,
}

impl Wear {
    pub(crate) fn begin_call(&mut self) {
        self.calls += 1;
    }

    /// Whether there was a call.
    pub(crate) fn has_served(&self) -> bool {
        self.calls > 0
    }

    /// Whether the call that has just ended, with so much memory taken, should be the last one. Counts that.
    pub(crate) fn wears_out(&mut self, bytes: u64, shared: &Shared) -> bool {
        let is_worn_out = self.is_worn_out(bytes, &shared.limits);
        if is_worn_out {
            shared.counters.recycled.fetch_add(1, Ordering::Relaxed);
        }
        is_worn_out
    }

    fn is_worn_out(&mut self, bytes: u64, limits: &PluginLimits) -> bool {
        let measured = || limits.recycle_bytes.unwrap_or_else(|| bytes_max(bytes, limits.memory_bytes_max));
        bytes > *self.bytes_max.get_or_insert_with(measured)
            || (limits.recycle_calls > 0 && self.calls >= limits.recycle_calls)
    }
}

/// Twice of what the first call has left, and not so near the limit that a call might not find what it needs.
fn bytes_max(first: u64, limit: u64) -> u64 {
    let near_limit = limit / 4 * 3;
    // One that needs so much from the beginning gains nothing from another beginning.
    if first >= near_limit { limit } else { (first + first.max(GROWTH_MIN)).min(near_limit) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worn_out_after(limits: &PluginLimits, bytes: impl Fn(u64) -> u64) -> Option<u64> {
        let mut wear = Wear::default();
        (1..=1_000).find(|call| {
            wear.begin_call();
            wear.is_worn_out(bytes(*call), limits)
        })
    }

    #[test]
    fn what_grows_is_worn_out_long_before_its_limit() {
        let limits = PluginLimits { memory_bytes_max: 64 << 20, ..PluginLimits::default() };
        assert_eq!(worn_out_after(&limits, |_| 60 << 20), None, "as it was after the first call");
        assert_eq!(worn_out_after(&limits, |call| (1 << 20) + (call << 16)), Some(130), "8 MiB more");
        assert_eq!(worn_out_after(&limits, |call| (13 << 20) + (call << 16)), Some(211), "twice as much");
        assert_eq!(worn_out_after(&limits, |call| (30 << 20) + (call << 16)), Some(289), "three quarters");
    }

    #[test]
    fn what_is_set_is_taken() {
        let limits =
            PluginLimits { recycle_bytes: Some(2 << 20), recycle_calls: 0, ..PluginLimits::default() };
        assert_eq!(worn_out_after(&limits, |call| call << 20), Some(3));
        let limits = PluginLimits { recycle_calls: 7, ..PluginLimits::default() };
        assert_eq!(worn_out_after(&limits, |_| 1 << 20), Some(7));
    }
}
