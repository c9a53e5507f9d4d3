//! The cost of a request and its answer over a loopback link, in CPU time of both sides together and in
//! wall time, beside a bare socket that carries as many bytes back and forth.
//!
//! `cargo bench -p shaddock-cluster`
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a benchmark")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant as WallInstant},
};

use bytes::Bytes;
use rustix::time::{ClockId, clock_gettime};
use serde_json::Map;
use shaddock_cluster::{
    Cluster as _, Instant, Member, Members, Reply, Secret, Service, Settings, direct::DirectCluster,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::{Notify, watch},
};

const BODY: &[u8; 64] = &[b'x'; 64];

struct Echo;

impl Service for Echo {
    fn request(&self, _: &Arc<str>, body: Bytes, _: Instant, reply: Reply) {
        reply.send(body);
    }

    fn notify(&self, _: &Arc<str>, _: Bytes) {}
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    println!(
        "{:<34} {:>12} {:>14} {:>14}",
        "64-byte request and answer", "calls/s", "CPU µs/side", "wall µs/call"
    );
    runtime.block_on(async {
        bare_socket(100_000).await;
        let (a, _b) = servers().await;
        for (in_flight, calls) in [(1, 100_000), (8, 400_000), (64, 1_000_000), (512, 2_000_000)] {
            calls_over_link(&a, "b-1", in_flight, calls).await;
        }
        calls_over_link(&a, "a-1", 64, 1_000_000).await;
    });
}

async fn servers() -> (Arc<DirectCluster>, DirectCluster) {
    let secret = Secret::generate().unwrap();
    let mut members = Vec::new();
    for id in ["a-1", "b-1"] {
        let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
        members.push(Arc::new(Member {
            id: id.into(),
            server_type: "x".into(),
            host: "127.0.0.1".to_owned(),
            port: Some(port),
            frontend: false,
            fields: Map::new(),
        }));
    }
    let members = Arc::new(Members::new(members));
    let start = |id| {
        let (_, receiver) = watch::channel(Arc::clone(&members));
        let own = Arc::clone(members.get(id).unwrap());
        DirectCluster::start(Settings::default(), secret.clone(), own, Arc::new(Echo), receiver)
    };
    (Arc::new(start("a-1").await.unwrap()), start("b-1").await.unwrap())
}

/// Keeps a number of calls in flight: each answer begins the next call.
struct Load {
    cluster: Arc<DirectCluster>,
    to: &'static str,
    left: AtomicU64,
    unanswered: AtomicU64,
    done: Notify,
}

fn next(load: &Arc<Load>) {
    let claimed = load.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
    if claimed.is_err() {
        return;
    }
    let this = Arc::clone(load);
    let done = Box::new(move |outcome: Result<Bytes, _>| {
        assert_eq!(outcome.unwrap().len(), BODY.len());
        next(&this);
        if this.unanswered.fetch_sub(1, Ordering::AcqRel) == 1 {
            this.done.notify_one();
        }
    });
    load.cluster.request(load.to, Bytes::from_static(BODY), Instant::now() + Duration::from_secs(30), done);
}

async fn calls_over_link(cluster: &Arc<DirectCluster>, to: &'static str, in_flight: u64, calls: u64) {
    let run = |calls| async move {
        let load = Arc::new(Load {
            cluster: Arc::clone(cluster),
            to,
            left: AtomicU64::new(calls),
            unanswered: AtomicU64::new(calls),
            done: Notify::new(),
        });
        for _ in 0..in_flight {
            next(&load);
        }
        load.done.notified().await;
    };
    run(calls / 10).await;
    let what = if to == "b-1" { "link" } else { "to itself" };
    measure(&format!("{what}, {in_flight} in flight"), calls, run(calls)).await;
}

async fn bare_socket(calls: u64) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (mut server, _) = listener.accept().await.unwrap();
    client.set_nodelay(true).unwrap();
    server.set_nodelay(true).unwrap();
    let echo = tokio::spawn(async move {
        let mut buffer = [0; BODY.len()];
        while server.read_exact(&mut buffer).await.is_ok() {
            server.write_all(&buffer).await.unwrap();
        }
    });
    let round_trips = async {
        let calls = tokio::spawn(async move {
            let mut buffer = [0; BODY.len()];
            for _ in 0..calls {
                client.write_all(BODY).await.unwrap();
                client.read_exact(&mut buffer).await.unwrap();
            }
        });
        calls.await.unwrap();
    };
    measure("bare socket, 1 in flight", calls, round_trips).await;
    echo.await.unwrap();
}

async fn measure(what: &str, calls: u64, work: impl Future<Output = ()>) {
    let (cpu, wall) = (cpu_time(), WallInstant::now());
    work.await;
    let (cpu, wall) = (cpu_time() - cpu, wall.elapsed());
    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
    let calls = calls as f64;
    println!(
        "{what:<34} {:>12.0} {:>14.2} {:>14.2}",
        calls / wall.as_secs_f64(),
        cpu.as_secs_f64() * 1e6 / calls / 2.0,
        wall.as_secs_f64() * 1e6 / calls,
    );
}

/// User and system time of this process, in which both sides run.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap(), u32::try_from(time.tv_nsec).unwrap())
}
