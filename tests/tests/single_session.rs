//! One session per user in the cluster, over two connectors.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::sync::{Arc, Barrier};
use std::time::Duration;

use serde_json::{Value, json};
use shaddock_tests::client::{Client, Heard};
use shaddock_tests::{Cluster, Config, Setup, Signal, component, is_running, signal, wait_for};

const PATIENCE: Duration = Duration::from_secs(10);

/// The chat application on two connectors, with one session per user in the cluster.
fn config(on_duplicate: &str) -> Config {
    let session = json!({ "singleSession": "cluster", "onDuplicate": on_duplicate });
    Config::chat(1, 2, 1).file("app.json", json!({ "connector": { "session": session } }))
}

/// Enters the room `here` at a connector; the client and the answer.
fn enter(port: u16, name: &str) -> (Client, Value) {
    let mut client = Client::connect(port);
    let answer = client.request("connector.entryHandler.enter", &json!({ "username": name, "rid": "here" }));
    (client, answer)
}

fn is_in(answer: &Value) -> bool {
    answer["users"].is_array()
}

/// Waits until a user can enter at a connector.
fn until_free(port: u16, name: &str) -> Client {
    let mut entered = None;
    wait_for("the user is free", PATIENCE, || {
        let (client, answer) = enter(port, name);
        let is_in = is_in(&answer);
        assert!(is_in || answer == json!({ "code": 409 }), "{answer}");
        entered = is_in.then_some(client);
        is_in
    });
    entered.unwrap()
}

#[test]
fn a_second_session_is_refused_until_the_first_lets_go() {
    let cluster = Cluster::start(&config("refuse-new"));
    let (one, two) = (cluster.connector_port(1), cluster.connector_port(2));
    let (mut first, answer) = enter(one, "alice");
    assert!(is_in(&answer), "{answer}");
    assert_eq!(enter(two, "alice").1, json!({ "code": 409 }));
    let (_bob, answer) = enter(two, "bob");
    assert!(is_in(&answer), "another user: {answer}");
    // By being unbound: the chat application does that before it enters another room.
    let moved = json!({ "username": "alice", "rid": "elsewhere" });
    assert!(is_in(&first.request("connector.entryHandler.enter", &moved)));
    let (second, answer) = enter(two, "alice");
    assert!(is_in(&answer), "{answer}");
    assert_eq!(enter(one, "alice").1, json!({ "code": 409 }));
    // By its connection's end.
    second.close();
    let third = until_free(one, "alice");
    assert_eq!(enter(two, "alice").1, json!({ "code": 409 }));
    // By the end of its frontend.
    cluster.kill9("connector-server-1");
    let _fourth = until_free(two, "alice");
    drop(third);
}

#[test]
fn a_second_session_makes_the_first_give_way_if_it_is_told_to() {
    let cluster = Cluster::start(&config("kick-old"));
    let (one, two) = (cluster.connector_port(1), cluster.connector_port(2));
    let mut last: Option<Client> = None;
    for port in [one, two, one, two] {
        let (client, answer) = enter(port, "alice");
        assert!(is_in(&answer), "{answer}");
        if let Some(mut old) = last.replace(client) {
            let heard = std::iter::repeat_with(|| old.hear()).find(|heard| !matches!(heard, Heard::Push(..)));
            let Some(Heard::Kick(reason)) = heard else { panic!("{heard:?} instead of a kick") };
            assert_eq!(reason, "duplicate login");
        }
    }
    cluster.run(&["kick", "alice*here"]).expect(0).says("closed 1 session");
}

#[test]
fn of_two_that_come_at_once_one_is_left() {
    for on_duplicate in ["refuse-new", "kick-old"] {
        let cluster = Cluster::start(&config(on_duplicate));
        for round in 0..12 {
            let name = format!("user{round}");
            let barrier = Arc::new(Barrier::new(2));
            let racers = [cluster.connector_port(1), cluster.connector_port(2)].map(|port| {
                let (name, barrier) = (name.clone(), Arc::clone(&barrier));
                std::thread::spawn(move || {
                    let mut client = Client::connect(port);
                    barrier.wait();
                    let id = client
                        .ask("connector.entryHandler.enter", &json!({ "username": name, "rid": "here" }));
                    let answer = loop {
                        match client.hear() {
                            Heard::Answer(of, answer) if of == id => break answer,
                            Heard::Kick(reason) => break json!({ "kicked": reason }),
                            Heard::Closed => panic!("closed without a word"),
                            Heard::Answer(..) | Heard::Push(..) => {}
                        }
                    };
                    (client, answer)
                })
            });
            let ended = racers.map(|racer| racer.join().unwrap());
            if on_duplicate == "refuse-new" {
                let entered = ended.iter().filter(|(_, answer)| is_in(answer)).count();
                assert_eq!(entered, 1, "{:?}", ended.map(|(_, answer)| answer));
            }
            let kicked = cluster.run(&["kick", &format!("{name}*here"), "--json"]).expect(0).json();
            assert_eq!(kicked["kicked"], 1, "{on_duplicate}, round {round}");
        }
    }
}

#[test]
fn a_backend_that_binds_asks_too() {
    let probe = json!({
        "component": component("probe"),
        "serverTypes": ["chat"],
        "grants": ["sessions", "channels", "rpc"],
        "settings": { "routes": ["chat.t.bind"], "methods": ["chat.r.echo"] },
    });
    let cluster = Cluster::start(&config("refuse-new").plugin("probe", probe));
    // The probe takes the body as it comes, and so the quotes for a part of the uid.
    let mut first = Client::connect(cluster.connector_port(1));
    let body = json!({ "username": "\"alice", "rid": "here\"" });
    assert!(is_in(&first.request("connector.entryHandler.enter", &body)));
    let mut second = Client::connect(cluster.connector_port(2));
    assert_eq!(second.request("chat.t.bind", &json!("alice*here")), json!({ "code": 409 }));
    // Once bound it goes on to answer what is no JSON.
    assert_eq!(second.request("chat.t.bind", &json!("bob*here")), json!({ "code": 500 }));
}

#[test]
fn without_a_master_nobody_new_is_bound() {
    let setup = Setup::new(&config("kick-old"));
    let started = setup.run(&["start", "--daemon", "--json"]).expect(0).json();
    let (_first, answer) = enter(setup.connector_port(1), "alice");
    assert!(is_in(&answer), "{answer}");
    let master = u32::try_from(started["master"]["pid"].as_u64().unwrap()).unwrap();
    signal(master, Signal::KILL);
    wait_for("the end of the master", PATIENCE, || !is_running(master));
    for (connector, name) in [(2, "alice"), (1, "bob")] {
        assert_eq!(enter(setup.connector_port(connector), name).1, json!({ "code": 503 }));
    }
    setup.run(&["stop"]).expect(0);
    setup.nothing_runs();
}
