//! Calls of plugins to remotes: through their filters, and again as the fail mode says.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use shaddock_cluster::Instant;
use shaddock_engine::types::{CallOptions, Failure, RouteKey, ServerInfo};
use shaddock_engine::{CallScope, Track};

use crate::balancer::Active;
use crate::edition::Edition;
use crate::fail_mode::{Attempts, Broken, Next};
use crate::host::PluginHost;
use crate::peer::{self, Notice, Request, RpcCall};
use crate::routing::Target;

/// A call of a remote, but for where it goes.
struct Remote<'a> {
    call: &'a CallScope,
    /// What is decided about versions.
    track: Track,
    server_type: &'a str,
    method: &'a str,
    options: CallOptions,
}

/// Which servers would do as well as the one that a call was made to.
#[derive(Clone, Copy)]
enum Others {
    /// All of its type.
    OfType,
    /// None.
    None,
    /// None, and the call is not made anew at all.
    NoRetries,
}

impl PluginHost {
    /// A call to a server of a type, picked for the key: `rpc.call` and `rpc.call-with`.
    pub(crate) async fn call_with(
        &self,
        call: &CallScope,
        server_type: &str,
        key: &RouteKey,
        method: &str,
        args: Vec<u8>,
        options: CallOptions,
    ) -> Result<Vec<u8>, Failure> {
        let track = self.0.decide(call.track, key.into());
        let target = self.0.target(server_type, key, method, track)?;
        let remote = Remote { call, track, server_type, method, options };
        self.call_remote(&remote, target, args.into(), Others::OfType).await
    }

    /// A call to a server that is named: `rpc.call-server`.
    pub(crate) async fn call_server(
        &self,
        call: &CallScope,
        server_id: &str,
        method: &str,
        args: Vec<u8>,
    ) -> Result<Vec<u8>, Failure> {
        let server = self.0.roster.get(server_id);
        let server =
            server.ok_or_else(|| Failure::retryable(404, format!("no server {server_id:?} is up")))?;
        let remote = Remote {
            call,
            track: call.track,
            server_type: &server.server_type,
            method,
            options: CallOptions::default(),
        };
        let target = self.target_of(&remote, &server.id);
        self.call_remote(&remote, target, args.into(), Others::None).await
    }

    /// A call to every server of a type: `rpc.call-all`.
    pub(crate) async fn call_all(
        &self,
        call: &CallScope,
        server_type: &str,
        method: &str,
        args: Vec<u8>,
    ) -> Vec<(Arc<str>, Result<Vec<u8>, Failure>)> {
        let args = Bytes::from(args);
        let servers = self.0.roster.of_type(server_type);
        let options = CallOptions::default();
        let remote = Remote { call, track: call.track, server_type, method, options };
        let calls = servers.iter().map(|server| async {
            let target = self.target_of(&remote, &server.id);
            (Arc::clone(&server.id), self.call_remote(&remote, target, args.clone(), Others::NoRetries).await)
        });
        join_all(calls).await
    }

    /// A call whose outcome nobody waits for: `rpc.notify`.
    pub(crate) async fn notify_remote(
        &self,
        call: &CallScope,
        server_type: &str,
        key: &RouteKey,
        method: &str,
        args: Vec<u8>,
    ) -> Result<(), Failure> {
        let track = self.0.decide(call.track, key.into());
        let target = self.0.target(server_type, key, method, track)?.id;
        let first = Arc::clone(&target);
        let send = async |args: Bytes| {
            self.send_notice(call, track, target, server_type, method, args).await.map(|()| Bytes::new())
        };
        self.filtered(call, &first, server_type, method, args.into(), send).await.map(drop)
    }

    /// A server that was named, as a target.
    fn target_of(&self, remote: &Remote<'_>, id: &Arc<str>) -> Target {
        let group = self.0.roster.group_of(remote.server_type);
        let active = group.map(|group| group.begin(id)).unwrap_or_default();
        Target { id: Arc::clone(id), active }
    }

    /// Calls a remote, and again as the fail mode says.
    async fn call_remote(
        &self,
        remote: &Remote<'_>,
        target: Target,
        args: Bytes,
        others: Others,
    ) -> Result<Vec<u8>, Failure> {
        let since = Instant::now();
        let id = Arc::clone(&target.id);
        let ask = async |args: Bytes| self.attempt_remote(remote, target, args, others, since).await;
        let answer = self.filtered(remote.call, &id, remote.server_type, remote.method, args, ask).await;
        self.0.metrics.rpc_calls.count(answer.is_ok(), since);
        answer.map(Vec::from)
    }

    /// Runs a call through its filters, if there are any. They see the server that was picked first.
    async fn filtered(
        &self,
        call: &CallScope,
        server_id: &str,
        server_type: &str,
        method: &str,
        args: Bytes,
        ask: impl AsyncFnOnce(Bytes) -> Result<Bytes, Failure>,
    ) -> Result<Bytes, Failure> {
        let filtered =
            |edition: &Arc<Edition>| Ok((!edition.filters.rpc.is_idle()).then(|| Arc::clone(edition)));
        match self.0.look(call.track, filtered)? {
            Some(edition) => {
                let filters = &edition.filters.rpc;
                let method = format!("{server_type}.{method}");
                self.0.filter_rpc(filters, call.nested(), server_id, &method, args, ask).await
            }
            None => ask(args).await,
        }
    }

    async fn send_notice(
        &self,
        call: &CallScope,
        track: Track,
        mut target: Arc<str>,
        server_type: &str,
        method: &str,
        args: Bytes,
    ) -> Result<(), Failure> {
        let message = Notice::Rpc(remote_call(call, track, server_type, method, args)).encode();
        let mut attempts = Attempts::new(&self.0.settings.rpc, false, call.deadline);
        loop {
            let Err(error) = self.0.cluster()?.notify(&target, message.clone()) else { return Ok(()) };
            let broken = Broken::Link(error);
            let others = self.0.roster.of_type(server_type);
            match self.after(&mut attempts, &target, &broken, &others).await {
                Some(next) => target = next,
                None => return Err(broken.into_failure(&target)),
            }
        }
    }

    async fn attempt_remote(
        &self,
        remote: &Remote<'_>,
        mut target: Target,
        args: Bytes,
        others: Others,
        since: Instant,
    ) -> Result<Bytes, Failure> {
        let deadline = remote.call.deadline.min(self.0.deadline_from(since));
        let own = remote.options.timeout_ms.map(|ms| since + Duration::from_millis(ms.into()));
        let deadline = own.map_or(deadline, |own| own.min(deadline));
        let message =
            Request::Rpc(remote_call(remote.call, remote.track, remote.server_type, remote.method, args))
                .encode();
        let mut attempts = Attempts::new(&self.0.settings.rpc, remote.options.idempotent, deadline);
        loop {
            let broken = match self.ask(&target.id, message.clone(), deadline).await? {
                Err(error) => Broken::Link(error),
                Ok(answer) => {
                    let is_declined = peer::is_declined(&answer);
                    match peer::decode_answer(answer) {
                        Ok(answer) => return Ok(answer),
                        Err(failure) if is_declined => Broken::Declined(failure),
                        Err(failure) => Broken::Answered(failure),
                    }
                }
            };
            let servers = match others {
                Others::OfType => self.0.roster.of_type(remote.server_type),
                Others::None => Arc::from([]),
                Others::NoRetries => return Err(broken.into_failure(&target.id)),
            };
            // it is over there; the next attempt counts for itself
            target.active = Active::default();
            match self.after(&mut attempts, &target.id, &broken, &servers).await {
                Some(next) => target = self.target_of(remote, &next),
                None => return Err(broken.into_failure(&target.id)),
            }
        }
    }

    /// Waits, if it must, for the next attempt of a call that broke, and says at which server; none if there is none.
    async fn after(
        &self,
        attempts: &mut Attempts,
        server: &Arc<str>,
        broken: &Broken,
        others: &[Arc<ServerInfo>],
    ) -> Option<Arc<str>> {
        if let Broken::Link(error) = broken
            && let Some(left_out) = self.0.broken_calls.admit()
        {
            tracing::warn!(peer = %server, %error, left_out, "a call to another server failed");
        }
        let next = match attempts.next(server, broken, others) {
            Next::GiveUp => return None,
            Next::Other(next) => next,
            Next::Again(pause) => {
                tokio::time::sleep(pause).await;
                Arc::clone(server)
            }
        };
        self.0.metrics.rpc_retries.inc();
        Some(next)
    }
}

fn remote_call(call: &CallScope, track: Track, server_type: &str, method: &str, args: Bytes) -> RpcCall {
    let nested = call.nested();
    RpcCall {
        depth: nested.depth,
        chain: nested.chain,
        track,
        method: format!("{server_type}.{method}").into(),
        args,
    }
}
