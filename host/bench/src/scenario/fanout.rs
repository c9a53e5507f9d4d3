//! One sender, many members: how many deliveries per second, and how long until the last member has a push.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::AcqRel, Ordering::Acquire};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tokio::io::AsyncWriteExt;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::answer::Expected;
use crate::connection::{Connection, Reader, SETUP_TIME_MAX};
use crate::load::{Dialect, Load, Progress, Requests, Tally, Target, measure, of_all, open_all};
use crate::pomelo::Greeting;
use crate::report::Round;

/// Where the channel is kept: on the frontend, or on the backend if there are several frontends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Routes {
    pub(crate) join: &'static str,
    pub(crate) push: &'static str,
}

/// The channel of a single frontend is kept there.
pub(crate) const ON_FRONTEND: Routes =
    Routes { join: "connector.benchHandler.join", push: "connector.benchHandler.push" };
/// That of several frontends is kept on one backend.
pub(crate) const ON_BACKEND: Routes =
    Routes { join: "backend.benchHandler.join", push: "backend.benchHandler.push" };

/// The rounds of this process.
static ROUNDS: AtomicU64 = AtomicU64::new(1);

/// Deliveries of a push that never comes: the round fails.
const DELIVERY_TIME_MAX: Duration = Duration::from_secs(10);

/// One round: `members` clients in a channel and one sender with `window` pushes under way.
pub(crate) async fn round(
    targets: &[Target],
    routes: Routes,
    body_bytes: usize,
    members: usize,
    window: u32,
    time: Duration,
) -> Result<Round> {
    let (dialect, pids) = of_all(targets)?;
    let requests = Requests { route: routes.push, body_bytes, window };
    // Users of their own for each round: those of the last one may still be leaving the channel.
    let number = ROUNDS.fetch_add(1, AcqRel);
    let deliveries = Arc::new(Deliveries::default());
    let progress = Arc::new(Progress::default());

    let opened = open_all(targets, "/member", members).await?;
    let mut readers = Vec::with_capacity(members);
    for (index, (mut connection, greeting)) in opened.into_iter().enumerate() {
        if dialect == Dialect::Pomelo {
            let body = format!(r#"{{"uid":"{}-{number}-{index}"}}"#, std::process::id());
            let answer = connection.ask(&greeting, routes.join, body.as_bytes()).await?;
            let answer = String::from_utf8_lossy(&answer).into_owned();
            ensure!(answer.contains("\"code\":200"), "{} answered {answer}", routes.join);
        }
        readers.push(connection);
    }
    let (mut sender, greeting) = open_all(targets, "/", 1).await?.pop().context("the sender's connection")?;
    let load = Load::new(requests, dialect, &greeting)?;
    let delivered = match dialect {
        Dialect::Bare => Expected::Frames(body_bytes),
        Dialect::Pomelo => Expected::Pushes(body_bytes),
    };
    sender.send_package(&first_push(&load, dialect, &greeting, routes)?).await?;
    for member in &mut readers {
        verify_delivery(&mut member.reader, delivered, &load.body).await?;
    }

    // The members' writing halves live until the end of the round: dropping one ends its connection.
    let mut members_alive = Vec::with_capacity(members);
    let mut tasks = JoinSet::new();
    let mut members_tasks = JoinSet::new();
    for Connection { reader, writer } in readers {
        members_alive.push(writer);
        members_tasks.spawn(receive(reader, delivered, deliveries.clone(), progress.clone()));
    }
    // The sender's first acknowledgement was not read; it is the one too many.
    tasks.spawn(send(sender, load, members as u64, 1, deliveries, progress.clone()));
    let round = measure(&progress, tasks, pids, time).await;
    members_tasks.shutdown().await;
    round
}

fn first_push(load: &Load, dialect: Dialect, greeting: &Greeting, routes: Routes) -> Result<Vec<u8>> {
    match dialect {
        Dialect::Bare => Ok(load.body.clone()),
        Dialect::Pomelo => greeting.request(1, routes.push, &load.body),
    }
}

async fn verify_delivery(reader: &mut Reader, delivered: Expected, body: &[u8]) -> Result<()> {
    let first = async {
        while !delivered.verify(&reader.payload().await?, body)? {}
        anyhow::Ok(())
    };
    tokio::time::timeout(SETUP_TIME_MAX, first)
        .await
        .context("a member did not get the first push in time")?
}

/// How far the members are, and how far they have to get.
#[derive(Debug, Default)]
struct Deliveries {
    done: AtomicU64,
    due: AtomicU64,
    reached: Notify,
}

impl Deliveries {
    fn add(&self, count: u32) {
        let before = self.done.fetch_add(u64::from(count), AcqRel);
        let due = self.due.load(Acquire);
        if before < due && before + u64::from(count) >= due {
            self.reached.notify_one();
        }
    }
}

async fn receive(
    mut reader: Reader,
    delivered: Expected,
    deliveries: Arc<Deliveries>,
    progress: Arc<Progress>,
) -> Result<()> {
    loop {
        reader.fill().await?;
        let counts = reader.count(&delivered)?;
        progress.add(counts.right);
        deliveries.add(counts.right);
    }
}

async fn send(
    mut sender: Connection,
    load: Load,
    members: u64,
    acknowledged_early: u32,
    deliveries: Arc<Deliveries>,
    progress: Arc<Progress>,
) -> Result<Tally> {
    let mut tally = Tally::new();
    let mut acknowledgements_due = acknowledged_early;
    // Push requests are answered with something short, the bare server's echo apart: any frame is an acknowledgement.
    while !progress.stopped() {
        deliveries.due.fetch_add(members * u64::from(load.window), AcqRel);
        let sent = Instant::now();
        sender.writer.write_all(&load.batch).await?;
        tokio::time::timeout(DELIVERY_TIME_MAX, deliveries.reached.notified())
            .await
            .context("members were left without a push")?;
        if progress.measuring() {
            tally.latency.record(sent.elapsed(), load.window);
        }
        acknowledgements_due += load.window;
        while acknowledgements_due > 0 {
            sender.reader.fill().await?;
            let counts = sender.reader.count(&load.expected)?;
            let acknowledged = counts.answers() + counts.aside;
            acknowledgements_due = acknowledgements_due.saturating_sub(acknowledged);
        }
    }
    Ok(tally)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_delivery_that_completes_a_push_wakes_the_sender_and_no_other() {
        let deliveries = Deliveries::default();
        deliveries.due.store(3, std::sync::atomic::Ordering::Release);
        let wait = || tokio::time::timeout(Duration::from_millis(20), deliveries.reached.notified());
        deliveries.add(2);
        assert!(wait().await.is_err());
        deliveries.add(1);
        assert!(wait().await.is_ok());
        deliveries.add(1);
        assert!(wait().await.is_err());
    }
}
