//! Why a connection ended.

use std::fmt;
use std::sync::Arc;

/// Why a connection ended; its text is what plugins and the log get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CloseReason {
    /// The client closed, in whatever way its transport has.
    ClientClosed,
    /// The network failed.
    ConnectionLost,
    /// Nothing came from the client for the time that the heartbeat allows.
    HeartbeatTimeout,
    /// The handshake was not finished in time.
    HandshakeTimeout,
    /// The handshake was answered with 500 or 501.
    HandshakeRefused,
    /// The client sent what the protocol does not allow.
    ProtocolError,
    /// More bytes wait for the client than `outboundBytesMax`.
    TooSlow,
    /// Somebody kicked the session, with these words.
    Kicked(Arc<str>),
    /// This server stops.
    ServerStopping,
}

impl CloseReason {
    /// A label of bounded variety for metrics.
    pub(crate) fn label(&self) -> &'static str {
        match self {
            Self::ClientClosed => "client_closed",
            Self::ConnectionLost => "connection_lost",
            Self::HeartbeatTimeout => "heartbeat_timeout",
            Self::HandshakeTimeout => "handshake_timeout",
            Self::HandshakeRefused => "handshake_refused",
            Self::ProtocolError => "protocol_error",
            Self::TooSlow => "too_slow",
            Self::Kicked(_) => "kicked",
            Self::ServerStopping => "server_stopping",
        }
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ClientClosed => "client closed",
            Self::ConnectionLost => "connection lost",
            Self::HeartbeatTimeout => "heartbeat timeout",
            Self::HandshakeTimeout => "handshake timeout",
            Self::HandshakeRefused => "handshake refused",
            Self::ProtocolError => "protocol error",
            Self::TooSlow => "too slow",
            Self::Kicked(reason) => reason,
            Self::ServerStopping => "server stopping",
        })
    }
}
