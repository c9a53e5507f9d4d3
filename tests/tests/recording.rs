//! `shaddock plugin record` takes down what a running cluster does, `shaddock replay` does it again without one.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use shaddock_tests::client::Client;
use shaddock_tests::update::{plugin, stateful, versioned_cluster};
use shaddock_tests::{Cluster, Setup, Signal, signal, versioned, wait_for};

/// Longest wait for what takes a few seconds.
const PATIENCE: Duration = Duration::from_secs(30);

/// Begins to record, on so many servers, and waits until they do.
fn begin(cluster: &Cluster, name: &str, servers: usize, dir: &Path) -> Child {
    let begun = || cluster.logs().matches("calls are recorded ").count();
    let before = begun();
    let words = ["plugin", "record", name, "--seconds", "600", "--json", "--output", dir.to_str().unwrap()];
    let mut command = cluster.command(&words);
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait_for("servers that record", PATIENCE, || begun() == before + servers);
    child
}

/// Ends it; what it says.
fn end(child: Child) -> Value {
    signal(child.id(), Signal::INT);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn replay(setup: &Setup, files: &[&str], options: &[&str]) -> shaddock_tests::Finished {
    setup.run_command(&mut setup.bare_command(&[&["replay"], files, options].concat()))
}

#[test]
fn what_two_servers_did_is_done_again_without_them() {
    let cluster = Cluster::start(&versioned_cluster(1, 2));
    let dir = tempfile::tempdir().unwrap();
    let mut client = Client::connect(cluster.connector_port(1));
    client.request("chat.versioned.version", &json!({}));
    let recording = begin(&cluster, "versioned", 3, dir.path());
    let again = plugin(&cluster, &["record", "versioned", "--seconds", "1"]).expect(1);
    assert!(again.stderr.contains("are being recorded here"), "{again:#?}");
    for number in 0..20 {
        client.request("chat.versioned.version", &json!({ "number": number }));
        client.request("connector.versioned.version", &json!({ "number": number }));
    }
    let told = end(recording);
    let files: Vec<&str> =
        told["recordings"].as_array().unwrap().iter().map(|one| one["file"].as_str().unwrap()).collect();
    assert_eq!(files.len(), 3, "{told}");
    let calls: u64 =
        told["recordings"].as_array().unwrap().iter().map(|one| one["calls"].as_u64().unwrap()).sum();
    assert!(calls >= 40, "{told}");
    client.request("chat.versioned.version", &json!({}));

    let same = replay(&cluster, &files, &["--json"]).expect(0).json();
    for recording in same["recordings"].as_array().unwrap() {
        assert_eq!(
            (&recording["incomplete"], &recording["differences"]),
            (&Value::Null, &json!([])),
            "{same}"
        );
    }
    let (first, second) = (versioned(1, &[]), versioned(2, &[]));
    replay(&cluster, &files, &["--component", first.to_str().unwrap()]).expect(0).says("0 different");
    let other = replay(&cluster, &files, &["--component", second.to_str().unwrap()]).expect(1);
    for text in ["- gave", "+ gave", "VERSION-0002", "40 calls differ"] {
        assert!(other.stdout.contains(text) || other.stderr.contains(text), "no {text:?}: {other:#?}");
    }
}

#[test]
fn a_state_goes_along_into_a_recording_and_out_of_it() {
    let cluster = Cluster::start(&versioned_cluster(1, 1).plugin("counter", stateful(&["gate"])));
    let dir = tempfile::tempdir().unwrap();
    let mut client = Client::connect(cluster.gate_port());
    let mut count = || client.request("gate.versioned.count", &json!({}))["count"].clone();
    assert_eq!([count(), count()], [1, 2]);
    let recording = begin(&cluster, "counter", 1, dir.path());
    assert_eq!([count(), count()], [3, 4]);
    let told = end(recording);
    assert_eq!([count(), count()], [5, 6]);
    let file = told["recordings"][0]["file"].as_str().unwrap();
    replay(&cluster, &[file], &[]).expect(0).says("0 different");
    let lines = std::fs::read_to_string(file).unwrap();
    assert!(lines.contains("load-state"), "{lines}");
}

#[test]
fn what_cannot_be_recorded_or_replayed_is_said() {
    let setup = Setup::new(&versioned_cluster(1, 1));
    setup.edit("plugins.json", |plugins| plugins["chat"]["pool"] = json!({ "policy": "single" }));
    let cluster = Cluster::of(setup);
    plugin(&cluster, &["record", "chat"]).expect(1).says("would lose it");
    plugin(&cluster, &["record", "nobody"]).expect(4).says("has no plugin \"nobody\"");
    plugin(&cluster, &["record", "versioned", "--server", "chat-9"])
        .expect(4)
        .says("no server \"chat-9\" is ready");
    plugin(&cluster, &["record", "versioned", "--seconds", "0"]).expect(2);
    let dir = tempfile::tempdir().unwrap();
    let file = |text: &str| {
        let path = dir.path().join("file.jsonl");
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    replay(&cluster, &["/nowhere/at/all"], &[]).expect(2).says("recording /nowhere/at/all");
    replay(&cluster, &[&file("{}")], &[]).expect(2).says("line 1: this is no recording");

    plugin(&cluster, &["record", "versioned", "--seconds", "1", "--output", dir.path().to_str().unwrap()])
        .expect(0);
    let path = dir.path().join("versioned-chat-server-1.jsonl");
    let text = std::fs::read_to_string(&path).unwrap();
    let (head, rest) = text.split_once('\n').unwrap();
    let mut head: Value = serde_json::from_str(head).unwrap();
    head["digest"] = json!("0".repeat(64));
    replay(&cluster, &[&file(&format!("{head}\n{rest}"))], &[])
        .expect(4)
        .says("name its file with --component");
    replay(&cluster, &[&file(&format!("{text}{{\"call\":1}}\n"))], &[]).expect(2).says("missing field");
    let module = dir.path().join("module.wasm");
    std::fs::write(&module, b"\0asm\x01\0\0\0").unwrap();
    replay(&cluster, &[path.to_str().unwrap()], &["--component", module.to_str().unwrap()])
        .expect(1)
        .says("core module");
}
