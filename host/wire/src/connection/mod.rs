//! The state of one client's connection, server side.
//!
//! ```text
//! Inited ──handshake──▶ Handshaking ──accept()──▶ WaitAck ──ack──▶ Working
//!    └────────── bad handshake, reject(), violation: ▶ Closed ◀──────┘
//! ```

mod received;

use crate::handshake::{self, Cached, HandshakeRequest};
use crate::message::{self, MessageKind, RouteRef, RouteText};
use crate::package::{self, Package, PackageKind};
use crate::protocol::{self, Protocol};
use crate::text::{self, TextForm};
use crate::{WireError, json};
use bytes::{Bytes, BytesMut};
use serde_json::Value;
use std::sync::Arc;

pub use received::{Incoming, IncomingKind, IncomingRoute, Received};

/// How far a connection has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Nothing but a handshake is heard.
    Inited,
    /// The handshake is with the host, which has to accept or reject it.
    Handshaking,
    /// The reply is sent; nothing but its acknowledgement is heard.
    WaitAck,
    /// Heartbeats and messages flow.
    Working,
    /// Nothing is heard any more.
    Closed,
}

/// One client's connection: feed it every package, do what it says.
#[derive(Debug)]
pub struct Connection {
    protocol: Arc<Protocol>,
    state: State,
    text: TextForm,
    cached: Cached,
}

impl Connection {
    /// A new connection, before its first package.
    pub fn new(protocol: Arc<Protocol>) -> Self {
        Self { protocol, state: State::Inited, text: TextForm::default(), cached: Cached::default() }
    }

    /// How far it has come.
    pub fn state(&self) -> State {
        self.state
    }

    /// Whether DATA, HEARTBEAT and KICK may be sent.
    pub fn is_working(&self) -> bool {
        self.state == State::Working
    }

    /// The form of protobuf text for this client; known from its handshake on.
    pub fn text_form(&self) -> TextForm {
        self.text
    }

    /// What it speaks.
    pub fn protocol(&self) -> &Arc<Protocol> {
        &self.protocol
    }

    /// The largest body to accept now, for [`package::decode`] and [`package::split`]: small until the
    /// client has acknowledged the handshake. Ask before every package.
    pub fn body_bytes_max(&self) -> usize {
        let limits = &self.protocol.limits;
        if self.is_working() { limits.body_bytes_max } else { limits.handshake_body_bytes_max }
    }

    /// Takes the client's next package.
    ///
    /// # Errors
    /// A violation of the protocol; the connection is [`State::Closed`] from now on: close the socket.
    pub fn receive(&mut self, package: Package) -> Result<Received, WireError> {
        let received = match (package.kind, self.state) {
            (PackageKind::Kick, state) if state != State::Closed => {
                Err(WireError::ForbiddenPackage { kind: PackageKind::Kick, state })
            }
            (PackageKind::Handshake, State::Inited) => Ok(self.receive_handshake(&package.body)),
            (PackageKind::HandshakeAck, State::WaitAck) => {
                self.state = State::Working;
                Ok(Received::Ready { heartbeat: self.heartbeat() })
            }
            (PackageKind::Heartbeat, State::Working) => Ok(Received::Heartbeat { reply: self.heartbeat() }),
            (PackageKind::Data, State::Working) => self.receive_message(package.body),
            _ => Ok(Received::Ignored),
        };
        received.inspect_err(|_| self.state = State::Closed)
    }

    /// Accepts the handshake: the reply to send, with the host's own `user` data. If that makes the reply
    /// too large for a package, it is the reply of `reject(500)`, and the state is [`State::Closed`].
    #[expect(clippy::needless_pass_by_value, reason = "the host makes the value for this call alone")]
    pub fn accept(&mut self, user: Option<Value>) -> Bytes {
        let body = handshake::accept_body(&self.protocol, self.cached, user.as_ref());
        let body = text::escape_astral(body.as_bytes());
        let mut out = BytesMut::with_capacity(package::HEADER_LEN + body.len());
        if package::encode_into(PackageKind::Handshake, &body, &mut out).is_err() {
            return self.reject(500);
        }
        self.state = State::WaitAck;
        out.freeze()
    }

    /// Rejects the handshake: the reply to send before the socket is closed. 500: refused or failed; 501:
    /// the client's type or version is not served here.
    pub fn reject(&mut self, code: u16) -> Bytes {
        self.state = State::Closed;
        let body = format!("{{\"code\":{code}}}");
        let mut out = BytesMut::with_capacity(package::HEADER_LEN + body.len());
        // A dozen bytes always fit.
        let _ = package::encode_into(PackageKind::Handshake, body.as_bytes(), &mut out);
        out.freeze()
    }

    /// The connection is to be closed for `error`, found in the package layer: what to send first, if
    /// anything. A client that has no handshake reply yet learns from code 500 that its first package was
    /// cut off or too large; all else is closed without a word, as pomelo does.
    pub fn violation(&mut self, error: &WireError) -> Option<Bytes> {
        let explain = self.state == State::Inited
            && matches!(error, WireError::TruncatedPackage { .. } | WireError::BodyTooLarge { .. });
        self.state = State::Closed;
        explain.then(|| self.reject(500))
    }

    /// The host is closing the connection on its own account (after a KICK, at shutdown): packages that
    /// still come are ignored.
    pub fn close(&mut self) {
        self.state = State::Closed;
    }

    fn heartbeat(&self) -> Option<Bytes> {
        self.protocol.heartbeat.map(|_| protocol::heartbeat_package())
    }

    fn receive_handshake(&mut self, body: &[u8]) -> Received {
        match HandshakeRequest::parse(body) {
            Ok(request) => {
                self.text = TextForm::of_client(request.client_type());
                self.cached = Cached::of(&request, &self.protocol);
                self.state = State::Handshaking;
                Received::Handshake(request)
            }
            Err(error) => Received::BadHandshake { reply: self.reject(500), error },
        }
    }

    fn receive_message(&self, bytes: Bytes) -> Result<Received, WireError> {
        let message = message::decode(bytes)?;
        let kind = match message.kind {
            MessageKind::Request if message.id != 0 => IncomingKind::Request { id: message.id },
            // Pomelo serves a push from a client like a notify.
            MessageKind::Request | MessageKind::Notify | MessageKind::Push => IncomingKind::Notify,
            MessageKind::Response => return Ok(Received::Ignored),
        };
        let route = match self.resolve(message.route) {
            Ok(route) => route,
            Err(error) => return Ok(Received::BadMessage { kind, route: None, error }),
        };
        if !route.contains('.') {
            let error = WireError::RouteWithoutType(route.to_string());
            return Ok(Received::BadMessage { kind, route: Some(route), error });
        }
        Ok(match self.decode_body(&route, message.body) {
            Ok(body) => Received::Message(Incoming { kind, route, body }),
            Err(error) => Received::BadMessage { kind, route: Some(route), error },
        })
    }

    fn resolve(&self, route: RouteRef) -> Result<IncomingRoute, WireError> {
        match route {
            RouteRef::Text(text) => Ok(IncomingRoute::Text(text)),
            RouteRef::None => Ok(IncomingRoute::Text(RouteText::default())),
            RouteRef::Code(code) => {
                let dictionary = self.protocol.dictionary.as_ref().ok_or(WireError::NoDictionary(code))?;
                let route = dictionary.route(code).ok_or(WireError::UnknownRouteCode(code))?;
                Ok(IncomingRoute::Known(Arc::clone(route)))
            }
        }
    }

    fn decode_body(&self, route: &str, body: Bytes) -> Result<Bytes, WireError> {
        match &self.protocol.protos {
            Some(protos) if protos.has_client(route) => protos.decode_request(route, &body).map(Bytes::from),
            _ => Ok(json::accept_body(body)),
        }
    }
}
