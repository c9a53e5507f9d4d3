//! The load of one round: what is sent, what must come back, and the state that its connections share.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::task::JoinSet;

use crate::answer::Expected;
use crate::connection::{Connection, SETUP_TIME_MAX};
use crate::frame::put_client_frame;
use crate::latency::Histogram;
use crate::pomelo::{self, Greeting};
use crate::process;
use crate::report::Round;

/// A server under load.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    pub(crate) dialect: Dialect,
    /// The processes that do the work, all those of its cluster; empty where they are not known.
    pub(crate) pids: Vec<u32>,
}

/// The dialect and the processes of several frontends of one cluster.
pub(crate) fn of_all(targets: &[Target]) -> Result<(Dialect, &[u32])> {
    let first = targets.first().context("there is no server to connect to")?;
    Ok((first.dialect, &first.pids))
}

/// What a server speaks inside WebSocket frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// The client protocol of pomelo.
    Pomelo,
    /// Frames without any meaning.
    Bare,
}

/// Requests to one route.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Requests {
    pub(crate) route: &'static str,
    pub(crate) body_bytes: usize,
    /// How many are sent at once.
    pub(crate) window: u32,
}

/// The bytes to send, and what must come back.
#[derive(Debug)]
pub(crate) struct Load {
    /// `window` requests, each in a frame of its own.
    pub(crate) batch: Vec<u8>,
    pub(crate) window: u32,
    pub(crate) expected: Expected,
    pub(crate) body: Vec<u8>,
}

impl Load {
    pub(crate) fn new(requests: Requests, dialect: Dialect, greeting: &Greeting) -> Result<Self> {
        let body = pomelo::json_body(requests.body_bytes);
        let mut batch = Vec::new();
        for id in 1..=requests.window {
            match dialect {
                Dialect::Bare => put_client_frame(&body, &mut batch),
                Dialect::Pomelo => {
                    put_client_frame(&greeting.request(id, requests.route, &body)?, &mut batch);
                }
            }
        }
        let expected = match dialect {
            Dialect::Bare => Expected::Frames(body.len()),
            Dialect::Pomelo => Expected::Responses(body.len()),
        };
        Ok(Self { batch, window: requests.window, expected, body })
    }
}

/// Before this comes the warm-up: phase 0.
const MEASURE: u8 = 1;
const STOP: u8 = 2;

/// Where a round stands; all its connections look here.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    phase: AtomicU8,
    done: AtomicU64,
}

impl Progress {
    pub(crate) fn measuring(&self) -> bool {
        self.phase.load(Relaxed) == MEASURE
    }

    pub(crate) fn stopped(&self) -> bool {
        self.phase.load(Relaxed) == STOP
    }

    pub(crate) fn stop(&self) {
        self.phase.store(STOP, Relaxed);
    }

    /// Counts answers; all that has been counted so far, these included.
    pub(crate) fn add(&self, answers: u32) -> u64 {
        self.done.fetch_add(u64::from(answers), Relaxed) + u64::from(answers)
    }

    pub(crate) fn done(&self) -> u64 {
        self.done.load(Relaxed)
    }
}

/// What one connection brings home.
pub(crate) struct Tally {
    pub(crate) latency: Histogram,
    /// Answers of the wrong length, and requests without an answer.
    pub(crate) errors: u64,
}

impl Tally {
    pub(crate) fn new() -> Self {
        Self { latency: Histogram::new(), errors: 0 }
    }
}

/// Before a measurement starts: caches are warm, queues have found their length.
pub(crate) const WARM_UP_TIME: Duration = Duration::from_millis(500);
/// After its end: answers that are under way.
pub(crate) const DRAIN_TIME_MAX: Duration = Duration::from_secs(5);

/// Lets `tasks` work for a round and measures them.
///
/// `processes` are those of the server. A task that does not end in time, or ends with an error, counts as an error.
pub(crate) async fn measure(
    progress: &Progress,
    mut tasks: JoinSet<Result<Tally>>,
    processes: &[u32],
    time: Duration,
) -> Result<Round> {
    tokio::time::sleep(WARM_UP_TIME).await;
    let before = Sample::take(progress, processes);
    progress.phase.store(MEASURE, Relaxed);
    tokio::time::sleep(time).await;
    progress.stop();
    let after = Sample::take(progress, processes);

    let mut latency = Histogram::new();
    let (mut errors, mut first_error) = (0, None);
    let drain = async {
        while let Some(ended) = tasks.join_next().await {
            match ended.context("a client task failed").flatten() {
                Ok(tally) => {
                    latency.merge(&tally.latency);
                    errors += tally.errors;
                }
                Err(error) => {
                    errors += 1;
                    first_error.get_or_insert(format!("{error:#}"));
                }
            }
        }
    };
    if tokio::time::timeout(DRAIN_TIME_MAX, drain).await.is_err() {
        errors += tasks.len() as u64;
        first_error.get_or_insert("the server left requests unanswered".to_owned());
        tasks.shutdown().await;
    }
    Ok(before.until(&after, latency.summary(), errors, first_error))
}

/// Everything that is read at the start and at the end of a measurement.
struct Sample {
    at: Instant,
    done: u64,
    server: Option<Duration>,
    client: Option<Duration>,
    machine: Option<Duration>,
}

impl Sample {
    fn take(progress: &Progress, processes: &[u32]) -> Self {
        Self {
            at: Instant::now(),
            done: progress.done(),
            server: process::cpu_time(processes),
            client: process::cpu_time(&[std::process::id()]),
            machine: process::machine_cpu_time(),
        }
    }

    fn until(self, end: &Self, latency: crate::Latency, errors: u64, first_error: Option<String>) -> Round {
        let seconds = (end.at - self.at).as_secs_f64();
        let requests = end.done - self.done;
        let used =
            |from: Option<Duration>, to: Option<Duration>| Some(to?.saturating_sub(from?).as_secs_f64());
        let per_request =
            |used: Option<f64>| used.filter(|_| requests > 0).map(|s| s * 1e6 / requests as f64);
        let (server, client) = (used(self.server, end.server), used(self.client, end.client));
        let others = match (used(self.machine, end.machine), server, client) {
            (Some(all), Some(server), Some(client)) => Some(((all - server - client) / seconds).max(0.0)),
            _ => None,
        };
        Round {
            requests,
            per_second: requests as f64 / seconds,
            latency,
            errors,
            first_error,
            server_cpu_us: per_request(server),
            client_cpu_us: per_request(client),
            other_cores: others,
        }
    }
}

/// Connections that are opened at the same time: fewer than a listener's backlog.
const OPENING_MAX: usize = 64;

/// Opens `count` connections, dealt to the targets in turn, and greets servers that speak pomelo's protocol.
pub(crate) async fn open_all(
    targets: &[Target],
    path: &'static str,
    count: usize,
) -> Result<Vec<(Connection, Greeting)>> {
    process::allow_open_files(count as u64 + 256)?;
    let permits = Arc::new(tokio::sync::Semaphore::new(OPENING_MAX));
    let mut opening = JoinSet::new();
    for target in targets.iter().cycle().take(count) {
        let (permits, address, dialect) = (permits.clone(), target.address, target.dialect);
        opening.spawn(async move {
            let _permit = permits.acquire_owned().await?;
            let mut connection = Connection::open(address, path).await?;
            let greeting = match dialect {
                Dialect::Pomelo => connection.greet().await?,
                Dialect::Bare => Greeting::default(),
            };
            anyhow::Ok((connection, greeting))
        });
    }
    let mut opened = Vec::with_capacity(count);
    while let Some(result) = opening.join_next().await {
        opened.push(result??);
    }
    Ok(opened)
}

/// Waits for the first measured answer on a connection and compares it byte by byte.
pub(crate) async fn verify(connection: &mut Connection, load: &Load, answers: u32) -> Result<()> {
    let check = async {
        let mut seen = 0;
        while seen < answers {
            if load.expected.verify(&connection.reader.payload().await?, &load.body)? {
                seen += 1;
            }
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(SETUP_TIME_MAX, check).await.context("no answer in time")?
}
