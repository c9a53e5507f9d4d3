//! A call with all that it brings into a guest, by itself: to be sent to another task, or written down.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::CallError;
use crate::hand_over::SavedState;
use crate::host::Call;
use crate::plugin::Plugin;
use crate::recording::{Bytes, ToValue};
use crate::types::{Client, Failure, RouteKey, ServerInfo, Session};
use crate::work::{
    After, AfterRpc, Before, BeforeRpc, Event, HandleError, Handshake, Select, ServerNews, SessionNews,
};

/// One call of an exported function. Names that are not in it are the call's own name.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub(crate) enum Job {
    /// `lifecycle.init`, with which an instance begins.
    Init,
    /// `handler.handle`.
    Handle { body: Bytes, session: Arc<Session> },
    /// `remote.call`.
    Remote { args: Bytes },
    /// `timer.fired`.
    Timer { id: u64, payload: Bytes },
    /// `lifecycle.start`.
    Start,
    /// `lifecycle.session-closed`.
    SessionClosed { session: Arc<Session>, reason: String },
    /// `lifecycle.stop`.
    Stop,
    /// `server-events.after-start`.
    AfterStart,
    /// `server-events.all-started`.
    AllStarted,
    /// `server-events.before-stop`.
    BeforeStop,
    /// `server-events.servers-added`.
    ServersAdded { servers: Vec<ServerInfo> },
    /// `server-events.servers-removed`.
    ServersRemoved { ids: Vec<String> },
    /// `server-events.servers-replaced`.
    ServersReplaced { servers: Vec<ServerInfo> },
    /// `session-events.session-bound`.
    SessionBound { session: Arc<Session> },
    /// `session-events.session-unbound`.
    SessionUnbound { session: Arc<Session>, uid: String },
    /// `cron.run`.
    Cron { id: String },
    /// `tick.tick`.
    Tick { number: u64, late_ns: u64, missed: u32 },
    /// `handshake.check`.
    Handshake { client: Client },
    /// `filter.before`.
    FilterBefore { route: String, body: Bytes, session: Arc<Session> },
    /// `filter.after`.
    FilterAfter { route: String, body: Bytes, session: Arc<Session>, outcome: Result<Bytes, Failure> },
    /// `error-handler.handle`.
    HandleError { route: String, body: Bytes, session: Arc<Session>, failure: Failure, answer: Option<Bytes> },
    /// `rpc-filter.before`.
    RpcBefore { server_id: String, method: String, args: Bytes },
    /// `rpc-filter.after`.
    RpcAfter { server_id: String, method: String, outcome: Result<Bytes, Failure> },
    /// `broadcast-filter.select`.
    Select { param: String, sessions: Vec<Session> },
    /// `state.load-state`.
    LoadState { schema_version: u32, bytes: Bytes },
    /// `router.set-servers`, for a type.
    SetServers { server_type: String, servers: Vec<ServerInfo> },
    /// `router.route`.
    Route { server_type: String, key: RouteKey, method: String },
}

impl Job {
    /// The session of which the call has a copy from its beginning.
    pub(crate) fn session(&self) -> Option<Arc<Session>> {
        match self {
            Self::Handle { session, .. }
            | Self::SessionClosed { session, .. }
            | Self::SessionBound { session }
            | Self::SessionUnbound { session, .. }
            | Self::FilterBefore { session, .. }
            | Self::FilterAfter { session, .. }
            | Self::HandleError { session, .. } => Some(session.clone()),
            _ => None,
        }
    }

    /// Makes the call of a plugin, under a name.
    pub(crate) async fn repeat(
        &self,
        plugin: &Plugin,
        name: &Arc<str>,
        call: Call,
    ) -> Result<Value, CallError> {
        let inner = &plugin.0;
        let event = async |event: Event<'_>, call| inner.call(call, name, &event).await.map(|()| Value::Null);
        let value = match self {
            // It was made at load.
            Self::Init => Value::Null,
            Self::Handle { body, session } => {
                plugin.handle(call, name, &body.0, session.clone()).await?.to_value()
            }
            Self::Remote { args } => plugin.remote(call, name, &args.0).await?.to_value(),
            Self::Timer { id, payload } => event(Event::Timer { id: *id, payload: &payload.0 }, call).await?,
            Self::Start => event(Event::Start, call).await?,
            Self::SessionClosed { session, reason } => {
                event(Event::SessionClosed { session: session.clone(), reason }, call).await?
            }
            Self::Stop => event(Event::Stop, call).await?,
            Self::AfterStart => event(Event::Server(ServerNews::AfterStart), call).await?,
            Self::AllStarted => event(Event::Server(ServerNews::AllStarted), call).await?,
            Self::BeforeStop => event(Event::Server(ServerNews::BeforeStop), call).await?,
            Self::ServersAdded { servers } => event(Event::Server(ServerNews::Added(servers)), call).await?,
            Self::ServersRemoved { ids } => event(Event::Server(ServerNews::Removed(ids)), call).await?,
            Self::ServersReplaced { servers } => {
                event(Event::Server(ServerNews::Replaced(servers)), call).await?
            }
            Self::SessionBound { session } => {
                event(Event::Session(SessionNews::Bound(session.clone())), call).await?
            }
            Self::SessionUnbound { session, uid } => {
                event(Event::Session(SessionNews::Unbound { session: session.clone(), uid }), call).await?
            }
            Self::Cron { id } => event(Event::Cron { id }, call).await?,
            Self::Tick { number, late_ns, missed } => {
                event(Event::Tick { number: *number, late_ns: *late_ns, missed: *missed }, call).await?
            }
            Self::Handshake { client } => inner.call(call, name, &Handshake(client)).await?.to_value(),
            Self::FilterBefore { route, body, session } => inner
                .call(call, name, &Before { route, body: &body.0, session: session.clone() })
                .await?
                .to_value(),
            Self::FilterAfter { route, body, session, outcome } => {
                let (session, outcome) = (session.clone(), outcome.as_ref().map(|body| &*body.0));
                inner.call(call, name, &After { route, body: &body.0, session, outcome }).await?.to_value()
            }
            Self::HandleError { route, body, session, failure, answer } => {
                let (session, answer) = (session.clone(), answer.as_ref().map(|answer| &*answer.0));
                let work = HandleError { route, body: &body.0, session, failure, answer };
                inner.call(call, name, &work).await?.to_value()
            }
            Self::RpcBefore { server_id, method, args } => {
                inner.call(call, name, &BeforeRpc { server_id, method, args: &args.0 }).await?.to_value()
            }
            Self::RpcAfter { server_id, method, outcome } => {
                let outcome = outcome.as_ref().map(|body| &*body.0);
                inner.call(call, name, &AfterRpc { server_id, method, outcome }).await?.to_value()
            }
            Self::Select { param, sessions } => {
                inner.call(call, name, &Select { param, sessions }).await?.to_value()
            }
            Self::LoadState { schema_version, bytes } => {
                let state = SavedState { schema_version: *schema_version, bytes: bytes.0.clone() };
                plugin.begin_with(&state, call.deadline).await.map(|()| Value::Null)?
            }
            Self::SetServers { server_type, servers } => {
                plugin.set_servers(server_type, servers.iter().cloned().map(Arc::new).collect());
                Value::Null
            }
            Self::Route { server_type, key, method } => plugin.route(server_type, key, method)?.to_value(),
        };
        Ok(value)
    }
}
