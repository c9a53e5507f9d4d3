//! One client's connection: a single task reads, runs the session's requests, and writes.
//!
//! One task and not a reader with a writer, since an answer then needs no wake-up across tasks: what a
//! read brought is handled in the same poll and flushed when nothing more is there to read, so pipelined
//! requests share a write.

mod requests;

use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::FuturesUnordered;
use serde_json::Value;
use shaddock_engine::types::Failure;
use shaddock_wire::connection::{Connection as Protocol, Received, State};
use shaddock_wire::package::Package;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::task::coop::unconstrained;
use tokio::time::{Instant, Sleep};
use tokio_util::sync::{CancellationToken, ReusableBoxFuture, WaitForCancellationFutureOwned};

use crate::check_client::{Check, Ended};
use crate::frame::{self, CLOSE_GOING_AWAY, CLOSE_NORMAL, Transport};
use crate::lanes::{LaneKey, Lanes};
use crate::logins::DUPLICATE_LOGIN;
use crate::outbound::Outbound;
use crate::pieces::Writing;
use crate::rate_limit::RateLimit;
use crate::reason::CloseReason;
use crate::server::{ClientRequest, Server};
use crate::session::{Session, Speaker};
use crate::socket::{self, PackageReader, ReadError};

/// Packages handled in a row before others on this thread get their turn.
const PACKAGES_IN_A_ROW: u32 = 64;
/// How long the last frames may take to reach a client that is being closed.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// The lane that is free again when a request has ended; none if it was in no order.
type Freed = Option<LaneKey>;

/// A client that has finished its handshake, and its server. Both in one, so that a request that runs has to count
/// one reference, which is this client's alone.
struct Client {
    server: Arc<Server>,
    session: Arc<Session>,
}

struct Connection {
    server: Arc<Server>,
    reader: PackageReader,
    socket: OwnedWriteHalf,
    outbound: Arc<Outbound>,
    writing: Writing,
    transport: Transport,
    address: SocketAddr,
    protocol: Protocol,
    client: Option<Arc<Client>>,
    /// Whether there are global filters.
    is_filtered: bool,
    /// The check of the client's handshake while it runs, and what it let the client begin with.
    check: Check,
    /// None if the session may send as many requests as it likes.
    rate_limit: Option<Box<RateLimit>>,
    lanes: Lanes<ClientRequest>,
    /// Requests that run here and did not end in their first poll.
    running: FuturesUnordered<ReusableBoxFuture<'static, Freed>>,
    /// Requests that run on other servers.
    forwarded: usize,
    /// When this poll began, if anybody has asked: the clock is read once for a burst of packages.
    now: Option<Instant>,
    last_seen: Instant,
    timer: Pin<Box<Sleep>>,
    /// Whether the timer knows this task since it was set.
    is_timer_polled: bool,
    hang_up: Pin<Box<WaitForCancellationFutureOwned>>,
    is_hang_up_polled: bool,
}

/// Serves a client until either side ends the connection.
pub(crate) async fn serve(server: Arc<Server>, socket: TcpStream, hang_up: CancellationToken) {
    let settings = &server.settings.connector;
    let opened = Instant::now();
    let timeout = Duration::from_millis(settings.handshake_timeout_ms);
    let outbound = Arc::new(Outbound::new(settings.outbound_bytes_max));
    let Ok(address) = socket.peer_addr() else {
        return server.metrics.closed(CloseReason::ConnectionLost.label());
    };
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
        writing: Writing::default(),
        transport,
        address,
        protocol,
        client: None,
        is_filtered: !loaded.edition.filters.global.is_idle(),
        check: Check::default(),
        rate_limit: None,
        lanes: Lanes::new(),
        running: FuturesUnordered::new(),
        forwarded: 0,
        now: None,
        last_seen: opened,
        timer: Box::pin(tokio::time::sleep_until(opened + timeout)),
        is_timer_polled: false,
        hang_up: Box::pin(hang_up.cancelled_owned()),
        is_hang_up_polled: false,
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
                    let mut writing = Writing::default();
                    let _ = poll_fn(|cx| outbound.poll_flush(cx, &mut write, &mut writing)).await;
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
        let reason = poll_fn(|cx| self.poll(cx)).await;
        self.finish(reason).await;
    }

    /// Does what there is to do; reading comes first, so that answers gather.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<CloseReason> {
        self.outbound.wake_up();
        self.now = None;
        let mut packages_left = PACKAGES_IN_A_ROW;
        loop {
            while packages_left > 0 && self.may_read() {
                let body_max = self.protocol.body_bytes_max();
                let Poll::Ready(read) = self.reader.poll_package(cx, body_max) else { break };
                packages_left -= 1;
                let ended = match read {
                    Some(Ok(package)) => self.package(cx, package),
                    Some(Err(error)) => Some(self.read_failed(&error)),
                    None => Some(CloseReason::ClientClosed),
                };
                if let Some(reason) = ended {
                    return Poll::Ready(reason);
                }
            }
            if (self.poll_requests(cx) || self.poll_check(cx)) && packages_left > 0 {
                continue;
            }
            self.outbound.fall_asleep(cx);
            let flushed = self.outbound.poll_flush(cx, &mut self.socket, &mut self.writing);
            if matches!(flushed, Poll::Ready(Err(_))) {
                return Poll::Ready(CloseReason::ConnectionLost);
            }
            if let Some(reason) = self.outbound.closing() {
                return Poll::Ready(reason);
            }
            if !self.outbound.has_ended() {
                break;
            }
        }
        if packages_left == 0 {
            cx.waker().wake_by_ref();
        }
        self.poll_interruptions(cx)
    }

    /// The timer and the server's end. Both wake this task, so that it is enough to ask them once how they are, and
    /// then to look.
    fn poll_interruptions(&mut self, cx: &mut Context<'_>) -> Poll<CloseReason> {
        loop {
            let is_due = if self.is_timer_polled {
                self.timer.is_elapsed()
            } else {
                self.is_timer_polled = true;
                pin!(unconstrained(self.timer.as_mut())).poll(cx).is_ready()
            };
            if !is_due {
                break;
            }
            if let Some(reason) = self.deadline() {
                return Poll::Ready(reason);
            }
        }
        let is_hanging_up = if self.is_hang_up_polled {
            self.server.is_hanging_up.load(Ordering::Acquire)
        } else {
            self.is_hang_up_polled = true;
            pin!(unconstrained(self.hang_up.as_mut())).poll(cx).is_ready()
        };
        if is_hanging_up { Poll::Ready(CloseReason::ServerStopping) } else { Poll::Pending }
    }

    /// A client that is ahead of its answers, or of its own reading, waits.
    fn may_read(&self) -> bool {
        let requests = self.under_way() + self.lanes.waiting();
        requests < self.server.settings.connector.queued_requests_max
            && !self.outbound.is_crowded()
            && !self.check.is_running()
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
        let session = self.client.as_ref().map(|client| client.session.number());
        tracing::info!(%error, session, "a client broke the protocol; closing its connection");
        CloseReason::ProtocolError
    }

    fn package(&mut self, cx: &mut Context<'_>, package: Package) -> Option<CloseReason> {
        let received = match self.protocol.receive(package) {
            Ok(received) => received,
            Err(error) => return Some(self.read_failed(&error.into())),
        };
        if received.is_sign_of_life() {
            self.last_seen = *self.now.get_or_insert_with(Instant::now);
        }
        match received {
            Received::Ignored => {}
            Received::Message(incoming) => self.message(cx, incoming),
            Received::BadMessage { kind, route, error } => self.bad_message(kind, route.as_deref(), &error),
            Received::Heartbeat { reply } => {
                if let Some(package) = reply {
                    self.send(&package);
                }
            }
            Received::Handshake(handshake) => match self.server.check_handshake(&handshake, self.address) {
                None => self.accept(None),
                Some(check) => self.check.start(check),
            },
            Received::BadHandshake { reply, error } => {
                tracing::debug!(%error, "a client's handshake is refused");
                self.refuse(&reply);
            }
            Received::Ready { heartbeat } => self.ready(heartbeat),
        }
        None
    }

    fn accept(&mut self, user: Option<Value>) {
        let package = self.protocol.accept(user);
        if self.protocol.state() == State::Closed {
            self.refuse(&package);
        } else {
            self.send(&package);
        }
    }

    /// Takes note of the end of the handshake's check; whether it has ended.
    fn poll_check(&mut self, cx: &mut Context<'_>) -> bool {
        match self.check.poll(cx) {
            Poll::Pending => return false,
            Poll::Ready(Ended::Checked(Ok(user))) => self.accept(user),
            Poll::Ready(Ended::Checked(Err(code))) => {
                let package = self.protocol.reject(code);
                self.refuse(&package);
            }
            Poll::Ready(Ended::Bound(bound)) => {
                if let (Err(failure), Some(client)) = (bound, &self.client) {
                    unwelcome(&client.server, &client.session, &failure);
                }
            }
        }
        true
    }

    /// Sends the reply to a handshake that leads nowhere, then closes.
    fn refuse(&self, reply: &[u8]) {
        self.send(reply);
        self.outbound.close(CloseReason::HandshakeRefused, None);
    }

    fn send(&self, package: &[u8]) {
        self.outbound.write(|out| {
            frame::append(out, self.transport, package.len(), |out| out.extend_from_slice(package));
        });
    }

    fn ready(&mut self, heartbeat: Option<Bytes>) {
        let client = Speaker {
            transport: self.transport,
            text_form: self.protocol.text_form(),
            protocol: Arc::clone(self.protocol.protocol()),
            address: self.address,
        };
        let session = self.server.sessions.open(Arc::clone(&self.outbound), client);
        if let Some(welcome) = self.check.take_welcome() {
            match self.server.welcome(&session, welcome) {
                Ok(binding) => self.check.bind(binding),
                Err(failure) => unwelcome(&self.server, &session, &failure),
            }
        }
        self.client = Some(Arc::new(Client { server: Arc::clone(&self.server), session }));
        self.rate_limit = RateLimit::new(&self.server.settings.connector, self.last_seen);
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
        self.is_timer_polled = false;
    }

    fn deadline(&mut self) -> Option<CloseReason> {
        if self.client.is_none() {
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

    /// Ends the connection: nobody finds the session any more, its running requests end, the client gets
    /// what is queued, the plugins are told.
    async fn finish(mut self, reason: CloseReason) {
        if let Some(client) = &self.client {
            self.server.close_session(&client.session);
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
                self.outbound.write_last(frame);
            }
        }
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, self.hang_up(&reason)).await;
        poll_fn(|cx| self.poll_rest(cx)).await;
        let Self { server, client, .. } = self;
        server.metrics.closed(reason.label());
        if let Some(client) = client {
            tell_plugins(&server, &client.session, &reason).await;
        }
    }

    /// Ready when no request runs any more.
    fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            self.poll_requests(cx);
            if self.under_way() == 0 {
                return Poll::Ready(());
            }
            self.outbound.fall_asleep(cx);
            if !self.outbound.has_ended() {
                return Poll::Pending;
            }
        }
    }

    /// Writes what is queued, then waits for the client to hang up too.
    async fn hang_up(&mut self, reason: &CloseReason) {
        let flushed = poll_fn(|cx| self.outbound.poll_flush(cx, &mut self.socket, &mut self.writing)).await;
        if flushed.is_ok() && self.socket.shutdown().await.is_ok() && *reason != CloseReason::ClientClosed {
            poll_fn(|cx| self.reader.poll_drain(cx)).await;
        }
    }
}

/// The session of a client cannot begin as the check of its handshake says.
fn unwelcome(server: &Server, session: &Session, failure: &Failure) {
    if let Some(left_out) = server.failures.admit() {
        let session = session.number();
        tracing::warn!(session, reason = %failure, left_out, "a client cannot be let in as its handshake's check says; kicking it");
    }
    session.kick(if failure.code == 409 { DUPLICATE_LOGIN } else { "handshake" });
}

/// `lifecycle.session-closed` of every plugin of this server.
async fn tell_plugins(server: &Server, session: &Session, reason: &CloseReason) {
    let reason = reason.to_string();
    // What was told of the session before comes first.
    let _turn = match session.turn.get() {
        Some(turn) => Some(turn.lock().await),
        None => None,
    };
    for plugin in server.own_plugins() {
        if let Err(error) = plugin.session_closed(session.snapshot(), &reason).await {
            let of = plugin.name();
            tracing::warn!(plugin = %of.name, version = %of.version, digest = %of.digest, session = session.number(), %error, "session-closed failed");
        }
    }
}
