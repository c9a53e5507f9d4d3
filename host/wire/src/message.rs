//! The inner layer, the body of a DATA package: `flag | id | route | body`.
//!
//! `flag` = `type << 1 | compressed route`, and 0x10 marks a compressed body, which pomelo's clients
//! never send and pomelo never acts on; it is parsed and handed on. Requests and responses have an id,
//! all but responses a route: a two-byte dictionary code, or one byte of length and text.

use crate::{WireError, text, varint};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use std::fmt;

/// The longest route that can be sent as text, in bytes.
pub const ROUTE_BYTES_MAX: usize = 255;

const COMPRESSED_ROUTE: u8 = 0x01;
const GZIP: u8 = 0x10;

/// What a message is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum MessageKind {
    /// From a client, wants an answer (unless its id is 0).
    Request = 0,
    /// From a client, wants none.
    Notify = 1,
    /// The answer to a request, under the same id.
    Response = 2,
    /// From the server, on its own account.
    Push = 3,
}

impl MessageKind {
    fn from_flag(flag: u8) -> Result<Self, WireError> {
        Ok(match (flag >> 1) & 0x07 {
            0 => Self::Request,
            1 => Self::Notify,
            2 => Self::Response,
            3 => Self::Push,
            other => return Err(WireError::UnknownMessageKind(other)),
        })
    }

    fn has_id(self) -> bool {
        matches!(self, Self::Request | Self::Response)
    }

    fn has_route(self) -> bool {
        self != Self::Response
    }
}

/// Text of a route that shares the memory of the message it came in; always valid UTF-8.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct RouteText(Bytes);

impl RouteText {
    /// The route as text.
    pub fn as_str(&self) -> &str {
        // Checked when it was made; checking a few dozen bytes again is cheaper than a copy.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    fn from_wire(bytes: Bytes) -> Self {
        Self(text::repair(bytes))
    }
}

impl From<&str> for RouteText {
    fn from(route: &str) -> Self {
        Self(Bytes::copy_from_slice(route.as_bytes()))
    }
}

impl From<String> for RouteText {
    fn from(route: String) -> Self {
        Self(Bytes::from(route))
    }
}

impl std::ops::Deref for RouteText {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl AsRef<str> for RouteText {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Debug for RouteText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// The route of a message as it stands on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RouteRef {
    /// A code of the route dictionary.
    Code(u16),
    /// The route itself.
    Text(RouteText),
    /// A response: its route is the one of the request with its id.
    None,
}

impl RouteRef {
    /// The borrowed form, for encoding.
    pub fn as_wire(&self) -> RouteOut<'_> {
        match self {
            Self::Code(code) => RouteOut::Code(*code),
            Self::Text(text) => RouteOut::Text(text.as_str()),
            Self::None => RouteOut::None,
        }
    }
}

/// A route to be encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RouteOut<'a> {
    /// A code of the route dictionary.
    Code(u16),
    /// The route itself, at most [`ROUTE_BYTES_MAX`] bytes.
    Text(&'a str),
    /// No route: responses.
    None,
}

/// One message; `body` shares the memory of the package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// What it is for.
    pub kind: MessageKind,
    /// 0 to 2^31-1; 0 in notifies and pushes, and in a request that wants no answer.
    pub id: u32,
    /// The route, as sent.
    pub route: RouteRef,
    /// JSON or protobuf.
    pub body: Bytes,
    /// The flag 0x10, a body that other servers of this family would decompress.
    pub gzip: bool,
}

/// Reads a message, the body of a DATA package. Text of a route that is not UTF-8 is repaired.
///
/// # Errors
/// An unknown type, a bad id, or an end inside the head.
pub fn decode(bytes: Bytes) -> Result<Message, WireError> {
    let mut rest = bytes;
    let flag = *rest.first().ok_or(WireError::TruncatedMessage("flag"))?;
    rest.advance(1);
    let kind = MessageKind::from_flag(flag)?;
    let mut id = 0;
    if kind.has_id() {
        let (value, len) = varint::read_id(&rest)?;
        rest.advance(len);
        id = value;
    }
    let route = if kind.has_route() { read_route(flag, &mut rest)? } else { RouteRef::None };
    Ok(Message { kind, id, route, body: rest, gzip: flag & GZIP != 0 })
}

fn read_route(flag: u8, rest: &mut Bytes) -> Result<RouteRef, WireError> {
    const CUT: WireError = WireError::TruncatedMessage("route");
    if flag & COMPRESSED_ROUTE != 0 {
        let code = rest.try_get_u16().map_err(|_| CUT)?;
        return Ok(RouteRef::Code(code));
    }
    let len = usize::from(rest.try_get_u8().map_err(|_| CUT)?);
    if rest.len() < len {
        return Err(CUT);
    }
    Ok(RouteRef::Text(RouteText::from_wire(rest.split_to(len))))
}

/// Appends a message to `out` (without a package around it).
///
/// # Errors
/// A bad id or route; `out` is then unchanged.
pub fn encode_into(message: &Message, out: &mut BytesMut) -> Result<(), WireError> {
    let start = out.len();
    out.reserve(16 + message.body.len());
    let flag = if message.gzip { GZIP } else { 0 };
    write_head(message.kind, flag, message.id, message.route.as_wire(), out)
        .inspect_err(|_| out.truncate(start))?;
    out.put_slice(&message.body);
    Ok(())
}

/// Appends all but the body. On an error `out` may hold a part of it.
pub(crate) fn write_head(
    kind: MessageKind,
    flag: u8,
    id: u32,
    route: RouteOut<'_>,
    out: &mut BytesMut,
) -> Result<(), WireError> {
    let compressed = if matches!(route, RouteOut::Code(_)) { COMPRESSED_ROUTE } else { 0 };
    out.put_u8(((kind as u8) << 1) | compressed | flag);
    if kind.has_id() {
        if id > varint::ID_MAX {
            return Err(WireError::BadMessageId("over 2147483647"));
        }
        varint::write(u64::from(id), out);
    }
    match route {
        RouteOut::Code(code) if kind.has_route() => out.put_u16(code),
        RouteOut::Text(text) if kind.has_route() => {
            let len = u8::try_from(text.len()).map_err(|_| WireError::RouteTooLong { bytes: text.len() })?;
            out.put_u8(len);
            out.put_slice(text.as_bytes());
        }
        RouteOut::None if !kind.has_route() => {}
        _ => return Err(WireError::RouteMismatch { kind, expected: kind.has_route() }),
    }
    Ok(())
}
