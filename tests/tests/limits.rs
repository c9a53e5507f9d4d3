//! What a server takes from one client, from one address, and at all; that refused ones leave nothing behind.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};
use shaddock_tests::client::{Client, Heard, raw, read_to_close};
use shaddock_tests::{Cluster, Config, wait_for};

const ROUTE: &str = "gate.gateHandler.queryEntry";
const GATE: &str = "gate-server-1";

/// A cluster whose gate has these settings of its connector.
fn with_gate(connector: &Value) -> Cluster {
    Cluster::start(&gate_of(connector))
}

fn gate_of(connector: &Value) -> Config {
    Config::small().file("app.json", json!({ "development": { "gate": { "connector": connector } } }))
}

/// A count of the gate's metrics, 0 if it is not there.
fn count(cluster: &Cluster, name: &str) -> u64 {
    shaddock_tests::metric(cluster.admin_port(GATE), name).unwrap_or_default() as u64
}

fn refused(cluster: &Cluster, reason: &str) -> u64 {
    count(cluster, &format!("shaddock_connections_refused_total{{reason=\"{reason}\"}}"))
}

/// A connection that was let in, which is one whose handshake is answered.
fn admitted(port: u16) -> Option<TcpStream> {
    let mut socket = raw(port);
    let hello = br#"{"sys":{"type":"t","version":"1"}}"#;
    let package = [&[1, 0, 0, u8::try_from(hello.len()).unwrap()], &hello[..]].concat();
    // one that was refused may be gone before this is written
    let _ = socket.write_all(&package);
    let mut first = [0];
    matches!(socket.read(&mut first), Ok(1)).then_some(socket)
}

fn is_closed_at_once(port: u16) -> bool {
    read_to_close(&raw(port)).is_empty()
}

#[test]
fn a_client_that_asks_too_often_is_refused_and_others_are_served() {
    let cluster = with_gate(&json!({ "requestsPerSecond": 1, "requestBurst": 5 }));
    let mut eager = Client::connect(cluster.gate_port());
    let ids = eager.ask_at_once(ROUTE, &json!({ "uid": "eager" }), 60);
    let codes: Vec<u64> = ids.iter().map(|id| eager.answer(*id)["code"].as_u64().unwrap()).collect();
    assert_eq!(codes[..5], [200; 5], "the burst");
    let limited = codes.iter().filter(|code| **code == 429).count();
    assert!(limited >= 40, "{codes:?}");
    assert_eq!(count(&cluster, "shaddock_requests_limited_total"), limited as u64);
    // notifies count, and are dropped in silence: the next thing heard is an answer
    for _ in 0..20 {
        eager.notify(ROUTE, &json!({ "uid": "eager" }));
    }
    let answer = eager.request(ROUTE, &json!({ "uid": "eager" }));
    assert!(matches!(answer["code"].as_u64(), Some(200 | 429)), "{answer}");
    assert!(count(&cluster, "shaddock_requests_limited_total") > limited as u64);

    let mut other = Client::connect(cluster.gate_port());
    assert_eq!(other.request(ROUTE, &json!({ "uid": "other" }))["code"], 200);
    wait_for("it is not refused for ever", Duration::from_secs(30), || {
        eager.request(ROUTE, &json!({ "uid": "eager" }))["code"] == 200
    });
    let lines = cluster.logs().matches("sends more requests than its limit").count();
    assert!((1..=2).contains(&lines), "once a minute, not {lines} times:\n{}", cluster.logs());
}

#[test]
fn a_client_that_does_not_stop_is_kicked() {
    let cluster = with_gate(&json!({ "requestsPerSecond": 1, "rateLimitStrikesMax": 10 }));
    let mut client = Client::connect(cluster.gate_port());
    client.ask_at_once(ROUTE, &json!({ "uid": "eager" }), 60);
    let mut answers = 0;
    loop {
        match client.hear() {
            Heard::Answer(..) => answers += 1,
            Heard::Kick(reason) => break assert_eq!(reason, "rate limit"),
            other => panic!("{other:?}"),
        }
    }
    assert!((12..40).contains(&answers), "one that was let through, and {answers} in all");
    assert!(matches!(client.hear(), Heard::Closed));
    client.close();
    wait_for("the end of its connection", Duration::from_secs(10), || {
        count(&cluster, "shaddock_connections_closed_total{reason=\"kicked\"}") == 1
    });
}

#[test]
fn who_is_on_the_black_list_is_closed_before_anything_is_read() {
    let cluster = with_gate(&json!({ "blacklist": ["192.0.2.7", "127.0.0.0/8"] }));
    assert!(is_closed_at_once(cluster.gate_port()));
    assert_eq!(refused(&cluster, "blacklist"), 1);
    assert_eq!(count(&cluster, "shaddock_connections_opened_total"), 0);
    // the list is the gate's alone
    assert!(admitted(cluster.connector_port(1)).is_some());
}

#[test]
fn one_address_has_so_many_connections() {
    let cluster = with_gate(&json!({ "connectionsPerAddressMax": 2 }));
    let port = cluster.gate_port();
    let (first, second) = (admitted(port), admitted(port));
    assert!(first.is_some() && second.is_some());
    for _ in 0..5 {
        assert!(is_closed_at_once(port));
    }
    assert_eq!(refused(&cluster, "address_limit"), 5);
    drop((first, second));
    let mut open = Vec::new();
    wait_for("two fit again", Duration::from_secs(10), || {
        open.extend(admitted(port));
        open.len() == 2
    });
    assert!(is_closed_at_once(port));
}

#[test]
fn one_address_connects_so_often() {
    let cluster = with_gate(&json!({ "connectionsPerAddressPerSecond": 2 }));
    let port = cluster.gate_port();
    let let_in = (0..100).filter(|_| admitted(port).is_some()).count() as u64;
    assert!((2..50).contains(&let_in), "{let_in} of 100");
    assert_eq!(refused(&cluster, "address_rate"), 100 - let_in);
    wait_for("the address is let in later", Duration::from_secs(10), || admitted(port).is_some());
}

#[test]
fn refused_connections_do_not_count() {
    let config = Config::small().field(GATE, "max-connections", json!(40));
    let cluster = Cluster::start(&config);
    let port = cluster.gate_port();
    for round in 1..=3 {
        let mut open = Vec::new();
        wait_for("40 fit", Duration::from_secs(20), || {
            open.extend(admitted(port));
            open.len() == 40
        });
        let before = refused(&cluster, "limit");
        for _ in 0..10 {
            assert!(is_closed_at_once(port), "round {round}");
        }
        assert_eq!(refused(&cluster, "limit"), before + 10, "round {round}");
    }
}
