//! What the host of a test knows.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use serde_json::Value;

use super::{Call, FRONTEND, Push, Timer, To};
use crate::app::Level;
use crate::bindings::shaddock::plugin::types::{Failure, Member, ServerInfo, Session, SessionId};
use crate::{Error, Result};

pub(super) type Failed<T> = std::result::Result<T, Failure>;
type Remote = Rc<dyn Fn(Value) -> Result<Value>>;

pub(super) struct State {
    pub(super) settings: String,
    pub(super) now_ms: u64,
    pub(super) random: Vec<u8>,
    pub(super) servers: Vec<ServerInfo>,
    pub(super) remotes: HashMap<String, Remote>,
    /// As the frontend has them.
    pub(super) sessions: Vec<Session>,
    /// As the running call has them.
    copies: Vec<Session>,
    pub(super) channels: Vec<Channel>,
    pub(super) pushes: Vec<Push>,
    pub(super) calls: Vec<Call>,
    pub(super) timers: Vec<Timer>,
    pub(super) log: Vec<(Level, String)>,
    last: u64,
}

pub(super) struct Channel {
    pub(super) name: String,
    pub(super) stays: bool,
    pub(super) members: Vec<Member>,
}

thread_local! {
    static STATE: RefCell<State> = RefCell::new(State::new());
}

/// Begins anew.
pub(super) fn reset() {
    STATE.set(State::new());
}

/// Looks at the state, or changes it.
pub(super) fn with<T>(look: impl FnOnce(&mut State) -> T) -> T {
    STATE.with_borrow_mut(look)
}

pub(super) fn failure(code: u32, message: &str) -> Failure {
    Failure { code, message: message.to_owned(), retryable: false }
}

impl State {
    fn new() -> Self {
        let mut state = State {
            settings: "{}".to_owned(),
            now_ms: 0,
            random: vec![0],
            servers: Vec::new(),
            remotes: HashMap::new(),
            sessions: Vec::new(),
            copies: Vec::new(),
            channels: Vec::new(),
            pushes: Vec::new(),
            calls: Vec::new(),
            timers: Vec::new(),
            log: Vec::new(),
            last: 0,
        };
        state.add_server(FRONTEND, "connector");
        state
    }

    pub(super) fn number(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    pub(super) fn add_server(&mut self, id: &str, server_type: &str) {
        let server = server(id, server_type);
        self.servers.retain(|known| known.id != id);
        self.servers.push(server);
        self.servers.sort_by(|a, b| a.id.cmp(&b.id));
    }

    pub(super) fn connect(&mut self) -> Session {
        let id = SessionId { frontend_id: FRONTEND.to_owned(), number: self.number() };
        let session = Session { id, uid: None, settings: Vec::new() };
        self.keep(&session);
        session
    }

    /// Takes over a session, for the frontend and for the running call.
    pub(super) fn keep(&mut self, session: &Session) {
        for list in [&mut self.sessions, &mut self.copies] {
            list.retain(|known| !same(&known.id, &session.id));
            list.push(session.clone());
        }
    }

    /// As the frontend has it.
    pub(super) fn now(&self, id: &SessionId) -> Failed<Session> {
        let found = self.sessions.iter().find(|known| same(&known.id, id));
        found.cloned().ok_or_else(|| failure(404, "no such session"))
    }

    /// A copy for a call that begins.
    pub(super) fn copy(&mut self, id: &SessionId) -> Failed<Session> {
        let session = self.now(id)?;
        self.keep(&session);
        Ok(session)
    }

    pub(super) fn copy_of(&mut self, id: &SessionId) -> Failed<&mut Session> {
        let found = self.copies.iter_mut().find(|known| same(&known.id, id));
        found.ok_or_else(|| failure(400, "the call has no copy of that session"))
    }

    pub(super) fn frontends(&mut self, id: &SessionId) -> Failed<&mut Session> {
        let found = self.sessions.iter_mut().find(|known| same(&known.id, id));
        found.ok_or_else(|| failure(404, "no such session"))
    }

    pub(super) fn channel(&mut self, name: &str) -> Option<&mut Channel> {
        self.channels.iter_mut().find(|channel| channel.name == name)
    }

    /// Does something with a channel, which is made if there is none.
    pub(super) fn with_channel<T>(&mut self, name: &str, change: impl FnOnce(&mut Channel) -> T) -> T {
        if let Some(channel) = self.channel(name) {
            return change(channel);
        }
        let mut channel = Channel { name: name.to_owned(), stays: false, members: Vec::new() };
        let changed = change(&mut channel);
        self.channels.push(channel);
        changed
    }

    pub(super) fn push(&mut self, to: To, route: &str, body: &[u8]) -> Failed<()> {
        let body =
            serde_json::from_slice(body).map_err(|e| failure(400, &format!("the body is no JSON: {e}")))?;
        self.pushes.push(Push { to, route: route.to_owned(), body });
        Ok(())
    }
}

/// A server as servers.json might have it.
pub(super) fn server(id: &str, server_type: &str) -> ServerInfo {
    ServerInfo {
        id: id.to_owned(),
        server_type: server_type.to_owned(),
        frontend: id == FRONTEND,
        host: "127.0.0.1".to_owned(),
        port: None,
        client_host: None,
        client_port: None,
        fields: "{}".to_owned(),
    }
}

pub(super) fn same(a: &SessionId, b: &SessionId) -> bool {
    (&a.frontend_id, a.number) == (&b.frontend_id, b.number)
}

pub(super) fn users(members: &[Member]) -> To {
    To::Users(members.iter().map(|member| member.uid.clone()).collect())
}

/// Has a remote answer that the test prepared. It runs without the state, which it may want to look at.
pub(super) fn call(server_type: &str, to: &str, method: &str, args: &[u8]) -> Failed<Vec<u8>> {
    let args: Value = serde_json::from_slice(args).map_err(|e| failure(400, &e.to_string()))?;
    let remote = with(|state| {
        state.calls.push(Call { to: to.to_owned(), method: method.to_owned(), args: args.clone() });
        state.remotes.get(&format!("{server_type}.{method}")).cloned()
    });
    let remote = remote.ok_or_else(|| {
        failure(
            404,
            &format!("the test has no answer prepared for {server_type}.{method}: Host::answer does that"),
        )
    })?;
    remote(args).map(|answer| answer.to_string().into_bytes()).map_err(Error::into_failure)
}
