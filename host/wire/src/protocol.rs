//! What one connector speaks: immutable, shared by all its connections.

use crate::dictionary::Dictionary;
use crate::message::{self, MessageKind, RouteOut};
use crate::package::{self, PackageKind};
use crate::protobuf::{Protos, SchemaMismatch};
use crate::text::{self, TextForm};
use crate::{WireError, json};
use bytes::{BufMut, Bytes, BytesMut};
use serde_json::Value;
use std::time::Duration;

/// Settings of a connector's protocol. To change one (a new dictionary, say), make a new `Protocol`:
/// connections keep the one that they shook hands on.
#[derive(Debug, Clone, Default)]
pub struct Protocol {
    /// How often a client has to send a heartbeat. `None`: no heartbeats at all, and those that come
    /// are ignored.
    pub heartbeat: Option<Duration>,
    /// How long a silent client is kept, see [`Protocol::silence_max`].
    pub heartbeat_timeout: Option<Duration>,
    /// Route compression; `None`: routes travel as text.
    pub dictionary: Option<Dictionary>,
    /// Protobuf schemas; `None`: all bodies are JSON.
    pub protos: Option<Protos>,
    /// What is refused for its size.
    pub limits: Limits,
}

/// What is refused for its size. Both limits count the body of a package, without its head of 4 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Largest body before the client has acknowledged the handshake, in bytes. Default 16 KiB: who has
    /// not shown to speak the protocol gets little memory.
    pub handshake_body_bytes_max: usize,
    /// Largest body afterwards, in bytes. Default 64 KiB; at most 16 MiB less one can be sent.
    pub body_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { handshake_body_bytes_max: 16 << 10, body_bytes_max: 64 << 10 }
    }
}

/// How the body of a message went out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Encoded {
    /// As it was given.
    Whole,
    /// Empty, because the value does not fit the protobuf schema of its route; the host should log why.
    /// (Pomelo does the same when a required field is missing.)
    Empty(SchemaMismatch),
}

impl Protocol {
    /// How long a client in the working state may send nothing before its connection is closed, without
    /// a KICK: [`Protocol::heartbeat_timeout`], else twice the heartbeat; `None` without heartbeats. Every
    /// package that [`crate::connection::Received::is_sign_of_life`] restarts it.
    pub fn silence_max(&self) -> Option<Duration> {
        self.heartbeat.map(|heartbeat| self.heartbeat_timeout.unwrap_or(heartbeat * 2))
    }

    /// Appends a push to `out`, as one whole DATA package. `json` must be valid JSON in UTF-8.
    ///
    /// # Errors
    /// The package gets too large, the route is over 255 bytes and not in the dictionary, or `json` is
    /// none where a schema applies; `out` is then unchanged.
    pub fn encode_push(
        &self,
        route: &str,
        json: &[u8],
        text: TextForm,
        out: &mut BytesMut,
    ) -> Result<Encoded, WireError> {
        let code = self.dictionary.as_ref().and_then(|dictionary| dictionary.code(route));
        let route_out = code.map_or(RouteOut::Text(route), RouteOut::Code);
        self.encode(MessageKind::Push, 0, route_out, route, json, text, out)
    }

    /// Appends the response to the request with this id and route, as one whole DATA package. `json` must
    /// be valid JSON in UTF-8.
    ///
    /// # Errors
    /// The package gets too large, the id is over 2^31-1, or `json` is none where a schema applies; `out` is
    /// then unchanged.
    pub fn encode_response(
        &self,
        id: u32,
        request_route: &str,
        json: &[u8],
        text: TextForm,
        out: &mut BytesMut,
    ) -> Result<Encoded, WireError> {
        self.encode(MessageKind::Response, id, RouteOut::None, request_route, json, text, out)
    }

    /// Whether clients of different [`TextForm`]s need different bytes of this push: only if a schema
    /// applies and the body has characters beyond U+FFFF. Else one encoding serves all.
    pub fn push_depends_on_text(&self, route: &str, json: &[u8]) -> bool {
        let has_schema = self.protos.as_ref().is_some_and(|protos| protos.has_server(route));
        has_schema && (text::has_astral(json) || json::has_escaped_surrogate(json))
    }

    #[expect(clippy::too_many_arguments, reason = "private: the fields of one message, each used once")]
    fn encode(
        &self,
        kind: MessageKind,
        id: u32,
        route_out: RouteOut<'_>,
        route: &str,
        json: &[u8],
        text: TextForm,
        out: &mut BytesMut,
    ) -> Result<Encoded, WireError> {
        let schema = self.protos.as_ref().filter(|protos| protos.has_server(route));
        package::write(PackageKind::Data, out, |out| {
            message::write_head(kind, 0, id, route_out, out)?;
            let Some(protos) = schema else {
                out.put_slice(&text::escape_astral(json));
                return Ok(Encoded::Whole);
            };
            Ok(match protos.encode_server(route, json, text)? {
                Ok(body) => {
                    out.put_slice(&body);
                    Encoded::Whole
                }
                Err(mismatch) => Encoded::Empty(mismatch),
            })
        })
    }
}

/// Appends a KICK with this reason; close the connection after it. A reason that would not fit a package
/// is left out.
pub fn encode_kick(reason: &str, out: &mut BytesMut) {
    let body = format!("{{\"reason\":{}}}", Value::from(reason));
    let body = text::escape_astral(body.as_bytes());
    if package::encode_into(PackageKind::Kick, &body, out).is_err() {
        // A kick that says nothing is better than none.
        out.put_slice(b"\x05\x00\x00\x0d{\"reason\":\"\"}");
    }
}

/// The HEARTBEAT package, the same for both directions.
pub fn heartbeat_package() -> Bytes {
    Bytes::from_static(&[PackageKind::Heartbeat as u8, 0, 0, 0])
}
