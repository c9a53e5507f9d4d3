use std::{io, path::PathBuf, time::Duration};

use crate::auth::Refusal;

/// Why a call between servers gave no answer.
///
/// [`RpcError::is_retryable`] says whether the call certainly never ran.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RpcError {
    /// No member of the cluster has this id (any more).
    #[error("no such server in the cluster")]
    UnknownServer,
    /// The server is a member but no link to it can be had: it has no RPC port, or connecting failed.
    #[error("the server cannot be reached")]
    Unreachable,
    /// The link broke while the call was under way; whether it ran is unknown.
    #[error("the link to the server broke")]
    LinkLost,
    /// The deadline passed. If the call had not started by then it never will.
    #[error("the deadline passed")]
    TimedOut,
    /// The other side refused the call, or gave it up without an answer; the text says why.
    #[error("the server refused the call: {0}")]
    Refused(String),
    /// A limit is reached: calls in flight, or bytes waiting to be sent.
    #[error("too many calls or bytes are waiting for the server")]
    Overloaded,
    /// The body is longer than [`Settings::message_bytes_max`](crate::Settings) allows.
    #[error("the message is longer than a link carries")]
    TooLarge,
}

impl RpcError {
    /// Whether the call was certainly not carried out, so that calling again cannot do a thing twice.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::UnknownServer | Self::Unreachable | Self::Overloaded)
    }
}

/// What can go wrong outside of single calls: files, ports, connections, the master.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// The secret file cannot be read, written, or trusted.
    #[error("the cluster secret {}: {reason}", path.display())]
    SecretFile {
        /// The file.
        path: PathBuf,
        /// What is the matter, and what to do.
        reason: String,
    },
    /// The operating system gave no random bytes.
    #[error("no random bytes from the operating system: {0}")]
    Random(String),
    /// The listener could not be opened.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// `host:port` as configured.
        address: String,
        /// The cause; often that the port is taken.
        source: io::Error,
    },
    /// No connection could be made.
    #[error("cannot connect to {peer} at {address}: {source}")]
    Connect {
        /// Who was called: `the master`, or a server's id.
        peer: String,
        /// `host:port` as configured.
        address: String,
        /// The cause.
        source: io::Error,
    },
    /// The connection broke.
    #[error("the connection to {peer} broke: {source}")]
    Connection {
        /// The other side.
        peer: String,
        /// The cause.
        source: io::Error,
    },
    /// The other side refused this process.
    #[error("{peer} refused: {refusal}")]
    Refused {
        /// Who refused: `the master`, or a server's id.
        peer: String,
        /// Why.
        refusal: Refusal,
    },
    /// The other side did not prove that it knows the cluster secret.
    #[error("{peer} does not know the cluster secret; something else may be listening on its port")]
    Impostor {
        /// Who it claims, or was expected, to be.
        peer: String,
    },
    /// An authentication or a request took too long.
    #[error("{peer} did not answer within {limit:?}")]
    TimedOut {
        /// The other side.
        peer: String,
        /// How long was waited.
        limit: Duration,
    },
    /// The other side sent what the protocol does not allow.
    #[error("{peer} broke the protocol: {what}")]
    Protocol {
        /// The other side.
        peer: String,
        /// What it sent.
        what: String,
    },
    /// The master asks for a token that adminServer.json does not give.
    #[error("the master asks for a token for server type `{server_type}`, but adminServer.json has none")]
    NoToken {
        /// The type of this server.
        server_type: String,
    },
    /// A request was answered with an error by the other side's handler.
    #[error("{0}")]
    Answer(String),
    /// A request over the master's link failed on the way.
    #[error("the request to {peer} failed: {source}")]
    Request {
        /// Who was asked.
        peer: String,
        /// Why there is no answer.
        source: RpcError,
    },
}
