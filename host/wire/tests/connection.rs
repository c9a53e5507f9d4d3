//! The life of a connection: what is heard when, what is answered, what closes it.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs, reason = "tests")]

mod servers;

use bytes::{Bytes, BytesMut};
use serde_json::{Value, json};
use shaddock_wire::WireError;
use shaddock_wire::client::{self, Codec, HandshakeReply, Hello};
use shaddock_wire::connection::{Connection, Incoming, IncomingKind, IncomingRoute, Received, State};
use shaddock_wire::package::{self, Package, PackageKind};
use shaddock_wire::protocol::{self, Encoded, Limits, Protocol};
use shaddock_wire::text::TextForm;
use std::sync::Arc;
use std::time::Duration;

const LAB: u16 = 3150;

fn pack(kind: PackageKind, body: &[u8]) -> Package {
    Package { kind, body: Bytes::copy_from_slice(body) }
}

fn handshake(sys: &Value) -> Package {
    pack(PackageKind::Handshake, json!({ "sys": sys }).to_string().as_bytes())
}

fn body_of(package: Bytes) -> String {
    let package = package::split(package, package::BODY_BYTES_MAX).next().unwrap().unwrap();
    String::from_utf8(package.body.to_vec()).unwrap()
}

fn working(protocol: Protocol, sys: &Value) -> Connection {
    let mut connection = Connection::new(Arc::new(protocol));
    assert!(matches!(connection.receive(handshake(sys)), Ok(Received::Handshake(_))));
    connection.accept(None);
    connection.receive(pack(PackageKind::HandshakeAck, b"")).unwrap();
    assert!(connection.is_working());
    connection
}

/// Sends one message to a working connection of the lab's connector.
#[track_caller]
fn receive(message: &[u8]) -> Received {
    working(servers::protocol(LAB), &json!({})).receive(pack(PackageKind::Data, message)).unwrap()
}

#[track_caller]
fn check_message(message: &[u8], kind: IncomingKind, route: &str, body: &str) {
    let Received::Message(Incoming { kind: got, route: at, body: json }) = receive(message) else {
        panic!("{message:?} is not served")
    };
    assert_eq!((got, &*at, &json[..]), (kind, route, body.as_bytes()));
}

#[track_caller]
fn check_bad_message(message: &[u8], kind: IncomingKind, route: Option<&str>, error: &str) {
    let Received::BadMessage { kind: got, route: at, error: why } = receive(message) else {
        panic!("{message:?} is served")
    };
    assert_eq!((got, at.as_deref(), why.to_string().as_str()), (kind, route, error));
}

#[test]
fn packages_are_heard_in_their_state_only() {
    use PackageKind::{Data, Handshake, HandshakeAck, Heartbeat};
    let mut connection = Connection::new(Arc::new(servers::protocol(LAB)));
    let hear_nothing = |connection: &mut Connection, kinds: &[PackageKind]| {
        let state = connection.state();
        for kind in kinds {
            let package = Package { kind: *kind, body: Bytes::from_static(b"{\"sys\":{}}") };
            let received = connection.receive(package).unwrap();
            assert_eq!(
                (&received, received.is_sign_of_life()),
                (&Received::Ignored, false),
                "{kind:?} in {state:?}"
            );
            assert_eq!(connection.state(), state);
        }
    };
    assert_eq!(connection.state(), State::Inited);
    hear_nothing(&mut connection, &[HandshakeAck, Heartbeat, Data]);
    let received = connection.receive(handshake(&json!({}))).unwrap();
    assert!(matches!(received, Received::Handshake(_)) && !received.is_sign_of_life());
    assert_eq!(connection.state(), State::Handshaking);
    hear_nothing(&mut connection, &[Handshake, HandshakeAck, Heartbeat, Data]);
    connection.accept(None);
    assert_eq!(connection.state(), State::WaitAck);
    hear_nothing(&mut connection, &[Handshake, Heartbeat, Data]);
    let heartbeat = Some(Bytes::from_static(&[3, 0, 0, 0]));
    let ready = connection.receive(pack(HandshakeAck, b"")).unwrap();
    assert_eq!((&ready, ready.is_sign_of_life()), (&Received::Ready { heartbeat: heartbeat.clone() }, true));
    assert_eq!(connection.state(), State::Working);
    hear_nothing(&mut connection, &[Handshake, HandshakeAck]);
    let beat = connection.receive(pack(Heartbeat, b"")).unwrap();
    assert_eq!((&beat, beat.is_sign_of_life()), (&Received::Heartbeat { reply: heartbeat }, true));
    assert!(connection.receive(pack(Data, b"\x02\x03a.b")).unwrap().is_sign_of_life());
    connection.close();
    hear_nothing(&mut connection, &[Handshake, HandshakeAck, Heartbeat, Data]);
}

#[test]
fn without_heartbeats_none_is_sent() {
    let mut connection = Connection::new(Arc::new(Protocol::default()));
    connection.receive(handshake(&json!({}))).unwrap();
    assert_eq!(body_of(connection.accept(None)), r#"{"code":200,"sys":{}}"#);
    assert_eq!(
        connection.receive(pack(PackageKind::HandshakeAck, b"")),
        Ok(Received::Ready { heartbeat: None })
    );
    assert_eq!(
        connection.receive(pack(PackageKind::Heartbeat, b"")),
        Ok(Received::Heartbeat { reply: None })
    );
    assert_eq!(Protocol::default().silence_max(), None);
}

#[test]
fn silence_is_allowed_for_two_heartbeats_or_as_set() {
    let heartbeat = Some(Duration::from_secs(3));
    let protocol = Protocol { heartbeat, ..Protocol::default() };
    assert_eq!(protocol.silence_max(), Some(Duration::from_secs(6)));
    let protocol = Protocol { heartbeat_timeout: Some(Duration::from_secs(60)), ..protocol };
    assert_eq!(protocol.silence_max(), Some(Duration::from_secs(60)));
}

#[test]
fn a_reply_holds_what_the_client_lacks() {
    let protocol = Arc::new(servers::protocol(3050));
    let reply = |sys: Value| {
        let mut connection = Connection::new(Arc::clone(&protocol));
        connection.receive(handshake(&sys)).unwrap();
        body_of(connection.accept(Some(json!({"b": 1, "a": "😀"}))))
    };
    let dictionary = r#""dict":{"chat.chatHandler.send":1,"connector.entryHandler.enter":2,"gate.gateHandler.queryEntry":3},"routeToCode":{"chat.chatHandler.send":1,"connector.entryHandler.enter":2,"gate.gateHandler.queryEntry":3},"codeToRoute":{"1":"chat.chatHandler.send","2":"connector.entryHandler.enter","3":"gate.gateHandler.queryEntry"},"dictVersion":"s2r1qfKDrbhWCkA6uf+PTA==","#;
    let protos = r#""protos":{"server":{"onChat":{"msg":{"option":"required","type":"string","tag":1},"from":{"option":"required","type":"string","tag":2},"target":{"option":"required","type":"string","tag":3},"__messages":{},"__tags":{"1":"msg","2":"from","3":"target"}}},"client":{},"version":"2zWPnSlRsRxjqgcU215Uxg=="},"#;
    let cases = [
        (json!({}), dictionary, protos),
        (json!({"protoVersion": 0, "dictVersion": "old"}), dictionary, protos),
        (json!({"dictVersion": "s2r1qfKDrbhWCkA6uf+PTA=="}), "", protos),
        (json!({"protoVersion": "2zWPnSlRsRxjqgcU215Uxg=="}), dictionary, ""),
    ];
    for (sys, dictionary, protos) in cases {
        let user = r#""user":{"b":1,"a":"\ud83d\ude00"}"#;
        let expect = format!(
            r#"{{"code":200,"sys":{{"heartbeat":3,{dictionary}"useDict":true,{protos}"useProto":true}},{user}}}"#
        );
        assert_eq!(reply(sys), expect);
    }
}

#[test]
fn a_fraction_of_a_second_is_sent_as_such() {
    let protocol = Protocol { heartbeat: Some(Duration::from_millis(1500)), ..Protocol::default() };
    let mut connection = Connection::new(Arc::new(protocol));
    connection.receive(handshake(&json!({}))).unwrap();
    let reply = connection.accept(None);
    assert_eq!(
        HandshakeReply::parse(body_of(reply).as_bytes()).unwrap().heartbeat,
        Some(Duration::from_millis(1500))
    );
}

#[test]
fn a_handshake_that_says_nothing_is_refused() {
    let bodies = ["", "not json", "null", "[]", "{}", r#"{"sys":null}"#, r#"{"sys":1}"#, r#"{"sys":{}"#];
    for body in bodies {
        let mut connection = Connection::new(Arc::new(servers::protocol(LAB)));
        let received = connection.receive(pack(PackageKind::Handshake, body.as_bytes())).unwrap();
        let Received::BadHandshake { reply, error: WireError::BadHandshake(_) } = received else {
            panic!("{body}: {received:?}")
        };
        assert_eq!(body_of(reply), r#"{"code":500}"#);
        assert_eq!(connection.state(), State::Closed);
    }
}

#[test]
fn the_host_may_refuse_a_client() {
    let mut connection = Connection::new(Arc::new(servers::protocol(LAB)));
    let hello = Hello { client_type: Some("js".into()), version: Some("old".into()), ..Hello::default() };
    let package = package::split(hello.package().unwrap(), 1000).next().unwrap().unwrap();
    let Ok(Received::Handshake(request)) = connection.receive(package) else { panic!() };
    assert_eq!((request.client_type(), request.client_version()), (Some("js"), Some("old")));
    let reply = HandshakeReply::parse(body_of(connection.reject(501)).as_bytes()).unwrap();
    assert_eq!(Codec::new(&reply, None).unwrap_err(), WireError::HandshakeRefused { code: 501 });
    assert_eq!(connection.receive(pack(PackageKind::HandshakeAck, b"")), Ok(Received::Ignored));
}

#[test]
fn a_reply_too_large_for_a_package_refuses_the_client() {
    let mut connection = Connection::new(Arc::new(Protocol::default()));
    connection.receive(handshake(&json!({}))).unwrap();
    assert_eq!(body_of(connection.accept(Some("x".repeat(1 << 24).into()))), r#"{"code":500}"#);
    assert_eq!(connection.state(), State::Closed);
}

#[test]
fn requests_notifies_and_pushes_are_served() {
    let echo = "connector.entryHandler.echo";
    let with_route = |flag: &[u8], body: &str| [flag, &[27], echo.as_bytes(), body.as_bytes()].concat();
    let request = |id| IncomingKind::Request { id };
    check_message(&with_route(&[0, 1], r#"{"x": 1}"#), request(1), echo, r#"{"x": 1}"#);
    check_message(&with_route(&[0, 0xff, 0xff, 0xff, 0xff, 7], "7"), request((1 << 31) - 1), echo, "7");
    check_message(b"\x01\x02\x00\x0d{\"y\":2}", request(2), echo, r#"{"y":2}"#);
    // Id 0 asks for no answer; a client's push is a notify; the gzip flag changes nothing.
    check_message(&with_route(&[0, 0], "{}"), IncomingKind::Notify, echo, "{}");
    check_message(&with_route(&[2], "[]"), IncomingKind::Notify, echo, "[]");
    check_message(&with_route(&[6], "{}"), IncomingKind::Notify, echo, "{}");
    check_message(&with_route(&[0x10, 0x4d], "{}"), request(77), echo, "{}");
    // What is no JSON counts as an empty object.
    for body in ["", "null", "{", "undefined"] {
        check_message(&with_route(&[0, 1], body), request(1), echo, "{}");
    }
    // A JavaScript client's emoji.
    let cesu = [&b"\x01\x02\x00\x0d\""[..], &[0xed, 0xa0, 0xbd, 0xed, 0xb8, 0x80], b"\""].concat();
    check_message(&cesu, request(2), echo, "\"😀\"");
    assert_eq!(receive(b"\x04\x05{}"), Received::Ignored);
}

#[test]
fn protobuf_requests_become_json() {
    let all = "connector.protoHandler.all";
    let request = IncomingKind::Request { id: 1 };
    let message = |body: &[u8]| [b"\x01\x01\x00\x22", body].concat();
    check_message(&message(&[0x08, 0x01, 0x10, 0x02]), request, all, r#"{"u":1,"s":1}"#);
    check_message(&message(&[]), request, all, "{}");
    check_message(&message(&[0x22, 6, 0xed, 0xa0, 0xbd, 0xed, 0xb8, 0x80]), request, all, r#"{"str":"😀"}"#);
}

#[test]
fn what_cannot_be_served_can_be_answered() {
    let request = IncomingKind::Request { id: 1 };
    let all = "connector.protoHandler.all";
    let bad_protobuf = |why: &str| format!("the protobuf body for route \"{all}\" cannot be decoded: {why}");
    check_bad_message(b"\x01\x01\x03\xe7{}", request, None, "route code 999 is not in the dictionary");
    check_bad_message(
        b"\x03\x03\xe7{}",
        IncomingKind::Notify,
        None,
        "route code 999 is not in the dictionary",
    );
    let no_type = r#"route "x" has no server type; routes read type.handler.method"#;
    check_bad_message(b"\x00\x01\x01x{}", request, Some("x"), no_type);
    check_bad_message(b"\x00\x01\x00{}", request, Some(""), &no_type.replace('x', ""));
    let bad = bad_protobuf("it ends inside an integer");
    check_bad_message(b"\x01\x01\x00\x22\xff\xff", request, Some(all), &bad);
    let bad = bad_protobuf("unknown tag 15 at byte 0");
    check_bad_message(b"\x01\x01\x00\x22\x7a\x05", request, Some(all), &bad);

    let mut plain = working(servers::protocol(3014), &json!({}));
    let received = plain.receive(pack(PackageKind::Data, b"\x01\x01\x00\x01{}")).unwrap();
    let error = WireError::NoDictionary(1);
    assert_eq!(received, Received::BadMessage { kind: request, route: None, error });
}

#[test]
fn an_error_is_answered_by_the_schema_of_its_route() {
    let protocol = servers::protocol(LAB);
    let mut out = BytesMut::new();
    let encoded = protocol.encode_response(
        1,
        "connector.protoHandler.all",
        b"{\"code\":500}",
        TextForm::Utf8,
        &mut out,
    );
    assert!(matches!(encoded, Ok(Encoded::Empty(_))));
    assert_eq!(out, b"\x04\0\0\x02\x04\x01"[..]);
    protocol.encode_response(1, "", b"{\"code\":500}", TextForm::Utf8, &mut out).unwrap();
    assert_eq!(out[6..], b"\x04\0\0\x0e\x04\x01{\"code\":500}"[..]);
}

#[test]
fn violations_close_the_connection() {
    let cases: [(PackageKind, &[u8]); 6] = [
        (PackageKind::Kick, b"{}"),
        (PackageKind::Data, b""),
        (PackageKind::Data, b"\x08\x01\x03a.b"),
        (PackageKind::Data, b"\x00\x80\x00\x03a.b"),
        (PackageKind::Data, b"\x00\xff\xff\xff\xff\x0f\x03a.b"),
        (PackageKind::Data, b"\x00\x01\x05a.b"),
    ];
    for (kind, body) in cases {
        let mut connection = working(servers::protocol(LAB), &json!({}));
        let error = connection.receive(pack(kind, body)).unwrap_err();
        assert_eq!((connection.state(), connection.violation(&error)), (State::Closed, None), "{body:?}");
        assert_eq!(connection.receive(pack(PackageKind::Kick, b"")), Ok(Received::Ignored));
    }
}

#[test]
fn a_client_without_a_reply_learns_why_it_is_closed() {
    let refused = |bytes: &'static [u8]| {
        let mut connection = Connection::new(Arc::new(servers::protocol(LAB)));
        let first = package::split(Bytes::from_static(bytes), connection.body_bytes_max()).next().unwrap();
        let farewell = connection.violation(&first.unwrap_err());
        (farewell.map(body_of), connection.state())
    };
    let explained = (Some(r#"{"code":500}"#.to_owned()), State::Closed);
    assert_eq!(refused(b"\x01\x00\x00\xff{}"), explained);
    assert_eq!(refused(b"\x01\xff\xff\xff{}"), explained);
    assert_eq!(refused(b"\x09\x00\x00\x00"), (None, State::Closed));
}

#[test]
fn bodies_are_small_until_the_acknowledgement() {
    let limits = Limits { handshake_body_bytes_max: 100, body_bytes_max: 1000 };
    let mut connection = Connection::new(Arc::new(Protocol { limits, ..Protocol::default() }));
    assert_eq!(connection.body_bytes_max(), 100);
    connection.receive(handshake(&json!({}))).unwrap();
    connection.accept(None);
    let mut frame = BytesMut::from(&client::ack_package()[..]);
    package::encode_into(PackageKind::Data, &[b"\x02\x03a.b", &[b' '; 500][..]].concat(), &mut frame)
        .unwrap();
    // One frame with the acknowledgement and a large message: the limit rises on the way.
    let mut packages = package::split(frame.clone().freeze(), connection.body_bytes_max());
    connection.receive(packages.next().unwrap().unwrap()).unwrap();
    packages.set_body_bytes_max(connection.body_bytes_max());
    assert!(matches!(connection.receive(packages.next().unwrap().unwrap()), Ok(Received::Message(_))));
    assert!(packages.next().is_none());

    let too_large = WireError::BodyTooLarge { bytes: 505, max: 100 };
    assert_eq!(package::split(frame.freeze(), 100).nth(1), Some(Err(too_large.clone())));
    // On a stream the head alone decides, before a body has come.
    assert_eq!(package::decode(&mut BytesMut::from(&b"\x04\x00\x01\xf9"[..]), 100), Err(too_large));
    assert_eq!(Limits::default(), Limits { handshake_body_bytes_max: 16_384, body_bytes_max: 65_536 });
}

#[test]
fn the_client_decides_the_form_of_protobuf_text() {
    let protocol = servers::protocol(3050);
    let json = r#"{"msg":"😀","from":"a","target":"*"}"#.as_bytes();
    assert!(protocol.push_depends_on_text("onChat", json));
    assert!(protocol.push_depends_on_text("onChat", br#"{"msg":"\uD83D\ude00"}"#));
    assert!(!protocol.push_depends_on_text("onChat", "{\"msg\":\"中\"}".as_bytes()));
    assert!(!protocol.push_depends_on_text("onAdd", json));
    let push = |client_type: &str, route: &str| {
        let connection = working(protocol.clone(), &json!({ "type": client_type }));
        let mut out = BytesMut::new();
        connection.protocol().encode_push(route, json, connection.text_form(), &mut out).unwrap();
        out
    };
    assert_eq!(push("js-websocket", "onChat")[12..], *b"\x0a\x06\xed\xa0\xbd\xed\xb8\x80\x12\x01a\x1a\x01*");
    assert_eq!(push("c", "onChat")[12..], *"\x0a\x04😀\x12\x01a\x1a\x01*".as_bytes());
    let escaped = br#"{"msg":"\ud83d\ude00","from":"a","target":"*"}"#;
    assert_eq!((&push("js-websocket", "on")[8..], &push("c", "on")[8..]), (&escaped[..], &escaped[..]));
}

#[test]
fn a_kick_says_why() {
    let mut out = BytesMut::new();
    protocol::encode_kick("by \"admin\" 😀", &mut out);
    let package = package::decode(&mut out, 100).unwrap().unwrap();
    assert_eq!(
        (package.kind, &package.body[..]),
        (PackageKind::Kick, &br#"{"reason":"by \"admin\" \ud83d\ude00"}"#[..])
    );
    assert_eq!(client::kick_reason(&package.body), "by \"admin\" 😀");
    protocol::encode_kick(&"x".repeat(1 << 24), &mut out);
    let package = package::decode(&mut out, 100).unwrap().unwrap();
    assert_eq!((client::kick_reason(&package.body).as_str(), out.len()), ("", 0));
}

#[test]
fn a_failed_encoding_leaves_nothing_behind() {
    let protocol = servers::protocol(3050);
    let mut out = BytesMut::from(&b"before"[..]);
    let huge = vec![b' '; package::BODY_BYTES_MAX];
    let long_route = "r".repeat(256);
    let failures = [
        protocol.encode_push(&long_route, b"{}", TextForm::Utf8, &mut out),
        protocol.encode_push("on", &huge, TextForm::Utf8, &mut out),
        protocol.encode_push("onChat", b"no json", TextForm::Utf8, &mut out),
        protocol.encode_response(1 << 31, "a.b.c", b"{}", TextForm::Utf8, &mut out),
    ];
    for failure in failures {
        assert!(failure.is_err());
    }
    assert_eq!(out, b"before"[..]);
}

#[test]
fn routes_from_the_dictionary_are_shared_with_it() {
    let protocol = Arc::new(servers::protocol(LAB));
    let known = Arc::clone(protocol.dictionary.as_ref().unwrap().route(13).unwrap());
    let Received::Message(message) = receive(b"\x03\x00\x0d{}") else { panic!() };
    assert!(matches!(&message.route, IncomingRoute::Known(route) if *route == known));
    let body = Bytes::from_static(b"\x02\x03a.b{\"x\":1}");
    let mut connection = working(Protocol::default(), &json!({}));
    let received = connection.receive(Package { kind: PackageKind::Data, body: body.clone() }).unwrap();
    let Received::Message(message) = received else { panic!() };
    assert_eq!(message.body.as_ptr(), body[5..].as_ptr(), "a JSON body is not copied");
}
