//! What a client's package means.

use crate::WireError;
use crate::handshake::HandshakeRequest;
use crate::message::RouteText;
use bytes::Bytes;
use std::ops::Deref;
use std::sync::Arc;

/// What a package means to the host.
#[derive(Debug, Clone, PartialEq)]
pub enum Received {
    /// Nothing: it came in a state in which it is not heard.
    Ignored,
    /// A client introduces itself: call [`Connection::accept`](super::Connection::accept) or [`Connection::reject`](super::Connection::reject) and send what
    /// that returns.
    Handshake(HandshakeRequest),
    /// A handshake that cannot be understood: send `reply`, then close.
    BadHandshake {
        /// The reply `{"code":500}`, a whole package.
        reply: Bytes,
        /// What was wrong.
        error: WireError,
    },
    /// The client is ready: send `heartbeat` if there is one, then whatever waits for it.
    Ready {
        /// The first HEARTBEAT, a whole package; `None` without heartbeats.
        heartbeat: Option<Bytes>,
    },
    /// A sign of life: send `reply` if there is one.
    Heartbeat {
        /// A HEARTBEAT, a whole package; `None` without heartbeats.
        reply: Option<Bytes>,
    },
    /// A request or a notify.
    Message(Incoming),
    /// A message that cannot be served: answer a request with `{"code":500}` and go on.
    BadMessage {
        /// Whether and under which id an answer is wanted.
        kind: IncomingKind,
        /// The route as far as it is known; it names the schema of the answer.
        route: Option<IncomingRoute>,
        /// What was wrong.
        error: WireError,
    },
}

impl Received {
    /// Whether the package shows that the client is alive: all that is heard in the working state does,
    /// messages included (pomelo counts heartbeats only).
    pub fn is_sign_of_life(&self) -> bool {
        match self {
            Self::Ready { .. } | Self::Heartbeat { .. } | Self::Message(_) | Self::BadMessage { .. } => true,
            Self::Ignored | Self::Handshake(_) | Self::BadHandshake { .. } => false,
        }
    }
}

/// A request or notify, ready to be served.
#[derive(Debug, Clone, PartialEq)]
pub struct Incoming {
    /// Whether and under which id an answer is wanted.
    pub kind: IncomingKind,
    /// The route, decompressed; it has at least one dot.
    pub route: IncomingRoute,
    /// Valid JSON in UTF-8, decoded from protobuf where a schema says so. `{}` stands for an empty body,
    /// for `null` and for what is not JSON.
    pub body: Bytes,
}

/// Whether an answer is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IncomingKind {
    /// Yes, under this id (never 0).
    Request {
        /// The id to answer under.
        id: u32,
    },
    /// No.
    Notify,
}

impl IncomingKind {
    /// The id to answer under, if an answer is wanted.
    pub fn id(self) -> Option<u32> {
        match self {
            Self::Request { id } => Some(id),
            Self::Notify => None,
        }
    }
}

/// The route of a request or notify.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IncomingRoute {
    /// Sent as a code; shared with the dictionary.
    Known(Arc<str>),
    /// Sent as text.
    Text(RouteText),
}

impl Deref for IncomingRoute {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Self::Known(route) => route,
            Self::Text(route) => route,
        }
    }
}

impl AsRef<str> for IncomingRoute {
    fn as_ref(&self) -> &str {
        self
    }
}
