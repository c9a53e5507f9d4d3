//! How long a whole cluster takes to be ready, and what its servers cost at rest.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::cluster::{Application, Cluster, Layout};
use crate::process;
use crate::report::{IdleServer, StartupReport, median};

/// Seven servers and the master: eight processes.
const LAYOUT: Layout =
    Layout { application: Application::Bench, frontends: 3, backends: 4, connections_max: 1000 };
/// Until a server that has just started is at rest.
const SETTLE_TIME: Duration = Duration::from_secs(2);

/// Starts the cluster once to warm the cache, then `rounds` times.
pub(crate) async fn measure(
    component: &std::path::Path,
    rounds: u32,
    time: Duration,
) -> Result<StartupReport> {
    Cluster::start(LAYOUT, component).await?.stop().await?;
    let mut ready_ms = Vec::new();
    let (mut processes, mut idle) = (0, Vec::new());
    for round in 1..=rounds {
        let started = Cluster::start(LAYOUT, component).await?;
        ready_ms.push(started.ready_after().as_secs_f64() * 1e3);
        if round == rounds {
            processes = started.processes().len();
            idle = at_rest(&started, time).await.context("measuring the servers at rest")?;
        }
        started.stop().await?;
    }
    Ok(StartupReport { processes, ready_median_ms: median(ready_ms.clone()), ready_ms, idle })
}

async fn at_rest(cluster: &Cluster, time: Duration) -> Result<Vec<IdleServer>> {
    tokio::time::sleep(SETTLE_TIME).await;
    let wakeups =
        |pid| process::wakeups(pid).with_context(|| format!("reading the wake-ups of process {pid}"));
    let start = Instant::now();
    let before = cluster.processes().iter().map(|(_, pid)| wakeups(*pid)).collect::<Result<Vec<_>>>()?;
    tokio::time::sleep(time).await;
    let seconds = start.elapsed().as_secs_f64();
    let servers = cluster.processes().iter().zip(before).map(|((id, pid), before)| {
        let memory = process::memory(*pid).with_context(|| format!("reading the memory of process {pid}"))?;
        Ok(IdleServer {
            id: id.clone(),
            pss_mib: memory.pss_kib as f64 / 1024.0,
            wakeups_per_second: wakeups(*pid)?.saturating_sub(before) as f64 / seconds,
        })
    });
    servers.collect()
}
