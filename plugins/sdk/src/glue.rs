//! What [`plugin!`](crate::plugin) is made of: the table of a plugin's functions, and the calls through it.

mod roles;

use std::cell::RefCell;
use std::sync::Once;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::app::remember_settings;
use crate::bindings::exports::shaddock::plugin::router;
use crate::bindings::shaddock::plugin::types;
use crate::routing::{RouteKey, Target};
use crate::{Raw, Result, Server, Session, app, fail};

pub(crate) type Failed<T> = std::result::Result<T, types::Failure>;

pub use roles::*;

/// A handler with its types taken off.
pub type AnyHandler = fn(Vec<u8>, Session) -> Result<Vec<u8>>;
/// A remote with its types taken off.
pub type AnyRemote = fn(&[u8]) -> Result<Vec<u8>>;
/// A route function with its form taken off.
pub type AnyRouter = fn(&RouteKey, &[Server], &str) -> Result<Target>;

/// All that a plugin offers.
pub struct Plugin {
    pub routes: &'static [(&'static str, AnyHandler)],
    pub remotes: &'static [(&'static str, AnyRemote)],
    pub routers: &'static [(&'static str, AnyRouter)],
    pub init: Option<fn() -> Result<()>>,
    pub start: Option<fn() -> Result<()>>,
    pub session_closed: Option<fn(&Session, &str) -> Result<()>>,
    pub stop: Option<fn() -> Result<()>>,
    pub roles: Roles,
}

impl Plugin {
    /// One that offers nothing.
    pub const EMPTY: Plugin = Plugin {
        routes: &[],
        remotes: &[],
        routers: &[],
        init: None,
        start: None,
        session_closed: None,
        stop: None,
        roles: Roles::EMPTY,
    };

    pub fn handle(&self, route: &str, body: Vec<u8>, session: types::Session) -> Failed<Vec<u8>> {
        let answer = find(self.routes, route).and_then(|handler| handler(body, Session(session)));
        answer.or_else(|e| e.into_answer(route))
    }

    pub fn call(&self, method: &str, args: &[u8]) -> Failed<Vec<u8>> {
        let answer = find(self.remotes, method).and_then(|remote| remote(args));
        answer.map_err(|e| e.context(method).into_failure())
    }

    pub fn route(&self, server_type: &str, key: router::RouteKey, method: &str) -> Failed<router::Target> {
        let key = match key {
            router::RouteKey::Session(session) => RouteKey::Session(Session(session)),
            router::RouteKey::Value(text) => RouteKey::Value(text),
        };
        let target = find(self.routers, server_type).and_then(|route| {
            SERVERS.with_borrow(|known| route(&key, servers_of(known, server_type), method))
        });
        match target {
            Ok(Target::Index(index)) => Ok(router::Target::Index(index)),
            Ok(Target::Id(id)) => Ok(router::Target::Id(id)),
            Err(e) => Err(e.context(server_type).into_failure()),
        }
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
        report("session_closed", self.session_closed.map(|closed| closed(&Session(session), reason)));
    }

    pub fn stop(&self) {
        report("stop", self.stop.map(|stop| stop()));
    }
}

/// Nobody waits for these results, so that they go to the log.
pub(crate) fn report(event: &str, outcome: Option<Result<()>>) {
    if let Some(Err(e)) = outcome {
        crate::warn!("{event}: {e}");
    }
}

/// A host calls only what the table names, so that a miss is the host's mistake.
pub(crate) fn find<F: Copy>(table: &[(&str, F)], name: &str) -> Result<F> {
    let found = table.iter().find(|(known, _)| *known == name);
    found.map(|&(_, function)| function).ok_or_else(|| fail(404, "the plugin has no such function"))
}

/// The names in a table.
pub fn names<F>(table: &[(&str, F)]) -> Vec<String> {
    table.iter().map(|(name, _)| (*name).to_owned()).collect()
}

thread_local! {
    /// The servers by type, as the host told them last.
    static SERVERS: RefCell<Vec<(String, Vec<Server>)>> = const { RefCell::new(Vec::new()) };
}

/// Takes note of the servers of a type.
pub fn set_servers(server_type: String, servers: Vec<Server>) {
    SERVERS.with_borrow_mut(|known| match known.iter_mut().find(|(name, _)| *name == server_type) {
        Some((_, list)) => *list = servers,
        None => known.push((server_type, servers)),
    });
}

fn servers_of<'a>(known: &'a [(String, Vec<Server>)], server_type: &str) -> &'a [Server] {
    known.iter().find(|(name, _)| name == server_type).map_or(&[], |(_, list)| list)
}

/// Sends the text and place of a panic to the log; without this a trap has a backtrace, but no message.
pub fn hook_panics() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| std::panic::set_hook(Box::new(|info| app::log(app::Level::Error, &info.to_string()))));
}

pub(crate) fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T> {
    serde_json::from_slice(body).map_err(|e| fail(400, e.to_string()))
}

/// The answer to a client; `null`, the JSON of `()` and `None`, becomes the empty answer, which is `{}`.
pub(crate) fn answer(value: &impl Serialize) -> Result<Vec<u8>> {
    let json = serde_json::to_vec(value)?;
    Ok(if json == b"null" { Vec::new() } else { json })
}

/// Marks a handler that takes the session.
pub struct WithSession;
/// Marks a handler that takes the session, but cannot change it.
pub struct WithSharedSession;

/// A function that can be a handler: of the message, or of the message and the session.
pub trait Handler<Form> {
    fn handle(&self, body: Vec<u8>, session: Session) -> Result<Vec<u8>>;
}

impl<F: Fn() -> Result<T>, T: Serialize> Handler<()> for F {
    fn handle(&self, _: Vec<u8>, _: Session) -> Result<Vec<u8>> {
        answer(&self()?)
    }
}

impl<F: Fn(M) -> Result<T>, M: DeserializeOwned, T: Serialize> Handler<(M,)> for F {
    fn handle(&self, body: Vec<u8>, _: Session) -> Result<Vec<u8>> {
        answer(&self(decode(&body)?)?)
    }
}

impl<F, M, T> Handler<(M, WithSession)> for F
where
    F: Fn(M, &mut Session) -> Result<T>,
    M: DeserializeOwned,
    T: Serialize,
{
    fn handle(&self, body: Vec<u8>, mut session: Session) -> Result<Vec<u8>> {
        answer(&self(decode(&body)?, &mut session)?)
    }
}

impl<F, M, T> Handler<(M, WithSharedSession)> for F
where
    F: Fn(M, &Session) -> Result<T>,
    M: DeserializeOwned,
    T: Serialize,
{
    fn handle(&self, body: Vec<u8>, session: Session) -> Result<Vec<u8>> {
        answer(&self(decode(&body)?, &session)?)
    }
}

impl<F: Fn(Raw) -> Result<Raw>> Handler<Raw> for F {
    fn handle(&self, body: Vec<u8>, _: Session) -> Result<Vec<u8>> {
        self(Raw(body)).map(|answer| answer.0)
    }
}

impl<F: Fn(Raw, &mut Session) -> Result<Raw>> Handler<(Raw, WithSession)> for F {
    fn handle(&self, body: Vec<u8>, mut session: Session) -> Result<Vec<u8>> {
        self(Raw(body), &mut session).map(|answer| answer.0)
    }
}

/// A function that can be a remote: of its arguments, or of nothing.
pub trait Remote<Form> {
    fn call(&self, args: &[u8]) -> Result<Vec<u8>>;
}

impl<F: Fn() -> Result<T>, T: Serialize> Remote<()> for F {
    fn call(&self, _: &[u8]) -> Result<Vec<u8>> {
        Ok(serde_json::to_vec(&self()?)?)
    }
}

impl<F: Fn(A) -> Result<T>, A: DeserializeOwned, T: Serialize> Remote<(A,)> for F {
    fn call(&self, args: &[u8]) -> Result<Vec<u8>> {
        Ok(serde_json::to_vec(&self(decode(args)?)?)?)
    }
}

/// Marks a route function that takes the method too.
pub struct WithMethod;

/// A function that can be a route function: of the key and the servers, or of these and the method.
pub trait Router<Form> {
    fn route(&self, key: &RouteKey, servers: &[Server], method: &str) -> Result<Target>;
}

impl<F: Fn(&RouteKey, &[Server]) -> Result<Target>> Router<()> for F {
    fn route(&self, key: &RouteKey, servers: &[Server], _: &str) -> Result<Target> {
        self(key, servers)
    }
}

impl<F: Fn(&RouteKey, &[Server], &str) -> Result<Target>> Router<WithMethod> for F {
    fn route(&self, key: &RouteKey, servers: &[Server], method: &str) -> Result<Target> {
        self(key, servers, method)
    }
}
