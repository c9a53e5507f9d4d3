use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicBool},
    time::Duration,
};

use bytes::Bytes;
use serde_json::Value;
use tokio::{
    net::TcpStream,
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::warn;

use super::{
    MasterEvent, MasterService, Process, Registered, Registry, Snapshot,
    exchange::{self, MasterNews, ask, encode},
    session::{ServerSession, ToolSession},
};
use crate::{
    ClusterError, Member, Reply, RpcError, Secret, Service, Settings,
    auth::{Gate, Hello, Purpose, log_rejected},
    link::{Link, drive},
    secret::random,
    socket::{self, Visitor},
};

/// How the master listens.
#[derive(Debug, Clone)]
pub struct MasterListenerSettings {
    /// Limits and times.
    pub cluster: Settings,
    /// The host to listen on, from master.json.
    pub host: String,
    /// The port; 0 takes a free one.
    pub port: u16,
    /// The cluster's secret.
    pub secret: Secret,
    /// Token by server type, from adminServer.json; none: the secret alone counts.
    pub tokens: Option<BTreeMap<String, String>>,
}

/// The master's end of all its links. Dropping it breaks them.
pub struct MasterListener {
    inner: Arc<Inner>,
    local_addr: SocketAddr,
}

pub(super) struct Inner {
    settings: MasterListenerSettings,
    incarnation: u64,
    pub(super) service: Arc<dyn MasterService>,
    state: Mutex<State>,
    tasks: TaskTracker,
    /// Requests that are being answered.
    pub(super) handlers: TaskTracker,
    stop: CancellationToken,
    kill: CancellationToken,
}

struct State {
    registry: Registry,
    /// The links of the registered servers.
    servers: HashMap<Arc<str>, Arc<Link>>,
    /// The other connections: tools, and servers before they have registered.
    others: Vec<Arc<Link>>,
}

impl MasterListener {
    /// Listens and serves in the background until [`MasterListener::close`] or drop.
    ///
    /// # Errors
    /// [`ClusterError::Listen`] if the port cannot be had.
    pub async fn start(
        settings: MasterListenerSettings,
        service: Arc<dyn MasterService>,
    ) -> Result<Self, ClusterError> {
        let incarnation = u64::from_le_bytes(random()?);
        let listener = socket::listen(&settings.host, settings.port).await?;
        let local_addr = listener.local_addr().map_err(|source| ClusterError::Listen {
            address: format!("{}:{}", settings.host, settings.port),
            source,
        })?;
        let state =
            State { registry: Registry::new(incarnation), servers: HashMap::new(), others: Vec::new() };
        let inner = Arc::new(Inner {
            settings,
            incarnation,
            service,
            state: Mutex::new(state),
            tasks: TaskTracker::new(),
            handlers: TaskTracker::new(),
            stop: CancellationToken::new(),
            kill: CancellationToken::new(),
        });
        let serving = Arc::clone(&inner);
        inner.tasks.spawn(async move {
            let inner = Arc::clone(&serving);
            let handle = move |visitor| Arc::clone(&inner).accept(visitor);
            let cluster = &serving.settings.cluster;
            socket::serve(listener, cluster, serving.stop.clone(), serving.tasks.clone(), handle).await;
        });
        Ok(Self { inner, local_addr })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// The servers that are registered, sorted by id.
    pub fn registered(&self) -> Vec<Registered> {
        self.inner.state().registry.servers().cloned().collect()
    }

    /// The member list that all servers were told last.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.inner.state().registry.snapshot()
    }

    /// Asks a server; it answers by its [`Control`](super::Control).
    ///
    /// # Errors
    /// [`ClusterError::Answer`] with the server's own error, or why there is no answer.
    pub async fn request(&self, id: &str, request: &Value, timeout: Duration) -> Result<Value, ClusterError> {
        let link = self.inner.state().servers.get(id).map(Arc::clone);
        let Some(link) = link else {
            return Err(ClusterError::Request { peer: id.to_owned(), source: RpcError::UnknownServer });
        };
        ask(&link, id, request, timeout).await
    }

    /// Stops listening, lets handlers finish and their answers be written, and closes all links; each of
    /// the two takes at most [`Settings::close_timeout`].
    pub async fn close(&self) {
        let inner = &self.inner;
        inner.stop.cancel();
        inner.handlers.close();
        let _ = timeout(inner.settings.cluster.close_timeout, inner.handlers.wait()).await;
        for link in inner.links() {
            link.finish(&RpcError::LinkLost);
        }
        inner.tasks.close();
        if timeout(inner.settings.cluster.close_timeout, inner.tasks.wait()).await.is_err() {
            inner.kill.cancel();
            inner.tasks.wait().await;
        }
    }
}

impl Drop for MasterListener {
    fn drop(&mut self) {
        self.inner.stop.cancel();
        self.inner.kill.cancel();
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn links(&self) -> Vec<Arc<Link>> {
        let state = self.state();
        state.servers.values().chain(&state.others).cloned().collect()
    }

    async fn accept(self: Arc<Self>, visitor: Visitor) {
        let Visitor { mut stream, address, permit } = visitor;
        let settings = &self.settings;
        let gate = Gate {
            secret: &settings.secret,
            tokens: settings.tokens.as_ref(),
            purposes: &[Purpose::Server, Purpose::Tool],
        };
        let checked = tokio::select! {
            checked = gate.check(&mut stream, settings.cluster.auth_timeout) => checked,
            () = self.stop.cancelled() => return,
        };
        let verified = match checked {
            Ok(verified) => verified,
            Err(rejected) => return log_rejected(address, &rejected),
        };
        drop(permit);
        if verified.welcome(&mut stream, &settings.secret, self.incarnation).await.is_err() {
            // It left; nobody knows of it yet.
            return;
        }
        let link = Arc::new(Link::new(&settings.cluster));
        link.open();
        self.state().others.push(Arc::clone(&link));
        if self.stop.is_cancelled() {
            return;
        }
        let gone = CancellationToken::new();
        let _gone = gone.clone().drop_guard();
        match verified.hello.purpose {
            Purpose::Server => self.serve_server(stream, &link, verified.hello, gone).await,
            Purpose::Tool | Purpose::Link => {
                let session = Arc::new(ToolSession { inner: Arc::clone(&self), gone });
                self.run(&link, stream, &verified.hello.id, session).await;
            }
        }
        self.state().others.retain(|other| !Arc::ptr_eq(other, &link));
    }

    async fn serve_server(
        self: &Arc<Self>,
        stream: TcpStream,
        link: &Arc<Link>,
        hello: Hello,
        gone: CancellationToken,
    ) {
        let id: Arc<str> = hello.id.as_str().into();
        let registered = CancellationToken::new();
        let session = Arc::new(ServerSession {
            inner: Arc::clone(self),
            link: Arc::clone(link),
            hello,
            gone,
            registered: registered.clone(),
            said_goodbye: AtomicBool::new(false),
        });
        let service: Arc<dyn Service> = Arc::<ServerSession>::clone(&session);
        let limit = self.settings.cluster.auth_timeout;
        let mut running = std::pin::pin!(self.run(link, stream, &id, service));
        let end = tokio::select! {
            end = &mut running => end,
            () = sleep(limit) => {
                if !registered.is_cancelled() {
                    warn!(server = %id, ?limit, "closing a server's connection that does not register");
                    link.close(&RpcError::LinkLost);
                }
                running.await
            }
        };
        if registered.is_cancelled() {
            self.unregister(&id);
            let id = Arc::clone(&id);
            self.service.event(MasterEvent::Lost { id, reason: session.lost_reason(&end) });
        }
    }

    /// Moves the frames of a connection until it ends; gives how it ended.
    async fn run(
        &self,
        link: &Arc<Link>,
        stream: TcpStream,
        from: &str,
        service: Arc<dyn Service>,
    ) -> String {
        tokio::select! {
            biased;
            () = self.kill.cancelled() => "the master ends".to_owned(),
            end = drive(Arc::clone(link), stream, from.into(), service) => end.to_string(),
        }
    }

    /// Registers a server, answers it, and tells it (and, if it is ready, all others) the member list.
    /// Gives the reason if it is refused.
    pub(super) fn register(
        &self,
        member: Arc<Member>,
        process: Process,
        ready: bool,
        link: &Arc<Link>,
        reply: Reply,
    ) -> Result<(), String> {
        let id = Arc::clone(&member.id);
        let mut state = self.state();
        if let Err(reason) = state.registry.register(member, process, ready) {
            drop(state);
            exchange::answer(reply, &Err(reason.clone()));
            return Err(reason);
        }
        exchange::answer(reply, &Ok(Value::Null));
        state.others.retain(|other| !Arc::ptr_eq(other, link));
        state.servers.insert(Arc::clone(&id), Arc::clone(link));
        let only = if ready { None } else { Some(&*id) };
        tell_members(state, only);
        Ok(())
    }

    /// True if that changed the member list.
    pub(super) fn set_ready(&self, id: &str, ready: bool) -> bool {
        let mut state = self.state();
        let has_changed = state.registry.set_ready(id, ready);
        if has_changed {
            tell_members(state, None);
        }
        has_changed
    }

    fn unregister(&self, id: &str) {
        let mut state = self.state();
        state.servers.remove(id);
        if state.registry.remove(id) {
            tell_members(state, None);
        }
    }
}

/// Sends the member list to one server or to all. Under the lock, so that every server gets the lists in
/// the order of their versions.
fn tell_members(state: MutexGuard<'_, State>, only: Option<&str>) {
    let news = MasterNews::Members(state.registry.snapshot());
    let body = match encode(&news) {
        Ok(body) => body,
        Err(error) => return warn!(%error, "the member list cannot be sent"),
    };
    let mut deaf = Vec::new();
    for (id, link) in &state.servers {
        if only.is_none_or(|only| only == &**id)
            && let Err(error) = link.notify(Bytes::clone(&body))
            && error != RpcError::LinkLost
        {
            warn!(server = %id, %error, "a server does not take the member list, closing its link");
            deaf.push(Arc::clone(link));
        }
    }
    drop(state);
    // It comes back and gets the list then. Outside the lock: closing runs completions.
    for link in deaf {
        link.close(&RpcError::LinkLost);
    }
}
