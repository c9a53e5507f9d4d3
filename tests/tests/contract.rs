//! What a plugin's imports do across real servers: a probe on two backends, clients at a connector.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::time::Duration;

use serde_json::{Value, json};
use shaddock_tests::client::{Client, Heard};
use shaddock_tests::roles::add_type;
use shaddock_tests::{Cluster, Config, Setup, component, wait_for};

/// The chat application beside two servers of the type `probe`.
fn with_probes() -> Cluster {
    let entry = json!({
        "component": component("probe"),
        "serverTypes": ["probe"],
        "grants": ["sessions", "channels", "rpc"],
        "settings": { "routerTypes": ["probe"] },
    });
    let mut setup = Setup::new(&Config::small().plugin("probe", entry));
    let ports = [setup.another_port(), setup.another_port()];
    let probe = |n: usize| json!({ "id": format!("probe-{}", n + 1), "host": "127.0.0.1", "port": ports[n] });
    add_type(&setup, "probe", &json!([probe(0), probe(1)]));
    Cluster::of(setup)
}

fn settings(client: &mut Client) -> Value {
    client.request("probe.t.session", &json!({}))["settings"].clone()
}

#[test]
fn settings_that_a_backend_pushes_are_seen_by_the_next_call() {
    let cluster = with_probes();
    let mut client = Client::connect(cluster.connector_port(1));
    let session = client.request("probe.t.session", &json!({}));
    assert_eq!(session["frontend"], "connector-server-1");
    assert_eq!(session["uid"], Value::Null);
    assert_eq!(settings(&mut client), json!([]));
    // it sets and pushes a key, then asks a frontend that does not exist: what it pushed stays
    let id = client.ask("probe.t.fetchAndSet", &json!({}));
    assert_eq!(settings(&mut client), json!([["mine", "1"]]), "the request behind it was handled after it");
    assert_eq!(client.answer(id), json!({ "code": 404 }));
}

#[test]
fn a_call_to_all_gathers_the_answers_of_those_that_are_up() {
    let cluster = with_probes();
    let mut client = Client::connect(cluster.connector_port(1));
    let both = json!([["probe-1", 3], ["probe-2", 3]]);
    assert_eq!(client.request("probe.t.callAll", &json!({})), both);
    cluster.kill9("probe-2");
    wait_for("the death is known everywhere", Duration::from_secs(5), || {
        client.request("probe.t.callAll", &json!({})) == json!([["probe-1", 3]])
    });
}

#[test]
fn a_broadcast_reaches_every_bound_session_and_no_other() {
    let cluster = with_probes();
    let (mut bound, port) = Client::enter(cluster.gate_port(), "alice", "room");
    let mut unbound = Client::connect(port);
    let answer = unbound.request("probe.t.channels", &json!({}));
    assert_eq!(answer, json!([true, true, 1, true, true, true]));
    assert_eq!(bound.push(), ("onNews".to_owned(), json!({})));
    // the next thing that the unbound one hears is an answer
    let id = unbound.ask("probe.t.session", &json!({}));
    assert!(matches!(unbound.hear(), Heard::Answer(answered, _) if answered == id));
}

#[test]
fn a_backend_kicks_a_session_with_a_reason() {
    let cluster = with_probes();
    let mut client = Client::connect(cluster.connector_port(1));
    client.ask("probe.t.kick", &json!(7));
    loop {
        match client.hear() {
            Heard::Kick(reason) => break assert_eq!(reason, "7"),
            Heard::Answer(..) => {}
            other => panic!("{other:?} instead of a kick"),
        }
    }
    assert!(matches!(client.hear(), Heard::Closed));
}
