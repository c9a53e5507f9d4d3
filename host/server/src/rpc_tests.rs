//! Calls of remotes over a cluster that fails as a test says: fail modes, options, storms.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use shaddock_cluster::{Cluster, Completion, Instant, Members, RpcError};
use shaddock_config::{FailMode, Router, RpcSettings, ServerTypeSettings};
use shaddock_engine::types::{CallOptions, Failure, RouteKey};
use shaddock_engine::{Call, CallScope, Host, PluginName, Track};
use tokio::sync::watch;

use crate::edition::Loaded;
use crate::host::PluginHost;
use crate::peer;
use crate::roster::tests::{members, servers};
use crate::server::Server;

/// What a server does with a call.
#[derive(Clone)]
enum Does {
    Answer,
    Fail(RpcError),
    Decline,
    /// Nothing: the call is open until its deadline.
    Nothing,
}

/// Servers that do as they are told; one that is not told anything does not exist.
struct Scripted {
    does: HashMap<&'static str, Does>,
    called: Mutex<Vec<String>>,
    open: Mutex<Vec<Completion>>,
}

impl Cluster for Scripted {
    fn request(&self, to: &str, _: Bytes, deadline: Instant, done: Completion) {
        self.called.lock().unwrap().push(to.to_owned());
        match self.does.get(to).cloned().unwrap_or(Does::Fail(RpcError::UnknownServer)) {
            Does::Answer => done(Ok(peer::encode_answer(&Ok(Bytes::copy_from_slice(to.as_bytes()))))),
            Does::Fail(error) => done(Err(error)),
            Does::Decline => done(Ok(peer::encode_declined(&Failure::retryable(503, "no instance is free")))),
            Does::Nothing if deadline <= Instant::now() => done(Err(RpcError::TimedOut)),
            Does::Nothing => self.open.lock().unwrap().push(done),
        }
    }

    fn notify(&self, to: &str, _: Bytes) -> Result<(), RpcError> {
        self.called.lock().unwrap().push(to.to_owned());
        match self.does.get(to) {
            Some(Does::Fail(error)) => Err(error.clone()),
            _ => Ok(()),
        }
    }

    fn members(&self) -> Arc<Members> {
        Arc::default()
    }

    fn watch(&self) -> watch::Receiver<Arc<Members>> {
        watch::channel(Arc::default()).1
    }
}

struct Bench {
    host: PluginHost,
    cluster: Arc<Scripted>,
}

impl Bench {
    /// chat-1, chat-2 and chat-3, called in turns, as they do.
    fn new(fail_mode: FailMode, router: Router, does: [Does; 3]) -> Self {
        let rpc = RpcSettings { fail_mode, ..RpcSettings::default() };
        let routers = [("chat".to_owned(), router)].into();
        let settings = ServerTypeSettings { rpc, routers, ..ServerTypeSettings::default() };
        let server = Server::new(servers(&["area-1"]).remove(0), settings).unwrap();
        server.roster.update(&members(&["chat-1", "chat-2", "chat-3"]));
        let does = ["chat-1", "chat-2", "chat-3"].into_iter().zip(does).collect();
        let cluster = Arc::new(Scripted { does, called: Mutex::default(), open: Mutex::default() });
        let of_server = Arc::clone(&cluster) as Arc<dyn Cluster>;
        server.current.set(Loaded { edition: Arc::default(), canary: None, protocol: Arc::default() });
        assert!(server.cluster.set(of_server).is_ok());
        Self { host: PluginHost(Arc::new(server)), cluster }
    }

    async fn call(&self, options: CallOptions) -> Result<String, u32> {
        let answer = self.host.call_with(&scope(), "chat", &key(), "s.m", Vec::new(), options).await;
        answer.map(|answer| String::from_utf8(answer).unwrap()).map_err(|failure| failure.code)
    }

    fn called(&self) -> Vec<String> {
        std::mem::take(&mut self.cluster.called.lock().unwrap())
    }

    fn retries(&self) -> u64 {
        self.host.0.metrics.rpc_retries.get()
    }
}

fn key() -> RouteKey {
    RouteKey::Value("".into())
}

fn scope() -> CallScope {
    let plugin = PluginName { name: "p".into(), version: "v".into(), digest: "d".into() };
    CallScope::new(Arc::new(plugin), "area.h.m".into(), Call::new(Instant::now() + Duration::from_secs(5)))
}

const PLAIN: CallOptions = CallOptions { timeout_ms: None, idempotent: false };
const IDEMPOTENT: CallOptions = CallOptions { timeout_ms: None, idempotent: true };
const DEAD: Does = Does::Fail(RpcError::Unreachable);
const LOST: Does = Does::Fail(RpcError::LinkLost);

#[tokio::test(start_paused = true)]
async fn failover_calls_the_next_server_and_failfast_does_not() {
    let fast = Bench::new(FailMode::Failfast, Router::RoundRobin, [DEAD, Does::Answer, Does::Answer]);
    assert_eq!(fast.call(IDEMPOTENT).await, Err(502));
    assert_eq!((fast.called(), fast.retries()), (vec!["chat-1".to_owned()], 0));
    let over = Bench::new(FailMode::Failover, Router::RoundRobin, [DEAD, Does::Decline, Does::Answer]);
    assert_eq!(over.call(PLAIN).await.as_deref(), Ok("chat-3"));
    assert_eq!((over.called(), over.retries()), (vec!["chat-1".into(), "chat-2".into(), "chat-3".into()], 2));
    // one that may have run goes elsewhere only if it is idempotent
    let lost = Bench::new(FailMode::Failover, Router::Crc32, [LOST, Does::Answer, Does::Answer]);
    assert_eq!(lost.call(PLAIN).await, Err(502));
    assert_eq!(lost.call(IDEMPOTENT).await.as_deref(), Ok("chat-2"));
    // a server that was named is not replaced by another
    assert_eq!(lost.host.rpc_call_server(&scope(), "chat-1", "s.m", Vec::new()).await.unwrap_err().code, 502);
}

#[tokio::test(start_paused = true)]
async fn retry_calls_the_same_server_after_pauses() {
    let bench = Bench::new(FailMode::Retry, Router::Crc32, [DEAD, Does::Answer, Does::Answer]);
    assert_eq!(bench.call(PLAIN).await, Err(502));
    assert_eq!((bench.called(), bench.retries()), (vec!["chat-1".to_owned(); 3], 2));
    let short = CallOptions { timeout_ms: Some(10), idempotent: true };
    assert_eq!(bench.call(short).await, Err(502), "there is no time for a pause");
    assert_eq!(bench.called().len(), 1);
    let failed = bench.host.rpc_notify(&scope(), "chat", key(), "s.m", Vec::new()).await.unwrap_err();
    assert_eq!((failed.code, failed.retryable, bench.called().len()), (502, true, 3));
}

#[tokio::test(start_paused = true)]
async fn the_least_active_server_is_the_one_whose_calls_have_ended() {
    let bench =
        Bench::new(FailMode::Failfast, Router::LeastActive, [Does::Nothing, Does::Answer, Does::Nothing]);
    let under_way: Vec<_> =
        (0..3).map(|_| bench.host.0.target("chat", &key(), "s.m", Track::UNDECIDED).unwrap()).collect();
    assert_eq!(
        under_way.iter().map(|target| &*target.id).collect::<std::collections::BTreeSet<_>>().len(),
        3
    );
    drop(under_way);
    let (first, third) = (scope(), scope());
    let mut to_first = bench.host.rpc_call_server(&first, "chat-1", "s.m", Vec::new());
    let mut to_third = bench.host.rpc_call_server(&third, "chat-3", "s.m", Vec::new());
    assert!(
        futures_util::poll!(&mut to_first).is_pending() && futures_util::poll!(&mut to_third).is_pending()
    );
    for _ in 0..5 {
        assert_eq!(bench.call(PLAIN).await.as_deref(), Ok("chat-2"));
    }
    drop((to_first, to_third));
    let picked: std::collections::BTreeSet<_> =
        (0..6).map(|_| bench.host.0.target("chat", &key(), "s.m", Track::UNDECIDED).unwrap().id).collect();
    assert_eq!(picked.len(), 3, "calls that were given up count no longer");
}

#[tokio::test(start_paused = true)]
async fn a_storm_of_calls_to_a_dead_server_ends_at_once_and_is_said_once() {
    let start = Instant::now();
    for mode in [FailMode::Failfast, FailMode::Failover] {
        let bench = Bench::new(mode, Router::Crc32, [DEAD, DEAD, DEAD]);
        for _ in 0..10_000 {
            assert_eq!(bench.call(PLAIN).await, Err(502));
        }
        assert!(bench.called().len() <= 30_000, "no more than retriesMax more attempts for each call");
        assert_eq!(bench.host.0.broken_calls.admit(), None, "the line of this second has been written");
    }
    // the clock only moves when everything waits
    assert_eq!(start.elapsed(), Duration::ZERO);
}
