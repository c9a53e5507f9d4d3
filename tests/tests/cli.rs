//! The commands of `shaddock` on real processes: starting, failing to start, stopping, and what is left behind.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::Duration;

use serde_json::json;
use shaddock_tests::{Cluster, Config, Setup, Signal, component, is_running, signal, wait_for};

/// What a stop may take.
const STOP_TIME_MAX: Duration = Duration::from_secs(5);

fn serves(port: u16) -> bool {
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
}

#[test]
fn a_started_cluster_serves_and_is_listed() {
    let cluster = Cluster::start(&Config::tutorial());
    let started = cluster.started();
    assert_eq!(started["servers"].as_array().unwrap().len(), 7);
    assert_eq!(started["master"]["web_url"], format!("http://127.0.0.1:{}/", cluster.web_port()));
    for port in
        [cluster.gate_port(), cluster.connector_port(1), cluster.connector_port(3), cluster.web_port()]
    {
        assert!(serves(port), "port {port}");
    }
    let list = cluster.list();
    for server in list["servers"].as_array().unwrap() {
        assert_eq!(server["phase"], "ready", "{server}");
        assert!(is_running(u32::try_from(server["pid"].as_u64().unwrap()).unwrap()), "{server}");
        assert!(server["memory_bytes"].as_u64().unwrap() > 1_000_000, "{server}");
        assert!(serves(u16::try_from(server["ports"]["admin"].as_u64().unwrap()).unwrap()), "{server}");
        assert_eq!(server["plugins"][0]["name"], "chat", "{server}");
        assert_eq!(server["plugins"][0]["digest"].as_str().unwrap().len(), 64, "{server}");
    }
    let text = cluster.run(&["list"]).expect(0).stdout;
    assert_eq!(text.lines().count(), 9, "{text}");
    assert!(text.contains(&format!("client {}", cluster.gate_port())), "{text}");
}

#[test]
fn a_second_start_is_refused_and_harms_nothing() {
    let cluster = Cluster::start(&Config::small());
    let secret = std::fs::read(cluster.state_dir().join("secret")).unwrap();
    let before = cluster.pid_of("chat-server-1");
    for arguments in [&["start"][..], &["start", "--daemon"]] {
        cluster.run(arguments).expect(5).says("running already").says(&cluster.master_pid().to_string());
    }
    assert_eq!(std::fs::read(cluster.state_dir().join("secret")).unwrap(), secret);
    assert_eq!(cluster.pid_of("chat-server-1"), before);
    assert!(serves(cluster.gate_port()));
}

#[test]
fn a_second_start_from_another_state_directory_finds_the_port_taken() {
    let cluster = Cluster::start(&Config::small());
    let elsewhere = tempfile::tempdir().unwrap();
    let mut command = cluster.bare_command(&["start", "--json"]);
    command.arg("--config").arg(cluster.config_dir()).arg("--state-dir").arg(elsewhere.path());
    let refused = cluster.run_command(&mut command).expect(1);
    let error = refused.json()["error"].as_str().unwrap().to_owned();
    assert!(error.contains("in use"), "{error}");
    assert!(
        error.contains(&cluster.web_port().to_string()) || error.contains(&cluster.master_port().to_string()),
        "{error}"
    );
    assert_eq!(cluster.status("gate-server-1")["phase"], "ready");
}

#[test]
fn a_cluster_is_the_same_from_every_directory() {
    let setup = Setup::new(&Config::small());
    let home = tempfile::tempdir().unwrap();
    let in_dir = |arguments: &[&str], dir: &std::path::Path, config: &str| {
        let mut command = setup.bare_command(arguments);
        command.current_dir(dir).args(["--config", config]).env("XDG_STATE_HOME", home.path());
        command
    };
    let config = setup.config_dir();
    setup.run_command(&mut in_dir(&["start", "--daemon"], config.parent().unwrap(), "config")).expect(0);
    let listed = setup.run_command(&mut in_dir(&["list", "--json"], &config, ".")).expect(0).json();
    assert_eq!(listed["servers"][0]["phase"], "ready", "{listed}");
    setup.run_command(&mut in_dir(&["stop"], "/".as_ref(), config.to_str().unwrap())).expect(0);
    setup.nothing_runs();
}

#[test]
fn a_taken_port_is_named_with_its_server_and_the_rest_is_stopped() {
    let setup = Setup::new(&Config::tutorial());
    for (id, field) in
        [("connector-server-2", "clientPort"), ("chat-server-3", "port"), ("gate-server-1", "clientPort")]
    {
        let port = setup.port(id, field);
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
        let failed = setup.run(&["start", "--json"]).expect(1);
        let servers = failed.json()["servers"].clone();
        assert_eq!(servers.as_array().unwrap().len(), 1, "{failed:#?}");
        assert_eq!(servers[0]["id"], id, "{failed:#?}");
        let error = servers[0]["error"].as_str().unwrap();
        assert!(error.contains(&port.to_string()) && error.contains("in use"), "{error}");
        drop(taken);
        setup.nothing_runs();
    }
}

#[test]
fn a_taken_port_of_the_master_starts_no_server() {
    let setup = Setup::new(&Config::small());
    for port in [setup.master_port(), setup.web_port()] {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
        for arguments in [&["start"][..], &["start", "--daemon"]] {
            let failed = setup.run(arguments).expect(1).says(&port.to_string()).says("in use");
            assert!(failed.took < STOP_TIME_MAX, "{failed:#?}");
        }
        drop(taken);
        setup.nothing_runs();
    }
}

#[test]
fn a_broken_configuration_starts_nothing_and_all_problems_are_told() {
    let setup = Setup::new(&Config::small());
    let config = setup.config_dir();
    setup.edit("servers.json", |servers| {
        servers["development"]["chat"][0]["port"] = json!("no port");
        servers["development"]["gate"][0]["clientPort"] = json!(70_000);
    });
    for command in ["start", "check"] {
        let failed = setup.run(&[command]).expect(2);
        for text in ["servers.json:", "chat[0].port", "gate[0].clientPort"] {
            assert!(failed.stderr.contains(text), "{text} is missing: {failed:#?}");
        }
        let problems = setup.run(&[command, "--json"]).expect(2).json()["problems"].clone();
        assert_eq!(problems.as_array().unwrap().len(), 2, "{problems}");
        assert!(problems[0]["line"].as_u64().unwrap() > 1, "{problems}");
    }
    std::fs::write(config.join("servers.json"), "{ \"development\": { \"chat\": [ ").unwrap();
    setup.run(&["start"]).expect(2).says("servers.json:");
    setup.run(&["start", "--env", "nowhere"]).expect(2).says("nowhere");
    setup.run(&["start", "--no-such-option"]).expect(2).says("--no-such-option");
    assert!(setup.processes().is_empty());
    std::fs::remove_dir_all(&config).unwrap();
    setup.run(&["start"]).expect(2).says("--config");
}

#[test]
fn ctrl_c_and_sigterm_leave_no_process_and_no_socket() {
    for by in [Signal::INT, Signal::TERM] {
        let mut cluster = Cluster::start(&Config::tutorial());
        assert_eq!(cluster.processes().len(), 8);
        // A client that never says anything must not hold up the end.
        let idle = TcpStream::connect((Ipv4Addr::LOCALHOST, cluster.gate_port())).unwrap();
        let (code, took) = cluster.stop_with(by);
        assert_eq!(code, Some(0), "{by:?}: {}", cluster.logs());
        assert!(took < STOP_TIME_MAX, "{by:?}: {took:?}");
        drop(idle);
        cluster.nothing_runs();
    }
}

#[test]
fn a_server_that_hangs_is_ended_by_force_in_time() {
    let mut cluster = Cluster::start(&Config::small());
    signal(cluster.pid_of("chat-server-1"), Signal::STOP);
    let (code, took) = cluster.stop_with(Signal::TERM);
    assert_eq!(code, Some(0));
    assert!(took < STOP_TIME_MAX, "{took:?}");
    cluster.nothing_runs();
}

#[test]
fn ctrl_c_while_starting_leaves_nothing() {
    let setup = Setup::new(&Config::tutorial());
    let mut child = setup.command(&["start", "--json"]).stdout(std::process::Stdio::null()).spawn().unwrap();
    wait_for("the first server process", Duration::from_secs(60), || setup.processes().len() > 1);
    signal(child.id(), Signal::INT);
    // 0 if it was ready the moment before.
    assert!(matches!(child.wait().unwrap().code(), Some(0 | 1)));
    setup.nothing_runs();
}

#[test]
fn a_killed_server_is_noticed_and_the_others_go_on() {
    let cluster = Cluster::start(&Config::tutorial());
    cluster.kill9("chat-server-2");
    wait_for("the master's notice", Duration::from_secs(2), || {
        cluster.status("chat-server-2")["phase"] == "down"
    });
    let status = cluster.status("chat-server-2");
    assert!(status["error"].as_str().unwrap().contains("signal 9"), "{status}");
    assert_eq!(status["pid"], json!(null), "{status}");
    assert_eq!(cluster.status("chat-server-1")["phase"], "ready");
    assert_eq!(cluster.status("connector-server-1")["phase"], "ready");
    assert!(cluster.logs().contains("server process ended unasked"), "{}", cluster.logs());
    let health = get(cluster.admin_port("master-server-1"), "/health");
    assert!(health.starts_with("HTTP/1.1 503") && health.contains("chat-server-2"), "{health}");
    let metrics = get(cluster.admin_port("master-server-1"), "/metrics");
    assert!(metrics.contains(r#"shaddock_master_servers{phase="down",server_type="chat"} 1"#), "{metrics}");
    assert!(metrics.contains("shaddock_master_server_exits_total 1"), "{metrics}");
}

#[test]
fn servers_in_the_foreground_end_with_a_killed_master() {
    let mut cluster = Cluster::start(&Config::small());
    signal(cluster.master_pid(), Signal::KILL);
    cluster.wait();
    wait_for("the end of the servers", STOP_TIME_MAX, || cluster.processes().is_empty());
    cluster.nothing_runs();
    cluster.run(&["list"]).expect(3).says("no cluster runs");
}

#[test]
fn a_daemon_runs_until_it_is_stopped() {
    let setup = Setup::new(&Config::small());
    setup.run(&["list"]).expect(3).says("no cluster runs");
    let started =
        setup.run(&["start", "--daemon"]).expect(0).says("stop with  shaddock stop").says("gate-server-1");
    assert!(started.stdout.contains(&setup.gate_port().to_string()), "{started:#?}");
    assert!(serves(setup.gate_port()));
    assert_eq!(setup.status("chat-server-1")["phase"], "ready");
    let log = std::fs::read_to_string(setup.state_dir().join("log/chat-server-1.log")).unwrap();
    assert!(log.contains("server ready"), "{log}");
    let stopped = setup.run(&["stop", "--json"]).expect(0);
    assert!(stopped.took < STOP_TIME_MAX, "{stopped:#?}");
    assert_eq!(stopped.json()["stopped"].as_array().unwrap().len(), 3);
    setup.nothing_runs();
    setup.run(&["stop"]).expect(3).says("no cluster runs");
}

#[test]
fn a_daemon_that_cannot_start_says_why_and_leaves_nothing() {
    let setup = Setup::new(&Config::small());
    let port = setup.connector_port(1);
    let _taken = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
    setup
        .run(&["start", "--daemon"])
        .expect(1)
        .says("connector-server-1")
        .says(&port.to_string())
        .says("in use");
    assert!(setup.processes().is_empty());
}

#[test]
fn servers_of_a_daemon_outlive_their_master_and_can_be_stopped() {
    let setup = Setup::new(&Config::small());
    let started = setup.run(&["start", "--daemon", "--json"]).expect(0).json();
    signal(u32::try_from(started["master"]["pid"].as_u64().unwrap()).unwrap(), Signal::KILL);
    // A process that ends lets go of its files, and so of its claim on the cluster, after its command line is gone.
    wait_for("the end of the master", Duration::from_secs(2), || {
        setup.processes().len() == 3 && setup.run(&["list"]).code == Some(3)
    });
    assert!(serves(setup.gate_port()));
    setup.run(&["start"]).expect(1).says("without a master").says("shaddock stop");
    assert_eq!(setup.processes().len(), 3, "the start harmed what still serves");
    let stopped = setup.run(&["stop", "--json"]).expect(0).json();
    assert_eq!(stopped["stopped"], json!(["chat-server-1", "connector-server-1", "gate-server-1"]));
    setup.nothing_runs();
}

#[test]
fn a_stop_that_plugins_may_hold_for_long_is_waited_for() {
    let app = json!({ "chat": { "stopHoldMs": 7_000 } });
    let mut cluster = Cluster::start(&Config::small().file("app.json", app));
    // It does nothing at all, so that the time that it has passes.
    signal(cluster.pid_of("chat-server-1"), Signal::STOP);
    let stopped = cluster.run(&["stop", "--json"]).expect(0);
    assert!(stopped.took > Duration::from_secs(10), "the test does not test anything: {stopped:#?}");
    let ids = json!(["chat-server-1", "connector-server-1", "gate-server-1"]);
    assert_eq!(stopped.json()["stopped"], ids, "{stopped:#?}");
    assert_eq!(cluster.wait(), Some(0));
}

#[test]
fn plugins_may_hold_the_stop_of_servers_without_a_master() {
    let app = json!({ "chat": { "stopHoldMs": 10_000 } });
    let setup = Setup::new(&Config::small().file("app.json", app));
    let started = setup.run(&["start", "--daemon", "--json"]).expect(0).json();
    let slow = u32::try_from(setup.status("chat-server-1")["pid"].as_u64().unwrap()).unwrap();
    signal(u32::try_from(started["master"]["pid"].as_u64().unwrap()).unwrap(), Signal::KILL);
    wait_for("the end of the master", Duration::from_secs(2), || {
        setup.processes().len() == 3 && setup.run(&["list"]).code == Some(3)
    });
    signal(slow, Signal::STOP);
    let goes_on = std::thread::spawn(move || {
        // longer than a server has whose stop nobody holds
        std::thread::sleep(Duration::from_secs(6));
        signal(slow, Signal::CONT);
    });
    setup.run(&["stop"]).expect(0).says("chat-server-1");
    goes_on.join().unwrap();
    let log = std::fs::read_to_string(setup.state_dir().join("log/chat-server-1.log")).unwrap();
    assert!(log.contains("server stopped"), "it was not left in peace: {log}");
    setup.nothing_runs();
}

#[test]
fn single_servers_can_be_stopped() {
    let cluster = Cluster::start(&Config::chat(1, 1, 2));
    let stopped = cluster.run(&["stop", "chat-server-2", "nobody", "--json"]).expect(4).json();
    assert_eq!(stopped, json!({ "stopped": ["chat-server-2"], "unknown": ["nobody"], "master": false }));
    assert_eq!(cluster.status("chat-server-2")["phase"], "stopped");
    assert_eq!(cluster.status("chat-server-1")["phase"], "ready");
    cluster.run(&["stop", "nobody"]).expect(4).says("nobody");
    cluster.run(&["kick", "nobody"]).expect(4).says("no session");
    assert_eq!(
        cluster.run(&["kick", "nobody", "--json"]).expect(4).json(),
        json!({ "kicked": 0, "failed": [] })
    );
}

#[test]
fn a_server_by_hand_needs_an_id_and_a_started_cluster() {
    let setup = Setup::new(&Config::small());
    setup.run(&["server", "--id", "nobody"]).expect(2).says("it has: chat-server-1, connector-server-1");
    setup.run(&["server", "--id", "gate-server-1"]).expect(3).says("not started").says("--secret");
    let cluster = Cluster::of(setup);
    cluster.run(&["server", "--id", "gate-server-1"]).expect(5).says("running already");
    cluster.run(&["stop", "gate-server-1"]).expect(0);
    let mut child = cluster.command(&["server", "--id", "gate-server-1"]).spawn().unwrap();
    wait_for("the server by hand", Duration::from_secs(10), || {
        cluster.status("gate-server-1")["phase"] == "ready"
    });
    assert_eq!(cluster.status("gate-server-1")["pid"], child.id());
    signal(child.id(), Signal::TERM);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    wait_for("its end in the list", Duration::from_secs(2), || {
        cluster.status("gate-server-1")["phase"] == "stopped"
    });
}

#[test]
fn a_second_start_compiles_nothing() {
    let setup = Setup::with_empty_cache(&Config::small());
    setup.run(&["start", "--daemon"]).expect(0).says("compiled plugin chat");
    setup.run(&["stop"]).expect(0);
    let again = setup.run(&["start", "--daemon"]).expect(0);
    assert!(!again.stderr.contains("compil"), "{again:#?}");
    setup.run(&["stop"]).expect(0);
}

#[test]
fn check_finds_two_plugins_that_claim_one_route_and_start_refuses_them() {
    let entry = json!({
        "component": component("chat"),
        "serverTypes": ["gate", "connector", "chat"],
        "grants": ["sessions", "channels", "rpc"],
    });
    let setup = Setup::new(&Config::small().plugin("copy", entry));
    for command in ["check", "start"] {
        let failed = setup.run(&[command]);
        assert_ne!(failed.code, Some(0), "{failed:#?}");
        failed.says("claimed by two plugins").says("chat").says("copy");
    }
    setup.nothing_runs();
}

#[test]
fn check_names_a_missing_grant_and_what_is_no_component() {
    let ungranted = json!({ "component": component("chat"), "serverTypes": ["gate", "connector", "chat"] });
    let setup = Setup::new(&Config::small().plugin("chat", ungranted));
    let junk = setup.config_dir().join("junk.wasm");
    std::fs::write(&junk, "no component").unwrap();
    setup.run(&["check"]).expect(2).says("grant");
    setup.edit("plugins.json", |plugins| {
        plugins["junk"] = json!({ "component": junk, "serverTypes": ["chat"] });
    });
    for command in ["check", "start"] {
        let failed = setup.run(&[command]);
        assert_ne!(failed.code, Some(0), "{failed:#?}");
        failed.says("junk");
    }
    setup.nothing_runs();
}

#[test]
fn a_sound_configuration_passes_the_check() {
    let setup = Setup::new(&Config::tutorial());
    let checked = setup.run(&["check", "--json"]).expect(0).json();
    assert_eq!(checked["ok"], true, "{checked}");
    let routes = checked["plugins"][0]["routes"].as_array().unwrap();
    assert!(routes.contains(&json!("connector.entryHandler.enter")), "{checked}");
    setup.run(&["check"]).expect(0).says("7 servers of 3 types");
}

#[test]
fn state_and_secret_are_for_the_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let cluster = Cluster::start(&Config::small());
    for (path, mode) in [(cluster.state_dir(), 0o700), (cluster.state_dir().join("secret"), 0o600)] {
        let found = std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(found, mode, "{}", path.display());
    }
}

#[test]
fn json_logs_are_one_object_per_line_with_the_servers_id() {
    let setup = Setup::new(&Config::small());
    let command = setup.command(&["start", "--json", "--log-format", "json"]);
    let mut cluster = Cluster::run(setup, command);
    cluster.stop_with(Signal::TERM);
    let mut servers = std::collections::BTreeSet::new();
    for line in cluster.logs().lines() {
        let line: serde_json::Value =
            serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}"));
        servers.insert(line["server"].as_str().unwrap().to_owned());
    }
    let expected = ["chat-server-1", "connector-server-1", "gate-server-1", "master"];
    assert_eq!(servers.into_iter().collect::<Vec<_>>(), expected);
}

/// A plain HTTP request, answered to its end.
fn get(port: u16, path: &str) -> String {
    use std::io::{Read, Write};
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    response
}
