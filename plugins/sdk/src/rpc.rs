//! Calls to the remotes of plugins on other servers, or on this one. Grant: `rpc`.
//!
//! `method` is `service.method`; the server type is named apart. A call fails with what the remote failed with, or
//! with 404 (no such server, type or method), 502 (the server is dead: it cannot be reached, or the link to it broke),
//! 503 (it refused: overloaded, or starting or stopping) or 504 (timed out).

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::host::rpc as host;
use crate::{Result, Session, fail};

/// What the route function of the called type gets to pick a server by.
#[derive(Clone, Debug)]
pub struct Key(pub(crate) host::RouteKey);

impl From<&Session> for Key {
    /// The call's own session, as far as it is set by now.
    fn from(session: &Session) -> Self {
        Key(host::RouteKey::Session(session.0.id.clone()))
    }
}

impl From<&mut Session> for Key {
    fn from(session: &mut Session) -> Self {
        Key::from(&*session)
    }
}

impl From<&str> for Key {
    /// Any text, for example the name of a room.
    fn from(text: &str) -> Self {
        Key(host::RouteKey::Value(text.to_owned()))
    }
}

impl From<&String> for Key {
    fn from(text: &String) -> Self {
        Key::from(text.as_str())
    }
}

/// Calls one server of a type, picked by the type's route function.
pub fn call<R: DeserializeOwned>(
    server_type: &str,
    key: impl Into<Key>,
    method: &str,
    args: &(impl Serialize + ?Sized),
) -> Result<R> {
    decode(server_type, method, &host::call(server_type, &key.into().0, method, &serde_json::to_vec(args)?)?)
}

/// How [`call_with`] calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// The call fails with 504 after this time, if that is earlier than what holds anyway.
    pub timeout: Option<std::time::Duration>,
    /// To run it twice does no harm: only such calls are made again after they may have run already (`failMode` in
    /// app.json).
    pub idempotent: bool,
}

impl Options {
    pub(crate) fn timeout_ms(&self) -> Option<u32> {
        self.timeout.map(|timeout| u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX))
    }
}

/// As [`call`], with options.
pub fn call_with<R: DeserializeOwned>(
    server_type: &str,
    key: impl Into<Key>,
    method: &str,
    args: &(impl Serialize + ?Sized),
    options: Options,
) -> Result<R> {
    let options = host::CallOptions { timeout_ms: options.timeout_ms(), idempotent: options.idempotent };
    let answer = host::call_with(server_type, &key.into().0, method, &serde_json::to_vec(args)?, options)?;
    decode(server_type, method, &answer)
}

/// Calls one server by its id.
pub fn call_server<R: DeserializeOwned>(
    server_id: &str,
    method: &str,
    args: &(impl Serialize + ?Sized),
) -> Result<R> {
    decode(server_id, method, &host::call_server(server_id, method, &serde_json::to_vec(args)?)?)
}

/// Calls all servers of a type at once; answers each server's id and its own result, sorted by id.
pub fn call_all<R: DeserializeOwned>(
    server_type: &str,
    method: &str,
    args: &(impl Serialize + ?Sized),
) -> Result<Vec<(String, Result<R>)>> {
    let all = host::call_all(server_type, method, &serde_json::to_vec(args)?);
    let each = |(id, result): (String, Result<Vec<u8>, _>)| {
        let result = result.map_err(Into::into).and_then(|body| decode(&id, method, &body));
        (id, result)
    };
    Ok(all.into_iter().map(each).collect())
}

/// As [`call`], without waiting for the outcome: an error only if it could not be sent.
pub fn notify(
    server_type: &str,
    key: impl Into<Key>,
    method: &str,
    args: &(impl Serialize + ?Sized),
) -> Result<()> {
    Ok(host::notify(server_type, &key.into().0, method, &serde_json::to_vec(args)?)?)
}

pub(crate) fn decode<R: DeserializeOwned>(to: &str, method: &str, body: &[u8]) -> Result<R> {
    serde_json::from_slice(body).map_err(|e| fail(500, format!("answer of {to} to {method}: {e}")))
}
