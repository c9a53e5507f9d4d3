//! The values of the contract (interface `types` of the WIT) as plain Rust types.
//!
//! Strings are `Arc<str>`, so that a clone of a session or a server costs a few counter increments: both
//! are copied for every call. The derives let these types cross into a guest as they are, without a second
//! set of generated records; nothing of wasmtime shows in their public face.

use std::sync::Arc;

use wasmtime::component::{ComponentType, Lift, Lower};

/// Names a session: the frontend that holds it and its number there, counted from 1.
#[derive(Clone, Debug, PartialEq, Eq, Hash, ComponentType, Lift, Lower)]
#[component(record)]
pub struct SessionId {
    /// The id of the frontend server.
    #[component(name = "frontend-id")]
    pub frontend_id: Arc<str>,
    /// Unique per frontend process.
    pub number: u64,
}

/// One session setting.
#[derive(Clone, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
#[component(record)]
pub struct Setting {
    /// The key.
    pub key: Arc<str>,
    /// JSON text.
    pub value: Arc<str>,
}

/// A session as one call sees it.
#[derive(Clone, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
#[component(record)]
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
#[derive(Clone, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
#[component(record)]
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
#[derive(Clone, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
#[component(record)]
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
#[derive(Clone, Debug, PartialEq, Eq, Hash, ComponentType, Lift, Lower)]
#[component(record)]
pub struct Member {
    /// The user.
    pub uid: Arc<str>,
    /// The id of the frontend where the user's session is.
    #[component(name = "frontend-id")]
    pub frontend_id: Arc<str>,
}

/// What a route function decides by.
#[derive(Clone, Debug, PartialEq, Eq, ComponentType, Lower)]
#[component(variant)]
pub enum RouteKey {
    /// A session, with the settings that the calling call sees.
    #[component(name = "session")]
    Session(Arc<Session>),
    /// Any text.
    #[component(name = "value")]
    Value(Arc<str>),
}

/// How a call of a remote is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CallOptions {
    /// Milliseconds until it fails with 504, if that is earlier than what holds anyway.
    pub timeout_ms: Option<u32>,
    /// To run it twice does no harm, so that it may be made anew after it may have run already.
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
