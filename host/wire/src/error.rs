//! What can be wrong with bytes on the wire, or with the schemas that describe them.

use crate::connection::State;
use crate::message::MessageKind;
use crate::package::PackageKind;

/// What was wrong. Each variant says what was found and what is allowed; none holds bytes of a body, so
/// that an error can be logged as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// The first byte of a package is no package type.
    #[error("unknown package type {0}; 1 (handshake) to 5 (kick) are known")]
    UnknownPackageKind(u8),
    /// A package announces (or would need) a body over the limit.
    #[error("a package body of {bytes} bytes is over the limit of {max} bytes")]
    BodyTooLarge {
        /// Length of the body in bytes.
        bytes: usize,
        /// The limit in bytes.
        max: usize,
    },
    /// A WebSocket frame ends inside a package.
    #[error("the frame ends inside a package: {missing} bytes are missing")]
    TruncatedPackage {
        /// How many bytes the package still lacks, as far as its head tells.
        missing: usize,
    },
    /// A package that this end never accepts, in any state.
    #[error("a {kind:?} package may not be sent by a client (state {state:?})")]
    ForbiddenPackage {
        /// The package.
        kind: PackageKind,
        /// The state of the connection when it came.
        state: State,
    },
    /// The flag byte of a message names no message type.
    #[error("unknown message type {0}; 0 (request) to 3 (push) are known")]
    UnknownMessageKind(u8),
    /// A server sent what only clients send.
    #[error("a {kind:?} message may not be sent by a server")]
    ForbiddenMessage {
        /// The type of the message.
        kind: MessageKind,
    },
    /// A message ends before its head is complete.
    #[error("the message ends inside its {0}")]
    TruncatedMessage(&'static str),
    /// A message id is longer than its value needs, or over 2^31-1.
    #[error("bad message id: {0}; ids are 0 to 2147483647 in the shortest base-128 form")]
    BadMessageId(&'static str),
    /// A route that is sent as text is over 255 bytes.
    #[error("a route of {bytes} bytes cannot be sent as text, 255 bytes fit")]
    RouteTooLong {
        /// Length of the route in bytes.
        bytes: usize,
    },
    /// A route does not fit its message type: a response with a route, or a request without.
    #[error("a {kind:?} message {}", if *expected { "needs a route" } else { "has no route" })]
    RouteMismatch {
        /// The type of the message.
        kind: MessageKind,
        /// Whether that type has a route.
        expected: bool,
    },
    /// A client used a route code that the dictionary does not hold.
    #[error("route code {0} is not in the dictionary")]
    UnknownRouteCode(u16),
    /// A route code came although no dictionary is in use.
    #[error("route code {0} was sent, but no dictionary is in use here")]
    NoDictionary(u16),
    /// A request names a route without a server type.
    #[error("route {0:?} has no server type; routes read type.handler.method")]
    RouteWithoutType(String),
    /// A handshake body is not what it has to be.
    #[error("bad handshake: {0}")]
    BadHandshake(String),
    /// The server refused the handshake.
    #[error("the server refused the handshake with code {code}")]
    HandshakeRefused {
        /// 500: refused or broken; 501: the client is too old.
        code: u64,
    },
    /// A body is not JSON where only JSON is possible.
    #[error("the body for route {route:?} is not JSON: {reason}")]
    BadJson {
        /// The route of the message.
        route: String,
        /// What the JSON parser says.
        reason: String,
    },
    /// Protobuf bytes do not follow the schema of their route.
    #[error("the protobuf body for route {route:?} cannot be decoded: {reason}")]
    BadProtobuf {
        /// The route of the message.
        route: String,
        /// What is wrong.
        reason: String,
    },
    /// A protobuf schema cannot be used.
    #[error("protobuf schema, {path}: {reason}")]
    BadSchema {
        /// Where: side, route and field, e.g. `serverProtos: onChat: required bool seen`.
        path: String,
        /// What is wrong and what is allowed.
        reason: String,
    },
    /// A route dictionary cannot be used.
    #[error("route dictionary: {0}")]
    BadDictionary(String),
}
