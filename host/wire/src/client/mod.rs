//! The other end of the wire, for load generators, replay and tests: what a pomelo client does.

mod codec;

use crate::dictionary::Dictionary;
use crate::package::{self, PackageKind};
use crate::protobuf::Protos;
use crate::{WireError, text};
use bytes::{Bytes, BytesMut};
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::time::Duration;

pub use codec::{Codec, Delivery};

/// What a client says of itself in its handshake.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Hello {
    /// `sys.type`; `js-websocket` gets astral characters as surrogates.
    pub client_type: Option<String>,
    /// `sys.version`.
    pub version: Option<String>,
    /// `sys.dictVersion`: the dictionary in the client's cache.
    pub dictionary_version: Option<String>,
    /// `sys.protoVersion`: the schemas in the client's cache.
    pub protos_version: Option<String>,
    /// The client's own data.
    pub user: Option<Value>,
}

impl Hello {
    /// The whole HANDSHAKE package.
    ///
    /// # Errors
    /// [`WireError::BodyTooLarge`] if `user` is too large for a package.
    pub fn package(&self) -> Result<Bytes, WireError> {
        let members = [
            ("type", &self.client_type),
            ("version", &self.version),
            ("dictVersion", &self.dictionary_version),
            ("protoVersion", &self.protos_version),
        ];
        let sys: Map<String, Value> = members
            .into_iter()
            .filter_map(|(key, value)| Some((key.to_owned(), value.clone()?.into())))
            .collect();
        let mut body = json!({ "sys": sys });
        if let (Some(members), Some(user)) = (body.as_object_mut(), &self.user) {
            members.insert("user".to_owned(), user.clone());
        }
        let mut out = BytesMut::new();
        package::encode_into(PackageKind::Handshake, body.to_string().as_bytes(), &mut out)?;
        Ok(out.freeze())
    }
}

/// The HANDSHAKE_ACK package.
pub fn ack_package() -> Bytes {
    Bytes::from_static(&[PackageKind::HandshakeAck as u8, 0, 0, 0])
}

/// The reason in the body of a KICK; empty if it has none.
pub fn kick_reason(body: &[u8]) -> String {
    let body: Value = serde_json::from_str(&text::repair_str(body)).unwrap_or_default();
    body.get("reason").and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// The body of the server's HANDSHAKE reply.
#[derive(Debug, Clone)]
pub struct HandshakeReply {
    /// 200; 500: refused or broken; 501: client too old.
    pub code: u64,
    /// How often the server wants a heartbeat; `None`: never.
    pub heartbeat: Option<Duration>,
    /// Whether route codes are in use.
    pub use_dictionary: bool,
    /// The dictionary; left out if the client said that it has it.
    pub dictionary: Option<Arc<Dictionary>>,
    /// Whether protobuf is in use.
    pub use_protos: bool,
    /// The schemas; left out if the client said that it has them.
    pub protos: Option<Arc<Protos>>,
    /// The application's own data.
    pub user: Option<Value>,
}

impl HandshakeReply {
    /// Reads a reply, of any code.
    ///
    /// # Errors
    /// It is no JSON, has no code, or carries a dictionary or schemas that cannot be used.
    pub fn parse(body: &[u8]) -> Result<Self, WireError> {
        let bad = |reason: &str| WireError::BadHandshake(reason.to_owned());
        let body: Value = serde_json::from_str(&text::repair_str(body))
            .map_err(|error| WireError::BadHandshake(format!("the reply is not JSON: {error}")))?;
        let code = body.get("code").and_then(Value::as_u64).ok_or_else(|| bad("the reply has no code"))?;
        let sys = body.get("sys").and_then(Value::as_object).cloned().unwrap_or_default();
        let is_set = |key: &str| sys.get(key).and_then(Value::as_bool).unwrap_or_default();
        let heartbeat = sys.get("heartbeat").and_then(Value::as_f64).filter(|seconds| *seconds > 0.0);
        Ok(Self {
            code,
            heartbeat: heartbeat.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()),
            use_dictionary: is_set("useDict"),
            dictionary: read_dictionary(&sys)?.map(Arc::new),
            use_protos: is_set("useProto"),
            protos: read_protos(&sys)?.map(Arc::new),
            user: body.get("user").cloned(),
        })
    }
}

fn read_dictionary(sys: &Map<String, Value>) -> Result<Option<Dictionary>, WireError> {
    let object = |key: &str| sys.get(key).and_then(Value::as_object);
    let Some(route_to_code) = object("routeToCode").or_else(|| object("dict")) else {
        return Ok(None);
    };
    let version = sys.get("dictVersion").and_then(Value::as_str).unwrap_or_default();
    Dictionary::from_handshake(route_to_code, object("codeToRoute"), version).map(Some)
}

fn read_protos(sys: &Map<String, Value>) -> Result<Option<Protos>, WireError> {
    let Some(protos) = sys.get("protos") else {
        return Ok(None);
    };
    let side = |key: &str| protos.get(key).and_then(Value::as_object).cloned().unwrap_or_default();
    let version = protos.get("version").and_then(Value::as_str).unwrap_or_default();
    Protos::from_parsed(side("client"), side("server"), Some(version.to_owned())).map(Some)
}
