//! Calls to the remotes of plugins on other servers, or on this one, many at once if need be. Grant: `rpc`.
//!
//! They are those of [`crate::rpc`], which says how they fail.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Session;
use super::host::rpc as host;
use crate::Result;
use crate::bindings::shaddock::plugin::rpc::RouteKey;
use crate::rpc::decode;
pub use crate::rpc::{Key, Options};

impl From<&Session> for Key {
    /// The call's own session, as far as it is set by now.
    fn from(session: &Session) -> Self {
        Key(RouteKey::Session(session.id()))
    }
}

impl From<&mut Session> for Key {
    fn from(session: &mut Session) -> Self {
        Key::from(&*session)
    }
}

/// The same key, as these calls take it.
fn of(key: impl Into<Key>) -> host::RouteKey {
    match key.into().0 {
        RouteKey::Session(id) => host::RouteKey::Session(id),
        RouteKey::Value(text) => host::RouteKey::Value(text),
    }
}

/// Calls one server of a type, picked by the type's route function.
pub async fn call<R: DeserializeOwned>(
    server_type: &str,
    key: impl Into<Key>,
    method: &str,
    args: &(impl Serialize + ?Sized),
) -> Result<R> {
    let args = serde_json::to_vec(args)?;
    let answer = host::call(server_type.to_owned(), of(key), method.to_owned(), args).await?;
    decode(server_type, method, &answer)
}

/// As [`call`], with options.
pub async fn call_with<R: DeserializeOwned>(
    server_type: &str,
    key: impl Into<Key>,
    method: &str,
    args: &(impl Serialize + ?Sized),
    options: Options,
) -> Result<R> {
    let args = serde_json::to_vec(args)?;
    let options = host::CallOptions { timeout_ms: options.timeout_ms(), idempotent: options.idempotent };
    let answer = host::call_with(server_type.to_owned(), of(key), method.to_owned(), args, options).await?;
    decode(server_type, method, &answer)
}

/// Calls one server by its id.
pub async fn call_server<R: DeserializeOwned>(
    server_id: &str,
    method: &str,
    args: &(impl Serialize + ?Sized),
) -> Result<R> {
    let args = serde_json::to_vec(args)?;
    let answer = host::call_server(server_id.to_owned(), method.to_owned(), args).await?;
    decode(server_id, method, &answer)
}

/// Calls all servers of a type at once; answers each server's id and its own result, sorted by id.
pub async fn call_all<R: DeserializeOwned>(
    server_type: &str,
    method: &str,
    args: &(impl Serialize + ?Sized),
) -> Result<Vec<(String, Result<R>)>> {
    let all = host::call_all(server_type.to_owned(), method.to_owned(), serde_json::to_vec(args)?).await;
    let each = |(id, result): (String, Result<Vec<u8>, _>)| {
        let result = result.map_err(Into::into).and_then(|body| decode(&id, method, &body));
        (id, result)
    };
    Ok(all.into_iter().map(each).collect())
}

/// As [`call`], without waiting for the outcome: an error only if it could not be sent.
pub async fn notify(
    server_type: &str,
    key: impl Into<Key>,
    method: &str,
    args: &(impl Serialize + ?Sized),
) -> Result<()> {
    let args = serde_json::to_vec(args)?;
    Ok(host::notify(server_type.to_owned(), of(key), method.to_owned(), args).await?)
}
