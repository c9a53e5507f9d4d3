//! Closed loop: every connection sends a window of requests, waits for all answers, and sends again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::io::AsyncWriteExt;
use tokio::task::JoinSet;

use crate::connection::Connection;
use crate::load::{Load, Progress, Requests, Tally, Target, measure, of_all, open_all, verify};
use crate::report::Round;

/// One round with `connections` clients.
pub(crate) async fn round(
    targets: &[Target],
    requests: Requests,
    connections: usize,
    time: Duration,
) -> Result<Round> {
    let (dialect, pids) = of_all(targets)?;
    let progress = Arc::new(Progress::default());
    let mut tasks = JoinSet::new();
    for (connection, greeting) in open_all(targets, "/", connections).await? {
        let load = Load::new(requests, dialect, &greeting)?;
        tasks.spawn(client(connection, load, progress.clone()));
    }
    measure(&progress, tasks, pids, time).await
}

async fn client(mut connection: Connection, load: Load, progress: Arc<Progress>) -> Result<Tally> {
    connection.writer.write_all(&load.batch).await?;
    verify(&mut connection, &load, load.window).await?;

    let mut tally = Tally::new();
    while !progress.stopped() {
        let sent = Instant::now();
        connection.writer.write_all(&load.batch).await?;
        let mut due = load.window;
        while due > 0 {
            connection.reader.fill().await?;
            let counts = connection.reader.count(&load.expected)?;
            due = due.saturating_sub(counts.answers());
            progress.add(counts.answers());
            tally.errors += u64::from(counts.wrong);
            if progress.measuring() {
                tally.latency.record(sent.elapsed(), counts.answers());
            }
        }
    }
    Ok(tally)
}
