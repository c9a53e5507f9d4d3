//! What timers and game loops cost: the numbers that BENCHMARKS.md quotes.
//!
//! `cargo bench --workspace --bench clock`, with the program and the plugins built.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs, reason = "a benchmark")]

use std::time::Duration;

use serde_json::json;
use shaddock_tests::client::Client;
use shaddock_tests::roles::{game_loop, roles};
use shaddock_tests::{Cluster, metric};

/// How long each is watched.
const WATCHED: Duration = Duration::from_secs(10);

fn main() {
    idle_timers();
    game_loop_under_load();
}

/// CPU time that a process has used, in seconds.
fn cpu_seconds(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks = |place: usize| fields[place].parse::<f64>().unwrap();
    // utime and stime, in hundredths of a second
    (ticks(11) + ticks(12)) / 100.0
}

fn idle_timers() {
    let cluster = Cluster::of(roles(1, 1, json!({})));
    let pid = cluster.pid_of("connector-server-1");
    let watch = || {
        let before = cpu_seconds(pid);
        std::thread::sleep(WATCHED);
        cpu_seconds(pid) - before
    };
    let mut client = Client::connect(cluster.connector_port(1));
    let none = watch();
    for _ in 0..10 {
        let timers = json!({ "name": "note", "after_ms": 3_600_000, "count": 1000, "payload": null });
        assert_eq!(client.request("connector.roles.timer", &timers).as_array().unwrap().len(), 1000);
    }
    let port = cluster.admin_port("connector-server-1");
    assert_eq!(metric(port, "shaddock_timers"), Some(10_000.0));
    println!("CPU in {WATCHED:?}: {none:.2} s without timers, {:.2} s with 10,000 of one hour", watch());
}

fn game_loop_under_load() {
    for load_ms in [0, 40] {
        let cluster = Cluster::of(game_loop(20));
        let mut client = Client::connect(cluster.connector_port(1));
        client.request("world.loop.load", &json!(load_ms));
        let port = cluster.admin_port("world-1");
        let count = |kind: &str| {
            metric(port, &format!("shaddock_ticks_total{{kind=\"{kind}\",plugin=\"loop\"}}"))
                .unwrap_or_default()
        };
        let kinds = ["run", "late", "missed"];
        let before = kinds.map(count);
        std::thread::sleep(WATCHED);
        let after = kinds.map(count);
        let counted = [0, 1, 2].map(|kind| after[kind] - before[kind]);
        println!(
            "20 Hz in {WATCHED:?}, {load_ms} ms of computing per tick: {} ticks, {} late, {} missed",
            counted[0], counted[1], counted[2]
        );
    }
}
