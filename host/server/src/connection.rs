//! One client's connection: a single task reads, runs the session's requests, and writes.
//!
//! One task and not a reader with a writer, since an answer then needs no wake-up across tasks: what a
//! read brought is handled in the same poll and flushed when nothing more is there to read, so pipelined
//! requests share a write.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use shaddock_engine::Call;
use shaddock_engine::types::Failure;
use shaddock_wire::WireError;
use shaddock_wire::connection::{
    Connection as Protocol, Incoming, IncomingKind, IncomingRoute, Received, State,
};
use shaddock_wire::package::Package;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::sync::oneshot;
use tokio::time::{Instant, Sleep};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::frame::{CLOSE_GOING_AWAY, CLOSE_NORMAL, Frame, Transport};
use crate::lanes::Lanes;
use crate::outbound::Outbound;
use crate::reason::CloseReason;
use crate::server::{ClientRequest, Destination, Server};
use crate::session::Session;
use crate::socket::{self, PackageReader, ReadError};

/// Packages handled in a row before the queue is flushed all the same.
const PACKAGES_IN_A_ROW: u32 = 64;
/// How long the last frames may take to reach a client that is being closed.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// A request that runs; done, it names the lane that is free again.
type Running = Pin<Box<dyn Future<Output = Option<Arc<str>>> + Send>>;

/// A client's request with the lane it belongs to.
type Waiting = (ClientRequest, Destination);

/// A request after its first poll.
enum Started {
    Done,
    Running(Running),
}

enum Event {
    Package(Package),
    /// A request is done, and with it its turn in that lane.
    Done(Option<Arc<str>>),
    Deadline,
    Close(CloseReason),
}

struct Connection {
    server: Arc<Server>,
    reader: PackageReader,
    socket: OwnedWriteHalf,
    outbound: Arc<Outbound>,
    transport: Transport,
    protocol: Protocol,
    session: Option<Arc<Session>>,
    lanes: Lanes<Waiting>,
    running: FuturesUnordered<Running>,
    in_a_row: u32,
    /// Whether the queue wakes this task.
    is_registered: bool,
    last_seen: Instant,
    timer: Pin<Box<Sleep>>,
    stopping: Pin<Box<WaitForCancellationFutureOwned>>,
}

/// Serves a client until either side ends the connection.
pub(crate) async fn serve(server: Arc<Server>, socket: TcpStream, stop: CancellationToken) {
    let settings = &server.settings.connector;
    let opened = Instant::now();
    let timeout = Duration::from_millis(settings.handshake_timeout_ms);
    let outbound = Arc::new(Outbound::new(settings.outbound_bytes_max));
    let Ok(opening) = tokio::time::timeout(timeout, open(&server, socket, &outbound)).await else {
        return server.metrics.closed(CloseReason::HandshakeTimeout.label());
    };
    let (reader, socket, transport) = match opening {
        Ok(Some(parts)) => parts,
        Ok(None) => return server.metrics.closed(CloseReason::ClientClosed.label()),
        Err(reason) => return server.metrics.closed(reason.label()),
    };
    let Ok(loaded) = server.loaded() else { return };
    let protocol = Protocol::new(Arc::clone(&loaded.protocol));
    let connection = Connection {
        reader,
        socket,
        outbound,
        transport,
        protocol,
        session: None,
        lanes: Lanes::new(),
        running: FuturesUnordered::new(),
        in_a_row: 0,
        is_registered: false,
        last_seen: opened,
        timer: Box::pin(tokio::time::sleep_until(opened + timeout)),
        stopping: Box::pin(stop.cancelled_owned()),
        server,
    };
    connection.run().await;
}

/// Finds out the transport and prepares it; `None` if the client said nothing.
async fn open(
    server: &Server,
    socket: TcpStream,
    outbound: &Arc<Outbound>,
) -> Result<Option<(PackageReader, OwnedWriteHalf, Transport)>, CloseReason> {
    let settings = &server.settings.connector;
    let detected = socket::detect(&socket).await.map_err(|_| CloseReason::ConnectionLost)?;
    let Some(transport) = detected else { return Ok(None) };
    let allowed = match transport {
        Transport::WebSocket => shaddock_config::Transport::Ws,
        Transport::Tcp => shaddock_config::Transport::Tcp,
    };
    if !settings.transports.contains(&allowed) {
        tracing::debug!(?transport, "a client came over a transport that is switched off");
        return Err(CloseReason::ProtocolError);
    }
    let (read, mut write) = socket.into_split();
    let reader = match transport {
        Transport::Tcp => PackageReader::tcp(read),
        Transport::WebSocket => {
            let frame_bytes_max = settings.body_bytes_max.max(settings.handshake_body_bytes_max) + 64;
            match PackageReader::websocket(read, Arc::clone(outbound), frame_bytes_max).await {
                Ok(reader) => reader,
                Err(error) => {
                    tracing::debug!(?error, "a client did not upgrade to websocket");
                    let _ = poll_fn(|cx| outbound.poll_flush(cx, &mut write)).await;
                    let _ = write.shutdown().await;
                    return Err(CloseReason::ProtocolError);
                }
            }
        }
    };
    Ok(Some((reader, write, transport)))
}

impl Connection {
    async fn run(mut self) {
        let reason = loop {
            let event = poll_fn(|cx| self.poll_event(cx)).await;
            let ended = match event {
                Event::Package(package) => self.package(package).await,
                Event::Done(lane) => {
                    self.free(lane).await;
                    None
                }
                Event::Deadline => self.deadline(),
                Event::Close(reason) => Some(reason),
            };
            if let Some(reason) = ended {
                break reason;
            }
        };
        self.finish(reason).await;
    }

    /// What happens next; reading goes first while there is something to read, so that answers gather.
    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        if std::mem::take(&mut self.is_registered) {
            // what is queued from here on is flushed below: it need not wake the task that is running
            self.outbound.unregister();
        }
        if self.in_a_row < PACKAGES_IN_A_ROW && self.may_read() {
            let body_max = self.protocol.body_bytes_max();
            match self.reader.poll_package(cx, body_max) {
                Poll::Ready(Some(Ok(package))) => {
                    self.in_a_row += 1;
                    return Poll::Ready(Event::Package(package));
                }
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Event::Close(self.read_failed(&error))),
                Poll::Ready(None) => return Poll::Ready(Event::Close(CloseReason::ClientClosed)),
                Poll::Pending => {}
            }
        }
        if !self.running.is_empty()
            && let Poll::Ready(Some(lane)) = self.running.poll_next_unpin(cx)
        {
            return Poll::Ready(Event::Done(lane));
        }
        self.outbound.register(cx);
        self.is_registered = true;
        match self.outbound.poll_flush(cx, &mut self.socket) {
            Poll::Ready(Err(_)) => return Poll::Ready(Event::Close(CloseReason::ConnectionLost)),
            Poll::Ready(Ok(())) | Poll::Pending => {}
        }
        if let Some(reason) = self.outbound.closing() {
            return Poll::Ready(Event::Close(reason));
        }
        if self.in_a_row >= PACKAGES_IN_A_ROW {
            self.in_a_row = 0;
            cx.waker().wake_by_ref();
        }
        if self.timer.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Event::Deadline);
        }
        if self.stopping.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Event::Close(CloseReason::ServerStopping));
        }
        self.in_a_row = 0;
        Poll::Pending
    }

    /// A client that is ahead of its answers, or of its own reading, waits.
    fn may_read(&self) -> bool {
        let requests = self.running.len() + self.lanes.waiting();
        requests < self.server.settings.connector.queued_requests_max && !self.outbound.is_crowded()
    }

    fn read_failed(&mut self, error: &ReadError) -> CloseReason {
        match error {
            ReadError::Io => CloseReason::ConnectionLost,
            ReadError::Protocol(error) => {
                if let Some(package) = self.protocol.violation(error) {
                    self.send(&package);
                }
                self.broken(error)
            }
            ReadError::WebSocket(error) => self.broken(error),
        }
    }

    fn broken(&self, error: &dyn std::fmt::Display) -> CloseReason {
        let session = self.session.as_ref().map(|session| session.number());
        tracing::info!(%error, session, "a client broke the protocol; closing its connection");
        CloseReason::ProtocolError
    }

    async fn package(&mut self, package: Package) -> Option<CloseReason> {
        let received = match self.protocol.receive(package) {
            Ok(received) => received,
            Err(error) => return Some(self.read_failed(&error.into())),
        };
        if received.is_sign_of_life() {
            self.last_seen = Instant::now();
        }
        match received {
            Received::Ignored => {}
            Received::Message(incoming) => self.message(incoming).await,
            Received::BadMessage { kind, route, error } => self.bad_message(kind, route, &error),
            Received::Heartbeat { reply } => {
                if let Some(package) = reply {
                    self.send(&package);
                }
            }
            Received::Handshake(_) => {
                let package = self.protocol.accept(None);
                if self.protocol.state() == State::Closed {
                    self.refuse(&package);
                } else {
                    self.send(&package);
                }
            }
            Received::BadHandshake { reply, error } => {
                tracing::debug!(%error, "a client's handshake is refused");
                self.refuse(&reply);
            }
            Received::Ready { heartbeat } => self.ready(heartbeat),
        }
        None
    }

    /// Sends the reply to a handshake that leads nowhere, then closes.
    fn refuse(&self, reply: &[u8]) {
        self.outbound.close(CloseReason::HandshakeRefused, Some(Frame::of(reply).bytes(self.transport)));
    }

    fn send(&self, package: &[u8]) {
        self.outbound.send(Frame::of(package).bytes(self.transport));
    }

    fn ready(&mut self, heartbeat: Option<Bytes>) {
        let form = self.protocol.text_form();
        let session = self.server.sessions.open(Arc::clone(&self.outbound), self.transport, form);
        self.session = Some(session);
        if let Some(package) = heartbeat {
            self.send(&package);
        }
        self.rearm();
    }

    /// How long the client may be silent.
    fn patience(&self) -> Duration {
        let idle = Duration::from_millis(self.server.settings.connector.idle_timeout_ms);
        self.protocol.protocol().silence_max().unwrap_or(idle)
    }

    fn rearm(&mut self) {
        let at = self.last_seen + self.patience();
        self.timer.as_mut().reset(at);
    }

    fn deadline(&mut self) -> Option<CloseReason> {
        if self.session.is_none() {
            return Some(CloseReason::HandshakeTimeout);
        }
        if !self.may_read() {
            // what the client sent is not read on purpose: its silence means nothing
            self.last_seen = Instant::now();
        }
        if self.last_seen + self.patience() <= Instant::now() {
            return Some(CloseReason::HeartbeatTimeout);
        }
        self.rearm();
        None
    }

    async fn message(&mut self, incoming: Incoming) {
        let request = ClientRequest {
            id: incoming.kind.id().unwrap_or(0),
            route: shared(incoming.route),
            body: incoming.body,
        };
        match self.server.destination(&request.route) {
            Err(failure) => self.refuse_request(&request, &failure),
            Ok(destination) => self.enter(request, destination).await,
        }
    }

    /// What cannot even be understood is answered with 500, where pomelo says nothing for ever.
    fn bad_message(&self, kind: IncomingKind, route: Option<IncomingRoute>, error: &WireError) {
        let route = route.map_or_else(|| Arc::from(""), shared);
        let request = ClientRequest { id: kind.id().unwrap_or(0), route, body: Bytes::new() };
        self.refuse_request(&request, &Failure::new(500, error.to_string()));
    }

    fn refuse_request(&self, request: &ClientRequest, failure: &Failure) {
        if let Some(session) = &self.session {
            self.server.answer(session, request, Err(failure));
        }
    }

    /// Runs a request now if its lane is free, else later.
    async fn enter(&mut self, request: ClientRequest, destination: Destination) {
        if !self.server.is_ordered(&request.route) {
            if let Started::Running(running) = self.start(None, request, destination).await {
                self.running.push(running);
            }
            return;
        }
        let lane = match &destination {
            Destination::Here => Arc::clone(&self.server.info.server_type),
            Destination::There(server_type) => Arc::clone(server_type),
        };
        if let Some(first) = self.lanes.enter(&lane, (request, destination)) {
            self.run_lane(lane, first).await;
        }
    }

    /// A lane is free: its next request, if one waits, runs.
    async fn free(&mut self, lane: Option<Arc<str>>) {
        if let Some(lane) = lane
            && let Some(next) = self.lanes.leave(&lane)
        {
            self.run_lane(lane, next).await;
        }
    }

    /// Runs the requests of a lane until one takes longer than a poll, or none is left.
    async fn run_lane(&mut self, lane: Arc<str>, first: Waiting) {
        let mut next = Some(first);
        while let Some((request, destination)) = next {
            match self.start(Some(Arc::clone(&lane)), request, destination).await {
                Started::Running(running) => return self.running.push(running),
                Started::Done => next = self.lanes.leave(&lane),
            }
        }
    }

    /// Starts a request. Most handlers finish in the first poll and never reach the set of running ones.
    async fn start(
        &mut self,
        lane: Option<Arc<str>>,
        request: ClientRequest,
        destination: Destination,
    ) -> Started {
        let Some(session) = self.session.clone() else { return Started::Done };
        let server = Arc::clone(&self.server);
        let received = self.last_seen;
        let mut running: Running = match destination {
            Destination::Here => Box::pin(async move {
                handle_here(&server, &session, &request, received).await;
                lane
            }),
            Destination::There(server_type) => {
                let (done, finished) = oneshot::channel();
                server.forward(&server_type, &session, &request, received, move || {
                    let _ = done.send(());
                });
                Box::pin(async move {
                    let _ = finished.await;
                    lane
                })
            }
        };
        match poll_fn(|cx| Poll::Ready(running.as_mut().poll(cx))).await {
            Poll::Pending => Started::Running(running),
            Poll::Ready(_) => Started::Done,
        }
    }

    /// Ends the connection: nobody finds the session any more, its running requests end, the client gets
    /// what is queued, the plugins are told.
    async fn finish(mut self, reason: CloseReason) {
        if let Some(session) = &self.session {
            self.server.sessions.close(session);
        }
        self.outbound.close(reason.clone(), None);
        if !matches!(reason, CloseReason::ClientClosed | CloseReason::ConnectionLost) {
            self.lanes.clear();
            let frame = match (self.transport, &reason) {
                (Transport::Tcp, _) => None,
                (Transport::WebSocket, CloseReason::ServerStopping) => Some(CLOSE_GOING_AWAY),
                (Transport::WebSocket, _) => Some(CLOSE_NORMAL),
            };
            if let Some(frame) = frame {
                self.outbound.send_last(Bytes::from_static(frame));
            }
        }
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, self.hang_up(&reason)).await;
        while let Some(lane) = self.running.next().await {
            self.free(lane).await;
        }
        let Self { server, session, .. } = self;
        server.metrics.closed(reason.label());
        if let Some(session) = session {
            tell_plugins(&server, &session, &reason).await;
        }
    }

    /// Writes what is queued, then waits for the client to hang up too.
    async fn hang_up(&mut self, reason: &CloseReason) {
        let flushed = poll_fn(|cx| self.outbound.poll_flush(cx, &mut self.socket)).await;
        if flushed.is_ok() && self.socket.shutdown().await.is_ok() && *reason != CloseReason::ClientClosed {
            poll_fn(|cx| self.reader.poll_drain(cx)).await;
        }
    }
}

/// `received` is when the request was taken up: the clock is read once for a burst of requests.
async fn handle_here(
    server: &Arc<Server>,
    session: &Arc<Session>,
    request: &ClientRequest,
    received: Instant,
) {
    let call = Call::new(server.deadline_from(received));
    let answer = server.handle(&request.route, &request.body, session.snapshot(), call).await;
    server.metrics.requests_local.count(answer.is_ok(), received);
    server.answer(session, request, answer.as_deref());
}

/// The route as an `Arc`; a route that came as a code is one already.
fn shared(route: IncomingRoute) -> Arc<str> {
    match route {
        IncomingRoute::Known(route) => route,
        IncomingRoute::Text(route) => Arc::from(&*route),
    }
}

/// `lifecycle.session-closed` of every plugin of this server.
async fn tell_plugins(server: &Server, session: &Session, reason: &CloseReason) {
    let plugins = server.plugins().map(crate::plugins::Plugins::own).unwrap_or_default();
    let reason = reason.to_string();
    for plugin in plugins {
        if let Err(error) = plugin.session_closed(session.snapshot(), &reason).await {
            let plugin = &*plugin.name().name;
            tracing::warn!(plugin, session = session.number(), %error, "session-closed failed");
        }
    }
}
