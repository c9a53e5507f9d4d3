//! What this server does for the others: handlers, remotes, pushes, session operations.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Context;
use std::time::Duration;

use bytes::Bytes;
use futures_util::task::noop_waker_ref;
use shaddock_cluster::{Instant, Reply, RpcError, Service};
use shaddock_engine::types::{Failure, Session as Snapshot};
use shaddock_engine::{Call, CallError};
use tokio::time::timeout_at;

use crate::edition::{Edition, Key};
use crate::first_poll::{Spare, Started};
use crate::peer::{self, Notice, Request, RpcCall, SessionOp, SessionState};
use crate::server::Server;

/// Calls for other servers that run here at a time; more are refused as overloaded.
pub(crate) const CALLS_MAX: usize = 20_000;

/// A first poll that takes longer is not short.
const SHORT: Duration = Duration::from_micros(200);
/// How long calls are taken to be long after one that was.
const LONG_FOR: Duration = Duration::from_millis(1);

thread_local! {
    static SPARE: Spare<()> = const { Spare::new() };
}

/// The server as its peers see it.
pub(crate) struct Peers {
    server: Arc<Server>,
    /// Until when calls are taken to be long, in microseconds since the server's start.
    long_until_us: AtomicU64,
}

impl Peers {
    /// For the cluster to call.
    pub(crate) fn new(server: Arc<Server>) -> Self {
        Self { server, long_until_us: AtomicU64::new(0) }
    }

    /// Runs a call. Short ones run on the spot, in the task that reads the link: waking another for them would cost
    /// more than they do. Long ones, and what waits, become tasks, so that other threads can take them.
    fn run(&self, call: impl Future<Output = ()> + Send + 'static) {
        let begun_us = self.now_us();
        if begun_us < self.long_until_us.load(Ordering::Relaxed) {
            self.server.tasks.spawn(call);
            return;
        }
        let cx = &mut Context::from_waker(noop_waker_ref());
        match SPARE.with(|spare| spare.start(call, cx)) {
            Started::Done(()) => {}
            Started::Running(call) => drop(self.server.tasks.spawn(call)),
        }
        let now_us = self.now_us();
        if now_us - begun_us > SHORT.as_micros() as u64 {
            self.long_until_us.store(now_us + LONG_FOR.as_micros() as u64, Ordering::Relaxed);
        }
    }

    fn now_us(&self) -> u64 {
        self.server.started.elapsed().as_micros() as u64
    }
}

impl Service for Peers {
    fn request(&self, from: &Arc<str>, body: Bytes, deadline: Instant, reply: Reply) {
        let server = &self.server;
        match Request::decode(from, body) {
            Err(malformed) => {
                tracing::error!(peer = %from, %malformed, "a server sent a request that cannot be read");
                reply.fail(RpcError::Refused(malformed.to_string()));
            }
            Ok(Request::Session(op)) if !server.asks_master(&op) => {
                let answer = server.session_op(op).map(|value| Bytes::from(value.to_string()));
                reply.send(peer::encode_answer(&answer));
            }
            Ok(Request::Push { policy, push }) => {
                let unreached = server.push_and_report_here(from, policy.as_deref(), &push);
                reply.send(peer::encode_answer(&Ok(peer::encode_unreached(&unreached))));
            }
            Ok(Request::Leaving) => {
                // No task of the tracker: two servers that stop at once do not wait for each other's drain.
                let (server, from) = (Arc::clone(server), Arc::clone(from));
                tokio::spawn(async move {
                    match timeout_at(deadline, server.roster.without(&from)).await {
                        Ok(()) => reply.send(peer::encode_answer(&Ok(Bytes::new()))),
                        Err(_) => reply.fail(RpcError::TimedOut),
                    }
                });
            }
            Ok(_) if server.tasks.len() >= CALLS_MAX => reply.fail(RpcError::Overloaded),
            Ok(Request::Session(op)) => {
                let of_call = Arc::clone(server);
                self.run(async move {
                    let answer = of_call.session_op_anywhere(op).await.map(|value| value.to_string().into());
                    reply.send(peer::encode_answer(&answer));
                });
            }
            Ok(Request::Forward { session, track, route, body }) => {
                let of_call = Arc::clone(server);
                self.run(async move {
                    let call = Call { track, ..Call::new(deadline) };
                    of_call.serve_forwarded(session, &route, &body, call, reply).await;
                });
            }
            Ok(Request::Rpc(call)) => {
                let of_call = Arc::clone(server);
                self.run(async move {
                    let answer = match of_call.remote(call, deadline).await {
                        Ok(answer) => peer::encode_answer(&Ok(Bytes::from(answer))),
                        Err(CallError::Failure(failure)) => peer::encode_answer(&Err(failure)),
                        // besides what a plugin says itself, only what was not begun is retryable
                        Err(error) if error.retryable() => peer::encode_declined(&error.into_failure()),
                        Err(error) => peer::encode_answer(&Err(error.into_failure())),
                    };
                    reply.send(answer);
                });
            }
        }
    }

    fn notify(&self, from: &Arc<str>, body: Bytes) {
        let server = &self.server;
        match Notice::decode(body) {
            Err(malformed) => {
                tracing::error!(peer = %from, %malformed, "a server sent a notice that cannot be read");
            }
            Ok(Notice::Push(push)) => server.push_here(&push),
            Ok(Notice::Broadcast { route, body, bound_only }) => {
                server.broadcast_here(&route, &body, bound_only);
            }
            Ok(Notice::GovernedPush { policy, push }) => server.push_governed_here(from, &policy, &push),
            Ok(Notice::SelectedBroadcast { route, body, selection }) => {
                server.broadcast_selected(route, body, selection);
            }
            Ok(Notice::Rpc(call)) if server.tasks.len() >= CALLS_MAX => {
                tracing::warn!(peer = %from, method = %call.method, "a notice is dropped: too many calls run here");
            }
            Ok(Notice::Rpc(call)) => {
                let server = Arc::clone(server);
                self.run(async move {
                    let method = Arc::clone(&call.method);
                    let deadline = server.deadline();
                    if let Err(error) = server.remote(call, deadline).await {
                        tracing::warn!(%method, reason = %error.into_failure(), "a notified remote failed");
                    }
                });
            }
        }
    }
}

impl Server {
    /// Answers a client of another server.
    async fn serve_forwarded(
        &self,
        session: Arc<Snapshot>,
        route: &str,
        body: &[u8],
        mut call: Call,
        reply: Reply,
    ) {
        let since = Instant::now();
        call.track = self.decide(call.track, Key::Session(&session));
        let handled = match self.route(route, call.track) {
            Ok(route) if self.is_own(&route) => {
                call.deadline = call.deadline.min(self.request_deadline(since));
                self.handle(&route, body, session, call, since).await
            }
            Ok(_) => {
                let message = format!("route {route:?} is not handled by {}", self.info.id);
                Failure::new(500, message).into()
            }
            Err(failure) => failure.into(),
        };
        self.metrics.requests_for_peers.count(handled.answer.is_ok(), since);
        reply.send(peer::encode_forwarded(handled.by, &handled.answer));
    }

    /// Runs a remote of this server.
    async fn remote(&self, call: RpcCall, deadline: Instant) -> Result<Vec<u8>, CallError> {
        let remote = |edition: &Arc<Edition>| Ok(edition.plugins.remote(&call.method).cloned());
        let plugin =
            self.look(call.track, remote).map_err(|_| CallError::Overloaded("the server is starting"))?;
        let plugin = plugin.ok_or_else(|| {
            let message = format!("no plugin on {} serves the method {:?}", self.info.id, call.method);
            CallError::Failure(Failure::new(404, message))
        })?;
        let scope = Call { deadline, depth: call.depth, chain: call.chain, track: call.track };
        plugin.remote(scope, &call.method, &call.args).await
    }

    /// Carries out an operation on a session of this server that needs nobody else; answers JSON.
    pub(crate) fn session_op(&self, op: SessionOp) -> Result<serde_json::Value, Failure> {
        let done = serde_json::Value::Null;
        match op {
            SessionOp::Get { number } => json(&state(&self.sessions.get(number)?.snapshot())),
            SessionOp::ByUid { uid } => {
                let sessions = self.sessions.by_uid(&uid);
                json(&sessions.iter().map(|session| state(&session.snapshot())).collect::<Vec<_>>())
            }
            SessionOp::Bind { number, uid } => self.bind_here(number, uid.into()).map(|()| done),
            SessionOp::Unbind { number, uid } => self.unbind(number, &uid).map(|()| done),
            SessionOp::Push { number, settings } => {
                let bytes_max = self.settings.session.settings_bytes_max;
                let settings = peer::settings(settings);
                self.sessions.get(number)?.write(settings, bytes_max).map(|()| done)
            }
            SessionOp::Kick { number, reason } => {
                if let Ok(session) = self.sessions.get(number) {
                    session.kick(&reason);
                }
                Ok(done)
            }
            SessionOp::KickUid { uid, reason } => json(&self.kick_here(&uid, &reason)),
            SessionOp::Address { number } => json(&self.sessions.get(number)?.address.to_string()),
            SessionOp::Send { number, route, body } => {
                let session = self.sessions.get(number)?;
                self.push_to_session(&session, &route, body.as_bytes());
                Ok(done)
            }
        }
    }

    /// Kicks all sessions of a user here; answers how many.
    pub(crate) fn kick_here(&self, uid: &str, reason: &str) -> u32 {
        let sessions = self.sessions.by_uid(uid);
        for session in &sessions {
            session.kick(reason);
        }
        u32::try_from(sessions.len()).unwrap_or(u32::MAX)
    }
}

fn state(session: &Snapshot) -> SessionState {
    SessionState {
        number: session.id.number,
        uid: session.uid.as_ref().map(ToString::to_string),
        settings: session.settings.iter().map(|s| (s.key.to_string(), s.value.to_string())).collect(),
    }
}

fn json(value: &impl serde::Serialize) -> Result<serde_json::Value, Failure> {
    serde_json::to_value(value).map_err(|error| Failure::new(500, error.to_string()))
}
