//! Pomelo's protobuf: schemas in JSON, and bytes that look like Google's but are not.
//!
//! The differences: `int32` is zigzag-coded like `sInt32`; a repeated number is one head, the **count** of
//! elements, and the elements; fields are written in the order of the message, not of their tags; there
//! are no booleans, enums, bytes, maps or defaults, and an unknown tag ends the decoding.

mod decode;
mod encode;
mod parse;
mod schema;

use crate::dictionary::{HANDSHAKE_PART_BYTES_MAX, hash};
use crate::text::TextForm;
use crate::{WireError, json};
use schema::Schemas;
use serde_json::{Map, Value};

pub use encode::SchemaMismatch;

/// How deep messages may nest in bytes and in bodies; a message that contains itself could else nest
/// without end.
pub const DEPTH_MAX: usize = 32;

/// The schemas of a connector: *client* schemas for requests and notifies, *server* schemas for responses
/// and pushes, each by route.
#[derive(Debug, Clone)]
pub struct Protos {
    client: Schemas,
    server: Schemas,
    version: String,
    handshake_part: String,
    skipped: Vec<String>,
}

impl Protos {
    /// Parses the contents of clientProtos.json and serverProtos.json (`null` counts as `{}`).
    ///
    /// Like pomelo it leaves out lines that it does not understand, see [`Protos::skipped`].
    ///
    /// # Errors
    /// [`WireError::BadSchema`] with side, route and field: a tag that is no integer of 0 to 2^28-1, an
    /// unknown type, or schemas that would not fit a handshake.
    pub fn parse(client: &Value, server: &Value) -> Result<Self, WireError> {
        let mut skipped = Vec::new();
        let client = parse::parse("clientProtos", client, &mut skipped)?;
        let server = parse::parse("serverProtos", server, &mut skipped)?;
        Ok(Self { skipped, ..Self::from_parsed(client, server, None)? })
    }

    /// Takes schemas in their parsed form, as a handshake reply carries them.
    pub(crate) fn from_parsed(
        client: Map<String, Value>,
        server: Map<String, Value>,
        version: Option<String>,
    ) -> Result<Self, WireError> {
        let (client, server) = (Value::Object(client), Value::Object(server));
        let (client_json, server_json) = (client.to_string(), server.to_string());
        let version = version.unwrap_or_else(|| hash(&[&client_json, &server_json]));
        let handshake_part = format!(
            "\"protos\":{{\"server\":{server_json},\"client\":{client_json},\"version\":{}}}",
            Value::String(version.clone())
        );
        if handshake_part.len() > HANDSHAKE_PART_BYTES_MAX {
            return Err(WireError::BadSchema {
                path: "clientProtos and serverProtos".into(),
                reason: "over 6 MiB in parsed form; no client could connect".into(),
            });
        }
        Ok(Self {
            client: Schemas::link("clientProtos", &client)?,
            server: Schemas::link("serverProtos", &server)?,
            version,
            handshake_part,
            skipped: Vec::new(),
        })
    }

    /// Lines of the schema files that were left out, each with its place and reason, for a warning.
    pub fn skipped(&self) -> &[String] {
        &self.skipped
    }

    /// The hash by which a client knows that its cached schemas are these.
    pub fn version(&self) -> &str {
        &self.version
    }

    pub(crate) fn handshake_part(&self) -> &str {
        &self.handshake_part
    }

    /// Whether requests and notifies to `route` are protobuf.
    pub fn has_client(&self, route: &str) -> bool {
        self.client.route(route).is_some()
    }

    /// Whether responses and pushes of `route` are protobuf.
    pub fn has_server(&self, route: &str) -> bool {
        self.server.route(route).is_some()
    }

    /// Decodes the body of a request into JSON; like pomelo it does not ask for required fields.
    ///
    /// # Errors
    /// [`WireError::BadProtobuf`] if the bytes do not follow the schema, or the route has none.
    pub fn decode_request(&self, route: &str, bytes: &[u8]) -> Result<Vec<u8>, WireError> {
        self.client.decode(route, bytes)
    }

    /// Encodes the JSON body of a response or push. The inner result is `Err` if the value does not fit the
    /// schema (a required field is missing, a string stands for a number, the value is no object): such a
    /// message goes out with an empty body.
    ///
    /// # Errors
    /// [`WireError::BadJson`] if `json` is none, [`WireError::BadProtobuf`] if the route has no schema.
    pub fn encode_server(
        &self,
        route: &str,
        json: &[u8],
        text: TextForm,
    ) -> Result<Result<Vec<u8>, SchemaMismatch>, WireError> {
        self.server.encode(route, json, text)
    }

    /// The client's half of [`Protos::decode_request`].
    ///
    /// # Errors
    /// As [`Protos::encode_server`].
    pub fn encode_request(
        &self,
        route: &str,
        json: &[u8],
        text: TextForm,
    ) -> Result<Result<Vec<u8>, SchemaMismatch>, WireError> {
        self.client.encode(route, json, text)
    }

    /// The client's half of [`Protos::encode_server`].
    ///
    /// # Errors
    /// As [`Protos::decode_request`].
    pub fn decode_server(&self, route: &str, bytes: &[u8]) -> Result<Vec<u8>, WireError> {
        self.server.decode(route, bytes)
    }
}

impl Schemas {
    fn decode(&self, route: &str, bytes: &[u8]) -> Result<Vec<u8>, WireError> {
        let bad = |reason: String| WireError::BadProtobuf { route: route.to_owned(), reason };
        let schema = self.route(route).ok_or_else(|| bad("the route has no schema".into()))?;
        let message = decode::message(self, schema, bytes).map_err(bad)?;
        Ok(message.to_string().into_bytes())
    }

    fn encode(
        &self,
        route: &str,
        json: &[u8],
        text: TextForm,
    ) -> Result<Result<Vec<u8>, SchemaMismatch>, WireError> {
        let schema = self.route(route).ok_or_else(|| WireError::BadProtobuf {
            route: route.to_owned(),
            reason: "the route has no schema".into(),
        })?;
        let value =
            json::parse(json).map_err(|reason| WireError::BadJson { route: route.to_owned(), reason })?;
        Ok(encode::message(self, schema, &value, text))
    }
}
