//! What [`concurrent_plugin!`](crate::concurrent_plugin) is made of: the table of a plugin's functions, and the calls
//! through it.

use std::pin::Pin;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Session;
use crate::app::remember_settings;
use crate::bindings::shaddock::plugin::types;
use crate::glue::{Failed, answer, decode, find, report};
pub use crate::glue::{hook_panics, names};
use crate::{Error, Raw, Result};

/// A call that goes on.
pub type Running<T> = Pin<Box<dyn Future<Output = Result<T>>>>;
/// A handler with its types taken off.
pub type AnyHandler = fn(Vec<u8>, Session) -> Running<Vec<u8>>;
/// A remote with its types taken off.
pub type AnyRemote = fn(Vec<u8>) -> Running<Vec<u8>>;
/// A timer's function with its types taken off.
pub type AnyTimer = fn(Vec<u8>) -> Running<()>;

/// All that a plugin offers.
pub struct Plugin {
    pub routes: &'static [(&'static str, AnyHandler)],
    pub remotes: &'static [(&'static str, AnyRemote)],
    pub timers: &'static [(&'static str, AnyTimer)],
    pub init: Option<fn() -> Result<()>>,
    pub start: Option<fn() -> Result<()>>,
    pub session_closed: Option<fn(&Session, &str) -> Result<()>>,
    pub stop: Option<fn() -> Result<()>>,
}

impl Plugin {
    /// One that offers nothing.
    pub const EMPTY: Plugin = Plugin {
        routes: &[],
        remotes: &[],
        timers: &[],
        init: None,
        start: None,
        session_closed: None,
        stop: None,
    };

    pub async fn handle(&self, route: &str, body: Vec<u8>, session: types::Session) -> Failed<Vec<u8>> {
        let answer = match find(self.routes, route) {
            Ok(handler) => handler(body, Session::new(session)).await,
            Err(e) => Err(e),
        };
        answer.or_else(|e| e.into_answer(route))
    }

    pub async fn call(&self, method: &str, args: Vec<u8>) -> Failed<Vec<u8>> {
        let answer = match find(self.remotes, method) {
            Ok(remote) => remote(args).await,
            Err(e) => Err(e),
        };
        answer.map_err(|e| e.context(method).into_failure())
    }

    pub async fn fire_timer(&self, name: &str, payload: Vec<u8>) -> Failed<()> {
        let fired = match find(self.timers, name) {
            Ok(timer) => timer(payload).await,
            Err(e) => Err(e),
        };
        fired.map_err(|e: Error| e.context(name).into_failure())
    }

    pub fn init(&self, settings: String) -> Failed<()> {
        remember_settings(settings);
        self.init.map_or(Ok(()), |init| init().map_err(|e| e.context("init").into_failure()))
    }

    pub fn start(&self, settings: String) -> Failed<()> {
        remember_settings(settings);
        self.start.map_or(Ok(()), |start| start().map_err(|e| e.context("start").into_failure()))
    }

    pub fn session_closed(&self, session: types::Session, reason: &str) {
        report("session_closed", self.session_closed.map(|closed| closed(&Session::new(session), reason)));
    }

    pub fn stop(&self) {
        report("stop", self.stop.map(|stop| stop()));
    }
}

/// Marks a handler that takes the session.
pub struct WithSession;
/// Marks a handler that takes the session, but cannot change it.
pub struct WithSharedSession;
/// Marks a function that waits for nothing.
pub struct Plain;

/// A function that can be a handler: of the message, or of the message and the session.
#[allow(async_fn_in_trait, reason = "guests have one thread")]
pub trait Handler<Form> {
    async fn handle(&self, body: Vec<u8>, session: Session) -> Result<Vec<u8>>;
}

impl<F: AsyncFn() -> Result<T>, T: Serialize> Handler<()> for F {
    async fn handle(&self, _: Vec<u8>, _: Session) -> Result<Vec<u8>> {
        answer(&self().await?)
    }
}

impl<F: AsyncFn(M) -> Result<T>, M: DeserializeOwned, T: Serialize> Handler<(M,)> for F {
    async fn handle(&self, body: Vec<u8>, _: Session) -> Result<Vec<u8>> {
        answer(&self(decode(&body)?).await?)
    }
}

impl<F, M, T> Handler<(M, WithSession)> for F
where
    F: AsyncFn(M, &mut Session) -> Result<T>,
    M: DeserializeOwned,
    T: Serialize,
{
    async fn handle(&self, body: Vec<u8>, mut session: Session) -> Result<Vec<u8>> {
        answer(&self(decode(&body)?, &mut session).await?)
    }
}

impl<F, M, T> Handler<(M, WithSharedSession)> for F
where
    F: AsyncFn(M, &Session) -> Result<T>,
    M: DeserializeOwned,
    T: Serialize,
{
    async fn handle(&self, body: Vec<u8>, session: Session) -> Result<Vec<u8>> {
        answer(&self(decode(&body)?, &session).await?)
    }
}

impl<F: AsyncFn(Raw) -> Result<Raw>> Handler<Raw> for F {
    async fn handle(&self, body: Vec<u8>, _: Session) -> Result<Vec<u8>> {
        self(Raw(body)).await.map(|answer| answer.0)
    }
}

impl<F: Fn() -> Result<T>, T: Serialize> Handler<(Plain,)> for F {
    async fn handle(&self, _: Vec<u8>, _: Session) -> Result<Vec<u8>> {
        answer(&self()?)
    }
}

impl<F: Fn(M) -> Result<T>, M: DeserializeOwned, T: Serialize> Handler<(Plain, M)> for F {
    async fn handle(&self, body: Vec<u8>, _: Session) -> Result<Vec<u8>> {
        answer(&self(decode(&body)?)?)
    }
}

impl<F: Fn(Raw) -> Result<Raw>> Handler<(Plain, Raw)> for F {
    async fn handle(&self, body: Vec<u8>, _: Session) -> Result<Vec<u8>> {
        self(Raw(body)).map(|answer| answer.0)
    }
}

/// A function that can be a remote: of its arguments, or of nothing.
#[allow(async_fn_in_trait, reason = "guests have one thread")]
pub trait Remote<Form> {
    async fn call(&self, args: Vec<u8>) -> Result<Vec<u8>>;
}

impl<F: AsyncFn() -> Result<T>, T: Serialize> Remote<()> for F {
    async fn call(&self, _: Vec<u8>) -> Result<Vec<u8>> {
        Ok(serde_json::to_vec(&self().await?)?)
    }
}

impl<F: AsyncFn(A) -> Result<T>, A: DeserializeOwned, T: Serialize> Remote<(A,)> for F {
    async fn call(&self, args: Vec<u8>) -> Result<Vec<u8>> {
        Ok(serde_json::to_vec(&self(decode(&args)?).await?)?)
    }
}

impl<F: Fn() -> Result<T>, T: Serialize> Remote<(Plain,)> for F {
    async fn call(&self, _: Vec<u8>) -> Result<Vec<u8>> {
        Ok(serde_json::to_vec(&self()?)?)
    }
}

impl<F: Fn(A) -> Result<T>, A: DeserializeOwned, T: Serialize> Remote<(Plain, A)> for F {
    async fn call(&self, args: Vec<u8>) -> Result<Vec<u8>> {
        Ok(serde_json::to_vec(&self(decode(&args)?)?)?)
    }
}

/// A function that can be a timer's: of what was given along, or of nothing.
#[allow(async_fn_in_trait, reason = "guests have one thread")]
pub trait Timer<Form> {
    async fn fire(&self, payload: Vec<u8>) -> Result<()>;
}

impl<F: AsyncFn() -> Result<()>> Timer<()> for F {
    async fn fire(&self, _: Vec<u8>) -> Result<()> {
        self().await
    }
}

impl<F: AsyncFn(A) -> Result<()>, A: DeserializeOwned> Timer<(A,)> for F {
    async fn fire(&self, payload: Vec<u8>) -> Result<()> {
        self(decode(&payload)?).await
    }
}
