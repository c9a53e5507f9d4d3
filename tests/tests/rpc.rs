//! Calls between real servers: routers, errors that tell apart, fail modes, storms.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::time::Duration;

use serde_json::{Value, json};
use shaddock_tests::client::Client;
use shaddock_tests::roles::roles;
use shaddock_tests::{Cluster, Signal, component, metric, signal, wait_for};

fn call(method: &str, args: &Value) -> Value {
    json!({ "method": format!("rolesRemote.{method}"), "key": "k", "args": args })
}

fn with(mut call: Value, name: &str, value: Value) -> Value {
    call[name] = value;
    call
}

const CALL: &str = "connector.roles.call";

#[test]
fn unknown_dead_late_and_refused_are_four_errors() {
    let app = json!({ "connector": { "rpc": { "pendingMax": 1 } } });
    let cluster = Cluster::of(roles(1, 2, app));
    let mut client = Client::connect(cluster.connector_port(1));
    let mut code = |call: &Value| client.request(CALL, call)["code"].clone();
    assert_eq!(code(&with(call("echo", &json!(1)), "server", json!("nobody"))), 404, "no such server");
    assert_eq!(code(&call("nothing", &json!(1))), 404, "no such method");
    assert_eq!(code(&with(call("sleep", &json!(500)), "timeout_ms", json!(50))), 504);
    // one call may wait for a server at a time: the second one is refused
    let mut others: Vec<Client> = (0..2).map(|_| Client::connect(cluster.connector_port(1))).collect();
    let slow = with(call("sleep", &json!(700)), "server", json!("backend-1"));
    let asked: Vec<u32> = others.iter_mut().map(|other| other.ask(CALL, &slow)).collect();
    let mut codes: Vec<Value> =
        others.iter_mut().zip(asked).map(|(other, id)| other.answer(id)["code"].clone()).collect();
    codes.sort_by_key(Value::to_string);
    assert_eq!(codes, [json!(503), Value::Null], "one was refused, one went well");
    // a server that dies with the call in flight
    let dying = with(call("sleep", &json!(5_000)), "server", json!("backend-2"));
    let id = client.ask(CALL, &dying);
    wait_for("the call is under way", Duration::from_secs(5), || {
        metric(cluster.admin_port("backend-2"), "shaddock_plugin_instances{plugin=\"roles\",state=\"busy\"}")
            .is_none_or(|busy| busy > 0.0)
    });
    std::thread::sleep(Duration::from_millis(300));
    cluster.kill9("backend-2");
    assert_eq!(client.answer(id)["code"], 502);
}

#[test]
fn a_storm_to_a_dead_server_fails_at_once_and_nobody_else_notices() {
    let cluster = Cluster::of(roles(1, 2, json!({})));
    let mut client = Client::connect(cluster.connector_port(1));
    let to_dead = with(call("echo", &json!(1)), "server", json!("backend-2"));
    assert!(client.request(CALL, &to_dead)["ok"].is_object());
    cluster.kill9("backend-2");
    let mut other = Client::connect(cluster.connector_port(1));
    let to_living = with(call("echo", &json!(1)), "server", json!("backend-1"));
    for _ in 0..20 {
        let asked: Vec<u32> = (0..100).map(|_| client.ask(CALL, &to_dead)).collect();
        assert_eq!(other.request(CALL, &to_living)["ok"]["at"], "backend-1");
        for id in asked {
            let code = client.answer(id)["code"].clone();
            assert!(code == 404 || code == 502, "{code}");
        }
    }
}

#[test]
fn routers_spread_calls_as_app_json_says() {
    let app = json!({ "connector": { "router": { "backend": "rr" } } });
    let cluster = Cluster::of(roles(1, 3, app));
    let mut client = Client::connect(cluster.connector_port(1));
    let mut at = || client.request(CALL, &call("echo", &json!(1)))["ok"]["at"].as_str().unwrap().to_owned();
    let seen: Vec<String> = (0..6).map(|_| at()).collect();
    assert_eq!(seen[..3], seen[3..]);
    let mut turn = seen[..3].to_vec();
    turn.sort();
    assert_eq!(turn, ["backend-1", "backend-2", "backend-3"]);
}

#[test]
fn a_call_to_all_gathers_each_servers_own_result() {
    let cluster = Cluster::of(roles(1, 2, json!({})));
    let mut client = Client::connect(cluster.connector_port(1));
    let all = with(call("echo", &json!(7)), "all", json!(true));
    let answers = client.request(CALL, &all);
    assert_eq!(answers[0], json!(["backend-1", { "ok": { "at": "backend-1", "args": 7 } }]));
    assert_eq!(answers[1], json!(["backend-2", { "ok": { "at": "backend-2", "args": 7 } }]));
    let nothing = with(call("nothing", &json!(7)), "all", json!(true));
    for answer in client.request(CALL, &nothing).as_array().unwrap() {
        assert_eq!(answer[1]["code"], 404);
    }
}

#[test]
fn an_idempotent_call_is_made_elsewhere_when_its_server_dies() {
    let app = json!({ "connector": { "rpc": { "failMode": "failover" }, "router": { "backend": "rr" } } });
    let cluster = Cluster::of(roles(1, 2, app));
    let mut client = Client::connect(cluster.connector_port(1));
    for (idempotent, good) in [(true, true), (false, false)] {
        // with links to both: what cannot even be sent has certainly not run, and is made elsewhere in any case
        let mut at =
            || client.request(CALL, &call("echo", &json!(0)))["ok"]["at"].as_str().unwrap().to_owned();
        let (victim, _) = (at(), at());
        // the next in turn stands still with the call, then dies
        let pid = cluster.pid_of(&victim);
        signal(pid, Signal::STOP);
        wait_for("it stands still", Duration::from_secs(5), || {
            std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains(") T "))
        });
        let id = client.ask(CALL, &with(call("echo", &json!(1)), "idempotent", json!(idempotent)));
        std::thread::sleep(Duration::from_millis(300));
        cluster.kill9(&victim);
        let answer = client.answer(id);
        assert_eq!(answer["ok"].is_object(), good, "{answer}");
        if good {
            assert_ne!(answer["ok"]["at"], victim);
            cluster.run(&["add", "--id", &victim]).expect(0);
        } else {
            assert_eq!(answer["code"], 502);
        }
    }
}

#[test]
fn a_route_function_that_names_a_server_that_is_not_there_is_passed_over() {
    let probe = json!({
        "component": component("probe"), "serverTypes": ["probe"], "grants": ["sessions", "channels", "rpc"],
        "settings": { "routerTypes": ["backend"] },
    });
    let mut setup = roles(1, 2, json!({}));
    let port = setup.another_port();
    shaddock_tests::roles::add_type(
        &setup,
        "probe",
        &json!([{ "id": "probe-1", "host": "127.0.0.1", "port": port }]),
    );
    setup.edit("plugins.json", |plugins| plugins["probe"] = probe);
    let cluster = Cluster::of(setup);
    let mut client = Client::connect(cluster.connector_port(1));
    // for this method the probe names the server that the key says
    let asked = json!({ "method": "t.byId", "key": "nobody", "args": 1 });
    let answer = client.request(CALL, &asked);
    assert_eq!(answer["code"], 404);
    assert!(answer["message"].as_str().unwrap().contains("no plugin on backend-"), "{answer}");
    let port = cluster.admin_port("connector-server-1");
    assert_eq!(metric(port, "shaddock_routes_replaced_total"), Some(1.0));
    wait_for("it is logged", Duration::from_secs(5), || {
        cluster.logs().lines().any(|line| line.contains("nobody") && line.contains("route function"))
    });
}
