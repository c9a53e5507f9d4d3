//! What is encoded decodes to itself, however the bytes are cut; random bytes do no harm.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs, reason = "tests")]

mod samples;

use bytes::{Bytes, BytesMut};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::{Index, subsequence};
use samples::sample;
use serde_json::{Value, json};
use shaddock_wire::client::{Codec, Delivery, HandshakeReply};
use shaddock_wire::connection::{Connection, IncomingKind, Received};
use shaddock_wire::dictionary::Dictionary;
use shaddock_wire::message::{self, Message, MessageKind, RouteRef};
use shaddock_wire::package::{self, Package, PackageKind};
use shaddock_wire::protobuf::Protos;
use shaddock_wire::protocol::{Encoded, Protocol};
use shaddock_wire::text::{self, TextForm};
use shaddock_wire::{fuzzing, json as wire_json};
use std::sync::Arc;

fn packages() -> impl Strategy<Value = Vec<Package>> {
    let kind = (1..=5_u8).prop_map(|kind| PackageKind::try_from(kind).unwrap());
    let body = vec(any::<u8>(), 0..600).prop_map(Bytes::from);
    vec((kind, body).prop_map(|(kind, body)| Package { kind, body }), 0..12)
}

fn messages() -> impl Strategy<Value = Message> {
    let id = prop_oneof![0..300_u32, 0..=i32::MAX as u32];
    let text = prop_oneof![".{0,40}", "[a-z]{1,9}\\.[a-z]{1,9}\\.[a-z]{1,9}", "[a-z]{255}"];
    let route =
        prop_oneof![any::<u16>().prop_map(RouteRef::Code), text.prop_map(|text| RouteRef::Text(text.into()))];
    (0..4, id, route, vec(any::<u8>(), 0..300), any::<bool>()).prop_map(|(kind, id, route, body, gzip)| {
        let body = Bytes::from(body);
        let (kind, id, route) = match kind {
            0 => (MessageKind::Request, id, route),
            1 => (MessageKind::Notify, 0, route),
            2 => (MessageKind::Response, id, RouteRef::None),
            _ => (MessageKind::Push, 0, route),
        };
        Message { kind, id, route, body, gzip }
    })
}

fn json_values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Value::from),
            btree_map(".{0,6}", inner, 0..6).prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn packages_survive_any_fragmentation(packages in packages(), cuts in vec(any::<Index>(), 0..20)) {
        let mut bytes = BytesMut::new();
        for package in &packages {
            package::encode_into(package.kind, &package.body, &mut bytes).unwrap();
        }
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let (mut buffer, mut read) = (BytesMut::new(), Vec::new());
        for piece in cuts.windows(2) {
            buffer.extend_from_slice(&bytes[piece[0]..piece[1]]);
            while let Some(package) = package::decode(&mut buffer, 600).unwrap() {
                read.push(package);
            }
        }
        prop_assert!(buffer.is_empty());
        prop_assert_eq!(&read, &packages);
        let frame: Vec<Package> = package::split(bytes.freeze(), 600).map(Result::unwrap).collect();
        prop_assert_eq!(frame, packages);
    }

    #[test]
    fn messages_decode_to_themselves(message in messages()) {
        let mut bytes = BytesMut::from(&b"before"[..]);
        let fits = !matches!(&message.route, RouteRef::Text(text) if text.len() > 255);
        prop_assert_eq!(message::encode_into(&message, &mut bytes).is_ok(), fits);
        let bytes = bytes.split_off(6).freeze();
        if fits {
            prop_assert_eq!(message::decode(bytes.clone()).unwrap(), message.clone());
            let head = bytes.len() - message.body.len();
            for end in 0..head {
                prop_assert!(message::decode(bytes.slice(..end)).is_err());
            }
        } else {
            prop_assert!(bytes.is_empty());
        }
    }

    #[test]
    fn protobuf_decodes_to_itself(sample in sample(), cesu8 in any::<bool>()) {
        let form = if cesu8 { TextForm::Cesu8 } else { TextForm::Utf8 };
        let protos = Protos::parse(&json!({"r": sample.schema}), &json!({})).unwrap();
        prop_assert!(protos.skipped().is_empty());
        let json = sample.value.to_string();
        let bytes = protos.encode_request("r", json.as_bytes(), form).unwrap().unwrap();
        let decoded = protos.decode_request("r", &bytes).unwrap();
        // As text: the order of keys, and the form of numbers, count.
        prop_assert_eq!(String::from_utf8(decoded).unwrap(), json);
        for end in 0..bytes.len() {
            let _ = protos.decode_request("r", &bytes[..end]);
        }
    }

    #[test]
    fn a_push_through_all_layers_arrives(sample in sample(), value in json_values(), route in "[a-z]{1,9}", coded in any::<bool>()) {
        let server = json!({"onSchema": sample.schema});
        let extra = [route.clone(), "onSchema".to_owned()];
        let protocol = Arc::new(Protocol {
            dictionary: Some(Dictionary::new([], if coded { &extra } else { &[] }).unwrap()),
            protos: Some(Protos::parse(&json!({}), &server).unwrap()),
            ..Protocol::default()
        });
        let codec = client_of(&protocol);
        for (route, value) in [("onSchema", &sample.value), (route.as_str(), &value)] {
            let json = value.to_string();
            for form in [TextForm::Utf8, TextForm::Cesu8] {
                let mut out = BytesMut::new();
                prop_assert_eq!(protocol.encode_push(route, json.as_bytes(), form, &mut out).unwrap(), Encoded::Whole);
                if !protocol.push_depends_on_text(route, json.as_bytes()) {
                    let mut other = BytesMut::new();
                    protocol.encode_push(route, json.as_bytes(), TextForm::default(), &mut other).unwrap();
                    prop_assert_eq!(&out, &other);
                }
                let package = package::split(out.freeze(), usize::MAX).next().unwrap().unwrap();
                let Delivery::Push { route: arrived, body } = codec.decode(package.body, |_| Some("")).unwrap() else {
                    panic!("not a push")
                };
                prop_assert_eq!(arrived.as_str(), route);
                if body.is_empty() {
                    prop_assert_eq!(&json, "{}");
                } else {
                    prop_assert_eq!(&serde_json::from_slice::<Value>(&body).unwrap(), value);
                }
            }
        }
    }

    #[test]
    fn a_request_through_all_layers_arrives(sample in sample(), value in json_values(), id in 0..=i32::MAX as u32, coded in any::<bool>()) {
        let routes = ["a.schema.b".to_owned(), "a.json.b".to_owned()];
        let protocol = Arc::new(Protocol {
            dictionary: Some(Dictionary::new(routes.into_iter().filter(|_| coded), &[]).unwrap()),
            protos: Some(Protos::parse(&json!({"a.schema.b": sample.schema}), &Value::Null).unwrap()),
            ..Protocol::default()
        });
        let codec = client_of(&protocol);
        let mut connection = working(&protocol);
        for (route, value) in [("a.schema.b", &sample.value), ("a.json.b", &value)] {
            let mut out = BytesMut::new();
            codec.encode_request(id, route, value.to_string().as_bytes(), &mut out).unwrap();
            let package = package::decode(&mut out, usize::MAX).unwrap().unwrap();
            let Received::Message(message) = connection.receive(package).unwrap() else { panic!("not a message") };
            let kind = if id == 0 { IncomingKind::Notify } else { IncomingKind::Request { id } };
            prop_assert_eq!((message.kind, message.route.as_ref()), (kind, route));
            let expect = if value.is_null() { &json!({}) } else { value };
            prop_assert_eq!(&serde_json::from_slice::<Value>(&message.body).unwrap(), expect);
        }
    }

    #[test]
    fn dictionaries_do_not_depend_on_the_order_of_routes(routes in vec(".{1,12}", 0..30), seed in any::<Index>()) {
        let mut turned = routes.clone();
        if !turned.is_empty() {
            turned.rotate_left(seed.index(routes.len()));
        }
        let (one, two) = (Dictionary::new(routes.clone(), &[]).unwrap(), Dictionary::new(turned, &[]).unwrap());
        prop_assert_eq!(one.version(), two.version());
        for route in &routes {
            prop_assert_eq!(one.code(route), two.code(route));
            prop_assert_eq!(one.route(one.code(route).unwrap()).unwrap().as_ref(), route.as_str());
        }
    }

    #[test]
    fn json_is_judged_like_serde_json_does(value in json_values(), damage in vec((any::<Index>(), "[\\[\\]{}:,\"\\\\0-9eE+.a-u \\-]"), 0..3)) {
        let mut text = value.to_string();
        for (at, with) in damage {
            let at = at.index(text.len());
            if text.is_char_boundary(at) && text.is_char_boundary(at + 1) {
                text.replace_range(at..=at, &with);
            }
        }
        // `RawValue` checks the grammar and nothing else: no range of numbers.
        let theirs = serde_json::from_str::<&serde_json::value::RawValue>(&text).is_ok();
        let lone = text.contains("\\u") && serde_json::from_str::<Value>(&text).is_err();
        prop_assert!(wire_json::is_json(text.as_bytes()) == theirs || lone, "{}", text);
    }

    #[test]
    fn broken_text_becomes_utf8(bytes in vec(prop_oneof![any::<u8>(), Just(0xed), 0xa0..=0xbf_u8], 0..40), text in ".{0,20}") {
        let repaired = text::repair_str(&bytes);
        prop_assert_eq!(text::repair_str(repaired.as_bytes()), repaired.as_ref());
        let units: Vec<u8> = text.encode_utf16().flat_map(|unit| match unit {
            0..0x80 => vec![unit as u8],
            0x80..0x800 => vec![0xc0 | (unit >> 6) as u8, 0x80 | (unit & 0x3f) as u8],
            _ => vec![0xe0 | (unit >> 12) as u8, 0x80 | (unit >> 6 & 0x3f) as u8, 0x80 | (unit & 0x3f) as u8],
        }).collect();
        prop_assert_eq!(text::repair_str(&units), text.as_str());
    }

    #[test]
    fn random_bytes_do_no_harm(bytes in vec(any::<u8>(), 0..400), kinds in subsequence((0..=5_u8).collect::<Vec<_>>(), 0..6)) {
        for (_, target) in fuzzing::TARGETS {
            target(&bytes);
        }
        // Random bodies in well-formed packages get further.
        let mut stream = vec![63];
        stream.extend(b"\x01\0\0\x0a{\"sys\":{}}\x02\0\0\0");
        for (chunk, kind) in bytes.chunks(60).zip(kinds) {
            stream.extend([kind, 0, 0, chunk.len() as u8]);
            stream.extend(chunk);
        }
        fuzzing::connection(&stream);
    }
}

fn working(protocol: &Arc<Protocol>) -> Connection {
    let mut connection = Connection::new(Arc::clone(protocol));
    let hello = Package { kind: PackageKind::Handshake, body: Bytes::from_static(b"{\"sys\":{}}") };
    assert!(matches!(connection.receive(hello), Ok(Received::Handshake(_))));
    connection.accept(None);
    let ack = Package { kind: PackageKind::HandshakeAck, body: Bytes::new() };
    assert!(matches!(connection.receive(ack), Ok(Received::Ready { .. })));
    connection
}

fn client_of(protocol: &Arc<Protocol>) -> Codec {
    let mut connection = Connection::new(Arc::clone(protocol));
    let hello = Package { kind: PackageKind::Handshake, body: Bytes::from_static(b"{\"sys\":{}}") };
    assert!(matches!(connection.receive(hello), Ok(Received::Handshake(_))));
    let reply = package::split(connection.accept(None), usize::MAX).next().unwrap().unwrap();
    Codec::new(&HandshakeReply::parse(&reply.body).unwrap(), None).unwrap()
}
