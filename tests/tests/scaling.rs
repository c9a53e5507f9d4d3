//! Servers that join and leave a running cluster, under load: real processes, real clients.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::{Value, json};
use shaddock_tests::client::Client;
use shaddock_tests::{Cluster, Config, Setup, Signal, component, is_running, metric, wait_for};

/// Longest wait for load to get somewhere.
const PATIENCE: Duration = Duration::from_secs(20);

/// Requests that were answered so far, by all clients of a load.
type Answered = Arc<AtomicU64>;

/// Waits until the load has gone on for a while.
fn let_it_run(answered: &Answered, requests: u64) {
    let goal = answered.load(Ordering::Relaxed) + requests;
    wait_for("the load goes on", PATIENCE, || answered.load(Ordering::Relaxed) >= goal);
}

/// Adds a chat server; its id.
fn add_chat(cluster: &Cluster, number: usize, port: u16) -> String {
    let (id, port) = (format!("chat-server-{number}"), port.to_string());
    let added = cluster
        .run(&["add", "--type", "chat", "--id", &id, "--host", "127.0.0.1", "--port", &port, "--json"])
        .expect(0)
        .json();
    assert_eq!((&added["added"], &added["warnings"]), (&json!([id]), &json!([])), "{added}");
    assert_eq!(added["servers"][0]["phase"], "ready", "{added}");
    id
}

/// A cluster whose chat servers do nothing but what the probe does, without a route function.
fn probe_cluster(chats: usize) -> Config {
    let probe = json!({
        "component": component("probe"),
        "serverTypes": ["chat"],
        "grants": ["sessions", "channels", "rpc"],
        "limits": { "cpuMsMax": 5000 },
        "settings": { "routes": ["chat.t.echo", "chat.t.work"], "methods": [] },
    });
    Config::chat(1, 1, chats).without_plugin("chat").plugin("probe", probe)
}

/// Requests of other servers that a server has answered.
fn served(cluster: &Cluster, id: &str) -> f64 {
    let name = r#"shaddock_requests_total{handled="for_peer",outcome="ok"}"#;
    metric(cluster.admin_port(id), name).unwrap_or_default()
}

/// The place of a room in the list of so many chat servers: `|crc32(name)| % n`, as the chat plugin has it.
fn place(room: &str, servers: usize) -> usize {
    let mut crc = u32::MAX;
    for byte in room.bytes() {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
        }
    }
    (!crc).cast_signed().unsigned_abs() as usize % servers
}

/// A client that asks without a pause until told to stop, and what was answered that is no success.
struct Load {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<Value>>,
}

impl Load {
    fn start(mut ask: impl FnMut() -> Option<Value> + Send + 'static, answered: &Answered) -> Load {
        let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::clone(answered));
        let told = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut failures = Vec::new();
            while !told.load(Ordering::Relaxed) {
                failures.extend(ask());
                answered.fetch_add(1, Ordering::Relaxed);
            }
            failures
        });
        Load { stop, thread }
    }

    /// Somebody who talks in a room of his own. When the room is gone he enters it anew.
    fn talker(cluster: &Cluster, room: &str, answered: &Answered) -> Load {
        let (mut client, port) = Client::enter(cluster.gate_port(), "first", room);
        let room = room.to_owned();
        let ask = move || {
            let line = json!({ "rid": room, "content": "hello", "from": "first", "target": "*" });
            let answer = client.request("chat.chatHandler.send", &line);
            if answer.get("code").is_none() {
                assert_eq!(client.push().0, "onChat");
                return None;
            }
            client = Client::connect(port);
            let body = json!({ "username": "again", "rid": room });
            let entered = client.request("connector.entryHandler.enter", &body);
            assert_eq!(entered["users"], json!(["again"]), "the room begins anew");
            Some(answer)
        };
        Load::start(ask, answered)
    }

    /// Somebody who asks chat servers for an echo.
    fn echoer(cluster: &Cluster, answered: &Answered) -> Load {
        let mut client = Client::connect(cluster.connector_port(1));
        let ask = move || {
            let answer = client.request("chat.t.echo", &json!({ "said": 1 }));
            (answer != json!({ "said": 1 })).then_some(answer)
        };
        Load::start(ask, answered)
    }

    /// Ends it; what failed.
    fn end(self) -> Vec<Value> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("every request is answered")
    }
}

#[test]
fn rooms_that_did_not_move_never_notice_that_servers_come_and_go() {
    let mut setup = Setup::new(&Config::chat(1, 2, 2));
    let ports = [setup.another_port(), setup.another_port()];
    let cluster = Cluster::of(setup);
    let answered = Answered::default();
    let talk = |range: std::ops::Range<usize>, servers: usize| {
        let talker = |number: usize| {
            let room = format!("room{number}");
            (place(&room, servers), Load::talker(&cluster, &room, &answered))
        };
        range.map(talker).collect::<Vec<_>>()
    };
    let mut talkers = talk(0..8, 2);
    let_it_run(&answered, 200);
    let added = [add_chat(&cluster, 3, ports[0]), add_chat(&cluster, 4, ports[1])];
    let_it_run(&answered, 200);
    talkers.extend(talk(8..16, 4));
    let_it_run(&answered, 200);
    for (place, id) in (2..).zip(&added) {
        assert!(talkers.iter().any(|(of, _)| *of == place), "no room for {id}: the test needs other names");
        assert!(served(&cluster, id) > 0.0, "{id} serves nobody");
    }
    let stopped = cluster.run(&["stop", "chat-server-1", "--json"]).expect(0).json();
    assert_eq!(stopped["stopped"], json!(["chat-server-1"]));
    let_it_run(&answered, 400);
    for (place, talker) in talkers {
        let failures = talker.end();
        if place == 0 {
            // The room was in the memory of the server that has gone: the next request finds that out.
            assert_eq!(failures, [json!({ "code": 500 })]);
        } else {
            assert_eq!(failures, Vec::<Value>::new());
        }
    }
}

#[test]
fn a_server_that_is_removed_answers_what_it_has_begun() {
    let cluster = Cluster::start(&probe_cluster(2));
    let answered = Answered::default();
    // Without a user bound, all requests go to the first server of the list.
    let echoers: Vec<Load> = (0..8).map(|_| Load::echoer(&cluster, &answered)).collect();
    let_it_run(&answered, 500);
    let mut worker = Client::connect(cluster.connector_port(1));
    let long = worker.ask("chat.t.work", &json!(100_000_000));
    let behind = worker.ask("chat.t.echo", &json!("behind it"));
    let_it_run(&answered, 50);
    cluster.run(&["stop", "chat-server-1"]).expect(0);
    assert!(worker.answer(long).is_number());
    assert_eq!(worker.answer(behind), "behind it");
    let_it_run(&answered, 500);
    for echoer in echoers {
        assert_eq!(echoer.end(), Vec::<Value>::new(), "short calls are finished within the time to drain");
    }
    let served = served(&cluster, "chat-server-2");
    assert!(served >= 500.0, "{served}");
}

#[test]
fn calls_that_do_not_end_in_time_fail_when_their_server_stops() {
    let cluster = Cluster::start(&probe_cluster(1));
    let mut worker = Client::connect(cluster.connector_port(1));
    let endless = worker.ask("chat.t.work", &json!(1_000_000_000_000_u64));
    // Its lane holds this one back until the first has ended.
    let behind = worker.ask("chat.t.echo", &json!(1));
    cluster.run(&["stop", "chat-server-1"]).expect(0);
    assert!(worker.answer(endless)["code"].as_u64().unwrap() >= 400);
    assert!(worker.answer(behind)["code"].as_u64().unwrap() >= 400);
}

#[test]
fn a_server_that_was_stopped_is_started_again() {
    let cluster = Cluster::start(&Config::chat(1, 1, 2));
    let before = cluster.pid_of("chat-server-2");
    cluster
        .run(&["add", "--id", "chat-server-2"])
        .expect(5)
        .says("running already")
        .says(&before.to_string());
    cluster.run(&["stop", "chat-server-2"]).expect(0);
    assert_eq!(cluster.status("chat-server-2")["phase"], "stopped");
    cluster.run(&["add", "--id", "chat-server-2"]).expect(0).says("chat-server-2");
    assert_ne!(cluster.pid_of("chat-server-2"), before);
    cluster.kill9("chat-server-2");
    wait_for("the master's notice", PATIENCE, || cluster.status("chat-server-2")["phase"] == "down");
    cluster.run(&["add", "id=chat-server-2"]).expect(0);
    assert_eq!(cluster.status("chat-server-2")["phase"], "ready");
    cluster.run(&["add", "--id", "nobody"]).expect(4).says("no server \"nobody\"").says("--type");
}

#[test]
fn servers_that_were_added_are_as_all_others_until_they_are_stopped() {
    let mut setup = Setup::new(&Config::small());
    let client_port = setup.another_port();
    let mut first = setup.another_port();
    let mut second = setup.another_port();
    while second + 1 != first {
        (first, second) = (second, setup.another_port());
    }
    let mut cluster = Cluster::of(setup);
    let port = client_port.to_string();
    let frontend = [
        "add",
        "serverType=connector",
        "id=connector-server-9",
        "host=127.0.0.1",
        "frontend=true",
        "zone=eu",
        "--json",
        "--client-port",
        &port,
    ];
    cluster.run(&frontend).expect(0);
    let answer = Client::connect(client_port)
        .request("connector.entryHandler.enter", &json!({ "username": "bob", "rid": "here" }));
    assert_eq!(answer["users"], json!(["bob"]));
    let mut bill = Client::connect(client_port);
    bill.request("connector.entryHandler.enter", &json!({ "username": "bill", "rid": "here" }));
    cluster.run(&["kick", "bill*here"]).expect(0).says("closed 1 session");
    let port = format!("port={second}++");
    let added = cluster
        .run(&["add", "serverType=chat", "clusterCount=2", "host=127.0.0.1", &port, "--json"])
        .expect(0)
        .json();
    assert_eq!(added["added"], json!(["cluster-server-chat-0", "cluster-server-chat-1"]));
    let name = r#"shaddock_master_servers{phase="ready",server_type="chat"}"#;
    assert_eq!(metric(cluster.admin_port("master-server-1"), name), Some(3.0));
    let pid = cluster.pid_of("cluster-server-chat-0");
    cluster.run(&["stop", "cluster-server-chat-0", "connector-server-9"]).expect(0);
    assert!(!is_running(pid));
    let list = cluster.list();
    let ids: Vec<&str> =
        list["servers"].as_array().unwrap().iter().map(|server| server["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["chat-server-1", "cluster-server-chat-1", "connector-server-1", "gate-server-1"]);
    let (code, _) = cluster.stop_with(Signal::TERM);
    assert_eq!(code, Some(0), "{}", cluster.logs());
    cluster.nothing_runs();
}

#[test]
fn what_cannot_be_added_is_refused_and_leaves_nothing() {
    let mut setup = Setup::new(&Config::small());
    let free = setup.another_port();
    let cluster = Cluster::of(setup);
    let before = cluster.list()["servers"].as_array().unwrap().len();
    let chat = |id: &str, server_type: &str, port: u16| {
        let port = port.to_string();
        cluster.run(&[
            "add",
            "--type",
            server_type,
            "--id",
            id,
            "--host",
            "127.0.0.1",
            "--port",
            &port,
            "--json",
        ])
    };
    let problem = |code: i32, finished: shaddock_tests::Finished| {
        let json = finished.expect(code).json();
        json["error"].as_str().unwrap_or_else(|| panic!("{json}")).to_owned()
    };
    let taken = problem(2, chat("chat-server-1", "chat", free));
    assert!(taken.contains("the id \"chat-server-1\" is taken"), "{taken}");
    let rpc_port = cluster.port("chat-server-1", "port");
    let taken = problem(2, chat("chat-server-9", "chat", rpc_port));
    assert!(taken.contains(&format!("the port {rpc_port} is also the port of \"chat-server-1\"")), "{taken}");
    let unknown = problem(2, chat("chat-server-9", "chatt", free));
    assert!(unknown.contains("no server type \"chatt\"; did you mean \"chat\"?"), "{unknown}");
    // A port that something else has: only the server itself can find that out.
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, free)).unwrap();
    let failed = chat("chat-server-9", "chat", free).expect(1).json();
    assert_eq!(failed["servers"][0]["id"], "chat-server-9", "{failed}");
    let error = failed["servers"][0]["error"].as_str().unwrap();
    assert!(error.contains(&free.to_string()) && error.contains("in use"), "{error}");
    drop(taken);
    let elsewhere =
        ["add", "--type", "chat", "--id", "chat-server-9", "--host", "192.0.2.1", "--port", "4000"];
    cluster.run(&elsewhere).expect(1).says("192.0.2.1 is no address of this machine");
    cluster.run(&["add"]).expect(2).says("nothing to add");
    cluster.run(&["add", "--id", "a", "id=b"]).expect(2).says("given twice");
    assert_eq!(cluster.list()["servers"].as_array().unwrap().len(), before);
    assert_eq!(cluster.processes().len(), before + 1, "the servers and the master");
    // What failed once is no obstacle.
    chat("chat-server-9", "chat", free).expect(0);
}

#[test]
fn a_cluster_that_does_not_run_takes_no_servers() {
    let setup = Setup::new(&Config::small());
    setup.run(&["add", "--id", "chat-server-1"]).expect(3).says("no cluster runs");
}
