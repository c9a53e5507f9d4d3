//! What crons.json says is run, on time and never twice at once.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::time::Duration;

use serde_json::{Value, json};
use shaddock_tests::client::Client;
use shaddock_tests::roles::roles;
use shaddock_tests::{Cluster, Setup, metric, wait_for};

fn with_crons(crons: &Value) -> Setup {
    let setup = roles(1, 1, json!({}));
    let file = setup.config_dir().join("crons.json");
    std::fs::write(file, json!({ "development": crons }).to_string()).unwrap();
    setup.edit("plugins.json", |plugins| plugins["roles"]["limits"] = json!({ "cpuMsMax": 5000 }));
    setup
}

fn counted(cluster: &Cluster, outcome: &str) -> f64 {
    let port = cluster.admin_port("connector-server-1");
    metric(port, &format!("shaddock_crons_total{{outcome=\"{outcome}\"}}")).unwrap_or_default()
}

#[test]
fn crons_run_in_both_syntaxes_on_their_servers_only() {
    let cluster = Cluster::of(with_crons(&json!({ "connector": [
        { "id": 1, "time": "0/1 * * * * *", "action": "rolesCron.note" },
        { "id": "ordinary", "cron": "*/1 * * * * *", "action": "rolesCron.note", "serverId": "connector-server-1" },
        { "id": "never", "time": "0 0 0 1 0 *", "action": "rolesCron.note" },
    ] })));
    let mut client = Client::connect(cluster.connector_port(1));
    client.request("connector.roles.bind", &json!("ann"));
    client.request("connector.roles.watch", &json!({}));
    let mut seen = Vec::new();
    while !["1", "ordinary"].iter().all(|id| seen.iter().filter(|other| *other == id).count() >= 2) {
        let (_, body) = client.push();
        seen.push(body["what"]["cron"].as_str().unwrap().to_owned());
    }
    assert!(!seen.contains(&"never".to_owned()));
    assert!(counted(&cluster, "ok") >= 4.0);
    assert!(!cluster.logs().lines().any(|line| line.contains("backend-1") && line.contains("cron")));
}

#[test]
fn a_cron_that_overruns_is_skipped_and_counted() {
    let cluster = Cluster::of(with_crons(&json!({ "connector": [
        { "id": "slow", "time": "* * * * * *", "action": "rolesCron.slow" },
    ] })));
    wait_for("it is skipped", Duration::from_secs(20), || counted(&cluster, "skipped") >= 2.0);
    wait_for("it has run", Duration::from_secs(20), || counted(&cluster, "ok") >= 1.0);
    assert!(cluster.logs().contains("a cron is due while it still runs"));
}

#[test]
fn a_cron_that_cannot_run_stops_the_start_with_what_is_wrong() {
    // what the files say is found before anything starts, what plugins offer when they are loaded
    for (crons, found, started) in [
        (
            json!([{ "id": 1, "time": "* * * * * *", "action": "nobody.does" }]),
            "action of crons \"nobody.does\"",
            1,
        ),
        (json!([{ "id": 1, "time": "61 * * * * *", "action": "rolesCron.note" }]), "crons.json", 2),
        (
            json!([{ "id": 1, "time": "* * * * * *", "action": "rolesCron.note" },
                { "id": 1, "time": "* * * * * *", "action": "rolesCron.note" }]),
            "crons.json",
            2,
        ),
    ] {
        let setup = with_crons(&json!({ "connector": crons }));
        setup.run(&["check"]).expect(2).says(found);
        setup.run(&["start"]).expect(started).says(found);
        setup.nothing_runs();
    }
}
