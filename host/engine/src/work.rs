//! What a call asks of a guest: one type per exported function, so that each call costs what it needs and no more.

use std::future::Future;
use std::sync::Arc;

use crate::bindings::exports::shaddock::plugin::{filter, handshake};
use crate::concurrent::Done;
use crate::error::CallError;
use crate::instance::Instance;
use crate::job::Job;
use crate::limits::LOG_BYTES_MAX;
use crate::recording::{Bytes, ToValue};
use crate::types::{Client, Failure, ServerInfo, Session, Verdict, Welcome};

/// One call of one exported function.
pub(crate) trait Work: Sync {
    /// What the guest answered.
    type Output: Send;
    /// What the caller gets of it.
    type Value: Send + ToValue;

    /// Whether it counts in the times of calls.
    const IS_TIMED: bool = false;
    /// What its name is found among.
    const SERVED: Served = Served::Other;

    /// The session of which the call has a copy from its beginning.
    fn session(&self) -> Option<Arc<Session>> {
        None
    }

    /// Makes the call. `route` is the name under which it runs.
    fn call(
        &self,
        instance: &mut Instance,
        route: &str,
    ) -> impl Future<Output = wasmtime::Result<Self::Output>> + Send;

    /// Checks the answer.
    fn finish(output: Self::Output, bytes_max: usize) -> Result<Self::Value, CallError>;

    /// The same call by itself.
    fn job(&self) -> Job;

    /// What a guest with many calls in flight answered to [`Work::job`]; none if such plugins do not play the role.
    fn output(_: Done) -> Option<Self::Output> {
        None
    }
}

/// The lists of names of which a plugin serves nothing else.
pub(crate) enum Served {
    Route,
    Method,
    Other,
}

type Answer = Result<Vec<u8>, Failure>;

/// An answer of a plugin that does not play the role at all; the server never asks such a one.
fn nothing<T: Default>() -> wasmtime::Result<Result<T, Failure>> {
    Ok(Ok(T::default()))
}

fn answer(done: Done) -> Option<Answer> {
    match done {
        Done::Answer(answer) => Some(answer),
        Done::Event(_) => None,
    }
}

fn bounded(value: Vec<u8>, bytes_max: usize) -> Result<Vec<u8>, CallError> {
    if value.len() > bytes_max {
        return Err(CallError::ValueTooLarge { what: "result", bytes_max });
    }
    Ok(value)
}

fn shortened(mut failure: Failure) -> Failure {
    let end = failure.message.floor_char_boundary(LOG_BYTES_MAX);
    failure.message.truncate(end);
    failure
}

fn failed(failure: Failure) -> CallError {
    CallError::Failure(shortened(failure))
}

fn checked(answer: Answer, bytes_max: usize) -> Result<Vec<u8>, CallError> {
    bounded(answer.map_err(failed)?, bytes_max)
}

/// `handler.handle`.
pub(crate) struct Handle<'a> {
    pub(crate) body: &'a [u8],
    pub(crate) session: Arc<Session>,
}

impl Work for Handle<'_> {
    const IS_TIMED: bool = true;
    const SERVED: Served = Served::Route;
    type Output = Answer;
    type Value = Vec<u8>;

    fn session(&self) -> Option<Arc<Session>> {
        Some(self.session.clone())
    }

    async fn call(&self, instance: &mut Instance, route: &str) -> wasmtime::Result<Answer> {
        let (store, handler) = instance.handler();
        match handler {
            Some(handler) => handler.call_handle(store, route, self.body, &self.session).await,
            None => nothing(),
        }
    }

    fn finish(output: Answer, bytes_max: usize) -> Result<Vec<u8>, CallError> {
        checked(output, bytes_max)
    }

    fn job(&self) -> Job {
        Job::Handle { body: self.body.into(), session: self.session.clone() }
    }

    fn output(done: Done) -> Option<Answer> {
        answer(done)
    }
}

/// `remote.call`.
pub(crate) struct Remote<'a> {
    pub(crate) args: &'a [u8],
}

impl Work for Remote<'_> {
    const IS_TIMED: bool = true;
    const SERVED: Served = Served::Method;
    type Output = Answer;
    type Value = Vec<u8>;

    async fn call(&self, instance: &mut Instance, route: &str) -> wasmtime::Result<Answer> {
        let (store, remote) = instance.remote();
        match remote {
            Some(remote) => remote.call_call(store, route, self.args).await,
            None => nothing(),
        }
    }

    fn finish(output: Answer, bytes_max: usize) -> Result<Vec<u8>, CallError> {
        checked(output, bytes_max)
    }

    fn job(&self) -> Job {
        Job::Remote { args: self.args.into() }
    }

    fn output(done: Done) -> Option<Answer> {
        answer(done)
    }
}

/// An event of `server-events`.
pub enum ServerNews<'a> {
    /// This server is ready.
    AfterStart,
    /// All servers of servers.json are ready for the first time.
    AllStarted,
    /// This server is going to stop.
    BeforeStop,
    /// Servers have come up.
    Added(&'a [ServerInfo]),
    /// The servers with these ids have gone.
    Removed(&'a [String]),
    /// Others have come in the place of servers with the same ids.
    Replaced(&'a [ServerInfo]),
}

impl ServerNews<'_> {
    /// The function's name in the contract, as logs have it.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::AfterStart => "after-start",
            Self::AllStarted => "all-started",
            Self::BeforeStop => "before-stop",
            Self::Added(_) => "servers-added",
            Self::Removed(_) => "servers-removed",
            Self::Replaced(_) => "servers-replaced",
        }
    }
}

/// An event of `session-events`.
pub enum SessionNews<'a> {
    /// A user was bound to a session.
    Bound(Arc<Session>),
    /// A user's binding was taken back.
    Unbound {
        /// The session as it is now.
        session: Arc<Session>,
        /// Who was bound.
        uid: &'a str,
    },
}

impl SessionNews<'_> {
    /// The function's name in the contract, as logs have it.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Bound(_) => "session-bound",
            Self::Unbound { .. } => "session-unbound",
        }
    }
}

/// The functions that answer nothing but whether they failed.
pub(crate) enum Event<'a> {
    /// `lifecycle.start`.
    Start,
    /// `lifecycle.session-closed`.
    SessionClosed { session: Arc<Session>, reason: &'a str },
    /// `lifecycle.stop`.
    Stop,
    /// Of `server-events`.
    Server(ServerNews<'a>),
    /// Of `session-events`.
    Session(SessionNews<'a>),
    /// `cron.run`; the action is the call's name.
    Cron { id: &'a str },
    /// `timer.fired`; the timer's name is the call's.
    Timer { id: u64, payload: &'a [u8] },
    /// `tick.tick`.
    Tick { number: u64, late_ns: u64, missed: u32 },
}

impl Work for Event<'_> {
    type Output = Result<(), Failure>;
    type Value = ();

    fn session(&self) -> Option<Arc<Session>> {
        match self {
            Self::SessionClosed { session, .. }
            | Self::Session(SessionNews::Bound(session) | SessionNews::Unbound { session, .. }) => {
                Some(session.clone())
            }
            _ => None,
        }
    }

    async fn call(&self, instance: &mut Instance, name: &str) -> wasmtime::Result<Self::Output> {
        let done = Ok(Ok(()));
        match self {
            Self::Start | Self::SessionClosed { .. } | Self::Stop => {
                let (store, Some(lifecycle)) = instance.lifecycle() else { return done };
                match self {
                    Self::Start => {
                        let settings = store.data().shared.settings.clone();
                        return lifecycle.call_start(store, &settings).await;
                    }
                    Self::SessionClosed { session, reason } => {
                        lifecycle.call_session_closed(store, session, reason).await?;
                    }
                    _ => lifecycle.call_stop(store).await?,
                }
            }
            Self::Server(news) => {
                let (store, events) = instance.server_events()?;
                match news {
                    ServerNews::AfterStart => events.call_after_start(store).await?,
                    ServerNews::AllStarted => events.call_all_started(store).await?,
                    ServerNews::BeforeStop => events.call_before_stop(store).await?,
                    ServerNews::Added(servers) => events.call_servers_added(store, servers).await?,
                    ServerNews::Removed(ids) => events.call_servers_removed(store, ids).await?,
                    ServerNews::Replaced(servers) => events.call_servers_replaced(store, servers).await?,
                }
            }
            Self::Session(news) => {
                let (store, events) = instance.session_events()?;
                match news {
                    SessionNews::Bound(session) => events.call_session_bound(store, session).await?,
                    SessionNews::Unbound { session, uid } => {
                        events.call_session_unbound(store, session, uid).await?;
                    }
                }
            }
            Self::Cron { id } => {
                let (store, cron) = instance.cron()?;
                return cron.call_run(store, name, id).await;
            }
            Self::Timer { id, payload } => {
                let (store, timer) = instance.timer()?;
                return timer.call_fired(store, name, *id, payload).await;
            }
            Self::Tick { number, late_ns, missed } => {
                let (store, tick) = instance.tick()?;
                return tick.call_tick(store, *number, *late_ns, *missed).await;
            }
        }
        done
    }

    fn finish(output: Self::Output, _: usize) -> Result<(), CallError> {
        output.map_err(failed)
    }

    fn job(&self) -> Job {
        match self {
            Self::Start => Job::Start,
            Self::SessionClosed { session, reason } => {
                Job::SessionClosed { session: session.clone(), reason: (*reason).to_owned() }
            }
            Self::Stop => Job::Stop,
            Self::Server(news) => match news {
                ServerNews::AfterStart => Job::AfterStart,
                ServerNews::AllStarted => Job::AllStarted,
                ServerNews::BeforeStop => Job::BeforeStop,
                ServerNews::Added(servers) => Job::ServersAdded { servers: servers.to_vec() },
                ServerNews::Removed(ids) => Job::ServersRemoved { ids: ids.to_vec() },
                ServerNews::Replaced(servers) => Job::ServersReplaced { servers: servers.to_vec() },
            },
            Self::Session(SessionNews::Bound(session)) => Job::SessionBound { session: session.clone() },
            Self::Session(SessionNews::Unbound { session, uid }) => {
                Job::SessionUnbound { session: session.clone(), uid: (*uid).to_owned() }
            }
            Self::Cron { id } => Job::Cron { id: (*id).to_owned() },
            Self::Timer { id, payload } => Job::Timer { id: *id, payload: (*payload).into() },
            Self::Tick { number, late_ns, missed } => {
                Job::Tick { number: *number, late_ns: *late_ns, missed: *missed }
            }
        }
    }

    fn output(done: Done) -> Option<Self::Output> {
        match done {
            Done::Event(outcome) => Some(outcome),
            Done::Answer(_) => None,
        }
    }
}

/// `handshake.check`.
pub(crate) struct Handshake<'a>(pub(crate) &'a Client);

impl Work for Handshake<'_> {
    type Output = Result<handshake::Welcome, Failure>;
    type Value = Welcome;

    async fn call(&self, instance: &mut Instance, _: &str) -> wasmtime::Result<Self::Output> {
        let (store, handshake) = instance.handshake()?;
        let Client { client_type, version, user, address } = self.0.clone();
        handshake.call_check(store, &handshake::Client { client_type, version, user, address }).await
    }

    fn finish(output: Self::Output, bytes_max: usize) -> Result<Welcome, CallError> {
        let handshake::Welcome { user, uid, settings } = output.map_err(failed)?;
        if user.as_ref().is_some_and(|user| user.len() > bytes_max) {
            return Err(CallError::ValueTooLarge { what: "user", bytes_max });
        }
        Ok(Welcome { user, uid, settings })
    }

    fn job(&self) -> Job {
        Job::Handshake { client: self.0.clone() }
    }
}

/// `filter.before`; the filter's name is the call's.
pub(crate) struct Before<'a> {
    pub(crate) route: &'a str,
    pub(crate) body: &'a [u8],
    pub(crate) session: Arc<Session>,
}

impl Work for Before<'_> {
    type Output = (Result<Option<Vec<u8>>, filter::Refusal>, Option<Arc<Session>>);
    type Value = Verdict;

    fn session(&self) -> Option<Arc<Session>> {
        Some(self.session.clone())
    }

    async fn call(&self, instance: &mut Instance, name: &str) -> wasmtime::Result<Self::Output> {
        let (store, filter) = instance.filter()?;
        let verdict = filter.call_before(store, name, self.route, self.body, &self.session).await?;
        Ok((verdict, instance.own_copy()))
    }

    fn finish((verdict, session): Self::Output, bytes_max: usize) -> Result<Verdict, CallError> {
        match verdict {
            Ok(body) => {
                let body = body.map(|body| bounded(body, bytes_max)).transpose()?;
                Ok(Verdict::Pass { body, session })
            }
            Err(filter::Refusal { failure, answer }) => {
                let answer = answer.map(|answer| bounded(answer, bytes_max)).transpose()?;
                Ok(Verdict::Refuse { failure: shortened(failure), answer })
            }
        }
    }

    fn job(&self) -> Job {
        Job::FilterBefore {
            route: self.route.to_owned(),
            body: self.body.into(),
            session: self.session.clone(),
        }
    }
}

/// `filter.after`; the filter's name is the call's.
pub(crate) struct After<'a> {
    pub(crate) route: &'a str,
    pub(crate) body: &'a [u8],
    pub(crate) session: Arc<Session>,
    pub(crate) outcome: Result<&'a [u8], &'a Failure>,
}

impl Work for After<'_> {
    type Output = Option<Vec<u8>>;
    type Value = Option<Vec<u8>>;

    fn session(&self) -> Option<Arc<Session>> {
        Some(self.session.clone())
    }

    async fn call(&self, instance: &mut Instance, name: &str) -> wasmtime::Result<Self::Output> {
        let (store, filter) = instance.filter()?;
        filter.call_after(store, name, self.route, self.body, &self.session, self.outcome).await
    }

    fn finish(output: Self::Output, bytes_max: usize) -> Result<Self::Value, CallError> {
        output.map(|answer| bounded(answer, bytes_max)).transpose()
    }

    fn job(&self) -> Job {
        Job::FilterAfter {
            route: self.route.to_owned(),
            body: self.body.into(),
            session: self.session.clone(),
            outcome: self.outcome.map(Bytes::from).map_err(Clone::clone),
        }
    }
}

/// `error-handler.handle`; the error handler's name is the call's.
pub(crate) struct HandleError<'a> {
    pub(crate) route: &'a str,
    pub(crate) body: &'a [u8],
    pub(crate) session: Arc<Session>,
    pub(crate) failure: &'a Failure,
    pub(crate) answer: Option<&'a [u8]>,
}

impl Work for HandleError<'_> {
    type Output = Answer;
    type Value = Vec<u8>;

    fn session(&self) -> Option<Arc<Session>> {
        Some(self.session.clone())
    }

    async fn call(&self, instance: &mut Instance, name: &str) -> wasmtime::Result<Answer> {
        let (store, handler) = instance.error_handler()?;
        let Self { route, body, session, failure, answer } = self;
        handler.call_handle(store, name, route, body, session, failure, *answer).await
    }

    fn finish(output: Answer, bytes_max: usize) -> Result<Vec<u8>, CallError> {
        checked(output, bytes_max)
    }

    fn job(&self) -> Job {
        Job::HandleError {
            route: self.route.to_owned(),
            body: self.body.into(),
            session: self.session.clone(),
            failure: self.failure.clone(),
            answer: self.answer.map(Bytes::from),
        }
    }
}

/// `rpc-filter.before`; the filter's name is the call's.
pub(crate) struct BeforeRpc<'a> {
    pub(crate) server_id: &'a str,
    pub(crate) method: &'a str,
    pub(crate) args: &'a [u8],
}

impl Work for BeforeRpc<'_> {
    type Output = Result<Option<Vec<u8>>, Failure>;
    type Value = Option<Vec<u8>>;

    async fn call(&self, instance: &mut Instance, name: &str) -> wasmtime::Result<Self::Output> {
        let (store, filter) = instance.rpc_filter()?;
        filter.call_before(store, name, self.server_id, self.method, self.args).await
    }

    fn finish(output: Self::Output, bytes_max: usize) -> Result<Self::Value, CallError> {
        output.map_err(failed)?.map(|args| bounded(args, bytes_max)).transpose()
    }

    fn job(&self) -> Job {
        Job::RpcBefore {
            server_id: self.server_id.to_owned(),
            method: self.method.to_owned(),
            args: self.args.into(),
        }
    }
}

/// `rpc-filter.after`; the filter's name is the call's.
pub(crate) struct AfterRpc<'a> {
    pub(crate) server_id: &'a str,
    pub(crate) method: &'a str,
    pub(crate) outcome: Result<&'a [u8], &'a Failure>,
}

impl Work for AfterRpc<'_> {
    type Output = ();
    type Value = ();

    async fn call(&self, instance: &mut Instance, name: &str) -> wasmtime::Result<()> {
        let (store, filter) = instance.rpc_filter()?;
        filter.call_after(store, name, self.server_id, self.method, self.outcome).await
    }

    fn finish((): (), _: usize) -> Result<(), CallError> {
        Ok(())
    }

    fn job(&self) -> Job {
        Job::RpcAfter {
            server_id: self.server_id.to_owned(),
            method: self.method.to_owned(),
            outcome: self.outcome.map(Bytes::from).map_err(Clone::clone),
        }
    }
}

/// `broadcast-filter.select`; the filter's name is the call's.
pub(crate) struct Select<'a> {
    pub(crate) param: &'a str,
    pub(crate) sessions: &'a [Session],
}

impl Work for Select<'_> {
    type Output = Vec<bool>;
    type Value = Vec<bool>;

    async fn call(&self, instance: &mut Instance, name: &str) -> wasmtime::Result<Vec<bool>> {
        let (store, filter) = instance.broadcast_filter()?;
        filter.call_select(store, name, self.param, self.sessions).await
    }

    fn finish(selected: Vec<bool>, _: usize) -> Result<Vec<bool>, CallError> {
        Ok(selected)
    }

    fn job(&self) -> Job {
        Job::Select { param: self.param.to_owned(), sessions: self.sessions.to_vec() }
    }
}
