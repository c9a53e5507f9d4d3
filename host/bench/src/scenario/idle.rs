//! Connections that do nothing: what they cost the frontend in memory, and whether it sleeps.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::task::JoinSet;

use crate::answer::Expected;
use crate::connection::Connection;
use crate::load::{Target, open_all};
use crate::pomelo;
use crate::process::{self, Memory};
use crate::report::IdleSide;

/// Until what the connecting left behind has been given back.
const SETTLE_TIME: Duration = Duration::from_secs(2);

/// Measures the first process of `target` without and with `connections` idle clients. Also answers the heartbeat that
/// the server asked for.
pub(crate) async fn measure(
    target: &Target,
    connections: usize,
    time: Duration,
) -> Result<(IdleSide, Option<Duration>)> {
    let &pid = target.pids.first().context("idle needs the frontend's process id (--server-pids)")?;
    let look =
        || process::memory(pid).with_context(|| format!("reading the memory of process {pid} from /proc"));
    // One connection first: what every later one shares is not what a connection costs.
    let first = open_all(std::slice::from_ref(target), "/", 1).await?;
    tokio::time::sleep(SETTLE_TIME).await;
    let before = look()?;

    let opened = open_all(std::slice::from_ref(target), "/", connections).await?;
    let heartbeat = opened.first().and_then(|(_, greeting)| greeting.heartbeat);
    let mut clients = JoinSet::new();
    for (connection, greeting) in opened.into_iter().chain(first) {
        clients.spawn(stay(connection, greeting.heartbeat));
    }
    tokio::time::sleep(SETTLE_TIME).await;
    let after = look()?;

    let sample = || Some((Instant::now(), process::wakeups(pid)?, process::cpu_time(&[pid])?));
    let start = sample().context("reading wake-ups from /proc")?;
    tokio::select! {
        () = tokio::time::sleep(time) => {}
        Some(ended) = clients.join_next() => ended?.context("an idle connection did not last")?,
    }
    let end = sample().context("reading wake-ups from /proc")?;
    clients.shutdown().await;
    Ok((side(connections, before, after, start, end), heartbeat))
}

type Sample = (Instant, u64, Duration);

fn side(connections: usize, before: Memory, after: Memory, start: Sample, end: Sample) -> IdleSide {
    let each = |from: u64, to: u64| to.saturating_sub(from) as f64 * 1024.0 / connections as f64;
    let seconds = (end.0 - start.0).as_secs_f64();
    IdleSide {
        pss_bytes_per_connection: each(before.pss_kib, after.pss_kib),
        rss_bytes_per_connection: each(before.rss_kib, after.rss_kib),
        pss_mib: after.pss_kib as f64 / 1024.0,
        wakeups_per_second: end.1.saturating_sub(start.1) as f64 / seconds,
        cpu_ms_per_second: end.2.saturating_sub(start.2).as_secs_f64() * 1e3 / seconds,
    }
}

/// Keeps one connection alive as a client has to, and ends only with an error.
async fn stay(mut connection: Connection, heartbeat: Option<Duration>) -> Result<()> {
    loop {
        let Some(interval) = heartbeat else {
            connection.reader.fill().await?;
            connection.reader.count(&Expected::Pushes(0))?;
            continue;
        };
        tokio::time::sleep(interval).await;
        connection.send_package(&pomelo::package(pomelo::HEARTBEAT, &[])).await?;
        connection.reader.fill().await?;
        connection.reader.count(&Expected::Pushes(0))?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_is_shared_out_among_the_connections() {
        let start = Instant::now();
        let memory = |kib| Memory { rss_kib: kib * 2, pss_kib: kib };
        let end = (start + Duration::from_secs(2), 130, Duration::from_millis(50));
        let side = side(100, memory(1000), memory(2000), (start, 30, Duration::from_millis(10)), end);
        assert!((side.pss_bytes_per_connection - 10_240.0).abs() < 1e-6, "{side:?}");
        assert!((side.rss_bytes_per_connection - 20_480.0).abs() < 1e-6, "{side:?}");
        assert!((side.wakeups_per_second - 50.0).abs() < 1e-6, "{side:?}");
        assert!((side.cpu_ms_per_second - 20.0).abs() < 1e-6, "{side:?}");
    }
}
