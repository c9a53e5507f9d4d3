//! What the fuzz targets run: each takes any bytes and asserts what must hold for all of them.
//!
//! They live here so that `fuzz/` (libFuzzer, which needs a nightly compiler) and an ordinary test over the
//! same corpus run the same code.

use crate::client::{Codec, Delivery, HandshakeReply, Hello};
use crate::connection::{Connection, Received, State};
use crate::dictionary::Dictionary;
use crate::handshake::HandshakeRequest;
use crate::message;
use crate::package::{self, Package};
use crate::protobuf::Protos;
use crate::protocol::{self, Protocol};
use crate::text::{self, TextForm};
use crate::{WireError, json};
use bytes::{Bytes, BytesMut};
use serde_json::{Value, json};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

/// A target: any bytes in, a panic if something does not hold.
pub type Target = fn(&[u8]);

/// All targets by name.
pub const TARGETS: [(&str, Target); 6] = [
    ("package", package),
    ("message", message),
    ("handshake", handshake),
    ("protobuf", protobuf),
    ("dictionary", dictionary),
    ("connection", connection),
];

/// Packages: a stream, however it is cut, and a frame hold the same ones. First byte: how it is cut.
pub fn package(data: &[u8]) {
    const BODY_BYTES_MAX: usize = 300;
    let Some((cut, bytes)) = data.split_first() else { return };
    let (mut from_stream, mut failed) = (Vec::new(), None);
    let mut buffer = BytesMut::new();
    'stream: for fragment in bytes.chunks(usize::from(cut % 64) + 1) {
        buffer.extend_from_slice(fragment);
        loop {
            match package::decode(&mut buffer, BODY_BYTES_MAX) {
                Ok(Some(package)) => from_stream.push(package),
                Ok(None) => break,
                Err(error) => {
                    failed = Some(error);
                    break 'stream;
                }
            }
        }
    }
    let (from_frame, errors): (Vec<_>, Vec<_>) =
        package::split(Bytes::copy_from_slice(bytes), BODY_BYTES_MAX).partition(Result::is_ok);
    let from_frame: Vec<Package> = from_frame.into_iter().flatten().collect();
    assert_eq!(from_stream, from_frame);
    let error = errors.into_iter().next().and_then(Result::err);
    if let Some(failed) = failed {
        assert_eq!(error, Some(failed));
    } else {
        // What a stream waits for is cut off in a frame.
        assert_eq!(error.is_some(), !buffer.is_empty());
    }
    let mut again = BytesMut::new();
    for package in &from_frame {
        assert!(package.body.len() <= BODY_BYTES_MAX);
        assert_eq!(package::encode_into(package.kind, &package.body, &mut again), Ok(()));
    }
    assert!(bytes.starts_with(&again));
}

/// Messages: what can be read can be written, and reads the same. JSON bodies always come out as JSON.
pub fn message(data: &[u8]) {
    let body = json::accept_body(Bytes::copy_from_slice(data));
    assert!(json::is_json(&body));
    if let Ok(text) = std::str::from_utf8(data) {
        let is_json = serde_json::from_str::<Value>(text).is_ok();
        assert!(!is_json || json::is_json(data), "serde_json reads what is refused here");
        let escaped = text::escape_astral(data);
        assert!(!text::has_astral(&escaped) && (!is_json || json::is_json(&escaped)));
    }
    let Ok(message) = message::decode(Bytes::copy_from_slice(data)) else { return };
    let mut out = BytesMut::new();
    match message::encode_into(&message, &mut out) {
        Ok(()) => assert_eq!(message::decode(out.freeze()), Ok(message)),
        // Repaired text may be longer than what was sent.
        Err(error) => assert!(matches!(error, WireError::RouteTooLong { .. }) && out.is_empty()),
    }
}

/// Handshakes: a request gets a reply that a client understands; a reply of any form does no harm.
pub fn handshake(data: &[u8]) {
    let is_request = HandshakeRequest::parse(data).is_ok();
    let mut connection = Connection::new(Arc::clone(&FULL));
    let package = Package { kind: package::PackageKind::Handshake, body: Bytes::copy_from_slice(data) };
    match connection.receive(package) {
        Ok(Received::Handshake(request)) => {
            assert!(is_request);
            let reply = read_reply(connection.accept(request.user));
            assert_eq!(reply.code, 200);
            assert!(Codec::new(&reply, Some(&CACHED)).is_ok());
            assert_eq!(connection.state(), State::WaitAck);
        }
        Ok(Received::BadHandshake { reply, .. }) => {
            assert!(!is_request);
            assert_eq!(read_reply(reply).code, 500);
            assert_eq!(connection.state(), State::Closed);
        }
        other => unexpected(&other),
    }
    if let Ok(reply) = HandshakeReply::parse(data)
        && let Ok(codec) = Codec::new(&reply, None)
    {
        let mut out = BytesMut::new();
        let _ = codec.encode_request(1, "onChat", b"{\"msg\":1}", &mut out);
        let _ = codec.decode(Bytes::copy_from_slice(data), |_| Some("onChat"));
    }
}

/// Protobuf: what is decoded is JSON that encodes to bytes of the same meaning. First byte: the schema.
pub fn protobuf(data: &[u8]) {
    let Some((choice, bytes)) = data.split_first() else { return };
    let route = if choice & 1 == 0 { "all" } else { "tree" };
    let text = if choice & 2 == 0 { TextForm::Utf8 } else { TextForm::Cesu8 };
    if let Some(protos) = &FULL.protos {
        if let Ok(decoded) = protos.decode_request(route, bytes) {
            assert!(json::is_json(&decoded));
            round_trip(protos, route, &decoded, text);
        }
        round_trip(protos, route, bytes, text);
    }
    if let Ok(schemas) = serde_json::from_slice::<Value>(bytes)
        && let Ok(protos) = Protos::parse(&schemas, &Value::Null)
    {
        for route in schemas.as_object().into_iter().flat_map(|routes| routes.keys()) {
            assert!(protos.has_client(route) && !protos.has_server(route));
            let _ = protos.decode_request(route, bytes);
        }
    }
}

/// Encodes `json`; if that works, decoding and encoding again must not change the bytes.
fn round_trip(protos: &Protos, route: &str, json: &[u8], text: TextForm) {
    let Ok(Ok(bytes)) = protos.encode_request(route, json, text) else { return };
    let decoded = match protos.decode_request(route, &bytes) {
        Ok(decoded) => decoded,
        Err(error) => return unexpected(&error),
    };
    let Ok(Ok(again)) = protos.encode_request(route, &decoded, text) else {
        // Only a number beyond a float's range is written as infinity, and read as null.
        return assert!(decoded.windows(4).any(|window| window == b"null"));
    };
    let lost = decoded.windows(4).any(|window| window == b"null");
    assert!(lost || again == bytes);
}

/// Dictionaries: codes and routes lead to each other, and a client reads the same from the handshake.
/// Lines are routes; after an empty line those of dictionary.json follow.
pub fn dictionary(data: &[u8]) {
    let text = text::repair_str(data);
    let (handlers, extra) = text.split_once("\n\n").unwrap_or((&text, ""));
    let handlers: Vec<String> = handlers.lines().map(str::to_owned).collect();
    let extra: Vec<String> = extra.lines().map(str::to_owned).collect();
    let Ok(dictionary) = Dictionary::new(handlers.clone(), &extra) else { return };
    let reversed = Dictionary::new(handlers.iter().rev().cloned(), &extra);
    assert_eq!(reversed.as_ref().map(Dictionary::version), Ok(dictionary.version()));
    for route in handlers.iter().chain(&extra) {
        let code = dictionary.code(route);
        assert_eq!(code.and_then(|code| dictionary.route(code)).map(AsRef::as_ref), Some(route.as_str()));
    }
    let protocol = Protocol { dictionary: Some(dictionary.clone()), ..Protocol::default() };
    let reply = read_reply(shake_hands(&mut Connection::new(Arc::new(protocol)), &Hello::default()));
    let Some(theirs) = reply.dictionary else { return unexpected(&reply) };
    assert_eq!((theirs.version(), theirs.len()), (dictionary.version(), dictionary.len()));
    for route in handlers.iter().chain(&extra) {
        assert_eq!(theirs.code(route), dictionary.code(route));
    }
}

/// A whole connection: any stream of bytes leads through the states, and all that is to be sent can be read.
/// First byte: how the stream is cut, and whether the handshake is accepted.
pub fn connection(data: &[u8]) {
    let Some((choice, bytes)) = data.split_first() else { return };
    let mut connection = Connection::new(Arc::clone(&FULL));
    let mut buffer = BytesMut::new();
    for fragment in bytes.chunks(usize::from(choice % 64) + 1) {
        buffer.extend_from_slice(fragment);
        loop {
            let limit = connection.body_bytes_max();
            assert_eq!(limit == FULL.limits.body_bytes_max, connection.is_working());
            let package = match package::decode(&mut buffer, limit) {
                Ok(Some(package)) => package,
                Ok(None) => break,
                Err(error) => {
                    let before = connection.state();
                    let farewell = connection.violation(&error);
                    assert!(farewell.is_none() || before == State::Inited);
                    assert_eq!(connection.state(), State::Closed);
                    return;
                }
            };
            let (before, kind) = (connection.state(), package.kind);
            match connection.receive(package) {
                Ok(received) => serve(&mut connection, before, received, choice & 0x40 == 0),
                Err(error) => {
                    assert!(before == State::Working || kind == package::PackageKind::Kick, "{error}");
                    assert_eq!(connection.state(), State::Closed);
                }
            }
        }
    }
}

fn serve(connection: &mut Connection, before: State, received: Received, accept: bool) {
    match received {
        Received::Ignored => assert_eq!(connection.state(), before),
        Received::Handshake(request) => {
            assert_eq!((before, connection.state()), (State::Inited, State::Handshaking));
            let reply = if accept { connection.accept(request.user) } else { connection.reject(501) };
            assert_eq!(read_reply(reply).code, if accept { 200 } else { 501 });
        }
        Received::BadHandshake { reply, .. } => assert_eq!(read_reply(reply).code, 500),
        Received::Ready { heartbeat } => {
            assert_eq!((before, connection.is_working()), (State::WaitAck, true));
            assert_eq!(heartbeat, Some(protocol::heartbeat_package()));
        }
        Received::Heartbeat { reply } => assert_eq!(reply, Some(protocol::heartbeat_package())),
        Received::Message(message) => {
            assert!(json::is_json(&message.body) && message.route.contains('.'));
            respond(connection, message.kind.id(), &message.route, &message.body);
        }
        Received::BadMessage { kind, route, .. } => {
            let route = route.as_ref().map(AsRef::as_ref).unwrap_or_default();
            respond(connection, kind.id(), route, b"{\"code\":500}");
        }
    }
}

fn respond(connection: &Connection, id: Option<u32>, route: &str, json: &[u8]) {
    let Some(id) = id else { return };
    let mut out = BytesMut::new();
    let encoded = connection.protocol().encode_response(id, route, json, connection.text_form(), &mut out);
    assert!(encoded.is_ok(), "{encoded:?}");
    let body = package::split(out.freeze(), package::BODY_BYTES_MAX).next().and_then(Result::ok);
    let delivery = body.map(|package| CACHED.decode(package.body, |_| Some(route)));
    match delivery {
        Some(Ok(Delivery::Response { id: answered, .. })) => assert_eq!(answered, id),
        other => unexpected(&other),
    }
}

fn shake_hands(connection: &mut Connection, hello: &Hello) -> Bytes {
    let package = hello.package().ok().and_then(|hello| package::split(hello, usize::MAX).next()?.ok());
    let received = package.map(|package| connection.receive(package));
    assert!(matches!(received, Some(Ok(Received::Handshake(_)))));
    connection.accept(None)
}

fn read_reply(reply: Bytes) -> HandshakeReply {
    let package = package::split(reply, package::BODY_BYTES_MAX).next();
    let body = package.and_then(Result::ok).map(|package| package.body);
    match HandshakeReply::parse(&body.unwrap_or_default()) {
        Ok(reply) => reply,
        Err(error) => unexpected(&error),
    }
}

#[expect(clippy::panic, reason = "a fuzz target reports by panicking")]
fn unexpected<T>(found: &impl std::fmt::Debug) -> T {
    panic!("unexpected: {found:?}")
}

/// Everything switched on, with all types of fields, and a message that contains itself.
static FULL: LazyLock<Arc<Protocol>> = LazyLock::new(|| {
    let schemas = json!({
        "message Pos": {"required double x": 1, "required float y": 2},
        "message Node": {"optional Node left": 1, "repeated Node right": 2, "optional string name": 3},
        "all": {
            "required uInt32 u": 1, "optional sInt32 s": 2, "optional int32 i": 3, "optional string str": 4,
            "repeated uInt32 arr": 5, "repeated string names": 6, "optional Pos pos": 7, "repeated Pos path": 8,
            "message Inner": {"required string k": 1, "repeated sInt32 v": 2}, "optional Inner inner": 9,
            "repeated Inner inners": 10, "optional float f": 11, "optional double d": 12, "repeated double ds": 13
        },
        "tree": {"required Node root": 1},
        "connector.protoHandler.all": {"required uInt32 u": 1, "optional string str": 4}
    });
    let routes = ["connector.entryHandler.echo", "connector.protoHandler.all"].map(str::to_owned);
    Arc::new(Protocol {
        heartbeat: Some(Duration::from_secs(3)),
        dictionary: Dictionary::new(routes, &["onChat".to_owned()]).ok(),
        protos: Protos::parse(&schemas, &schemas).ok(),
        ..Protocol::default()
    })
});

/// A client that has shaken hands with [`FULL`].
static CACHED: LazyLock<Codec> = LazyLock::new(|| {
    let reply = read_reply(shake_hands(&mut Connection::new(Arc::clone(&FULL)), &Hello::default()));
    match Codec::new(&reply, None) {
        Ok(codec) => codec,
        Err(error) => unexpected(&error),
    }
});
