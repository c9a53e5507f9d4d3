//! The other end of the wire, for load generators, replay and tests: what a pomelo client does.

use crate::dictionary::Dictionary;
use crate::message::{self, MessageKind, RouteOut, RouteRef, RouteText};
use crate::package::{self, PackageKind};
use crate::protobuf::Protos;
use crate::text::{self, TextForm};
use crate::{WireError, json};
use bytes::{BufMut, Bytes, BytesMut};
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::time::Duration;

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

/// What the server sent in a DATA package.
#[derive(Debug, Clone, PartialEq)]
pub enum Delivery {
    /// The answer to the request with this id.
    Response {
        /// The request's id.
        id: u32,
        /// JSON; empty if the server could not write its answer by the schema.
        body: Bytes,
    },
    /// A push.
    Push {
        /// Its route, decompressed.
        route: RouteText,
        /// JSON; empty if the server could not write it by the schema.
        body: Bytes,
    },
}

/// A client's encoder and decoder, cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Codec {
    dictionary: Option<Arc<Dictionary>>,
    protos: Option<Arc<Protos>>,
    text: TextForm,
}

impl Codec {
    /// The codec that `reply` asks for. What the reply leaves out comes from `cached`, the codec of an
    /// earlier connection.
    ///
    /// # Errors
    /// [`WireError::HandshakeRefused`] unless the code is 200; [`WireError::BadHandshake`] if the reply
    /// relies on a dictionary or schemas that `cached` does not have.
    pub fn new(reply: &HandshakeReply, cached: Option<&Self>) -> Result<Self, WireError> {
        if reply.code != 200 {
            return Err(WireError::HandshakeRefused { code: reply.code });
        }
        let missing = |what: &str| WireError::BadHandshake(format!("the reply relies on a cached {what}"));
        let dictionary = reply.dictionary.clone().or_else(|| cached?.dictionary.clone());
        let protos = reply.protos.clone().or_else(|| cached?.protos.clone());
        if reply.use_dictionary && dictionary.is_none() {
            return Err(missing("dictionary"));
        }
        if reply.use_protos && protos.is_none() {
            return Err(missing("set of schemas"));
        }
        Ok(Self {
            dictionary: dictionary.filter(|_| reply.use_dictionary),
            protos: protos.filter(|_| reply.use_protos),
            text: TextForm::Utf8,
        })
    }

    /// The same codec with this form for protobuf strings in requests.
    #[must_use]
    pub fn with_text(self, text: TextForm) -> Self {
        Self { text, ..self }
    }

    /// The dictionary in use.
    pub fn dictionary(&self) -> Option<&Arc<Dictionary>> {
        self.dictionary.as_ref()
    }

    /// The schemas in use.
    pub fn protos(&self) -> Option<&Arc<Protos>> {
        self.protos.as_ref()
    }

    /// Appends a request as one whole DATA package. `json` must be valid JSON in UTF-8.
    ///
    /// # Errors
    /// The id, the route or the body does not fit, or the body does not fit the schema of its route.
    pub fn encode_request(
        &self,
        id: u32,
        route: &str,
        json: &[u8],
        out: &mut BytesMut,
    ) -> Result<(), WireError> {
        self.encode(MessageKind::Request, id, route, json, out)
    }

    /// Appends a notify as one whole DATA package. `json` must be valid JSON in UTF-8.
    ///
    /// # Errors
    /// As [`Codec::encode_request`].
    pub fn encode_notify(&self, route: &str, json: &[u8], out: &mut BytesMut) -> Result<(), WireError> {
        self.encode(MessageKind::Notify, 0, route, json, out)
    }

    fn encode(
        &self,
        kind: MessageKind,
        id: u32,
        route: &str,
        json: &[u8],
        out: &mut BytesMut,
    ) -> Result<(), WireError> {
        let code = self.dictionary.as_ref().and_then(|dictionary| dictionary.code(route));
        let route_out = code.map_or(RouteOut::Text(route), RouteOut::Code);
        let schema = self.protos.as_ref().filter(|protos| protos.has_client(route));
        package::write(PackageKind::Data, out, |out| {
            message::write_head(kind, 0, id, route_out, out)?;
            let Some(protos) = schema else {
                out.put_slice(json);
                return Ok(());
            };
            let body = protos.encode_request(route, json, self.text)?.map_err(|mismatch| {
                WireError::BadProtobuf { route: route.to_owned(), reason: mismatch.to_string() }
            })?;
            out.put_slice(&body);
            Ok(())
        })
    }

    /// Reads the body of a DATA package from the server. `request_route` tells the route of the request
    /// with a given id, which names the schema of the response; without it the body counts as JSON.
    ///
    /// # Errors
    /// The message cannot be read, is a request or notify, or its body does not follow its schema.
    pub fn decode<R: AsRef<str>>(
        &self,
        bytes: Bytes,
        request_route: impl FnOnce(u32) -> Option<R>,
    ) -> Result<Delivery, WireError> {
        let message = message::decode(bytes)?;
        match (message.kind, message.route) {
            (MessageKind::Response, _) => {
                let route = request_route(message.id);
                let route = route.as_ref().map(AsRef::as_ref).unwrap_or_default();
                Ok(Delivery::Response { id: message.id, body: self.decode_body(route, message.body)? })
            }
            (MessageKind::Push, RouteRef::Text(route)) => {
                let body = self.decode_body(&route, message.body)?;
                Ok(Delivery::Push { route, body })
            }
            (MessageKind::Push, RouteRef::Code(code)) => {
                let dictionary = self.dictionary.as_ref().ok_or(WireError::NoDictionary(code))?;
                let route = dictionary.route(code).ok_or(WireError::UnknownRouteCode(code))?;
                let body = self.decode_body(route, message.body)?;
                Ok(Delivery::Push { route: route.as_ref().into(), body })
            }
            (kind, _) => Err(WireError::ForbiddenMessage { kind }),
        }
    }

    fn decode_body(&self, route: &str, body: Bytes) -> Result<Bytes, WireError> {
        match &self.protos {
            // An empty body says that the server could not write one.
            _ if body.is_empty() => Ok(body),
            Some(protos) if protos.has_server(route) => protos.decode_server(route, &body).map(Bytes::from),
            _ if json::is_json(&body) => Ok(body),
            _ => Err(WireError::BadJson {
                route: route.to_owned(),
                reason: "the server sent something else".into(),
            }),
        }
    }
}
