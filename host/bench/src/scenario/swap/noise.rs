//! How much of the machine others use while it is measured.

use std::time::{Duration, Instant};

use crate::cluster::Cluster;
use crate::process::{cpu_time_with_children, machine_cpu_time};

/// CPU times when a measurement began.
pub(super) struct Noise {
    pids: Vec<u32>,
    at: Instant,
    used: Option<Used>,
}

struct Used {
    machine: Duration,
    own: Duration,
}

impl Noise {
    /// From now on; the cluster, this process, and what they start are no noise.
    pub(super) fn of(cluster: &Cluster) -> Self {
        let cluster = cluster.processes().iter().map(|(_, pid)| *pid);
        let pids: Vec<u32> = cluster.chain([std::process::id()]).collect();
        let used = Used::now(&pids);
        Self { pids, at: Instant::now(), used }
    }

    /// Cores that others have used since; `None` where the kernel does not tell.
    pub(super) fn other_cores(&self) -> Option<f64> {
        let (before, now) = (self.used.as_ref()?, Used::now(&self.pids)?);
        let own = now.own.saturating_sub(before.own);
        let others = now.machine.saturating_sub(before.machine).saturating_sub(own);
        Some(others.as_secs_f64() / self.at.elapsed().as_secs_f64())
    }
}

impl Used {
    fn now(pids: &[u32]) -> Option<Self> {
        Some(Self { machine: machine_cpu_time()?, own: cpu_time_with_children(pids)? })
    }
}
