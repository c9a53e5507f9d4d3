//! The recordings of the lab application, replayed against the lab plugin on real processes.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::collections::BTreeMap;
use std::io::Write;

use serde_json::json;
use shaddock_replay::{Capture, Intended, Options, Report, Table, Verdict, replay};
use shaddock_tests::client::{Client, raw, read_to_close};
use shaddock_tests::{Cluster, Setup, root};

/// A cluster of the lab.
fn lab() -> Cluster {
    Cluster::of(Setup::of_directory(&root().join("tests/lab/config")))
}

/// Plays everything that was recorded against a cluster.
fn play(cluster: &Cluster) -> Report {
    let capture = Capture::load(&root().join("tests/golden/lab.json")).unwrap();
    let options = Options {
        ports: cluster.exchanged_ports().clone(),
        intended: Intended::load(&root().join("tests/lab/expected.json")).unwrap(),
        server_order: true,
        ..Options::new("127.0.0.1")
    };
    let report = replay(&capture, &options, |scenario| {
        if scenario.verdict() == Verdict::Differs {
            eprintln!("{scenario}");
        }
    });
    println!("{}", Table(&report));
    report
}

/// How often each outcome is there.
fn count(report: &Report) -> BTreeMap<&'static str, usize> {
    let word = |verdict| match verdict {
        Verdict::Kept => "kept",
        Verdict::Fixed => "fixed",
        Verdict::Differs => "differs",
        Verdict::Skipped => "skipped",
    };
    report.scenarios.iter().fold(BTreeMap::new(), |mut counts, scenario| {
        *counts.entry(word(scenario.verdict())).or_default() += 1;
        counts
    })
}

#[test]
fn every_recorded_scenario_is_kept_or_fixed() {
    let report = play(&lab());
    assert_eq!(report.differing(), [""; 0]);
    let skipped: Vec<_> = (report.scenarios.iter())
        .filter(|scenario| scenario.verdict() == Verdict::Skipped)
        .map(|scenario| &*scenario.name)
        .collect();
    assert_eq!(skipped, ["lab/udp"], "datagrams are not served");
    assert_eq!(report.scenarios.len(), 42);
    let intended = serde_json::from_slice::<BTreeMap<String, serde_json::Value>>(
        &std::fs::read(root().join("tests/lab/expected.json")).unwrap(),
    );
    // Answers that are expected to differ, and do not, are to be taken out of the file.
    assert_eq!(count(&report).get("fixed").copied(), Some(intended.unwrap().len()));
}

#[test]
fn an_old_client_is_refused_with_501() {
    let cluster = lab();
    let mut client = raw(cluster.port("conn-1", "clientPort"));
    let hello = br#"{"sys":{"type":"js-websocket","version":"old"}}"#;
    client.write_all(&[&[1, 0, 0, u8::try_from(hello.len()).unwrap()][..], hello].concat()).unwrap();
    assert_eq!(read_to_close(&client), [&[1, 0, 0, 12][..], br#"{"code":501}"#].concat());
}

/// A client of the lab whose backend is this area server.
fn logged_in(cluster: &Cluster, area: &str) -> Client {
    let mut client = Client::connect(cluster.port("conn-1", "clientPort"));
    let login = json!({ "uid": area, "area": area });
    assert_eq!(client.request("connector.entryHandler.login", &login)["code"], 200);
    client
}

#[test]
fn filters_refuse_and_error_handlers_answer() {
    let cluster = lab();
    let mut client = logged_in(&cluster, "cluster-server-area-0");
    let mut denied = |route: &str, tag: &str| client.request(route, &json!({ "denyAt": tag }));
    for (route, tags) in [
        ("connector.entryHandler.echo", ["g1", "g2", "c1"]),
        ("area.areaHandler.echo", ["g1", "g2", "a1"]),
        ("area.areaHandler.echo", ["g1", "g2", "a2"]),
    ] {
        for tag in tags {
            assert_eq!(denied(route, tag), json!({ "code": 403, "tag": tag }), "{route}");
        }
    }
    assert_eq!(
        denied("area.areaHandler.echo", "c1")["got"]["denyAt"],
        "c1",
        "a filter of the connector only"
    );

    let mut fails = |route: &str| client.request(route, &json!({}));
    assert_eq!(fails("area.areaHandler.fail"), json!({ "code": 498, "eh": 1, "m": "area boom" }));
    assert_eq!(fails("area.areaHandler.failCode"), json!({ "code": 43 }), "an answer that is there stays");
    assert_eq!(fails("connector.entryHandler.fail"), json!({ "code": 500 }), "no error handler there");
    let mut other = logged_in(&cluster, "cluster-server-area-1");
    assert_eq!(other.request("area.areaHandler.fail", &json!({})), json!({ "code": 500 }));
}

#[test]
fn every_way_to_call_a_server_works() {
    let cluster = lab();
    let mut client = logged_in(&cluster, "cluster-server-area-1");
    let answer = client.request("connector.entryHandler.rpcs", &json!({}));
    assert_eq!(answer["add"], json!([null, 3, "cluster-server-area-1"]), "by the session's own area");
    assert_eq!(answer["who"], json!([null, "cluster-server-area-1"]), "by id");
    assert_eq!(answer["invoke"], json!([null, "cluster-server-area-0"]), "by another id");
    assert_eq!(answer["all"], json!([null]), "all of them, none failed");
    assert_eq!(answer["nomethod"], 404);
    assert_eq!(answer["fail"][0]["code"], 500);
    let message = answer["fail"][0]["message"].as_str().unwrap_or_default();
    assert!(message.ends_with("remote failed x"), "{answer}");
}
