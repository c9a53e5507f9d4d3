//! The values of the contract (interface `types` of the WIT) as plain Rust types.
//!
//! Strings are `Arc<str>`, so that a clone of a session or a server costs a few counter increments: both
//! are copied for every call. The derives let these types cross into a guest as they are, without a second
//! set of generated records; nothing of wasmtime shows in their public face.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use wasmtime::component::{ComponentType, Lift, Lower};

/// Names a session: the frontend that holds it and its number there, counted from 1.
#[derive(Clone, Debug, PartialEq, Eq, Hash, ComponentType, Lift, Lower, Serialize, Deserialize)]
#[component(record)]
#[serde(rename_all = "kebab-case")]
pub struct SessionId {
    /// The id of the frontend server.
    #[component(name = "frontend-id")]
    pub frontend_id: Arc<str>,
    /// Unique per frontend process.
    pub number: u64,
}

/// One session setting.
#[derive(Clone, Debug, PartialEq, Eq, ComponentType, Lift, Lower, Serialize, Deserialize)]
#[component(record)]
#[serde(rename_all = "kebab-case")]
pub struct Setting {
    /// The key.
    pub key: Arc<str>,
    /// JSON text.
    pub value: Arc<str>,
}

/// A session as one call sees it.
#[derive(Clone, Debug, PartialEq, Eq, ComponentType, Lift, Lower, Serialize, Deserialize)]
#[component(record)]
#[serde(rename_all = "kebab-case")]
pub struct Session {
    /// Which session.
    pub id: SessionId,
    /// The user bound to it, if any.
    pub uid: Option<Arc<str>>,
    /// In the order in which the keys were first set; no key twice.
    pub settings: Arc<[Setting]>,
}

impl Session {
    /// The value of a setting, JSON text.
    pub fn setting(&self, key: &str) -> Option<&Arc<str>> {
        self.settings.iter().find(|setting| &*setting.key == key).map(|setting| &setting.value)
    }

    /// Sets a setting, keeping the place of a key that was there before.
    pub fn set(&mut self, key: Arc<str>, value: Arc<str>) {
        let mut settings = self.settings.to_vec();
        match settings.iter_mut().find(|setting| setting.key == key) {
            Some(setting) => setting.value = value,
            None => settings.push(Setting { key, value }),
        }
        self.settings = settings.into();
    }
}

/// Why a call gave no result, in the plugin's own words or in those of the host's side.
#[derive(Clone, Debug, PartialEq, Eq, ComponentType, Lift, Lower, Serialize, Deserialize)]
#[component(record)]
#[serde(rename_all = "kebab-case")]
pub struct Failure {
    /// HTTP's vocabulary: 400, 403, 404, 500, 503, 504.
    pub code: u32,
    /// For logs and for the caller of a remote, never for a client.
    pub message: String,
    /// Whether the same call may succeed later without harm.
    pub retryable: bool,
}

impl Failure {
    /// A failure that a repetition would not cure.
    pub fn new(code: u32, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), retryable: false }
    }

    /// A failure that may pass.
    pub fn retryable(code: u32, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), retryable: true }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.message, self.code)
    }
}

/// A server of the cluster, as servers.json describes it.
#[derive(Clone, Debug, PartialEq, Eq, ComponentType, Lift, Lower, Serialize, Deserialize)]
#[component(record)]
#[serde(rename_all = "kebab-case")]
pub struct ServerInfo {
    /// The id.
    pub id: Arc<str>,
    /// The type.
    #[component(name = "server-type")]
    pub server_type: Arc<str>,
    /// Whether clients connect to it.
    pub frontend: bool,
    /// The host for other servers.
    pub host: Arc<str>,
    /// The RPC port; none: it can call but not be called.
    pub port: Option<u16>,
    /// The host for clients where servers.json names one.
    #[component(name = "client-host")]
    pub client_host: Option<Arc<str>>,
    /// The port for clients.
    #[component(name = "client-port")]
    pub client_port: Option<u16>,
    /// The whole servers.json entry, a JSON object.
    pub fields: Arc<str>,
}

/// A member of a channel: a user at a frontend.
#[derive(Clone, Debug, PartialEq, Eq, Hash, ComponentType, Lift, Lower, Serialize, Deserialize)]
#[component(record)]
#[serde(rename_all = "kebab-case")]
pub struct Member {
    /// The user.
    pub uid: Arc<str>,
    /// The id of the frontend where the user's session is.
    #[component(name = "frontend-id")]
    pub frontend_id: Arc<str>,
}

/// What a route function decides by.
#[derive(Clone, Debug, PartialEq, Eq, ComponentType, Lower, Serialize, Deserialize)]
#[component(variant)]
#[serde(rename_all = "kebab-case")]
pub enum RouteKey {
    /// A session, with the settings that the calling call sees.
    #[component(name = "session")]
    Session(Arc<Session>),
    /// Any text.
    #[component(name = "value")]
    Value(Arc<str>),
}

/// What a client says of itself before it has a session.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Client {
    /// `sys.type` of its handshake; empty if it has none.
    pub client_type: String,
    /// `sys.version`; empty if it has none.
    pub version: String,
    /// `user` of its handshake as JSON text; `null` if it has none.
    pub user: String,
    /// The IP address of its connection.
    pub address: String,
}

/// What an accepted client begins with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Welcome {
    /// JSON text for the reply's `user`; not checked yet.
    pub user: Option<String>,
    /// To be bound to the session.
    pub uid: Option<String>,
    /// Settings of the session; not checked yet.
    pub settings: Vec<Setting>,
}

/// What a filter says before a handler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The request goes on.
    Pass {
        /// In place of the body that it had.
        body: Option<Vec<u8>>,
        /// The session with what the filter set in it.
        session: Option<Arc<Session>>,
    },
    /// It goes no further.
    Refuse {
        /// Why.
        failure: Failure,
        /// JSON for the client; not checked yet.
        answer: Option<Vec<u8>>,
    },
}

/// To whom a broadcast goes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Audience {
    /// Only to sessions that a user is bound to.
    pub bound_only: bool,
    /// Only to those that a filter of a plugin selects: its name, and what it gets to see.
    pub filter: Option<(String, String)>,
}

/// What becomes of the pushes of a channel for a client that does not keep up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Delivery {
    /// Every message is queued; the client is closed when too much waits.
    #[default]
    Every,
    /// Of the waiting messages with one route, and one value in this field if it is named, only the latest is kept.
    Latest(Option<String>),
    /// At most so many messages of the channel wait; the oldest are dropped.
    DropOldest(u32),
    /// The client is closed at once.
    Disconnect,
}

/// How a call to another server is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct CallOptions {
    /// Milliseconds until it fails, if that is earlier than what holds anyway.
    pub timeout_ms: Option<u32>,
    /// To run it twice does no harm.
    pub idempotent: bool,
}

/// Severity of a line that a plugin logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// For the author of the plugin.
    Debug,
    /// Worth a line in production.
    Info,
    /// Something is off.
    Warn,
    /// Something failed.
    Error,
}
