//! The chat application end to end: real servers, and clients that other people wrote.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use shaddock_replay::{Capture, Kick, Options, Transport};
use shaddock_tests::client::{Client, Heard};
use shaddock_tests::{Cluster, Config, need, root, wait_for};

/// Runs a client's script to its end, which has to be a good one.
fn run(command: &mut Command) {
    let out = command.stdin(Stdio::null()).output().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success(), "{command:?}: {}\n{text}", out.status);
}

/// Runs a client's script that wants to be kicked once it says so.
fn run_and_kick(cluster: &Cluster, command: &mut Command) {
    let mut child = command.arg("--expect-kick").stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let mut all = String::new();
    let mut line = String::new();
    while lines.read_line(&mut line).unwrap() > 0 {
        if let Some(uid) = line.trim().strip_prefix("ready-for-kick ") {
            let kicked = cluster.run(&["kick", uid, "--reason", "be good", "--json"]).expect(0).json();
            assert_eq!(kicked["kicked"], 1, "{kicked}");
        }
        all.push_str(&line);
        line.clear();
    }
    lines.read_to_string(&mut all).unwrap();
    let status = child.wait().unwrap();
    assert!(status.success(), "{command:?}: {status}\n{all}");
    assert!(all.contains("ready-for-kick"), "nobody asked for a kick:\n{all}");
}

#[test]
fn the_npm_client_logs_in_chats_whispers_leaves_and_is_kicked() {
    let Some(node) = need("NODE") else { return };
    let cluster = Cluster::start(&Config::tutorial());
    let script = root().join("tests/clients/node/pomelo-client-websocket.mjs");
    run_and_kick(&cluster, Command::new(node).arg(script).arg(cluster.gate_port().to_string()));
}

#[test]
fn pypomelo_logs_in_chats_whispers_leaves_and_is_kicked_over_tcp() {
    let Some(python) = need("PYTHON") else { return };
    let cluster = Cluster::start(&Config::tutorial());
    let script = root().join("tests/clients/python/pypomelo_chat.py");
    run_and_kick(&cluster, Command::new(python).arg(script).arg(cluster.gate_port().to_string()));
}

#[test]
fn our_own_module_does_the_same() {
    let Some(node) = need("NODE") else { return };
    let cluster = Cluster::start(&Config::tutorial());
    let script = root().join("tests/clients/node/shaddock-client.mjs");
    run_and_kick(&cluster, Command::new(node).arg(script).arg(cluster.gate_port().to_string()));
}

#[test]
fn two_browser_tabs_chat() {
    let (Some(node), Some(chromium)) = (need("NODE"), need("CHROMIUM")) else { return };
    let cluster = Cluster::start(&Config::tutorial());
    let page = format!("http://127.0.0.1:{}/", cluster.web_port());
    let script = root().join("tests/clients/node/browser.mjs");
    let gate = cluster.gate_port().to_string();
    run(Command::new(node).arg(script).args([&page, &gate]).env("SHADDOCK_CHROMIUM", chromium));
}

#[test]
fn the_javascript_of_the_page_passes_its_own_tests() {
    let Some(node) = need("NODE") else { return };
    run(Command::new(node).arg("--test").arg("plugins/chat/web/test/").current_dir(root()));
}

/// Replays what a real pomelo did; a user can only be on the connector that the gate names, whatever the recording says.
fn replay(transport: Transport) {
    let cluster = Arc::new(Cluster::start(&Config::tutorial()));
    let capture = Capture::load(&root().join("tests/golden/chat-websocket.json")).unwrap();
    let mut options = Options::new("127.0.0.1");
    options.ports = BTreeMap::from([
        (3014, cluster.gate_port()),
        (3050, cluster.connector_port(1)),
        (3051, cluster.connector_port(2)),
        (3052, cluster.connector_port(3)),
    ]);
    options.transport = Some(transport);
    options.server_order = true;
    let kicker = Arc::clone(&cluster);
    options.kick = Some(Arc::new(move |kick: &Kick| {
        kicker.run(&["kick", &kick.uid, "--reason", &kick.reason]).expect(0);
        Ok(())
    }));
    let report = shaddock_replay::replay(&capture, &options, |_| {});
    let told: Vec<String> = report.scenarios.iter().map(ToString::to_string).collect();
    assert!(report.differing().is_empty(), "{}\n{}", told.join("\n"), cluster.logs());
    assert_eq!(report.scenarios.len(), 16);
}

#[test]
fn the_recorded_chat_replays_over_websocket() {
    replay(Transport::Ws);
}

#[test]
fn the_recorded_chat_replays_over_tcp() {
    replay(Transport::Tcp);
}

/// pomelo's choice: |crc32(key)| modulo the servers sorted by id.
fn crc32_choice(key: &str, servers: usize) -> usize {
    let mut crc = !0_u32;
    for byte in key.bytes() {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
        }
    }
    (!crc).cast_signed().unsigned_abs() as usize % servers
}

#[test]
fn users_and_rooms_go_where_crc32_says() {
    let cluster = Cluster::start(&Config::tutorial());
    let mut rooms: BTreeMap<usize, Vec<Client>> = BTreeMap::new();
    for i in 0..12 {
        let (name, room) = (format!("user{i}"), format!("room{i}"));
        let (client, port) = Client::enter(cluster.gate_port(), &name, &room);
        assert_eq!(port, cluster.connector_port(crc32_choice(&name, 3) + 1), "{name}");
        rooms.entry(crc32_choice(&room, 3)).or_default().push(client);
    }
    assert_eq!(rooms.len(), 3, "the rooms of this test should cover all chat servers");
    for (index, clients) in rooms {
        let port = cluster.admin_port(&format!("chat-server-{}", index + 1));
        let metrics = shaddock_tests::http_get(port, "/metrics");
        let channels = format!("shaddock_channels {}\n", clients.len());
        assert!(metrics.contains(&channels), "chat server {index}: {channels} is not in\n{metrics}");
    }
}

#[test]
fn rooms_of_a_killed_chat_server_answer_500_at_once_and_others_go_on() {
    let cluster = Cluster::start(&Config::tutorial());
    let say = json!({ "content": "hello", "target": "*" });
    let mut clients: Vec<(usize, Client)> = Vec::new();
    for i in 0..6 {
        let room = format!("room{i}");
        let (client, _) = Client::enter(cluster.gate_port(), &format!("u{i}"), &room);
        clients.push((crc32_choice(&room, 3), client));
    }
    for (_, client) in &mut clients {
        assert_eq!(client.request("chat.chatHandler.send", &say), json!({}));
    }
    cluster.kill9("chat-server-1");
    wait_for("the death is noticed", Duration::from_secs(5), || {
        cluster.status("chat-server-1")["state"] != "ready"
    });
    let mut hit = 0;
    for (index, client) in &mut clients {
        let answer = client.request("chat.chatHandler.send", &say);
        if *index == 0 {
            assert_eq!(answer, json!({ "code": 500 }));
            hit += 1;
        } else {
            assert_eq!(answer, json!({}));
        }
    }
    assert!(hit > 0 && hit < clients.len(), "the rooms of this test should be on several servers");
}

#[test]
fn pushes_of_a_call_come_before_its_answer() {
    let cluster = Cluster::start(&Config::tutorial());
    let (mut client, _) = Client::enter(cluster.gate_port(), "alice", "room");
    for i in 0..200 {
        let id = client.ask("chat.chatHandler.send", &json!({ "content": i.to_string(), "target": "*" }));
        assert!(
            matches!(client.hear(), Heard::Push(route, body) if route == "onChat" && body["msg"].as_str() == Some(i.to_string().as_str()))
        );
        assert!(matches!(client.hear(), Heard::Answer(answered, _) if answered == id));
    }
}

#[test]
fn requests_of_a_session_are_handled_in_the_order_they_came() {
    let cluster = Cluster::start(&Config::tutorial());
    let (mut alice, _) = Client::enter(cluster.gate_port(), "alice", "room");
    let (mut bob, _) = Client::enter(cluster.gate_port(), "bob", "room");
    for i in 0..300 {
        alice.ask("chat.chatHandler.send", &json!({ "content": i.to_string(), "target": "bob" }));
    }
    for i in 0..300 {
        assert_eq!(bob.push().1["msg"], i.to_string());
    }
}

#[test]
fn a_user_that_goes_leaves_its_room() {
    let cluster = Cluster::start(&Config::tutorial());
    let (mut alice, _) = Client::enter(cluster.gate_port(), "alice", "room");
    let (bob, _) = Client::enter(cluster.gate_port(), "bob", "room");
    assert_eq!(alice.push(), ("onAdd".to_owned(), json!({ "route": "onAdd", "user": "bob" })));
    bob.close();
    assert_eq!(alice.push(), ("onLeave".to_owned(), json!({ "route": "onLeave", "user": "bob" })));
}
