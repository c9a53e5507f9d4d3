//! A host for unit tests, which run on the machine's own target (`cargo test --lib`).
//!
//! ```
//! use shaddock_sdk::prelude::*;
//! use shaddock_sdk::testing::Host;
//!
//! shaddock_sdk::plugin! {
//!     routes { "hall.greeter.hello" => hello }
//! }
//!
//! fn hello(name: String, session: &mut Session) -> Result<String> {
//!     session.bind(&name)?;
//!     session.send("onHello", &name)?;
//!     Ok(format!("hello {name}"))
//! }
//!
//! let host = Host::new();
//! let session = host.session();
//! let answer = host.request(&PLUGIN, "hall.greeter.hello", &"Ada", &session);
//! assert_eq!(answer, Ok(json!("hello Ada")));
//! assert_eq!(host.pushes()[0].route, "onHello");
//! assert_eq!(host.session_now(&session).uid(), Some("Ada"));
//! ```
//!
//! It behaves as a server with one frontend does: sessions keep their users and settings, channels their members, and whatever
//! the plugin sends, calls, sets and logs is kept to be looked at. A call that has no answer prepared fails with 404.

pub(crate) mod concurrent;
pub(crate) mod host;
mod state;
mod tested;

use serde::Serialize;
use serde_json::Value;

use crate::app::Level;
use crate::{Result, Session};
use state::with;
pub use tested::Tested;

/// The frontend of all sessions, and the plugin's own server unless it is changed.
pub const FRONTEND: &str = "connector-1";

/// The host of one test. A new one begins from nothing, and takes the place of the one before on this thread.
#[derive(Debug)]
#[non_exhaustive]
pub struct Host {}

/// What a plugin has sent to clients.
#[derive(Clone, Debug, PartialEq)]
pub struct Push {
    /// To whom.
    pub to: To,
    /// The route.
    pub route: String,
    /// The body.
    pub body: Value,
}

/// The receivers of a [`Push`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum To {
    /// A session, by its number.
    Session(u64),
    /// Users: those named, or the members of a channel.
    Users(Vec<String>),
    /// All sessions of the frontends of a type, or all that a user is bound to.
    Broadcast {
        /// The type.
        server_type: String,
        /// Whether a user has to be bound.
        bound_only: bool,
    },
}

/// A call to another plugin.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// The server type, or the server's id.
    pub to: String,
    /// `service.method`.
    pub method: String,
    /// The arguments.
    pub args: Value,
}

/// A timer that was set and not cancelled.
#[derive(Clone, Debug, PartialEq)]
pub struct Timer {
    /// Its number.
    pub id: u64,
    /// The function that it calls.
    pub name: String,
    /// Milliseconds until it fires, or between the times that it does.
    pub ms: u64,
    /// Whether it fires again and again.
    pub repeats: bool,
    /// What the function gets.
    pub payload: Value,
}

impl Default for Host {
    fn default() -> Self {
        Self::new()
    }
}

impl Host {
    /// A host that knows of nothing yet: no sessions, settings `{}`, the time 0, random bytes that are all 0.
    pub fn new() -> Self {
        state::reset();
        crate::app::forget_settings();
        Self {}
    }

    /// What plugins.json has as the plugin's settings.
    pub fn set_settings(&self, settings: &impl Serialize) {
        with(|state| state.settings = text(settings));
        crate::app::forget_settings();
    }

    /// The time: milliseconds since 1970-01-01T00:00:00Z. The other clock stands at the same time.
    pub fn set_now_ms(&self, ms: u64) {
        with(|state| state.now_ms = ms);
    }

    /// The random bytes that plugins get, again and again.
    pub fn set_random(&self, bytes: &[u8]) {
        with(|state| state.random = bytes.to_vec());
    }

    /// Another server of the cluster, or in place of the plugin's own one if it has that id.
    pub fn add_server(&self, id: &str, server_type: &str) {
        with(|state| state.add_server(id, server_type));
    }

    /// What a remote of another plugin answers from now on; `method` is `serverType.service.method`.
    pub fn answer(&self, method: &str, answer: impl Fn(Value) -> Result<Value> + 'static) {
        with(|state| state.remotes.insert(method.to_owned(), std::rc::Rc::new(answer)));
    }

    /// A client that has connected. No user is bound to its session yet.
    pub fn session(&self) -> Session {
        Session(with(state::State::connect))
    }

    /// The same with a user.
    pub fn session_of(&self, uid: &str) -> Session {
        let mut session = self.session().0;
        session.uid = Some(uid.to_owned());
        with(|state| state.keep(&session));
        Session(session)
    }

    /// The session as its frontend has it now: with what was bound and pushed.
    pub fn session_now(&self, session: &Session) -> Session {
        Session(with(|state| state.now(&session.0.id)).unwrap_or_else(|_| session.0.clone()))
    }

    /// Whether the session is still there, not kicked.
    pub fn is_connected(&self, session: &Session) -> bool {
        with(|state| state.now(&session.0.id)).is_ok()
    }

    /// Sends a message to a handler as a client does; `plugin` is the `PLUGIN` that [`plugin!`](crate::plugin) or
    /// [`concurrent_plugin!`](crate::concurrent_plugin) makes.
    pub fn request(
        &self,
        plugin: &impl Tested,
        route: &str,
        body: &impl Serialize,
        session: &Session,
    ) -> Result<Value> {
        let copy = with(|state| state.copy(&session.0.id))?;
        let answer = plugin.handle(route, text(body).into_bytes(), copy)?;
        Ok(if answer.is_empty() { serde_json::json!({}) } else { serde_json::from_slice(&answer)? })
    }

    /// Calls a remote of the plugin as another plugin does; `method` is `serverType.service.method`.
    pub fn call(&self, plugin: &impl Tested, method: &str, args: &impl Serialize) -> Result<Value> {
        Ok(serde_json::from_slice(&plugin.call(method, text(args).into_bytes())?)?)
    }

    /// Lets a timer fire.
    pub fn fire(&self, plugin: &impl Tested, timer: &Timer) -> Result<()> {
        Ok(plugin.fire(&timer.name, timer.payload.to_string().into_bytes())?)
    }

    /// What was sent to clients, in order.
    pub fn pushes(&self) -> Vec<Push> {
        with(|state| state.pushes.clone())
    }

    /// The calls to other plugins, in order.
    pub fn calls(&self) -> Vec<Call> {
        with(|state| state.calls.clone())
    }

    /// The timers that are set.
    pub fn timers(&self) -> Vec<Timer> {
        with(|state| state.timers.clone())
    }

    /// The lines of the log, in order.
    pub fn log(&self) -> Vec<(Level, String)> {
        with(|state| state.log.clone())
    }
}

/// A value as JSON; what cannot be written is null.
fn text(value: &impl Serialize) -> String {
    serde_json::to_value(value).unwrap_or_default().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prelude::*;
    use std::time::Duration;

    crate::plugin! {
        routes {
            "hall.hallHandler.enter" => enter,
            "hall.hallHandler.ask" => ask,
            "hall.hallHandler.boom" => boom,
        }
        remotes { "hall.hallRemote.count" => count }
        timers { "bell" => bell }
    }

    fn enter(name: String, session: &mut Session) -> Result<Value> {
        session.bind(&name)?;
        session.set("name", &name)?;
        session.set("seen", &app::now_ms())?;
        session.push_only(&["name"])?;
        let hall = Channel::named("hall");
        let new = hall.join(&session.member()?)?;
        hall.push("onEnter", &json!({ "name": name }))?;
        timers::after(Duration::from_secs(5), "bell", &name)?;
        info!("{name} entered");
        Ok(json!({ "new": new, "number": app::random_bytes(3) }))
    }

    fn ask(question: String) -> Result<Value> {
        rpc::call("oracle", "key", "oracleRemote.ask", &question)
    }

    fn boom() -> Result<()> {
        Err(fail(403, "not today"))
    }

    fn count() -> Result<usize> {
        Ok(Channel::named("hall").members()?.len())
    }

    fn bell(name: String) -> Result<()> {
        channels::broadcast("hall", channels::Audience::Bound, "onBell", &name)
    }

    #[test]
    fn a_handler_meets_sessions_channels_timers_the_clock_and_the_log() {
        let host = Host::new();
        host.set_now_ms(7);
        host.set_random(&[1, 2]);
        let session = host.session();
        let answer = host.request(&PLUGIN, "hall.hallHandler.enter", &"Ada", &session);
        assert_eq!(answer, Ok(json!({ "new": true, "number": [1, 2, 1] })));
        let now = host.session_now(&session);
        assert_eq!(
            (now.uid(), now.get("name"), now.get::<u64>("seen")),
            (Some("Ada"), Ok(Some("Ada".to_owned())), Ok(None))
        );
        let push = Push {
            to: To::Users(vec!["Ada".into()]),
            route: "onEnter".into(),
            body: json!({ "name": "Ada" }),
        };
        assert_eq!(host.pushes(), [push]);
        assert_eq!(host.log(), [(Level::Info, "Ada entered".to_owned())]);
        assert_eq!(host.call(&PLUGIN, "hall.hallRemote.count", &()), Ok(json!(1)));
        let timers = host.timers();
        assert_eq!((timers[0].ms, timers[0].repeats), (5000, false));
        host.fire(&PLUGIN, &timers[0]).unwrap();
        let to = To::Broadcast { server_type: "hall".into(), bound_only: true };
        assert_eq!(host.pushes()[1], Push { to, route: "onBell".into(), body: json!("Ada") });
    }

    #[test]
    fn remotes_answer_what_the_test_prepared_and_nothing_else() {
        let host = Host::new();
        let session = host.session_of("Ada");
        let ask = |question: &str| host.request(&PLUGIN, "hall.hallHandler.ask", &question, &session);
        assert_eq!(ask("why?").map_err(|e| e.code), Err(404));
        host.answer("oracle.oracleRemote.ask", |question| Ok(json!({ "asked": question })));
        assert_eq!(ask("why?"), Ok(json!({ "asked": "why?" })));
        host.answer("oracle.oracleRemote.ask", |_| Err(fail(503, "asleep")));
        assert_eq!(ask("why?").map_err(|e| e.code), Err(503));
        let call = Call { to: "oracle".into(), method: "oracleRemote.ask".into(), args: json!("why?") };
        assert_eq!(host.calls(), vec![call; 3]);
    }

    #[test]
    fn failures_come_with_their_code_and_the_next_host_begins_anew() {
        let host = Host::new();
        let session = host.session();
        let failed = host.request(&PLUGIN, "hall.hallHandler.boom", &(), &session).unwrap_err();
        assert_eq!(failed.to_string(), "hall.hallHandler.boom: not today (code 403)");
        assert_eq!(
            host.request(&PLUGIN, "hall.hallHandler.none", &(), &session).map_err(|e| e.code),
            Err(404)
        );
        assert_eq!(
            host.request(&PLUGIN, "hall.hallHandler.enter", &7, &session).map_err(|e| e.code),
            Err(400)
        );
        session.kick("enough").unwrap();
        assert!(!host.is_connected(&session));
        host.set_settings(&json!({ "speed": 3 }));
        assert_eq!(app::settings::<Value>(), Ok(json!({ "speed": 3 })));
        let host = Host::new();
        assert_eq!((host.pushes(), host.log(), app::settings::<Value>()), (vec![], vec![], Ok(json!({}))));
    }

    #[test]
    fn a_user_is_bound_once_and_found() {
        let host = Host::new();
        let mut session = host.session_of("Ada");
        session.bind("Ada").unwrap();
        assert_eq!(session.bind("Bob").map_err(|e| e.code), Err(409));
        assert_eq!(sessions::find("Ada").unwrap().len(), 1);
        assert_eq!(sessions::kick_everywhere("Ada", "bye"), Ok(1));
        assert!(sessions::find("Ada").unwrap().is_empty());
    }
}
