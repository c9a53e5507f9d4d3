//! A plugin with many calls in flight in one instance, on real servers.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use serde_json::json;
use shaddock_tests::client::Client;
use shaddock_tests::roles::add_type;
use shaddock_tests::update::{deploy, listed, variant};
use shaddock_tests::{Cluster, Config, Setup, component};

#[test]
fn it_answers_calls_other_servers_and_is_swapped() {
    let entry = json!({
        "component": component("crowd"),
        "serverTypes": ["probe"],
        "pool": { "callsPerInstanceMax": 1000 },
        "grants": ["sessions", "channels", "rpc", "timers"],
    });
    let mut setup = Setup::new(&Config::small().plugin("crowd", entry));
    let ports = [setup.another_port(), setup.another_port()];
    let server = |n: usize| json!({ "id": format!("probe-{n}"), "host": "127.0.0.1", "port": ports[n] });
    add_type(&setup, "probe", &json!([server(0), server(1)]));
    let cluster = Cluster::of(setup);
    let mut client = Client::connect(cluster.connector_port(1));
    let ask = |client: &mut Client| client.request("probe.t.ask", &json!(200));
    assert_eq!(ask(&mut client), 200);
    let refused = client.request("probe.t.trap", &json!({}));
    assert_eq!(refused, json!({ "code": 500 }));
    assert_eq!(client.request("probe.t.fail", &json!({})), json!({ "code": 418 }));

    let dir = tempfile::tempdir().unwrap();
    let mut others: Vec<Client> = (0..20).map(|_| Client::connect(cluster.connector_port(1))).collect();
    let asked: Vec<u32> = others.iter_mut().map(|other| other.ask("probe.t.ask", &json!(100))).collect();
    deploy(&cluster, "crowd", &variant(&component("crowd"), dir.path())).expect(0);
    for (other, id) in others.iter_mut().zip(asked) {
        assert_eq!(other.answer(id), 100);
    }
    assert_eq!(ask(&mut client), 200);
    assert_eq!(listed(&cluster, "crowd")["stable"]["servers"].as_array().unwrap().len(), 5);
}
