//! Calls through the table for the roles that not every plugin has.

use serde::de::DeserializeOwned;

use super::{Failed, Plugin, decode, find, report};
use crate::bindings::shaddock::plugin::types;
use crate::filter::{Filter, Outcome, Request, RpcFilter};
use crate::handshake::{Client, Welcome};
use crate::roles::filter::exports::shaddock::plugin::filter;
use crate::roles::handshake::exports::shaddock::plugin::handshake;
use crate::roles::state::exports::shaddock::plugin::state;
use crate::{Error, Raw, Result, SavedState, Server, Session};

/// An error handler.
pub type ErrorHandler = fn(&Request, &mut Session, &Error) -> Result<Raw>;
/// A filter of broadcasts: which of the sessions get it.
pub type BroadcastFilter = fn(&str, &Session) -> bool;
/// The action of a cron; it gets the cron's id.
pub type Cron = fn(&str) -> Result<()>;
/// A timer's function with its types taken off.
pub type AnyTimer = fn(&[u8]) -> Result<()>;
/// A game loop.
pub type Tick = fn(&crate::Tick) -> Result<()>;

/// How a state is saved, and how it is loaded.
pub type State = (fn() -> Result<SavedState>, fn(SavedState) -> Result<()>);

/// A listener to servers that have come up.
pub type ServersListener = fn(&[Server]) -> Result<()>;
/// A listener to servers that have gone.
pub type IdsListener = fn(&[String]) -> Result<()>;
/// A table of filters.
pub type Filters = &'static [(&'static str, &'static dyn Filter)];
/// A table of filters of calls.
pub type RpcFilters = &'static [(&'static str, &'static dyn RpcFilter)];

/// All that a plugin offers in these roles.
pub struct Roles {
    pub handshake: Option<fn(&Client) -> Result<Welcome>>,
    pub filters: Filters,
    pub error_handlers: &'static [(&'static str, ErrorHandler)],
    pub rpc_filters: RpcFilters,
    pub broadcast_filters: &'static [(&'static str, BroadcastFilter)],
    pub crons: &'static [(&'static str, Cron)],
    pub timers: &'static [(&'static str, AnyTimer)],
    pub tick: Option<Tick>,
    pub self_test: Option<fn() -> Result<()>>,
    pub state: Option<State>,
    pub after_start: Option<fn() -> Result<()>>,
    pub all_started: Option<fn() -> Result<()>>,
    pub before_stop: Option<fn() -> Result<()>>,
    pub servers_added: Option<ServersListener>,
    pub servers_removed: Option<IdsListener>,
    pub servers_replaced: Option<ServersListener>,
    pub session_bound: Option<fn(&Session) -> Result<()>>,
    pub session_unbound: Option<fn(&Session, &str) -> Result<()>>,
}

impl Roles {
    /// One that offers nothing.
    pub const EMPTY: Roles = Roles {
        handshake: None,
        filters: &[],
        error_handlers: &[],
        rpc_filters: &[],
        broadcast_filters: &[],
        crons: &[],
        timers: &[],
        tick: None,
        self_test: None,
        state: None,
        after_start: None,
        all_started: None,
        before_stop: None,
        servers_added: None,
        servers_removed: None,
        servers_replaced: None,
        session_bound: None,
        session_unbound: None,
    };
}

/// A function that can be a timer's: of what was given along, or of nothing.
pub trait Timer<Form> {
    fn fire(&self, payload: &[u8]) -> Result<()>;
}

impl<F: Fn() -> Result<()>> Timer<()> for F {
    fn fire(&self, _: &[u8]) -> Result<()> {
        self()
    }
}

impl<F: Fn(A) -> Result<()>, A: DeserializeOwned> Timer<(A,)> for F {
    fn fire(&self, payload: &[u8]) -> Result<()> {
        self(decode(payload)?)
    }
}

fn outcome(of_host: Failed<Vec<u8>>) -> Outcome {
    of_host.map(Raw).map_err(Error::from)
}

/// The calls of the exports.
impl Plugin {
    pub fn check_handshake(&self, client: handshake::Client) -> Failed<handshake::Welcome> {
        let handshake::Client { client_type, version, user, address } = client;
        let client = Client { client_type, version, user, address };
        let welcome = self.roles.handshake.map_or_else(|| Ok(Welcome::new()), |check| check(&client));
        let Welcome { user, uid, settings } = welcome.map_err(|e| e.context("handshake").into_failure())?;
        Ok(handshake::Welcome { user, uid, settings })
    }

    pub fn filter_before(
        &self,
        name: &str,
        route: String,
        body: Vec<u8>,
        session: types::Session,
    ) -> std::result::Result<Option<Vec<u8>>, filter::Refusal> {
        let mut request = Request::new(route, body);
        let passed = find(self.roles.filters, name)
            .and_then(|filter| filter.before(&mut request, &mut Session(session)));
        match passed {
            Ok(()) => Ok(request.changed()),
            Err(mut e) => {
                let answer = e.answer.take();
                Err(filter::Refusal { failure: e.context(name).into_failure(), answer })
            }
        }
    }

    pub fn filter_after(
        &self,
        name: &str,
        route: String,
        body: Vec<u8>,
        session: types::Session,
        of_host: Failed<Vec<u8>>,
    ) -> Option<Vec<u8>> {
        let request = Request::new(route, body);
        let after = find(self.roles.filters, name)
            .and_then(|filter| filter.after(&request, &mut Session(session), &outcome(of_host)));
        match after {
            Ok(answer) => answer.map(|answer| answer.0),
            Err(e) => {
                crate::warn!("{name}: {e}");
                None
            }
        }
    }

    pub fn handle_error(
        &self,
        name: &str,
        route: String,
        body: Vec<u8>,
        session: types::Session,
        failure: types::Failure,
        answer: Option<Vec<u8>>,
    ) -> Failed<Vec<u8>> {
        let mut error = Error::from(failure);
        error.answer = answer;
        let request = Request::new(route, body);
        let handled = find(self.roles.error_handlers, name)
            .and_then(|handle| handle(&request, &mut Session(session), &error));
        handled.map(|answer| answer.0).map_err(Error::into_failure)
    }

    pub fn rpc_before(
        &self,
        name: &str,
        server: &str,
        method: &str,
        args: Vec<u8>,
    ) -> Failed<Option<Vec<u8>>> {
        let args = Raw(args);
        let passed =
            find(self.roles.rpc_filters, name).and_then(|filter| filter.before(server, method, &args));
        passed.map(|args| args.map(|args| args.0)).map_err(|e| e.context(name).into_failure())
    }

    pub fn rpc_after(&self, name: &str, server: &str, method: &str, of_host: Failed<Vec<u8>>) {
        if let Ok(filter) = find(self.roles.rpc_filters, name) {
            filter.after(server, method, &outcome(of_host));
        }
    }

    pub fn select(&self, name: &str, param: &str, sessions: Vec<types::Session>) -> Vec<bool> {
        let Ok(filter) = find(self.roles.broadcast_filters, name) else { return Vec::new() };
        sessions.into_iter().map(|session| filter(param, &Session(session))).collect()
    }

    pub fn run_cron(&self, action: &str, id: &str) -> Failed<()> {
        find(self.roles.crons, action).and_then(|run| run(id)).map_err(|e| e.context(action).into_failure())
    }

    pub fn fire_timer(&self, name: &str, payload: &[u8]) -> Failed<()> {
        find(self.roles.timers, name)
            .and_then(|fire| fire(payload))
            .map_err(|e| e.context(name).into_failure())
    }

    pub fn tick(&self, number: u64, late_ns: u64, missed: u32) -> Failed<()> {
        let tick = crate::Tick { number, late: std::time::Duration::from_nanos(late_ns), missed };
        self.roles.tick.map_or(Ok(()), |run| run(&tick)).map_err(|e| e.context("tick").into_failure())
    }

    pub fn self_test(&self) -> Failed<()> {
        self.roles.self_test.map_or(Ok(()), |run| run()).map_err(|e| e.context("self_test").into_failure())
    }

    pub fn save_state(&self) -> Failed<state::Saved> {
        let saved = match self.roles.state {
            Some((save, _)) => save(),
            None => Err(crate::fail(404, "the plugin has no state")),
        };
        let SavedState { schema_version, bytes } = saved.map_err(|e| e.context("state").into_failure())?;
        Ok(state::Saved { schema_version, bytes })
    }

    pub fn load_state(&self, saved: state::Saved) -> Failed<()> {
        let state::Saved { schema_version, bytes } = saved;
        let load = |(_, load): State| load(SavedState { schema_version, bytes });
        self.roles.state.map_or(Ok(()), load).map_err(|e| e.context("state").into_failure())
    }

    pub fn after_start(&self) {
        report("after_start", self.roles.after_start.map(|listener| listener()));
    }

    pub fn all_started(&self) {
        report("all_started", self.roles.all_started.map(|listener| listener()));
    }

    pub fn before_stop(&self) {
        report("before_stop", self.roles.before_stop.map(|listener| listener()));
    }

    pub fn servers_added(&self, servers: &[Server]) {
        report("servers_added", self.roles.servers_added.map(|listener| listener(servers)));
    }

    pub fn servers_removed(&self, ids: &[String]) {
        report("servers_removed", self.roles.servers_removed.map(|listener| listener(ids)));
    }

    pub fn servers_replaced(&self, servers: &[Server]) {
        report("servers_replaced", self.roles.servers_replaced.map(|listener| listener(servers)));
    }

    pub fn session_bound(&self, session: types::Session) {
        report("session_bound", self.roles.session_bound.map(|listener| listener(&Session(session))));
    }

    pub fn session_unbound(&self, session: types::Session, uid: &str) {
        report(
            "session_unbound",
            self.roles.session_unbound.map(|listener| listener(&Session(session), uid)),
        );
    }
}
