//! `shaddock bench swap` on a cluster that it starts: what it measures is not looked at here, only what it counts.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::process::Command;

use shaddock_tests::{Config, Setup, component};

/// A cluster of three servers and few players, who speak at a rate that any machine has.
fn swap(setup: &Setup, more: &[&str]) -> Command {
    let mut command = setup.bare_command(&["bench", "swap", "--json", "--component"]);
    command.arg(component("chat")).args(["-c", "25", "--rate", "100", "--frontends", "1", "--backends", "1"]);
    command.args(["--pause", "2"]).args(more);
    command
}

#[test]
fn players_lose_nothing_while_versions_are_exchanged() {
    let setup = Setup::new(&Config::small());
    let plot = setup.config_dir().with_file_name("swap.svg");
    let mut command = swap(&setup, &["--swaps", "2"]);
    let report = setup.run_command(command.arg("--svg").arg(&plot)).expect(0).json();
    let swap = &report["outcomes"][0]["swap"];

    let requests = swap["requests"].as_u64().unwrap();
    assert!(requests >= 500, "{requests}");
    for nothing in ["failed", "lost", "doubled", "connections_lost", "automatic_rollbacks"] {
        assert_eq!(swap[nothing], 0, "{nothing}");
    }
    // Two rooms of ten and one of five: 25 requests are heard 10 · 10 + 10 · 10 + 5 · 5 times.
    let lines = swap["lines"].as_u64().unwrap();
    assert_eq!(Some(lines), swap["lines_due"].as_u64());
    assert!(lines.abs_diff(requests * 9) <= 250, "{lines} lines of {requests} requests");

    let swaps = swap["swaps"].as_array().unwrap();
    assert_eq!(swaps.len(), 2);
    for one in swaps {
        assert_eq!(one["changes_s"].as_array().unwrap().len(), 3, "{one}");
        assert!(one["error"].is_null() && one["ratio"].as_f64().unwrap() > 0.0, "{one}");
    }
    let binned: u64 =
        swap["bins"].as_array().unwrap().iter().map(|bin| bin["requests"].as_u64().unwrap()).sum();
    assert_eq!(binned, requests, "without a closed loop every request is in a bin");
    assert!(std::fs::read_to_string(plot).unwrap().ends_with("</svg>\n"));
}

#[test]
fn what_swap_cannot_be_combined_with_is_refused() {
    let setup = Setup::new(&Config::small());
    for (more, why) in [
        (&["--baseline"][..], "swap has no baseline"),
        (&["--connect", "127.0.0.1:1"], "a cluster that it starts"),
        (&["echo"], "another plugin"),
    ] {
        setup.run_command(&mut swap(&setup, more)).expect(1).says(why);
    }
    setup.run_command(&mut swap(&setup, &["--load", "0%"])).expect(2).says("1% to 100%");
}
