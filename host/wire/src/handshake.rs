//! The bodies of HANDSHAKE packages, server side.

use crate::dictionary::Dictionary;
use crate::protobuf::Protos;
use crate::protocol::Protocol;
use crate::{WireError, text};
use serde_json::{Map, Value};
use std::time::Duration;

/// What a client says of itself.
#[derive(Debug, Clone, PartialEq)]
pub struct HandshakeRequest {
    /// The whole `sys` object.
    pub sys: Map<String, Value>,
    /// The client's own data, `user`.
    pub user: Option<Value>,
}

impl HandshakeRequest {
    /// Reads the body of a client's HANDSHAKE.
    ///
    /// # Errors
    /// [`WireError::BadHandshake`] if it is not JSON or has no object `sys`; the answer is code 500.
    pub fn parse(body: &[u8]) -> Result<Self, WireError> {
        let body = text::repair_str(body);
        let parsed: Value = serde_json::from_str(&body)
            .map_err(|error| WireError::BadHandshake(format!("the body is not JSON: {error}")))?;
        let Value::Object(mut members) = parsed else {
            return Err(WireError::BadHandshake("the body is not a JSON object".into()));
        };
        let Some(Value::Object(sys)) = members.remove("sys") else {
            return Err(WireError::BadHandshake("`sys` is missing or not an object".into()));
        };
        Ok(Self { sys, user: members.remove("user") })
    }

    /// `sys.type`, e.g. `js-websocket`.
    pub fn client_type(&self) -> Option<&str> {
        self.text("type")
    }

    /// `sys.version` of the client library, if it is a string.
    pub fn client_version(&self) -> Option<&str> {
        self.text("version")
    }

    /// The version of the dictionary that the client has in its cache.
    pub fn dictionary_version(&self) -> Option<&str> {
        self.text("dictVersion")
    }

    /// The version of the schemas that the client has in its cache.
    pub fn protos_version(&self) -> Option<&str> {
        self.text("protoVersion")
    }

    fn text(&self, key: &str) -> Option<&str> {
        self.sys.get(key).and_then(Value::as_str)
    }
}

/// What a reply may leave out because the client has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Cached {
    pub(crate) dictionary: bool,
    pub(crate) protos: bool,
}

impl Cached {
    pub(crate) fn of(request: &HandshakeRequest, protocol: &Protocol) -> Self {
        Self {
            dictionary: request.dictionary_version() == protocol.dictionary.as_ref().map(Dictionary::version),
            protos: request.protos_version() == protocol.protos.as_ref().map(Protos::version),
        }
    }
}

/// The body of the reply 200, with pomelo's members in pomelo's order.
pub(crate) fn accept_body(protocol: &Protocol, cached: Cached, user: Option<&Value>) -> String {
    let mut sys: Vec<String> = Vec::with_capacity(6);
    if let Some(heartbeat) = protocol.heartbeat {
        sys.push(format!("\"heartbeat\":{}", seconds(heartbeat)));
    }
    if let Some(dictionary) = &protocol.dictionary {
        if !cached.dictionary {
            sys.push(dictionary.handshake_part().to_owned());
        }
        sys.push("\"useDict\":true".to_owned());
    }
    if let Some(protos) = &protocol.protos {
        if !cached.protos {
            sys.push(protos.handshake_part().to_owned());
        }
        sys.push("\"useProto\":true".to_owned());
    }
    let user = user.map(|user| format!(",\"user\":{user}")).unwrap_or_default();
    format!("{{\"code\":200,\"sys\":{{{}}}{user}}}", sys.join(","))
}

/// Whole seconds as pomelo writes them; a fraction only where there is one.
fn seconds(duration: Duration) -> String {
    if duration.subsec_nanos() == 0 {
        duration.as_secs().to_string()
    } else {
        duration.as_secs_f64().to_string()
    }
}
