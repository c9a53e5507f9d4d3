//! The host side of the contract, which `server` implements.

use std::sync::{Arc, LazyLock};
use std::time::{SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use tokio::time::Instant;

use crate::recording::Tape;
use crate::track::Track;
use crate::types::{
    Audience, CallOptions, Delivery, Failure, Level, Member, RouteKey, ServerInfo, Session, SessionId,
    Setting,
};

/// A plugin's name with the version that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginName {
    /// The name from plugins.json.
    pub name: Arc<str>,
    /// The first twelve hex digits of the digest.
    pub version: Arc<str>,
    /// sha256 of the component file, 64 hex digits.
    pub digest: Arc<str>,
}

impl PluginName {
    pub(crate) fn of(name: &str, digest: &Arc<str>) -> Self {
        let version = digest.get(..12).unwrap_or(digest);
        Self { name: name.into(), version: version.into(), digest: digest.clone() }
    }

    /// The version in six bytes: the first 48 bits of the digest. 0 for a digest that is none.
    pub fn tag(&self) -> u64 {
        let hex = self.digest.get(..12).unwrap_or_default();
        u64::from_str_radix(hex, 16).unwrap_or_default()
    }
}

/// The calls in stateful plugins (pool policy `single`) that a call is nested in, innermost last.
///
/// It travels with nested calls, also to other servers, so that a call that comes back to an instance which
/// waits for it is refused at once instead of waiting for itself. Empty in most calls: then it costs nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chain(Option<Arc<[u64]>>);

impl Chain {
    /// A chain that came with a message. Longer ones than any legal nesting are cut to their innermost part.
    pub fn from_ids(ids: &[u64]) -> Self {
        let kept = ids.get(ids.len().saturating_sub(crate::limits::CALL_DEPTH_MAX as usize)..).unwrap_or(ids);
        if kept.is_empty() { Self(None) } else { Self(Some(kept.into())) }
    }

    /// The ids, to be sent along with a nested call.
    pub fn ids(&self) -> &[u64] {
        self.0.as_deref().unwrap_or_default()
    }

    pub(crate) fn with(&self, id: u64) -> Self {
        let ids: Vec<u64> = self.ids().iter().copied().chain([id]).collect();
        Self::from_ids(&ids)
    }
}

/// What a call brings along.
#[derive(Clone, Debug)]
pub struct Call {
    /// When the caller stops waiting. The plugin's own deadline may come earlier.
    pub deadline: Instant,
    /// 0 for the call of a client, one more for each call nested in a plugin's call.
    pub depth: u32,
    /// The stateful calls that this one is nested in.
    pub chain: Chain,
    /// Which versions of plugins the calls that follow from one get.
    pub track: Track,
}

impl Call {
    /// A call that is not nested in another.
    pub fn new(deadline: Instant) -> Self {
        Self { deadline, depth: 0, chain: Chain::default(), track: Track::UNDECIDED }
    }
}

/// The running call, as the host functions see it.
#[derive(Clone, Debug)]
pub struct CallScope {
    /// Whose call.
    pub plugin: Arc<PluginName>,
    /// The route, the method, or the name of the lifecycle function.
    pub route: Arc<str>,
    /// See [`Call::depth`].
    pub depth: u32,
    /// When the call will be stopped: nothing that it waits for needs to last longer.
    pub deadline: Instant,
    /// Includes this call if it runs in a stateful plugin.
    pub chain: Chain,
    /// See [`Call::track`].
    pub track: Track,
    /// Takes down what the call asks for, if somebody records.
    tape: Option<Arc<Tape>>,
}

impl CallScope {
    /// Of a call that runs under the name `route`.
    pub fn new(plugin: Arc<PluginName>, route: Arc<str>, call: Call) -> Self {
        let Call { deadline, depth, chain, track } = call;
        Self { plugin, route, depth, deadline, chain, track, tape: None }
    }

    pub(crate) fn tape(&self) -> Option<&Tape> {
        self.tape.as_deref()
    }

    /// Answers the tape of the call before.
    pub(crate) fn set_tape(&mut self, tape: Option<Arc<Tape>>) -> Option<Arc<Tape>> {
        std::mem::replace(&mut self.tape, tape)
    }

    /// What a call made by this call brings along.
    pub fn nested(&self) -> Call {
        Call {
            deadline: self.deadline,
            depth: self.depth.saturating_add(1),
            chain: self.chain.clone(),
            track: self.track,
        }
    }
}

/// The host side of the contract; one object per server process.
///
/// Functions that are not `async` run on the thread that runs the guest: they must return at once. Of an
/// `async` one the future is dropped when the call's deadline passes. A panic ends the call and its instance.
#[async_trait]
pub trait Host: Send + Sync + 'static {
    /// `app.log`; the message has at most 8 KiB.
    fn log(&self, call: &CallScope, level: Level, message: &str);
    /// `app.own-server`.
    fn own_server(&self) -> Arc<ServerInfo>;
    /// `app.servers`: sorted by id.
    fn servers(&self, call: &CallScope, server_type: &str) -> Vec<Arc<ServerInfo>>;
    /// `app.server`.
    fn server(&self, call: &CallScope, id: &str) -> Option<Arc<ServerInfo>>;
    /// `app.server-types`: sorted.
    fn server_types(&self, call: &CallScope) -> Vec<Arc<str>>;
    /// `app.now-ms`: the system's clock, unless the host has another one.
    fn now_ms(&self, _call: &CallScope) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
    /// `app.monotonic-ns`: counts from when it is asked first in this process, unless the host counts otherwise.
    fn monotonic_ns(&self, _call: &CallScope) -> u64 {
        static START: LazyLock<std::time::Instant> = LazyLock::new(std::time::Instant::now);
        u64::try_from(START.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
    /// `app.random-bytes`: the system's, unless the host has others. A failure ends the call.
    fn random_bytes(&self, _call: &CallScope, len: u32) -> Result<Vec<u8>, Failure> {
        let mut bytes = vec![0; len as usize];
        getrandom::fill(&mut bytes)
            .map_err(|error| Failure::new(500, format!("no random bytes: {error}")))?;
        Ok(bytes)
    }

    /// `sessions.get`.
    async fn session_get(&self, call: &CallScope, id: &SessionId) -> Result<Session, Failure>;
    /// `sessions.by-uid`.
    async fn sessions_by_uid(
        &self,
        call: &CallScope,
        frontend_id: &str,
        uid: &str,
    ) -> Result<Vec<Session>, Failure>;
    /// `sessions.bind`.
    async fn session_bind(&self, call: &CallScope, id: &SessionId, uid: &str) -> Result<(), Failure>;
    /// `sessions.unbind`.
    async fn session_unbind(&self, call: &CallScope, id: &SessionId, uid: &str) -> Result<(), Failure>;
    /// `sessions.push`: the settings of the call's copy that are to be written.
    async fn session_push(
        &self,
        call: &CallScope,
        id: &SessionId,
        settings: Vec<Setting>,
    ) -> Result<(), Failure>;
    /// `sessions.kick`.
    async fn session_kick(&self, call: &CallScope, id: &SessionId, reason: &str) -> Result<(), Failure>;
    /// `sessions.kick-uid`: how many were kicked.
    async fn kick_uid(
        &self,
        call: &CallScope,
        frontend_id: &str,
        uid: &str,
        reason: &str,
    ) -> Result<u32, Failure>;

    /// `sessions.find`.
    async fn sessions_find(&self, call: &CallScope, uid: &str) -> Result<Vec<Session>, Failure>;
    /// `sessions.kick-everywhere`: how many were kicked.
    async fn kick_everywhere(&self, call: &CallScope, uid: &str, reason: &str) -> Result<u32, Failure>;
    /// `sessions.address`: `ip:port`.
    async fn session_address(&self, call: &CallScope, id: &SessionId) -> Result<String, Failure>;
    /// `sessions.send`.
    async fn session_send(
        &self,
        call: &CallScope,
        id: &SessionId,
        route: &str,
        body: Vec<u8>,
    ) -> Result<(), Failure>;

    /// `channels.create`.
    fn channel_create(&self, call: &CallScope, name: &str) -> Result<bool, Failure>;
    /// `channels.join`.
    fn channel_join(&self, call: &CallScope, name: &str, member: Member) -> Result<bool, Failure>;
    /// `channels.leave`.
    fn channel_leave(&self, call: &CallScope, name: &str, member: &Member) -> bool;
    /// `channels.members`.
    fn channel_members(&self, call: &CallScope, name: &str) -> Result<Vec<Member>, Failure>;
    /// `channels.find`.
    fn channel_find(&self, call: &CallScope, name: &str, uid: &str) -> Option<Member>;
    /// `channels.push`: hands the message to the frontends' queues.
    fn channel_push(&self, call: &CallScope, name: &str, route: &str, body: Vec<u8>) -> Result<(), Failure>;
    /// `channels.push-to`; at least one member.
    fn push_to(
        &self,
        call: &CallScope,
        members: Vec<Member>,
        route: &str,
        body: Vec<u8>,
    ) -> Result<(), Failure>;
    /// `channels.push-and-report`: the members that were not reached.
    async fn channel_push_and_report(
        &self,
        call: &CallScope,
        name: &str,
        route: &str,
        body: Vec<u8>,
    ) -> Result<Vec<Member>, Failure>;
    /// `channels.push-to-and-report`: the members that were not reached.
    async fn push_to_and_report(
        &self,
        call: &CallScope,
        members: Vec<Member>,
        route: &str,
        body: Vec<u8>,
    ) -> Result<Vec<Member>, Failure>;
    /// `channels.broadcast` and `channels.broadcast-to`.
    fn broadcast(
        &self,
        call: &CallScope,
        server_type: &str,
        route: &str,
        body: Vec<u8>,
        audience: Audience,
    ) -> Result<(), Failure>;
    /// `channels.destroy`.
    fn channel_destroy(&self, call: &CallScope, name: &str) -> bool;
    /// `channels.set-delivery`.
    fn channel_set_delivery(&self, call: &CallScope, name: &str, delivery: Delivery) -> Result<(), Failure>;

    /// `rpc.call` and `rpc.call-with`.
    async fn rpc_call(
        &self,
        call: &CallScope,
        server_type: &str,
        key: RouteKey,
        method: &str,
        args: Vec<u8>,
        options: CallOptions,
    ) -> Result<Vec<u8>, Failure>;
    /// `rpc.call-server`.
    async fn rpc_call_server(
        &self,
        call: &CallScope,
        server_id: &str,
        method: &str,
        args: Vec<u8>,
    ) -> Result<Vec<u8>, Failure>;
    /// `rpc.call-all`: sorted by server id.
    async fn rpc_call_all(
        &self,
        call: &CallScope,
        server_type: &str,
        method: &str,
        args: Vec<u8>,
    ) -> Vec<(Arc<str>, Result<Vec<u8>, Failure>)>;
    /// `rpc.notify`.
    async fn rpc_notify(
        &self,
        call: &CallScope,
        server_type: &str,
        key: RouteKey,
        method: &str,
        args: Vec<u8>,
    ) -> Result<(), Failure>;

    /// `timers.after` and `timers.every` (`period_ms`): the timer's number.
    fn timer_set(
        &self,
        call: &CallScope,
        delay_ms: u64,
        period_ms: Option<u64>,
        name: &str,
        payload: Vec<u8>,
    ) -> Result<u64, Failure>;
    /// `timers.cancel`: only timers of the calling plugin.
    fn timer_cancel(&self, call: &CallScope, id: u64) -> bool;
}
