//! The engine for one machine or one trusted network: a TCP link per pair of servers.
//!
//! A link is opened by the first call that needs it and carries the traffic of both directions. When it
//! breaks, its calls fail at once; the next call opens a new one. When it cannot be opened, the calls
//! that waited for it fail, and so do all further ones until a pause is over that grows with each
//! failure: callers learn at once that a server is not there, and nothing wakes an idle process.

mod accept;
mod dial;
mod peer;

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, PoisonError, RwLock, RwLockWriteGuard},
};

use bytes::Bytes;
use peer::{Change, Current, ForCall, Peer};
use tokio::{
    net::TcpStream,
    runtime::Handle,
    sync::{oneshot, watch},
    time::{Instant, sleep_until, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{info, warn};

use crate::{
    Cluster, ClusterError, Completion, Member, Members, RpcError, Secret, Service, Settings,
    link::{Link, LinkEnd, LocalLink, drive},
    secret::random,
    socket,
};

/// A server's own end of the cluster. Dropping it closes everything at once; [`DirectCluster::close`]
/// first writes what is queued.
pub struct DirectCluster {
    inner: Arc<Inner>,
    local_addr: Option<SocketAddr>,
}

struct Inner {
    settings: Settings,
    secret: Secret,
    own: Arc<Member>,
    incarnation: u64,
    service: Arc<dyn Service>,
    /// Every member but this server, and whoever has opened a link to it.
    peers: RwLock<HashMap<Arc<str>, Arc<Peer>>>,
    members: watch::Sender<Arc<Members>>,
    local: Arc<LocalLink>,
    runtime: Handle,
    tasks: TaskTracker,
    /// No new links.
    stop: CancellationToken,
    /// No links at all.
    kill: CancellationToken,
}

impl DirectCluster {
    /// Listens on the own host and port (if it has a port) and follows the member list. Links are opened
    /// when first needed.
    ///
    /// `members` usually is [`MasterClient::watch`](crate::master_link::MasterClient::watch).
    ///
    /// # Errors
    /// [`ClusterError::Listen`] if the port cannot be had.
    pub async fn start(
        settings: Settings,
        secret: Secret,
        own: Arc<Member>,
        service: Arc<dyn Service>,
        members: watch::Receiver<Arc<Members>>,
    ) -> Result<Self, ClusterError> {
        let listener = match own.port {
            Some(port) => Some(socket::listen(&own.host, port).await?),
            None => None,
        };
        let local_addr = listener.as_ref().and_then(|listener| listener.local_addr().ok());
        let local = Arc::new(LocalLink::new(&settings));
        let inner = Arc::new(Inner {
            secret,
            incarnation: u64::from_le_bytes(random()?),
            peers: RwLock::default(),
            members: watch::channel(Arc::default()).0,
            local,
            runtime: Handle::current(),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
            kill: CancellationToken::new(),
            settings,
            own,
            service,
        });
        inner.start(listener, members);
        Ok(Self { inner, local_addr })
    }

    /// Where it listens; useful where the configured port is 0.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.local_addr
    }

    /// Stops accepting, fails calls in flight with `LinkLost`, writes what is queued and closes all links;
    /// takes at most [`Settings::close_timeout`].
    /// Notifies and answers that are queued arrive; a request that is still queued is given up with its
    /// call, and the other side may or may not start it.
    pub async fn close(&self) {
        let inner = &self.inner;
        inner.stop.cancel();
        inner.local.close();
        for link in inner.links() {
            link.finish(&RpcError::LinkLost);
        }
        inner.tasks.close();
        if timeout(inner.settings.close_timeout, inner.tasks.wait()).await.is_err() {
            inner.kill.cancel();
            inner.tasks.wait().await;
        }
    }
}

impl DirectCluster {
    /// Sends a request to every server to which a link stands, and waits for all outcomes. What the others
    /// sent over these links before they answered has arrived by then.
    pub async fn ask_linked(&self, body: &Bytes, deadline: Instant) -> Vec<Result<Bytes, RpcError>> {
        let answers = self.inner.links().into_iter().filter(|link| link.is_open()).map(|link| {
            let (sender, receiver) = oneshot::channel();
            let done = Box::new(move |outcome| drop(sender.send(outcome)));
            link.request(Bytes::clone(body), deadline, done);
            async move { receiver.await.unwrap_or(Err(RpcError::LinkLost)) }
        });
        let mut outcomes = Vec::new();
        for answer in answers.collect::<Vec<_>>() {
            outcomes.push(answer.await);
        }
        outcomes
    }
}

impl Drop for DirectCluster {
    fn drop(&mut self) {
        self.inner.stop.cancel();
        self.inner.kill.cancel();
        self.inner.local.close();
        for link in self.inner.links() {
            link.close(&RpcError::LinkLost);
        }
    }
}

impl Cluster for DirectCluster {
    fn request(&self, to: &str, body: Bytes, deadline: Instant, done: Completion) {
        if to == &*self.inner.own.id {
            return self.inner.local.request(body, deadline, done);
        }
        match self.inner.link_to(to) {
            Ok(link) => link.request(body, deadline, done),
            Err(error) => done(Err(error)),
        }
    }

    fn notify(&self, to: &str, body: Bytes) -> Result<(), RpcError> {
        if to == &*self.inner.own.id {
            return self.inner.local.notify(body);
        }
        self.inner.link_to(to)?.notify(body)
    }

    fn members(&self) -> Arc<Members> {
        Arc::clone(&self.inner.members.borrow())
    }

    fn watch(&self) -> watch::Receiver<Arc<Members>> {
        self.inner.members.subscribe()
    }
}

impl Inner {
    fn start(
        self: &Arc<Self>,
        listener: Option<tokio::net::TcpListener>,
        mut members: watch::Receiver<Arc<Members>>,
    ) {
        let local = Arc::clone(&self.local).run(Arc::clone(&self.own.id), Arc::clone(&self.service));
        self.spawn(local);
        let first = Arc::clone(&members.borrow_and_update());
        self.apply(first);
        self.spawn(Arc::clone(self).follow(members));
        if let Some(listener) = listener {
            let inner = Arc::clone(self);
            self.spawn(async move {
                let handle = |visitor| inner.until_killed(Arc::clone(&inner).accept(visitor));
                socket::serve(listener, &inner.settings, inner.stop.clone(), inner.tasks.clone(), handle)
                    .await;
            });
        }
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn_on(self.until_killed(task), &self.runtime);
    }

    fn until_killed(
        &self,
        task: impl Future<Output = ()> + Send + 'static,
    ) -> impl Future<Output = ()> + Send + 'static {
        let kill = self.kill.clone();
        async move {
            tokio::select! {
                biased;
                () = kill.cancelled() => {}
                () = task => {}
            }
        }
    }

    async fn follow(self: Arc<Self>, mut members: watch::Receiver<Arc<Members>>) {
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return,
                // The sender's end is the end of news, not of the members.
                changed = members.changed() => if changed.is_err() { return },
            }
            let list = Arc::clone(&members.borrow_and_update());
            self.apply(list);
        }
    }

    /// Takes over a member list: first the ways to reach them, then what callers see.
    fn apply(self: &Arc<Self>, list: Arc<Members>) {
        let leaving_until = Instant::now() + self.settings.leaving_timeout;
        let mut changed = Vec::new();
        {
            let mut peers = self.write_peers();
            for member in list.all().iter().filter(|member| member.id != self.own.id) {
                let peer = peers.entry(Arc::clone(&member.id)).or_insert_with_key(|id| self.new_peer(id));
                changed.extend(
                    peer.set_member(Some(member), leaving_until).map(|what| (Arc::clone(peer), what)),
                );
            }
            for (id, peer) in peers.iter() {
                if list.get(id).is_none() {
                    changed.extend(peer.set_member(None, leaving_until).map(|what| (Arc::clone(peer), what)));
                }
            }
            peers.retain(|_, peer| !peer.is_forgettable());
        }
        self.members.send_replace(list);
        for (peer, (current, change)) in changed {
            match change {
                Change::Over => current.link.close(&RpcError::Unreachable),
                Change::Leaving => {
                    self.spawn(give_up_leaving(peer, current, leaving_until, self.stop.clone()));
                }
            }
        }
    }

    fn link_to(self: &Arc<Self>, to: &str) -> Result<Arc<Link>, RpcError> {
        let peer = {
            let peers = self.peers.read().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(peers.get(to).ok_or(RpcError::UnknownServer)?)
        };
        match peer.link(&self.settings)? {
            ForCall::Link(link) => Ok(link),
            ForCall::Dial { link, member, previous } => {
                if self.stop.is_cancelled() {
                    link.close(&RpcError::LinkLost);
                    return Ok(link);
                }
                self.spawn(Arc::clone(self).dial(peer, Arc::clone(&link), member, previous));
                Ok(link)
            }
        }
    }

    /// Moves the frames of a link until it ends.
    async fn serve(&self, peer: Arc<Peer>, current: Current, stream: TcpStream) {
        /// However the task ends, the link no longer counts.
        struct Ended<'a>(&'a Inner, &'a Arc<Peer>, &'a Current);
        impl Drop for Ended<'_> {
            fn drop(&mut self) {
                self.1.ended(self.2);
                self.0.forget(self.1);
            }
        }
        let _ended = Ended(self, &peer, &current);
        let service = Arc::clone(&self.service);
        match drive(Arc::clone(&current.link), stream, Arc::clone(&peer.id), service).await {
            LinkEnd::Local => info!(peer = %peer.id, "link closed"),
            end @ LinkEnd::Peer => info!(peer = %peer.id, reason = %end, "link lost"),
            end => warn!(peer = %peer.id, reason = %end, "link lost"),
        }
    }

    fn forget(&self, peer: &Peer) {
        let mut peers = self.write_peers();
        if peers.get(&peer.id).is_some_and(|peer| peer.is_forgettable()) {
            peers.remove(&peer.id);
        }
    }

    fn links(&self) -> Vec<Arc<Link>> {
        let peers = self.peers.read().unwrap_or_else(PoisonError::into_inner);
        peers.values().filter_map(|peer| peer.current_link()).collect()
    }

    fn new_peer(&self, id: &Arc<str>) -> Arc<Peer> {
        Arc::new(Peer::new(Arc::clone(id), &self.settings))
    }

    fn write_peers(&self) -> RwLockWriteGuard<'_, HashMap<Arc<str>, Arc<Peer>>> {
        self.peers.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Fails the calls that a server has not answered when the time for it to leave is over. The link stays: the server
/// may still have requests of its own to be answered.
async fn give_up_leaving(peer: Arc<Peer>, current: Current, until: Instant, stop: CancellationToken) {
    tokio::select! {
        () = sleep_until(until) => {}
        () = current.ended.cancelled() => return,
        () = stop.cancelled() => return,
    }
    if peer.has_left() {
        current.link.fail_pending(&RpcError::Unreachable);
    }
}
