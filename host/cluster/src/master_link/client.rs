use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use serde_json::Value;
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{debug, info, warn};

use super::{
    Answer, Process,
    exchange::{self, MasterNews, ServerNews, ServerRequest, answer_later, ask, encode},
    membership::Membership,
};
use crate::{
    ClusterError, Member, Members, Reply, RpcError, Secret, Service, Settings,
    auth::{self, Caller, Hello, Purpose, Refusal},
    backoff::Backoff,
    link::{Link, LinkEnd, drive},
    secret::random,
    socket,
};

pub(super) const MASTER: &str = "the master";

/// What a server does at the master's request, such as `{"op":"stats"}`, `{"op":"stop"}` or
/// `{"op":"kick","uid":"…"}`.
pub trait Control: Send + Sync + 'static {
    /// Answers one request. The future runs on a task of its own; it is dropped when the master has
    /// given up waiting.
    fn control(&self, request: Value) -> Answer;

    /// What a master that has just registered this server is to know, as notes. Called with the link held: what is
    /// noted, or asked, from now on comes after.
    fn introduction(&self) -> Vec<Value> {
        Vec::new()
    }
}

/// How a server finds and registers with its master.
#[derive(Debug, Clone)]
pub struct MasterClientSettings {
    /// Limits and times.
    pub cluster: Settings,
    /// The master's host, from master.json.
    pub host: String,
    /// The master's port, from master.json.
    pub port: u16,
    /// The cluster's secret.
    pub secret: Secret,
    /// The token of the own server type, from adminServer.json.
    pub token: Option<String>,
    /// What the others are told about this server.
    pub own: Arc<Member>,
    /// What the master is told about the process.
    pub process: Process,
}

/// A server's link to the master. It is kept up in the background: while the master is away the last
/// member list stands, and the server registers anew when it is back. Dropping it breaks the link.
pub struct MasterClient {
    inner: Arc<Inner>,
}

struct Inner {
    settings: MasterClientSettings,
    incarnation: u64,
    control: Arc<dyn Control>,
    membership: Membership,
    state: Mutex<State>,
    tasks: TaskTracker,
    /// Requests that are being answered.
    handlers: TaskTracker,
    stop: CancellationToken,
    /// No further registration; a link that stands is still written to.
    closing: CancellationToken,
}

#[derive(Default)]
struct State {
    is_ready: bool,
    link: Option<Arc<Link>>,
}

struct Session {
    link: Arc<Link>,
    end: JoinHandle<LinkEnd>,
}

impl MasterClient {
    /// Connects and registers. A master that is not up yet is waited for, for
    /// [`Settings::register_timeout`].
    ///
    /// # Errors
    /// Everything that can go wrong, in words for the operator: no master there, a wrong secret or token,
    /// an id that is registered already.
    pub async fn connect(
        settings: MasterClientSettings,
        control: Arc<dyn Control>,
    ) -> Result<Self, ClusterError> {
        let inner = Arc::new(Inner {
            incarnation: u64::from_le_bytes(random()?),
            settings,
            control,
            membership: Membership::new(),
            state: Mutex::default(),
            tasks: TaskTracker::new(),
            handlers: TaskTracker::new(),
            stop: CancellationToken::new(),
            closing: CancellationToken::new(),
        });
        let client = Self { inner: Arc::clone(&inner) };
        let session = inner.first_session().await?;
        inner.tasks.spawn(Arc::clone(&inner).keep(session));
        Ok(client)
    }

    /// The servers that are ready, and every change.
    pub fn watch(&self) -> watch::Receiver<Arc<Members>> {
        self.inner.membership.watch()
    }

    /// Whether the master is there.
    pub fn is_linked(&self) -> bool {
        self.inner.state().link.is_some()
    }

    /// Makes this server a member: the others may call it, clients may come.
    pub fn report_ready(&self) {
        self.report(true, &ServerNews::Ready);
    }

    /// Takes this server out of the member list, before it stops. The others then call it no more, but wait for
    /// the answers to the calls in flight, for [`Settings::leaving_timeout`]: finish those, then close.
    pub fn report_leaving(&self) {
        self.report(false, &ServerNews::Leaving);
    }

    /// Tells the master why this server cannot start. Follow with [`MasterClient::close`].
    pub fn report_failed(&self, message: &str) {
        self.report(false, &ServerNews::Failed(message.to_owned()));
    }

    /// Asks the master.
    ///
    /// # Errors
    /// [`ClusterError::Answer`] with the master's own error, or why there is no answer.
    pub async fn request(&self, request: &Value, timeout: Duration) -> Result<Value, ClusterError> {
        let link = self.inner.state().link.clone();
        let Some(link) = link else {
            return Err(ClusterError::Request { peer: MASTER.to_owned(), source: RpcError::Unreachable });
        };
        ask(&link, MASTER, &ServerRequest::Ask(request.clone()), timeout).await
    }

    /// Tells the master something. While it is away nothing is told: see [`Control::introduction`].
    pub fn note(&self, note: Value) {
        let state = self.inner.state();
        self.inner.tell(&state, &ServerNews::Note(note));
    }

    /// Lets handlers finish and answer, says goodbye (the master's event is then
    /// [`LostReason::Left`](super::LostReason::Left)) and closes the link; handlers and goodbye take at
    /// most [`Settings::close_timeout`] each. Not to be awaited inside a handler.
    pub async fn close(&self) {
        let inner = &self.inner;
        inner.closing.cancel();
        inner.handlers.close();
        let _ = timeout(inner.settings.cluster.close_timeout, inner.handlers.wait()).await;
        self.report(false, &ServerNews::Goodbye);
        let link = inner.state().link.clone();
        if let Some(link) = link {
            link.finish(&RpcError::LinkLost);
        }
        inner.tasks.close();
        if timeout(inner.settings.cluster.close_timeout, inner.tasks.wait()).await.is_err() {
            inner.stop.cancel();
            inner.tasks.wait().await;
        }
    }

    fn report(&self, is_ready: bool, news: &ServerNews) {
        let mut state = self.inner.state();
        state.is_ready = is_ready;
        self.inner.tell(&state, news);
    }
}

impl Drop for MasterClient {
    fn drop(&mut self) {
        self.inner.closing.cancel();
        self.inner.stop.cancel();
        let link = self.inner.state().link.take();
        if let Some(link) = link {
            link.close(&RpcError::LinkLost);
        }
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, state: &State, news: &ServerNews) {
        let Some(link) = &state.link else { return };
        // A link that cannot take it is about to break, and the next registration tells the master.
        let sent = encode(news).map(|body| link.notify(body));
        if !matches!(sent, Ok(Ok(()))) {
            debug!("the master could not be told");
        }
    }

    fn backoff(&self) -> Backoff {
        Backoff::new(self.settings.cluster.backoff_min, self.settings.cluster.backoff_max)
    }

    async fn first_session(self: &Arc<Self>) -> Result<Session, ClusterError> {
        let give_up = Instant::now() + self.settings.cluster.register_timeout;
        let mut backoff = self.backoff();
        loop {
            let error = match self.register().await {
                Ok(session) => return Ok(session),
                Err(error) => error,
            };
            let pause = backoff.next();
            if !may_pass(&error) || Instant::now() + pause >= give_up {
                return Err(error);
            }
            sleep(pause).await;
        }
    }

    /// Keeps the server registered until it closes.
    async fn keep(self: Arc<Self>, mut session: Session) {
        loop {
            let end = tokio::select! {
                end = &mut session.end => end,
                () = self.stop.cancelled() => return session.link.close(&RpcError::LinkLost),
            };
            self.state().link = None;
            if self.closing.is_cancelled() {
                return;
            }
            let reason = end.map_or_else(|error| error.to_string(), |end| end.to_string());
            warn!(%reason, "lost the master; serving on with the members known");
            session = tokio::select! {
                session = self.register_again() => session,
                () = self.closing.cancelled() => return,
            };
            info!("registered with the master again");
        }
    }

    async fn register_again(self: &Arc<Self>) -> Session {
        let mut backoff = self.backoff();
        let mut last = String::new();
        loop {
            sleep(backoff.next()).await;
            match self.register().await {
                Ok(session) => return session,
                Err(error) => {
                    let reason = error.to_string();
                    if reason != last {
                        warn!(%reason, "cannot register with the master yet");
                        last = reason;
                    }
                }
            }
        }
    }

    /// One attempt: connect, prove, register.
    async fn register(self: &Arc<Self>) -> Result<Session, ClusterError> {
        let settings = &self.settings;
        let mut stream =
            socket::connect(MASTER, &settings.host, settings.port, settings.cluster.connect_timeout).await?;
        let hello = Hello {
            purpose: Purpose::Server,
            nonce: random()?,
            incarnation: self.incarnation,
            previous: 0,
            id: settings.own.id.to_string(),
            server_type: settings.own.server_type.to_string(),
            to: String::new(),
        };
        let token = settings.token.as_deref();
        let caller = Caller { secret: &settings.secret, token, peer: MASTER, hello };
        auth::open(&mut stream, &caller, settings.cluster.auth_timeout).await?;
        let link = Arc::new(Link::new(&settings.cluster));
        link.open();
        let gone = CancellationToken::new();
        let service = Arc::new(FromMaster { inner: Arc::clone(self), gone: gone.clone() });
        let driven = drive(Arc::clone(&link), stream, MASTER.into(), service);
        let stop = self.stop.clone();
        let end = self.tasks.spawn(async move {
            let _gone = gone.drop_guard();
            tokio::select! {
                biased;
                end = driven => end,
                () = stop.cancelled() => LinkEnd::Local,
            }
        });
        match self.introduce(&link).await {
            Ok(()) => Ok(Session { link, end }),
            Err(error) => {
                link.close(&RpcError::LinkLost);
                Err(error)
            }
        }
    }

    async fn introduce(&self, link: &Arc<Link>) -> Result<(), ClusterError> {
        let ready = self.state().is_ready;
        let (member, process) = (Arc::clone(&self.settings.own), self.settings.process.clone());
        let request = ServerRequest::Register { member, process, ready };
        let limit = self.settings.cluster.auth_timeout;
        ask(link, MASTER, &request, limit).await.map_err(|error| match error {
            ClusterError::Answer(reason) => {
                ClusterError::Refused { peer: MASTER.to_owned(), refusal: Refusal::Registration(reason) }
            }
            error => error,
        })?;
        let mut state = self.state();
        state.link = Some(Arc::clone(link));
        for note in self.control.introduction() {
            self.tell(&state, &ServerNews::Note(note));
        }
        if state.is_ready != ready {
            // Reported while the registration was under way.
            self.tell(&state, if state.is_ready { &ServerNews::Ready } else { &ServerNews::Leaving });
        }
        Ok(())
    }
}

/// Whether waiting may help: the master is not up yet. A refusal stays one.
fn may_pass(error: &ClusterError) -> bool {
    matches!(
        error,
        ClusterError::Connect { .. } | ClusterError::Connection { .. } | ClusterError::Request { .. }
    )
}

struct FromMaster {
    inner: Arc<Inner>,
    gone: CancellationToken,
}

impl Service for FromMaster {
    fn request(&self, _: &Arc<str>, body: Bytes, deadline: Instant, reply: Reply) {
        match exchange::decode(&body) {
            Ok(request) => {
                let handler = self.inner.control.control(request);
                answer_later(&self.inner.handlers, self.gone.clone(), deadline, reply, handler);
            }
            Err(what) => exchange::answer(reply, &Err(what)),
        }
    }

    fn notify(&self, _: &Arc<str>, body: Bytes) {
        let MasterNews::Members(snapshot) = match exchange::decode(&body) {
            Ok(news) => news,
            Err(what) => return warn!(%what, "ignored news from the master"),
        };
        let incarnation = snapshot.incarnation;
        if self.inner.membership.apply(&snapshot) {
            let inner = Arc::clone(&self.inner);
            self.inner.tasks.spawn(async move {
                tokio::select! {
                    () = sleep(inner.settings.cluster.new_master_grace) => inner.membership.forget(incarnation),
                    () = inner.closing.cancelled() => {}
                }
            });
        }
    }
}
