//! Counters of one plugin.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::error::CallError;
use crate::latency::Latency;
use crate::per_thread::PerThread;

/// A snapshot of one plugin's counters since it was loaded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PluginStats {
    /// Calls begun, of every kind but route functions. One that came to a version which another one has succeeded
    /// counts in both; its outcome counts where it ran.
    pub calls: u64,
    /// Calls of the route function.
    pub routings: u64,
    /// Failed calls and routings by [`CallError::kind`](crate::CallError::kind), without zeroes.
    pub errors: Vec<(&'static str, u64)>,
    /// Instances that exist now, those of route functions not counted.
    pub instances_live: u64,
    /// Of these, how many wait for a call.
    pub instances_idle: u64,
    /// Instances made so far.
    pub instances_created: u64,
    /// Instances replaced since they had served long enough or had grown, those of route functions included.
    pub instances_recycled: u64,
    /// The most memory that one instance ever had, in bytes.
    pub memory_bytes_peak: u64,
    /// The wall time that half of the calls of handlers and remotes took at most, about 5 % exact, waiting for an
    /// instance included; none if there was no such call.
    pub p50: Option<Duration>,
    /// The same of 99 in 100 calls.
    pub p99: Option<Duration>,
}

#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) calls: PerThread<AtomicU64>,
    pub(crate) routings: PerThread<AtomicU64>,
    pub(crate) latency: Latency,
    pub(crate) live: AtomicU64,
    pub(crate) created: AtomicU64,
    pub(crate) recycled: AtomicU64,
    pub(crate) memory_bytes_peak: AtomicU64,
    errors: [AtomicU64; CallError::KINDS.len()],
}

impl Counters {
    pub(crate) fn error(&self, error: &CallError) {
        let place = CallError::KINDS.iter().position(|kind| *kind == error.kind());
        if let Some(count) = place.and_then(|place| self.errors.get(place)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn snapshot(&self, idle: u64) -> PluginStats {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let errors = CallError::KINDS.into_iter().zip(self.errors.iter().map(read));
        let [p50, p99] = self.latency.percentiles([50, 99]);
        PluginStats {
            calls: self.calls.sum(),
            routings: self.routings.sum(),
            errors: errors.filter(|(_, count)| *count > 0).collect(),
            instances_live: read(&self.live),
            instances_idle: idle,
            instances_created: read(&self.created),
            instances_recycled: read(&self.recycled),
            memory_bytes_peak: read(&self.memory_bytes_peak),
            p50,
            p99,
        }
    }
}
