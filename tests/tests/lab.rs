//! The recordings of the lab application, replayed against the lab plugin on real processes.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::collections::BTreeMap;

use shaddock_replay::{Capture, Intended, Options, Report, Table, Transport, Verdict, replay};
use shaddock_tests::{Cluster, Setup, root};

/// A cluster of the lab's own, and everything played against it.
fn play(transport: Option<Transport>) -> Report {
    let cluster = Cluster::of(Setup::of_directory(&root().join("tests/lab/config")));
    let capture = Capture::load(&root().join("tests/golden/lab.json")).unwrap();
    let options = Options {
        ports: cluster.exchanged_ports().clone(),
        intended: Intended::load(&root().join("tests/lab/expected.json")).unwrap(),
        transport,
        server_order: true,
        ..Options::new("127.0.0.1")
    };
    let report = replay(&capture, &options, |scenario| {
        if scenario.verdict() == Verdict::Differs {
            eprintln!("{scenario}");
        }
    });
    println!("{}", Table(&report));
    assert_eq!(report.differing(), [""; 0]);
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
    let report = play(None);
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
