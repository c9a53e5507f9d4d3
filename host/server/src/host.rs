//! The host side of the plugin contract: what a plugin's imports do.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::join_all;
use serde::de::DeserializeOwned;
use shaddock_cluster::{Instant, RpcError};
use shaddock_engine::types::{
    Audience, CallOptions, Delivery, Failure, Level, Member, RouteKey, ServerInfo, Session as Snapshot,
    SessionId, Setting,
};
use shaddock_engine::{CallScope, Host, PluginName};
use tokio::sync::oneshot;

use crate::call_failure;
use crate::channel::{ChannelError, group};
use crate::peer::{self, Notice, Request, SessionOp, SessionState};
use crate::push_host::push_body;
use crate::selected::Selection;
use crate::server::Server;

/// What another server answers, or why it does not.
pub(crate) type Answer = oneshot::Receiver<Result<Bytes, RpcError>>;

/// The server as its plugins see it.
pub(crate) struct PluginHost(pub(crate) Arc<Server>);

impl From<ChannelError> for Failure {
    fn from(error: ChannelError) -> Self {
        let code = match error {
            ChannelError::NotFound => 404,
            ChannelError::BadName | ChannelError::BadField => 400,
            ChannelError::TooManyChannels(_) | ChannelError::TooManyMembers(_) => 507,
        };
        Self::new(code, error.to_string())
    }
}

#[async_trait]
impl Host for PluginHost {
    fn log(&self, call: &CallScope, level: Level, message: &str) {
        let PluginName { name: plugin, version, digest } = &*call.plugin;
        let (plugin, version, digest, route) = (&**plugin, &**version, &**digest, &*call.route);
        match level {
            Level::Debug => tracing::debug!(target: "plugin", plugin, version, digest, route, "{message}"),
            Level::Info => tracing::info!(target: "plugin", plugin, version, digest, route, "{message}"),
            Level::Warn => tracing::warn!(target: "plugin", plugin, version, digest, route, "{message}"),
            Level::Error => tracing::error!(target: "plugin", plugin, version, digest, route, "{message}"),
        }
    }

    fn own_server(&self) -> Arc<ServerInfo> {
        Arc::clone(&self.0.info)
    }

    fn servers(&self, _: &CallScope, server_type: &str) -> Vec<Arc<ServerInfo>> {
        self.0.roster.of_type(server_type).to_vec()
    }

    fn server(&self, _: &CallScope, id: &str) -> Option<Arc<ServerInfo>> {
        self.0.roster.get(id)
    }

    fn server_types(&self, _: &CallScope) -> Vec<Arc<str>> {
        self.0.roster.types()
    }

    async fn session_get(&self, call: &CallScope, id: &SessionId) -> Result<Snapshot, Failure> {
        let state: SessionState =
            self.on_frontend(call, &id.frontend_id, SessionOp::Get { number: id.number }).await?;
        Ok(snapshot(&id.frontend_id, state))
    }

    async fn sessions_by_uid(
        &self,
        call: &CallScope,
        frontend_id: &str,
        uid: &str,
    ) -> Result<Vec<Snapshot>, Failure> {
        let frontend_id = Arc::from(frontend_id);
        let op = SessionOp::ByUid { uid: uid.to_owned() };
        let states: Vec<SessionState> = self.on_frontend(call, &frontend_id, op).await?;
        Ok(states.into_iter().map(|state| snapshot(&frontend_id, state)).collect())
    }

    async fn session_bind(&self, call: &CallScope, id: &SessionId, uid: &str) -> Result<(), Failure> {
        let op = SessionOp::Bind { number: id.number, uid: uid.to_owned() };
        self.on_frontend(call, &id.frontend_id, op).await
    }

    async fn session_unbind(&self, call: &CallScope, id: &SessionId, uid: &str) -> Result<(), Failure> {
        let op = SessionOp::Unbind { number: id.number, uid: uid.to_owned() };
        self.on_frontend(call, &id.frontend_id, op).await
    }

    async fn session_push(
        &self,
        call: &CallScope,
        id: &SessionId,
        settings: Vec<Setting>,
    ) -> Result<(), Failure> {
        let settings = settings.into_iter().map(|s| (s.key.to_string(), s.value.to_string())).collect();
        self.on_frontend(call, &id.frontend_id, SessionOp::Push { number: id.number, settings }).await
    }

    async fn session_kick(&self, call: &CallScope, id: &SessionId, reason: &str) -> Result<(), Failure> {
        let op = SessionOp::Kick { number: id.number, reason: reason.to_owned() };
        self.on_frontend(call, &id.frontend_id, op).await
    }

    async fn kick_uid(
        &self,
        call: &CallScope,
        frontend_id: &str,
        uid: &str,
        reason: &str,
    ) -> Result<u32, Failure> {
        let op = SessionOp::KickUid { uid: uid.to_owned(), reason: reason.to_owned() };
        self.on_frontend(call, frontend_id, op).await
    }

    async fn sessions_find(&self, call: &CallScope, uid: &str) -> Result<Vec<Snapshot>, Failure> {
        let op = SessionOp::ByUid { uid: uid.to_owned() };
        let answers: Vec<(Arc<str>, Vec<SessionState>)> = self.on_every_frontend(call, &op).await?;
        let snapshots = answers.into_iter().flat_map(|(frontend_id, states)| {
            states.into_iter().map(move |state| snapshot(&frontend_id, state))
        });
        Ok(snapshots.collect())
    }

    async fn kick_everywhere(&self, call: &CallScope, uid: &str, reason: &str) -> Result<u32, Failure> {
        let op = SessionOp::KickUid { uid: uid.to_owned(), reason: reason.to_owned() };
        let answers: Vec<(Arc<str>, u32)> = self.on_every_frontend(call, &op).await?;
        Ok(answers.into_iter().map(|(_, kicked)| kicked).sum())
    }

    async fn session_address(&self, call: &CallScope, id: &SessionId) -> Result<String, Failure> {
        self.on_frontend(call, &id.frontend_id, SessionOp::Address { number: id.number }).await
    }

    async fn session_send(
        &self,
        call: &CallScope,
        id: &SessionId,
        route: &str,
        body: Vec<u8>,
    ) -> Result<(), Failure> {
        let body = String::from_utf8_lossy(&push_body(route, body)?).into_owned();
        let op = SessionOp::Send { number: id.number, route: route.to_owned(), body };
        self.on_frontend(call, &id.frontend_id, op).await
    }

    fn channel_create(&self, _: &CallScope, name: &str) -> Result<bool, Failure> {
        Ok(self.0.channels.create(name)?)
    }

    fn channel_join(&self, _: &CallScope, name: &str, member: Member) -> Result<bool, Failure> {
        Ok(self.0.channels.join(name, member)?)
    }

    fn channel_leave(&self, _: &CallScope, name: &str, member: &Member) -> bool {
        self.0.channels.leave(name, &member.uid, &member.frontend_id)
    }

    fn channel_members(&self, _: &CallScope, name: &str) -> Result<Vec<Member>, Failure> {
        Ok(self.0.channels.members(name)?)
    }

    fn channel_find(&self, _: &CallScope, name: &str, uid: &str) -> Option<Member> {
        self.0.channels.find(name, uid)
    }

    fn channel_push(&self, call: &CallScope, name: &str, route: &str, body: Vec<u8>) -> Result<(), Failure> {
        let (groups, policy) = self.0.channels.audience(name)?;
        self.push_groups(call, policy.as_ref(), groups, route, body)
    }

    fn push_to(
        &self,
        call: &CallScope,
        members: Vec<Member>,
        route: &str,
        body: Vec<u8>,
    ) -> Result<(), Failure> {
        self.push_groups(call, None, group(members), route, body)
    }

    fn broadcast(
        &self,
        call: &CallScope,
        server_type: &str,
        route: &str,
        body: Vec<u8>,
        audience: Audience,
    ) -> Result<(), Failure> {
        let Audience { bound_only, filter } = audience;
        let (route, body) = (Arc::from(route), push_body(route, body)?);
        let notice = match filter {
            None => Notice::Broadcast { route, body, bound_only },
            Some((filter, param)) => {
                let selection = Selection { bound_only, filter: filter.into(), param: param.into() };
                Notice::SelectedBroadcast { route, body, selection }
            }
        };
        self.notify_type(call, server_type, &notice)
    }

    async fn channel_push_and_report(
        &self,
        call: &CallScope,
        name: &str,
        route: &str,
        body: Vec<u8>,
    ) -> Result<Vec<Member>, Failure> {
        let (groups, policy) = self.0.channels.audience(name)?;
        self.push_groups_and_report(call, policy, groups, route, body).await
    }

    async fn push_to_and_report(
        &self,
        call: &CallScope,
        members: Vec<Member>,
        route: &str,
        body: Vec<u8>,
    ) -> Result<Vec<Member>, Failure> {
        self.push_groups_and_report(call, None, group(members), route, body).await
    }

    fn channel_set_delivery(&self, _: &CallScope, name: &str, delivery: Delivery) -> Result<(), Failure> {
        Ok(self.0.channels.set_delivery(name, delivery)?)
    }

    fn channel_destroy(&self, _: &CallScope, name: &str) -> bool {
        self.0.channels.destroy(name)
    }

    async fn rpc_call(
        &self,
        call: &CallScope,
        server_type: &str,
        key: RouteKey,
        method: &str,
        args: Vec<u8>,
        options: CallOptions,
    ) -> Result<Vec<u8>, Failure> {
        self.call_with(call, server_type, &key, method, args, options).await
    }

    async fn rpc_call_server(
        &self,
        call: &CallScope,
        server_id: &str,
        method: &str,
        args: Vec<u8>,
    ) -> Result<Vec<u8>, Failure> {
        self.call_server(call, server_id, method, args).await
    }

    async fn rpc_call_all(
        &self,
        call: &CallScope,
        server_type: &str,
        method: &str,
        args: Vec<u8>,
    ) -> Vec<(Arc<str>, Result<Vec<u8>, Failure>)> {
        self.call_all(call, server_type, method, args).await
    }

    async fn rpc_notify(
        &self,
        call: &CallScope,
        server_type: &str,
        key: RouteKey,
        method: &str,
        args: Vec<u8>,
    ) -> Result<(), Failure> {
        self.notify_remote(call, server_type, &key, method, args).await
    }

    fn timer_set(
        &self,
        call: &CallScope,
        delay_ms: u64,
        period_ms: Option<u64>,
        name: &str,
        payload: Vec<u8>,
    ) -> Result<u64, Failure> {
        self.0.set_timer(call, delay_ms, period_ms, name, payload)
    }

    fn timer_cancel(&self, call: &CallScope, id: u64) -> bool {
        self.0.timers.cancel(id, &call.plugin.name)
    }
}

impl PluginHost {
    /// A session operation at every frontend; those that do not answer are left out, unless all of them fail.
    async fn on_every_frontend<T: DeserializeOwned>(
        &self,
        call: &CallScope,
        op: &SessionOp,
    ) -> Result<Vec<(Arc<str>, T)>, Failure> {
        let mut call = call.clone();
        call.deadline = half_way_to(call.deadline);
        let asked = self.0.roster.frontends().into_iter().map(async |frontend_id| {
            let answer = self.on_frontend(&call, &frontend_id, op.clone()).await;
            answer.map(|answer| (frontend_id, answer))
        });
        let mut failed = None;
        let mut answers = Vec::new();
        for answer in join_all(asked).await {
            match answer {
                Ok(answer) => answers.push(answer),
                Err(failure) => failed = Some(failure),
            }
        }
        match failed {
            Some(failure) if answers.is_empty() => {
                Err(Failure::retryable(503, format!("no frontend answers: {}", failure.message)))
            }
            _ => Ok(answers),
        }
    }

    /// A session operation where the session is: here, or at another server.
    async fn on_frontend<T: DeserializeOwned>(
        &self,
        call: &CallScope,
        frontend_id: &str,
        op: SessionOp,
    ) -> Result<T, Failure> {
        let value = if frontend_id == &*self.0.info.id {
            self.0.session_op_anywhere(op).await?
        } else {
            let deadline = call.deadline.min(self.0.deadline());
            let message = Request::Session(op).encode();
            let answer = self.ask(frontend_id, message, deadline).await?;
            let answer = answer.map_err(|error| call_failure::of_session(frontend_id, &error))?;
            let answer = peer::decode_answer(answer)?;
            serde_json::from_slice(&answer).map_err(|error| Failure::new(500, error.to_string()))?
        };
        serde_json::from_value(value).map_err(|error| Failure::new(500, error.to_string()))
    }

    /// Sends a request and waits for its answer.
    pub(crate) async fn ask(
        &self,
        server_id: &str,
        message: Bytes,
        deadline: Instant,
    ) -> Result<Result<Bytes, RpcError>, Failure> {
        let answer = self.send(server_id, message, deadline)?;
        answer.await.map_err(|_| Failure::retryable(503, "the server is stopping"))
    }

    /// Sends a request, at once; its answer is to be waited for.
    pub(crate) fn send(&self, server_id: &str, message: Bytes, deadline: Instant) -> Result<Answer, Failure> {
        let (done, answer) = oneshot::channel();
        let completion = Box::new(move |answer| {
            let _ = done.send(answer);
        });
        self.0.cluster()?.request(server_id, message, deadline, completion);
        Ok(answer)
    }
}

/// The deadline for those who are asked all at once: one that hangs must not take the caller's whole time, since then
/// there would be no answer at all.
pub(crate) fn half_way_to(deadline: Instant) -> Instant {
    let now = Instant::now();
    now + deadline.saturating_duration_since(now) / 2
}

fn snapshot(frontend_id: &Arc<str>, state: SessionState) -> Snapshot {
    Snapshot {
        id: SessionId { frontend_id: Arc::clone(frontend_id), number: state.number },
        uid: state.uid.map(Arc::from),
        settings: peer::settings(state.settings).into(),
    }
}
