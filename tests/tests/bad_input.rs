//! What strangers and broken plugins can send, and that the next client is served as if nothing had happened.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::io::Write;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use shaddock_tests::client::{Client, Heard, raw, read_to_close};
use shaddock_tests::{Cluster, Config, component, wait_for};

/// A package: type, length, body.
fn package(kind: u8, body: &[u8]) -> Vec<u8> {
    let len = u32::try_from(body.len()).unwrap().to_be_bytes();
    [&[kind], &len[1..], body].concat()
}

/// The chat goes on: somebody new can enter and talk.
fn is_served(cluster: &Cluster, name: &str) {
    let (mut client, _) = Client::enter(cluster.gate_port(), name, "after");
    let said = json!({ "content": "still here", "target": "*" });
    assert_eq!(client.request("chat.chatHandler.send", &said), json!({}));
    client.close();
}

#[test]
fn strangers_are_closed_and_nobody_notices() {
    let cluster = Cluster::start(&Config::small());
    let port = cluster.connector_port(1);
    let (mut witness, _) = Client::enter(cluster.gate_port(), "witness", "room");
    let huge = [&[1_u8, 0xff, 0xff, 0xff][..], &[b' '; 64]].concat();
    let not_websocket = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec();
    let cases: [(&str, Vec<u8>, &str); 7] = [
        ("junk", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(), ""),
        ("a client's KICK", package(5, b"{}"), ""),
        ("type 0", package(0, b""), ""),
        ("an oversized handshake", huge, "{\"code\":500}"),
        ("a handshake without sys", package(1, b"{}"), "{\"code\":500}"),
        ("a handshake that is not JSON", package(1, b"\xff\xfe"), "{\"code\":500}"),
        ("HTTP without an upgrade", not_websocket, "426 Upgrade Required"),
    ];
    for (what, bytes, answer) in cases {
        let mut socket = raw(port);
        socket.write_all(&bytes).unwrap();
        let got = String::from_utf8_lossy(&read_to_close(&socket)).into_owned();
        assert!(got.contains(answer), "{what}: {got:?}");
        assert!(!answer.is_empty() || got.is_empty(), "{what}: {got:?}");
    }
    let said = json!({ "content": "still here", "target": "*" });
    assert_eq!(witness.request("chat.chatHandler.send", &said), json!({}));
    is_served(&cluster, "next");
}

#[test]
fn data_before_the_handshake_is_ignored_and_a_truncated_package_waits_for_its_rest() {
    let cluster = Cluster::start(&Config::small());
    let mut socket = raw(cluster.connector_port(1));
    socket.write_all(&package(4, b"\x00\x01\x03a.b{}")).unwrap();
    let hello = package(1, br#"{"sys":{"type":"t","version":"1"}}"#);
    for byte in &hello {
        socket.write_all(&[*byte]).unwrap();
    }
    let mut head = [0; 4];
    std::io::Read::read_exact(&mut socket, &mut head).unwrap();
    assert_eq!(head[0], 1, "the handshake reply is the first thing that comes");
}

#[test]
fn bad_messages_are_answered_and_the_connection_goes_on() {
    let cluster = Cluster::start(&Config::small());
    let (mut client, _) = Client::enter(cluster.gate_port(), "alice", "room");
    for route in [
        "a.b",
        "nobody.x.y",
        "connector.entryHandler.nothing",
        "chat.chatHandler.toString",
        "gate.gateHandler.queryEntry",
    ] {
        assert_eq!(client.request(route, &json!({})), json!({ "code": 500 }), "{route}");
    }
    // a route code that is not in the dictionary, as request 77
    client.send(&package(4, &[0x01, 77, 0xff, 0xff, b'{', b'}']));
    assert!(matches!(client.hear(), Heard::Answer(77, answer) if answer == json!({ "code": 500 })));
    // a body that is not JSON counts as {}: the plugin says what it lacks
    let route = "chat.chatHandler.send";
    let message = [&[0x00, 78, u8::try_from(route.len()).unwrap()], route.as_bytes(), b"not json"].concat();
    client.send(&package(4, &message));
    assert!(matches!(client.hear(), Heard::Answer(78, answer) if answer["code"].as_u64() >= Some(400)));
    is_served(&cluster, "next");
}

#[test]
fn a_message_that_cannot_be_read_closes_only_its_connection() {
    let cluster = Cluster::start(&Config::small());
    let (mut bad, _) = Client::enter(cluster.gate_port(), "bad", "room");
    let (mut good, _) = Client::enter(cluster.gate_port(), "good", "room");
    bad.send(&package(4, &[0x0e]));
    assert!(matches!(bad.hear(), Heard::Push(..)), "bad hears of good first");
    assert!(matches!(bad.hear(), Heard::Closed));
    assert_eq!(good.push().0, "onLeave");
    is_served(&cluster, "next");
}

/// The probe plugin as handlers of the connector, beside the chat.
fn with_probe(limits: &Value) -> Cluster {
    let names = [
        "echo",
        "panic",
        "spin",
        "eat",
        "recurse",
        "outOfBounds",
        "hugeList",
        "big",
        "notUtf8",
        "fail",
        "random",
    ];
    let routes: Vec<String> = names.iter().map(|name| format!("connector.t.{name}")).collect();
    let entry = json!({
        "component": component("probe"),
        "serverTypes": ["connector"],
        "grants": ["sessions", "channels", "rpc"],
        "limits": limits,
        "settings": { "routes": routes, "methods": [] },
    });
    Cluster::start(&Config::small().plugin("probe", entry))
}

#[test]
fn a_plugin_that_misbehaves_costs_one_call() {
    let limits = json!({ "deadlineMs": 1000, "cpuMsMax": 200, "memoryBytesMax": 32 << 20 });
    let cluster = with_probe(&limits);
    let (mut witness, port) = Client::enter(cluster.gate_port(), "witness", "room");
    let mut attacker = Client::connect(port);
    for name in ["panic", "spin", "eat", "recurse", "outOfBounds", "hugeList", "notUtf8"] {
        let start = Instant::now();
        let answer = attacker.request(&format!("connector.t.{name}"), &json!({}));
        assert_eq!(answer, json!({ "code": 500 }), "{name}");
        assert!(start.elapsed() < Duration::from_secs(5), "{name}: not ended by its budget");
        let said = json!({ "content": name, "target": "*" });
        assert_eq!(witness.request("chat.chatHandler.send", &said), json!({}), "{name}");
        assert_eq!(attacker.request("connector.t.echo", &json!({ "n": 1 })), json!({ "n": 1 }), "{name}");
    }
    assert_eq!(attacker.request("connector.t.fail", &json!({})), json!({ "code": 418 }));
    let log = cluster.logs();
    for text in ["the probe was asked to panic", "backtrace=\"__rustc::rust_panic", "kind=\"cpu_budget\""] {
        assert!(log.contains(text), "{text} is not in the log:\n{log}");
    }
}

#[test]
fn an_answer_that_is_not_json_or_too_large_is_a_500() {
    let cluster = with_probe(&json!({ "valueBytesMax": 100_000 }));
    let mut client = Client::connect(cluster.connector_port(1));
    assert_eq!(client.request("connector.t.random", &json!(64)), json!({ "code": 500 }));
    assert_eq!(client.request("connector.t.big", &json!(100_001)), json!({ "code": 500 }));
    assert_eq!(client.request("connector.t.echo", &json!("x")), json!("x"));
}

#[test]
fn calls_in_flight_to_a_killed_backend_fail_at_once() {
    let names = ["spin", "echo"];
    let routes: Vec<String> = names.iter().map(|name| format!("chat.t.{name}")).collect();
    let entry = json!({
        "component": component("probe"),
        "serverTypes": ["chat"],
        "grants": ["sessions", "channels", "rpc"],
        "limits": { "deadlineMs": 60_000, "cpuMsMax": 60_000 },
        "settings": { "routes": routes, "methods": [] },
    });
    let cluster = Cluster::start(&Config::small().plugin("probe", entry));
    let mut client = Client::connect(cluster.connector_port(1));
    assert_eq!(client.request("chat.t.echo", &json!(1)), json!(1));
    let id = client.ask("chat.t.spin", &json!({}));
    std::thread::sleep(Duration::from_millis(200));
    let start = Instant::now();
    cluster.kill9("chat-server-1");
    assert_eq!(client.answer(id), json!({ "code": 500 }));
    assert!(start.elapsed() < Duration::from_secs(5), "it waited for the deadline");
}

#[test]
fn a_client_that_stops_reading_is_closed_and_the_others_get_everything() {
    let cluster = Cluster::start(&Config::small());
    let (slow, _) = Client::enter(cluster.gate_port(), "slow", "room");
    let (mut fast, _) = Client::enter(cluster.gate_port(), "fast", "room");
    let content = "x".repeat(32 << 10);
    for _ in 0..600 {
        fast.ask("chat.chatHandler.send", &json!({ "content": content, "target": "*" }));
        assert_eq!(fast.push().0, "onChat");
    }
    let closed = || shaddock_tests::http_get(cluster.admin_port("connector-server-1"), "/metrics");
    let line = "shaddock_connections_closed_total{reason=\"too_slow\"} 1";
    wait_for("the slow client is closed", Duration::from_secs(10), || closed().contains(line));
    drop(slow);
    assert_eq!(fast.push().0, "onLeave");
    is_served(&cluster, "next");
}

#[test]
fn a_silent_client_is_closed_when_its_heartbeats_stop() {
    let app =
        json!({ "development": { "connector": { "connector": { "heartbeat": 1, "heartbeatTimeout": 2 } } } });
    let cluster = Cluster::start(&Config::small().file("app.json", app));
    let mut client = Client::connect(cluster.connector_port(1));
    let start = Instant::now();
    // one heartbeat comes, and this client never sends any
    assert!(matches!(client.hear(), Heard::Closed));
    assert!(start.elapsed() >= Duration::from_millis(1900), "{:?}", start.elapsed());
}
