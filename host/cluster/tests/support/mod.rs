//! Servers on loopback for the tests of this crate.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    unreachable_pub,
    reason = "tests; each test file uses a part of it"
)]

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
        mpsc as sync_mpsc,
    },
    time::Duration,
};

use bytes::Bytes;
use serde_json::Map;
use shaddock_cluster::{
    Cluster, Instant, Member, Members, Reply, RpcError, Secret, Service, Settings, direct::DirectCluster,
};
use tokio::{
    net::TcpListener,
    sync::{oneshot, watch},
};

pub type Outcome = Result<Bytes, RpcError>;

/// A free port, another one for each call. It is below those that the system gives to outgoing
/// connections, one of which might else take it before its server does.
pub async fn free_port() -> u16 {
    static CALLS: AtomicU32 = AtomicU32::new(0);
    loop {
        let call = CALLS.fetch_add(1, Ordering::Relaxed);
        let place = (std::process::id().wrapping_mul(131) + call) % 20_000;
        let port = 12_000 + u16::try_from(place).unwrap();
        if TcpListener::bind(("127.0.0.1", port)).await.is_ok() {
            return port;
        }
    }
}

pub fn member(id: &str, port: Option<u16>) -> Arc<Member> {
    Arc::new(Member {
        id: id.into(),
        server_type: id.split('-').next().unwrap().into(),
        host: "127.0.0.1".to_owned(),
        port,
        frontend: false,
        fields: Map::new(),
    })
}

/// Answers with what it got; bodies that say so ask for something else. Remembers everything in order.
#[derive(Default)]
pub struct Echo {
    pub seen: Mutex<Vec<String>>,
    /// Replies that a `hold` request left here.
    pub held: Mutex<Vec<Reply>>,
    pub deadlines: Mutex<Vec<Instant>>,
}

impl Echo {
    pub fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }

    fn remember(&self, kind: &str, from: &str, body: &[u8]) {
        let text = String::from_utf8_lossy(body);
        self.seen.lock().unwrap().push(format!("{kind} {from} {text}"));
    }
}

impl Service for Echo {
    fn request(&self, from: &Arc<str>, body: Bytes, deadline: Instant, reply: Reply) {
        self.remember("request", from, &body);
        self.deadlines.lock().unwrap().push(deadline);
        match &*body {
            b"hold" => self.held.lock().unwrap().push(reply),
            b"drop" => drop(reply),
            b"refuse" => reply.fail(RpcError::Refused("not today".to_owned())),
            b"panic" => panic!("a service that panics, as the test wants"),
            _ => reply.send(body),
        }
    }

    fn notify(&self, from: &Arc<str>, body: Bytes) {
        self.remember("notify", from, &body);
    }
}

pub struct Server {
    pub cluster: Arc<DirectCluster>,
    pub echo: Arc<Echo>,
    pub members: watch::Sender<Arc<Members>>,
}

/// Servers that know each other; those whose id begins with `gate` have no port.
pub struct Net {
    pub secret: Secret,
    pub settings: Settings,
    pub members: Arc<Members>,
}

impl Net {
    pub async fn new(ids: &[&str]) -> Self {
        let mut members = Vec::new();
        for id in ids {
            members.push(member(id, if id.starts_with("gate") { None } else { Some(free_port().await) }));
        }
        let settings = Settings {
            connect_timeout: Duration::from_millis(500),
            backoff_min: Duration::from_millis(40),
            ..Settings::default()
        };
        Self { secret: Secret::generate().unwrap(), settings, members: Arc::new(Members::new(members)) }
    }

    pub async fn start(&self, id: &str) -> Server {
        let echo = Arc::new(Echo::default());
        self.start_with(id, Arc::<Echo>::clone(&echo), echo).await
    }

    pub async fn start_with(&self, id: &str, service: Arc<dyn Service>, echo: Arc<Echo>) -> Server {
        let (members, receiver) = watch::channel(Arc::clone(&self.members));
        let own = Arc::clone(self.members.get(id).unwrap());
        let cluster =
            DirectCluster::start(self.settings.clone(), self.secret.clone(), own, service, receiver);
        Server { cluster: Arc::new(cluster.await.unwrap()), echo, members }
    }

    pub fn port(&self, id: &str) -> u16 {
        self.members.get(id).unwrap().port.unwrap()
    }
}

pub fn in_ms(ms: u64) -> Instant {
    Instant::now() + Duration::from_millis(ms)
}

pub fn text(outcome: Outcome) -> String {
    match outcome {
        Ok(body) => String::from_utf8_lossy(&body).into_owned(),
        Err(error) => format!("{error:?}"),
    }
}

/// Starts a call; the receiver gets its outcome.
pub fn begin(cluster: &DirectCluster, to: &str, body: &str, deadline: Instant) -> oneshot::Receiver<Outcome> {
    let (sender, receiver) = oneshot::channel();
    let done = Box::new(move |outcome| drop(sender.send(outcome)));
    cluster.request(to, Bytes::copy_from_slice(body.as_bytes()), deadline, done);
    receiver
}

/// Calls with two seconds to answer.
pub async fn call(server: &Server, to: &str, body: &str) -> String {
    text(begin(&server.cluster, to, body, in_ms(2000)).await.unwrap())
}

/// Waits until the condition holds, at most five seconds.
pub async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    for _ in 0..1000 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("waited in vain until {what}");
}

/// Collects outcomes in the order in which they came.
pub fn collector() -> (sync_mpsc::Sender<String>, sync_mpsc::Receiver<String>) {
    sync_mpsc::channel()
}
