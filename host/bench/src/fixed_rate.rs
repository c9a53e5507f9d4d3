//! Fixed rate: requests leave when they are due, whether or not earlier ones were answered.
//!
//! Latency counts from the moment at which a request was due, so a server that stalls cannot hide it by slowing the
//! generator down (coordinated omission). Requests are dealt to the connections in turn, and one connection's requests
//! are answered in order: the n-th answer on a connection belongs to a moment that can be computed.

use std::io::ErrorKind;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::io::AsyncWriteExt;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::task::JoinSet;

use crate::connection::{Connection, Reader};
use crate::load::{Load, Progress, Requests, Tally, Target, measure, of_all, open_all, verify};
use crate::report::Round;

/// When the requests are due.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schedule {
    pub(crate) start: Instant,
    pub(crate) per_second: u64,
    pub(crate) connections: u64,
}

impl Schedule {
    /// When request `number` of all is due.
    fn due(&self, number: u64) -> Instant {
        self.start + Duration::from_secs_f64(number as f64 / self.per_second as f64)
    }

    /// When the `nth` request of one connection is due.
    pub(crate) fn due_on(&self, connection: u64, nth: u64) -> Instant {
        self.due(nth * self.connections + connection)
    }
}

/// One round with `connections` clients and `rate` requests per second in all.
pub(crate) async fn round(
    targets: &[Target],
    requests: Requests,
    connections: usize,
    rate: u64,
    time: Duration,
) -> Result<Round> {
    let (dialect, pids) = of_all(targets)?;
    let requests = Requests { window: 1, ..requests };
    let mut ready = Vec::with_capacity(connections);
    for (mut connection, greeting) in open_all(targets, "/", connections).await? {
        let load = Load::new(requests, dialect, &greeting)?;
        connection.writer.write_all(&load.batch).await?;
        verify(&mut connection, &load, 1).await?;
        ready.push((connection, load));
    }

    let progress = Arc::new(Progress::default());
    let start = Instant::now() + Duration::from_millis(20);
    let schedule = Schedule { start, per_second: rate, connections: connections as u64 };
    let mut tasks = JoinSet::new();
    let mut lanes = Vec::with_capacity(connections);
    for (index, (Connection { reader, writer }, load)) in ready.into_iter().enumerate() {
        lanes.push((writer, load.batch.clone()));
        tasks.spawn(receive(reader, load, index as u64, schedule, progress.clone()));
    }
    // Shared, so that the connections outlive the pacer: dropping a writing half would end its connection.
    let lanes = Arc::new(lanes);
    let pacer = {
        let (lanes, progress) = (lanes.clone(), progress.clone());
        tokio::task::spawn_blocking(move || {
            pace(&lanes, schedule, &progress, |(writer, request)| send(writer, request, &progress))
        })
    };
    let mut round = measure(&progress, tasks, pids, time).await?;
    if let Err(error) = pacer.await? {
        round.errors += 1;
        round.first_error.get_or_insert(format!("{error:#}"));
    }
    Ok(round)
}

/// Sends every request when it is due, on the lanes in turn, until the load stops. For a thread of its own: a timer of
/// the runtime is only good to a millisecond.
pub(crate) fn pace<L>(
    lanes: &[L],
    schedule: Schedule,
    progress: &Progress,
    mut send: impl FnMut(&L) -> Result<()>,
) -> Result<()> {
    let mut turns = lanes.iter().cycle();
    let mut number = 0;
    while !progress.stopped() {
        let now = Instant::now();
        while schedule.due(number) <= now {
            let Some(lane) = turns.next() else { return Ok(()) };
            send(lane)?;
            number += 1;
            if progress.stopped() {
                return Ok(());
            }
        }
        // Short enough to see the end of the round also at one request per second.
        thread::sleep(schedule.due(number).saturating_duration_since(now).min(Duration::from_millis(20)));
    }
    Ok(())
}

/// Writes a whole request. A full socket makes everything behind it late, and late is what then gets measured.
fn send(writer: &OwnedWriteHalf, request: &[u8], progress: &Progress) -> Result<()> {
    let mut rest = request;
    while !rest.is_empty() {
        match writer.try_write(rest) {
            Ok(written) => rest = rest.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == ErrorKind::WouldBlock && !progress.stopped() => {
                thread::sleep(Duration::from_micros(50));
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error).context("sending at a fixed rate"),
        }
    }
    Ok(())
}

async fn receive(
    mut reader: Reader,
    load: Load,
    connection: u64,
    schedule: Schedule,
    progress: Arc<Progress>,
) -> Result<Tally> {
    let mut tally = Tally::new();
    let mut answered = 0;
    loop {
        // The round ends between two answers, so look up now and then also when none comes.
        let filled = tokio::time::timeout(Duration::from_millis(100), reader.fill()).await;
        let now = Instant::now();
        if let Ok(filled) = filled {
            filled?;
        }
        let counts = reader.count(&load.expected)?;
        tally.errors += u64::from(counts.wrong);
        for _ in 0..counts.answers() {
            if progress.measuring() {
                tally.latency.record(now.saturating_duration_since(schedule.due_on(connection, answered)), 1);
            }
            answered += 1;
        }
        progress.add(counts.answers());
        if progress.stopped() {
            // Behind the schedule at the end of the round: late by more than anybody would wait.
            let due = schedule.due_on(connection, answered) + LATE_MAX;
            tally.errors += u64::from(due < now);
            return Ok(tally);
        }
    }
}

/// A request that is this late when the round ends counts as an error.
const LATE_MAX: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_dealt_in_turn_at_even_distances() {
        let schedule = Schedule { start: Instant::now(), per_second: 1000, connections: 4 };
        assert_eq!(schedule.due(1000) - schedule.start, Duration::from_secs(1));
        assert_eq!(schedule.due_on(3, 0) - schedule.start, Duration::from_millis(3));
        assert_eq!(schedule.due_on(0, 1) - schedule.start, Duration::from_millis(4));
    }
}
