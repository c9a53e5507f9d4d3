//! Requests out, responses and pushes in.

use super::HandshakeReply;
use crate::dictionary::Dictionary;
use crate::message::{self, MessageKind, RouteOut, RouteRef, RouteText};
use crate::package::{self, PackageKind};
use crate::protobuf::Protos;
use crate::text::TextForm;
use crate::{WireError, json};
use bytes::{BufMut, Bytes, BytesMut};
use std::sync::Arc;

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
