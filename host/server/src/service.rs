//! What this server does for the others: handlers, remotes, pushes, session operations.

use std::sync::Arc;

use bytes::Bytes;
use shaddock_cluster::{Instant, Reply, RpcError, Service};
use shaddock_engine::types::{Failure, Session as Snapshot};
use shaddock_engine::{Call, CallError};

use crate::peer::{self, Notice, Request, RpcCall, SessionOp, SessionState};
use crate::server::Server;

/// Calls for other servers that run here at a time; more are refused as overloaded.
const CALLS_MAX: usize = 20_000;

/// The server as its peers see it.
pub(crate) struct Peers(pub(crate) Arc<Server>);

impl Service for Peers {
    fn request(&self, from: &Arc<str>, body: Bytes, deadline: Instant, reply: Reply) {
        let server = Arc::clone(&self.0);
        match Request::decode(from, body) {
            Err(malformed) => {
                tracing::error!(peer = %from, %malformed, "a server sent a request that cannot be read");
                reply.fail(RpcError::Refused(malformed.to_string()));
            }
            Ok(Request::Session(op)) => {
                let answer = server.session_op(op).map(|value| Bytes::from(value.to_string()));
                reply.send(peer::encode_answer(&answer));
            }
            Ok(_) if server.tasks.len() >= CALLS_MAX => reply.fail(RpcError::Overloaded),
            Ok(Request::Forward { session, route, body }) => {
                let tasks = server.tasks.clone();
                tasks.spawn(
                    async move { server.serve_forwarded(session, &route, &body, deadline, reply).await },
                );
            }
            Ok(Request::Rpc(call)) => {
                let tasks = server.tasks.clone();
                tasks.spawn(async move {
                    let answer = server.remote(call, deadline).await.map(Bytes::from);
                    reply.send(peer::encode_answer(&answer));
                });
            }
        }
    }

    fn notify(&self, from: &Arc<str>, body: Bytes) {
        let server = Arc::clone(&self.0);
        match Notice::decode(body) {
            Err(malformed) => {
                tracing::error!(peer = %from, %malformed, "a server sent a notice that cannot be read");
            }
            Ok(Notice::Push { route, body, uids }) => server.push_here(&route, &body, &uids),
            Ok(Notice::Broadcast { route, body, bound_only }) => {
                server.broadcast_here(&route, &body, bound_only);
            }
            Ok(Notice::Rpc(call)) if server.tasks.len() >= CALLS_MAX => {
                tracing::warn!(peer = %from, method = %call.method, "a notice is dropped: too many calls run here");
            }
            Ok(Notice::Rpc(call)) => {
                let tasks = server.tasks.clone();
                tasks.spawn(async move {
                    let method = Arc::clone(&call.method);
                    let deadline = server.deadline();
                    if let Err(failure) = server.remote(call, deadline).await {
                        tracing::warn!(%method, reason = %failure, "a notified remote failed");
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
        session: Snapshot,
        route: &str,
        body: &[u8],
        deadline: Instant,
        reply: Reply,
    ) {
        let since = Instant::now();
        let answer = self.handle(route, body, session, Call::new(deadline)).await.map(Bytes::from);
        self.metrics.requests_for_peers.count(answer.is_ok(), since);
        reply.send(peer::encode_answer(&answer));
    }

    /// Runs a remote of this server.
    async fn remote(&self, call: RpcCall, deadline: Instant) -> Result<Vec<u8>, Failure> {
        let plugin = self.plugins()?.remote(&call.method).ok_or_else(|| {
            Failure::new(404, format!("no plugin on {} serves the method {:?}", self.info.id, call.method))
        })?;
        let scope = Call { deadline, depth: call.depth, chain: call.chain };
        plugin.remote(scope, &call.method, &call.args).await.map_err(CallError::into_failure)
    }

    /// Carries out an operation on a session of this server; answers JSON.
    pub(crate) fn session_op(&self, op: SessionOp) -> Result<serde_json::Value, Failure> {
        let done = serde_json::Value::Null;
        match op {
            SessionOp::Get { number } => json(&state(self.sessions.get(number)?.snapshot())),
            SessionOp::ByUid { uid } => {
                let sessions = self.sessions.by_uid(&uid);
                json(&sessions.iter().map(|session| state(session.snapshot())).collect::<Vec<_>>())
            }
            SessionOp::Bind { number, uid } => self.sessions.bind(number, uid.into()).map(|()| done),
            SessionOp::Unbind { number, uid } => self.sessions.unbind(number, &uid).map(|()| done),
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

fn state(session: Snapshot) -> SessionState {
    SessionState {
        number: session.id.number,
        uid: session.uid.map(|uid| uid.to_string()),
        settings: session.settings.iter().map(|s| (s.key.to_string(), s.value.to_string())).collect(),
    }
}

fn json(value: &impl serde::Serialize) -> Result<serde_json::Value, Failure> {
    serde_json::to_value(value).map_err(|error| Failure::new(500, error.to_string()))
}
