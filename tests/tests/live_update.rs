//! Plugins that are replaced in a running cluster: what clients notice of it, which is nothing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::{Value, json};
use shaddock_tests::client::Client;
use shaddock_tests::roles::game_loop;
use shaddock_tests::update::{
    deploy, digest, listed, plugin, runs_everywhere, stateful, variant, versioned_cluster,
    wait_until_everywhere,
};
use shaddock_tests::{
    Cluster, Config, Setup, Signal, component, http_get, metric, signal, versioned, wait_for,
};

/// Longest wait for what takes a few seconds.
const PATIENCE: Duration = Duration::from_secs(30);

/// The number in an answer of the guest `versioned`.
fn number(answer: &Value) -> u64 {
    let version = answer["version"].as_str().unwrap_or_else(|| panic!("{answer}"));
    version.strip_prefix("VERSION-").unwrap().parse().unwrap()
}

/// A client that asks without a pause until told to stop.
struct Player {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    thread: JoinHandle<Vec<Value>>,
}

impl Player {
    /// Each round asks every route; all answers come back in the end.
    fn start(port: u16, routes: &'static [&'static str]) -> Player {
        let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (told, count) = (Arc::clone(&stop), Arc::clone(&answered));
        let thread = std::thread::spawn(move || {
            let mut client = Client::connect(port);
            let mut answers = Vec::new();
            while !told.load(Ordering::Relaxed) {
                // All of a round are under way at once.
                let ids: Vec<u32> = routes.iter().map(|route| client.ask(route, &json!({}))).collect();
                answers.extend(ids.into_iter().map(|id| client.answer(id)));
                count.fetch_add(1, Ordering::Relaxed);
            }
            client.close();
            answers
        });
        Player { stop, answered, thread }
    }

    fn goes_on(&self) {
        let goal = self.answered.load(Ordering::Relaxed) + 20;
        wait_for("answers", PATIENCE, || self.answered.load(Ordering::Relaxed) >= goal);
    }

    fn answers(self) -> Vec<Value> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

#[test]
fn ten_versions_in_a_row_under_load_lose_nothing_and_mix_nothing_and_a_counter_goes_on() {
    const STATELESS: [&str; 2] = ["connector.versioned.version", "chat.versioned.version"];
    let config = versioned_cluster(3, 3).plugin("counter", stateful(&["gate"]));
    let cluster = Cluster::start(&config);
    let players: Vec<Player> =
        (0..6).map(|n| Player::start(cluster.connector_port(n % 3 + 1), &STATELESS)).collect();
    let counting = Player::start(cluster.gate_port(), &["gate.versioned.count"]);
    for version in 2..=11 {
        let file = versioned(version, &[]);
        deploy(&cluster, "versioned", &file).expect(0);
        deploy(&cluster, "counter", &file).expect(0);
        players.iter().chain([&counting]).for_each(Player::goes_on);
        assert!(runs_everywhere(&cluster, "versioned", &file), "{}", listed(&cluster, "versioned"));
    }
    for player in players {
        let answers = player.answers();
        assert!(answers.len() > 400);
        for (place, route) in STATELESS.iter().enumerate() {
            let numbers: Vec<u64> = answers.iter().skip(place).step_by(2).map(number).collect();
            assert!(numbers.is_sorted(), "{route} fell back: {numbers:?}");
            assert_eq!((numbers[0], numbers[numbers.len() - 1]), (1, 11), "{route}");
        }
    }
    let counts = counting.answers();
    for (place, answer) in counts.iter().enumerate() {
        assert_eq!(answer["count"], place + 1, "{answer} after {place} answers");
    }
    assert!(counts.iter().map(number).is_sorted());
    assert_eq!(number(&counts[counts.len() - 1]), 11);
    assert!(!cluster.logs().contains("ERROR"));
}

#[test]
fn a_version_that_traps_on_one_route_is_left_by_itself_everywhere() {
    let cluster = Cluster::start(&versioned_cluster(2, 2));
    let mut client = Client::connect(cluster.connector_port(1));
    let (first, broken) = (versioned(1, &[]), versioned(2, &["RISKY-TRAP"]));
    for _ in 0..50 {
        assert_eq!(number(&client.request("chat.versioned.version", &json!({}))), 1);
    }
    deploy(&cluster, "versioned", &broken).expect(0);
    assert_eq!(number(&client.request("chat.versioned.version", &json!({}))), 2);
    let mut traps = 0;
    wait_for("the version before", PATIENCE, || {
        let answer = client.request("chat.versioned.risky", &json!({}));
        traps += u64::from(answer["code"] == 500);
        answer["version"] == "VERSION-0001"
    });
    assert!(traps > 0);
    wait_until_everywhere(&cluster, "versioned", &first);
    let entry = listed(&cluster, "versioned");
    assert_eq!(
        (&entry["state"]["is"], &entry["state"]["from"]),
        (&json!("rolled_back"), &json!(digest(&broken)))
    );
    assert!(entry["state"]["reason"].as_str().unwrap().contains("traps"), "{entry}");
    let history = plugin(&cluster, &["history", "versioned", "--json"]).expect(0).json();
    let last = history["history"].as_array().unwrap().last().unwrap().clone();
    assert_eq!((&last["action"], &last["done"]), (&json!("automatic_rollback"), &json!(true)), "{last}");
    let metrics = http_get(cluster.admin_port("master-server-1"), "/metrics");
    assert!(
        metrics.contains("shaddock_master_rollbacks_total{plugin=\"versioned\",reason=\"traps\"} 1"),
        "{metrics}"
    );
    assert!(cluster.logs().contains("over its budget"));
    assert_eq!(number(&client.request("connector.versioned.version", &json!({}))), 1);
}

/// A client whose user is `name`, at that connector.
fn user(cluster: &Cluster, connector: usize, name: &str) -> Client {
    let mut client = Client::connect(cluster.connector_port(connector));
    let answer = client.request("connector.entryHandler.enter", &json!({ "username": name, "rid": "r" }));
    assert!(answer["users"].is_array(), "{answer}");
    client
}

#[test]
fn a_canary_serves_the_same_users_everywhere_until_it_is_promoted_or_aborted() {
    let cluster = Cluster::start(&versioned_cluster(2, 2));
    let (first, second) = (versioned(1, &[]), versioned(2, &[]));
    let begin = ["deploy", "versioned", second.to_str().unwrap(), "--canary", "50%", "--settle", "0"];
    plugin(&cluster, &begin).expect(0);
    let call = json!({ "type": "chat", "method": "version", "key": "whatever" });
    let served_by = |connector: usize, name: &str| {
        let mut client = user(&cluster, connector, name);
        let here = client.request("connector.versioned.version", &json!({}));
        let there = client.request("chat.versioned.version", &json!({}));
        let called = client.request("connector.versioned.call", &call);
        let numbers = [number(&here), number(&there), number(&called), number(&called["remote"])];
        assert!(numbers.iter().all(|number| *number == numbers[0]), "{name}: {numbers:?}");
        client.close();
        wait_for("the user's end", PATIENCE, || {
            metric(cluster.admin_port(&format!("connector-server-{connector}")), "shaddock_sessions")
                == Some(0.0)
        });
        numbers[0]
    };
    let of_canary = (0..24).filter(|n| {
        let name = format!("player{n}");
        let at_first = served_by(1, &name);
        assert_eq!(served_by(2, &name), at_first, "{name} at another connector");
        at_first == 2
    });
    let count = of_canary.count();
    assert!((4..=20).contains(&count), "{count} of 24 users have the canary");
    let entry = listed(&cluster, "versioned");
    assert_eq!(
        (&entry["state"]["is"], &entry["state"]["share_bp"]),
        (&json!("canary"), &json!(5000)),
        "{entry}"
    );
    for version in ["stable", "canary"] {
        assert!(entry[version]["figures"]["calls"].as_u64().unwrap() > 0, "{version}: {entry}");
    }

    let third = versioned(3, &[]);
    let busy = deploy(&cluster, "versioned", &third).expect(1);
    busy.says("is under way");
    plugin(&cluster, &["abort", "versioned"]).expect(0);
    assert!((0..24).all(|n| served_by(1, &format!("player{n}")) == 1));
    assert!(runs_everywhere(&cluster, "versioned", &first));

    plugin(&cluster, &begin).expect(0);
    plugin(&cluster, &["promote", "versioned"]).expect(0);
    assert!((0..8).all(|n| served_by(2, &format!("player{n}")) == 2));
    assert!(runs_everywhere(&cluster, "versioned", &second));

    let single = Cluster::start(&Config::small().plugin("counter", stateful(&["chat"])));
    let refused =
        plugin(&single, &["deploy", "counter", second.to_str().unwrap(), "--canary", "5%"]).expect(2);
    refused.says("single");
}

#[test]
fn a_client_keeps_its_route_codes_when_a_new_version_renumbers_them() {
    let cluster = Cluster::start(&versioned_cluster(1, 1));
    let mut old = user(&cluster, 1, "old");
    assert_eq!(number(&old.request("chat.versioned.version", &json!({}))), 1);
    // its routes sort before those of the version before
    deploy(&cluster, "versioned", &versioned(2, &["ROUTES-MORE"])).expect(0);
    let mut new = user(&cluster, 1, "new");
    assert_eq!(number(&new.request("chat.afirst.version", &json!({}))), 2);
    for client in [&mut old, &mut new] {
        assert_eq!(number(&client.request("chat.versioned.version", &json!({}))), 2);
        assert_eq!(number(&client.request("connector.versioned.zlast", &json!({}))), 2);
    }
    assert_eq!(
        number(&old.request("chat.afirst.version", &json!({}))),
        2,
        "a route without a code travels as text"
    );
    // A push of a route that has a code in both, another one in each.
    assert_eq!(old.push().0, "onAdd");
    let sent = old.request("chat.chatHandler.send", &json!({ "content": "hi", "target": "*" }));
    assert_eq!(sent["code"], Value::Null, "{sent}");
    for client in [&mut old, &mut new] {
        let (route, body) = client.push();
        assert_eq!((route.as_str(), &body["msg"]), ("onChat", &json!("hi")));
    }
    // and a version that takes one away
    deploy(&cluster, "versioned", &versioned(3, &["ROUTES-LESS"])).expect(1).says("--force");
    assert_eq!(number(&old.request("chat.versioned.zlast", &json!({}))), 2);
    let file = versioned(3, &["ROUTES-LESS"]);
    let forced = ["deploy", "versioned", file.to_str().unwrap(), "--settle", "0", "--force"];
    plugin(&cluster, &forced).expect(0);
    assert_eq!(old.request("chat.versioned.zlast", &json!({}))["code"], 500);
    assert_eq!(number(&new.request("chat.versioned.version", &json!({}))), 3);
}

#[test]
fn what_is_no_good_never_takes_over() {
    let config = versioned_cluster(1, 2).plugin("counter", stateful(&["gate"]));
    let cluster = Cluster::start(&config);
    let mut client = Client::connect(cluster.connector_port(1));
    let mut counting = Client::connect(cluster.gate_port());
    let mut count = 0;
    let mut goes_on = |what: &str| {
        count += 1;
        assert_eq!(number(&client.request("chat.versioned.version", &json!({}))), 1, "{what}");
        let counted = counting.request("gate.versioned.count", &json!({}));
        assert_eq!((number(&counted), &counted["count"]), (1, &json!(count)), "{what}");
    };
    goes_on("at first");
    let dir = tempfile::tempdir().unwrap();
    let whole = std::fs::read(versioned(2, &[])).unwrap();
    let truncated = dir.path().join("truncated.wasm");
    std::fs::write(&truncated, &whole[..whole.len() / 2]).unwrap();
    let module = dir.path().join("module.wasm");
    std::fs::write(&module, b"\0asm\x01\0\0\0").unwrap();
    for (name, file, said) in [
        ("versioned", truncated, "failed to parse"),
        ("versioned", module, "component"),
        ("versioned", other_wit(dir.path()), "shaddock:plugin"),
        // imports sessions and channels, which plugins.json does not grant
        ("versioned", component("probe"), "grants"),
        ("versioned", versioned(2, &["INIT-FAIL"]), "this version does not begin"),
        ("versioned", versioned(2, &["SELFTEST-TRAP"]), "self-test"),
        ("versioned", versioned(2, &["SELFTEST-HANG"]), "self-test"),
        ("versioned", versioned(2, &["SELFTEST-FAIL"]), "a failure was asked for"),
        ("counter", versioned(2, &["LOAD-FAIL"]), "a failure was asked for"),
        ("counter", versioned(2, &["LOAD-TRAP"]), "trap"),
        ("counter", versioned(2, &["LOAD-HANG"]), "took longer"),
    ] {
        let refused = deploy(&cluster, name, &file).expect(1);
        let text = refused.stderr.to_lowercase();
        assert!(text.contains(&said.to_lowercase()), "{}: {text}", file.display());
        goes_on(&file.display().to_string());
        let entry = listed(&cluster, name);
        assert_eq!(entry["stable"]["digest"], digest(&versioned(1, &[])), "{entry}");
        assert_eq!(entry["differing"], json!([]), "{entry}");
    }
    assert!(runs_everywhere(&cluster, "versioned", &versioned(1, &[])));
    assert!(runs_everywhere(&cluster, "counter", &versioned(1, &[])));
}

#[test]
fn timers_channels_sessions_and_game_loops_go_on() {
    let cluster = Cluster::of(game_loop(20));
    let dir = tempfile::tempdir().unwrap();
    let mut client = Client::connect(cluster.connector_port(1));
    client.request("connector.roles.bind", &json!("ann"));
    client.request("connector.roles.watch", &json!({}));
    let timer = json!({ "name": "note", "every_ms": 50, "payload": "again" });
    let timer = client.request("connector.roles.timer", &timer);
    let note = ("onNote".to_owned(), json!({ "what": { "timer": "again" } }));
    assert_eq!(client.push(), note);
    let ticked = |client: &mut Client| {
        let ticks = client.request("world.loop.ticks", &json!({}));
        ticks.as_array().unwrap().last().map_or(0, |tick| tick[0].as_u64().unwrap())
    };
    wait_for("ticks", PATIENCE, || ticked(&mut client) > 5);
    let before = ticked(&mut client);
    let (roles, game) = (component("roles"), component("game_loop"));
    deploy(&cluster, "roles", &variant(&roles, dir.path())).expect(0);
    deploy(&cluster, "loop", &variant(&game, dir.path())).expect(0);
    // what had been pushed by then, and more that comes from the new version
    for _ in 0..20 {
        assert_eq!(client.push(), note);
    }
    assert_eq!(client.request("connector.roles.cancel", &timer[0]), json!(true), "set in the version before");
    // The count goes on, though the guest has forgotten the ticks before, and may not have had its first one yet.
    wait_for("the next tick", PATIENCE, || ticked(&mut client) != 0);
    assert!(ticked(&mut client) > before);
    assert_eq!(metric(cluster.admin_port("connector-server-1"), "shaddock_sessions"), Some(1.0));
}

/// A component that is whole, but of no interface that the host knows.
fn other_wit(dir: &Path) -> PathBuf {
    let mut bytes = std::fs::read(versioned(2, &[])).unwrap();
    let (from, to) = (b"shaddock:plugin/", b"shaddocx:plugin/");
    let mut place = 0;
    while let Some(found) = bytes[place..].windows(from.len()).position(|window| window == from) {
        bytes[place + found..place + found + to.len()].copy_from_slice(to);
        place += found + to.len();
    }
    let file = dir.join("other.wasm");
    std::fs::write(&file, bytes).unwrap();
    file
}

#[test]
fn a_version_that_gives_no_state_stays_until_it_is_left_with_the_last_state_it_got() {
    let cluster = Cluster::start(&Config::small().plugin("counter", stateful(&["gate"])));
    let mut client = Client::connect(cluster.gate_port());
    let mut count = || client.request("gate.versioned.count", &json!({}));
    assert_eq!(count()["count"], 1);
    for (version, marks, said) in [
        (2, "SAVE-HANG", "took longer"),
        (3, "SAVE-HUGE", "bytes"),
        (4, "SAVE-TRAP", "trap"),
        (5, "SAVE-FAIL", "a failure was asked for"),
    ] {
        let before = count()["count"].as_u64().unwrap();
        let bad = versioned(version, &[marks]);
        deploy(&cluster, "counter", &bad).expect(0);
        // It cannot be left for another one, and goes on as if nothing had happened.
        let refused = deploy(&cluster, "counter", &versioned(9, &[])).expect(1);
        assert!(refused.stderr.to_lowercase().contains(said), "{marks}: {}", refused.stderr);
        let answer = count();
        assert_eq!((number(&answer), &answer["count"]), (u64::from(version), &json!(before + 1)), "{marks}");
        // A rollback does not ask it: the version before goes on with what it gave out itself.
        plugin(&cluster, &["rollback", "counter"]).expect(0);
        let answer = count();
        assert_eq!((number(&answer), &answer["count"]), (1, &json!(before + 1)), "{marks}");
    }
}

#[test]
fn a_server_that_was_down_and_one_that_joins_come_up_with_the_deployed_version() {
    let mut setup = Setup::new(&versioned_cluster(2, 2));
    let port = setup.another_port().to_string();
    setup.run(&["start", "--daemon"]).expect(0);
    let pid = setup.status("chat-server-2")["pid"].as_u64().unwrap();
    signal(u32::try_from(pid).unwrap(), Signal::KILL);
    wait_for("the end is noticed", PATIENCE, || setup.status("chat-server-2")["phase"] == "down");
    let file = versioned(2, &[]);
    let words = ["deploy", "versioned", file.to_str().unwrap(), "--settle", "0", "--json"];
    assert_eq!(plugin(&setup, &words).expect(0).json()["skipped"], json!(["chat-server-2"]));
    setup.run(&["add", "--id", "chat-server-2"]).expect(0);
    let new = ["add", "--type", "chat", "--id", "chat-server-3", "--host", "127.0.0.1", "--port", &port];
    setup.run(&new).expect(0);
    assert!(runs_everywhere(&setup, "versioned", &file), "{}", listed(&setup, "versioned"));
    assert_eq!(listed(&setup, "versioned")["stable"]["servers"].as_array().unwrap().len(), 6);

    // So does the whole cluster, unless the file of the configuration has changed since.
    setup.run(&["stop"]).expect(0);
    setup.run(&["start", "--daemon"]).expect(0);
    assert!(runs_everywhere(&setup, "versioned", &file), "{}", listed(&setup, "versioned"));
    setup.run(&["stop"]).expect(0);
    let changed = versioned(3, &[]);
    setup.edit("plugins.json", |plugins| plugins["versioned"]["component"] = json!(changed));
    setup.run(&["start", "--daemon"]).expect(0);
    assert!(runs_everywhere(&setup, "versioned", &changed), "{}", listed(&setup, "versioned"));
    assert_eq!(last_of_history(&setup)["action"], "config_changed");
    setup.run(&["stop"]).expect(0);
}

fn last_of_history(setup: &Setup) -> Value {
    let history = plugin(setup, &["history", "versioned", "--json"]).expect(0).json();
    history["history"].as_array().unwrap().last().unwrap().clone()
}

#[test]
fn which_version_served_whom_is_told() {
    let app = json!({ "all": { "update": { "versionInAnswers": true } }, "connector": { "connector": { "heartbeat": 3 } } });
    let cluster = Cluster::start(&versioned_cluster(1, 1).file("app.json", app));
    let mut client = user(&cluster, 1, "alice");
    let (first, second) = (digest(&versioned(1, &[])), digest(&versioned(2, &[])));
    let named = |digest: &str| json!(format!("versioned@{}", &digest[..12]));
    assert_eq!(client.request("chat.versioned.version", &json!({}))["__version__"], named(&first));
    deploy(&cluster, "versioned", &versioned(2, &[])).expect(0);
    assert_eq!(client.request("connector.versioned.version", &json!({}))["__version__"], named(&second));
    assert_eq!(client.request("chat.versioned.trap", &json!({}))["__version__"], named(&second));
    let trace = plugin(&cluster, &["trace", "alice*r", "--json"]).expect(0).json();
    let calls: Vec<Value> = trace["calls"]
        .as_array()
        .unwrap()
        .iter()
        .map(|call| json!([call["route"], call["plugin"], call["digest"], call["outcome"], call["server"]]))
        .collect();
    let at = "connector-server-1";
    let expected = [
        json!(["connector.entryHandler.enter", "chat", digest(&component("chat")), "ok", at]),
        json!(["chat.versioned.version", "versioned", first, "ok", at]),
        json!(["connector.versioned.version", "versioned", second, "ok", at]),
        json!(["chat.versioned.trap", "versioned", second, "500", at]),
    ];
    assert_eq!(calls, expected);
    client.close();
    wait_for("the session's end", PATIENCE, || {
        metric(cluster.admin_port(at), "shaddock_sessions") == Some(0.0)
    });
    let after = plugin(&cluster, &["trace", "alice*r", "--json"]).expect(0).json();
    assert_eq!(after["calls"].as_array().unwrap().len(), 4, "remembered for a while");
    plugin(&cluster, &["trace", "nobody"]).expect(4);
    let metrics = http_get(cluster.admin_port("chat-server-1"), "/metrics");
    let line =
        format!("{{digest=\"{second}\",kind=\"trap\",plugin=\"versioned\",version=\"{}\"}} 1", &second[..12]);
    assert!(metrics.contains(&format!("shaddock_plugin_errors_total{line}")), "{metrics}");
    assert!(!metrics.contains(&first), "a version that is gone has no figures any more");
    let trapped = cluster.logs().lines().find(|line| line.contains("kind=\"trap\"")).unwrap().to_owned();
    assert!(trapped.contains(&second), "{trapped}");
}

#[test]
fn a_master_killed_in_the_middle_of_a_deployment_leaves_one_version() {
    let setup = Setup::new(&versioned_cluster(1, 2));
    setup.run(&["start", "--daemon"]).expect(0);
    let (first, second) = (versioned(1, &[]), versioned(2, &[]));
    let list = setup.list();
    let admin_port = |id: &str| {
        let servers = list["servers"].as_array().unwrap();
        let entry = servers.iter().find(|server| server["id"] == id).unwrap();
        u16::try_from(entry["ports"]["admin"].as_u64().unwrap()).unwrap()
    };
    let runs = |id: &str, file: &Path| http_get(admin_port(id), "/metrics").contains(&digest(file));
    let mut client = Client::connect(setup.connector_port(1));
    let words = ["plugin", "deploy", "versioned", second.to_str().unwrap(), "--settle", "60"];
    let mut deploying = setup.command(&words).stderr(Stdio::null()).spawn().unwrap();
    wait_for("the first server's switch", PATIENCE, || runs("chat-server-1", &second));
    assert!(runs("chat-server-2", &first) && runs("connector-server-1", &first));
    signal(u32::try_from(list["master"]["pid"].as_u64().unwrap()).unwrap(), Signal::KILL);
    assert!(!deploying.wait().unwrap().success(), "the tool is told");
    // The servers go on without a master, and the one that had switched goes back by itself.
    wait_for("all on the version before", PATIENCE, || {
        assert!(client.request("chat.versioned.version", &json!({}))["version"].is_string());
        ["chat-server-1", "chat-server-2", "connector-server-1"].iter().all(|id| runs(id, &first))
    });
    assert_eq!(number(&client.request("chat.versioned.version", &json!({}))), 1);
    setup.run(&["stop"]).expect(0);
    setup.run(&["start", "--daemon"]).expect(0);
    assert!(runs_everywhere(&setup, "versioned", &first), "{}", listed(&setup, "versioned"));
    let last = last_of_history(&setup);
    assert_eq!((&last["digest"], &last["done"]), (&json!(digest(&second)), &json!(false)), "{last}");
    deploy(&setup, "versioned", &second).expect(0);
    assert!(runs_everywhere(&setup, "versioned", &second));
    setup.run(&["stop"]).expect(0);
}

#[test]
fn the_watcher_brings_in_what_is_saved_and_keeps_what_runs_when_that_is_broken() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("versioned.wasm");
    std::fs::copy(versioned(1, &[]), &file).unwrap();
    let mut entry = shaddock_tests::update::entry(&["connector", "chat"]);
    entry["component"] = json!(file);
    let setup = Setup::new(&Config::small().plugin("versioned", entry));
    let command = setup.command(&["start", "--watch", "--json"]);
    let cluster = Cluster::run(setup, command);
    let mut client = Client::connect(cluster.connector_port(1));
    assert_eq!(number(&client.request("chat.versioned.version", &json!({}))), 1);
    std::fs::copy(versioned(2, &[]), &file).unwrap();
    wait_for("the second version", PATIENCE, || {
        number(&client.request("chat.versioned.version", &json!({}))) == 2
    });
    let whole = std::fs::read(versioned(3, &[])).unwrap();
    std::fs::write(&file, &whole[..1000]).unwrap();
    wait_for("the error", PATIENCE, || !listed(&cluster, "versioned")["watch_error"].is_null());
    assert_eq!(number(&client.request("chat.versioned.version", &json!({}))), 2);
    assert!(cluster.logs().contains("versioned"), "the terminal shows it too");
    std::fs::write(&file, &whole).unwrap();
    wait_for("the third version", PATIENCE, || {
        number(&client.request("chat.versioned.version", &json!({}))) == 3
    });
    wait_for("the error is gone", PATIENCE, || listed(&cluster, "versioned")["watch_error"].is_null());
}

#[test]
fn a_server_with_a_cache_of_its_own_has_the_component_from_the_master() {
    let cluster = Cluster::start(&versioned_cluster(1, 2));
    let (cache, second) = (tempfile::tempdir().unwrap(), versioned(2, &[]));
    let cache = cache.path().to_str().unwrap();
    cluster.run(&["check", "--cache-dir", cache]).expect(0);
    deploy(&cluster, "versioned", &second).expect(0);
    cluster.run(&["stop", "chat-server-2"]).expect(0);
    // As on another machine, which has compiled what the configuration names.
    let mut server =
        cluster.command(&["server", "--id", "chat-server-2", "--cache-dir", cache]).spawn().unwrap();
    let is_ready = || cluster.status("chat-server-2")["phase"] == "ready";
    wait_for("the server with the deployed version", PATIENCE, || {
        assert!(server.try_wait().unwrap().is_none(), "it has ended: {}", cluster.logs());
        is_ready() && runs_everywhere(&cluster, "versioned", &second)
    });
    cluster.run(&["stop", "chat-server-2"]).expect(0);
    assert!(server.wait().unwrap().success());
}
