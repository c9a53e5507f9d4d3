//! What happens to servers and sessions reaches the plugins that listen; timers and game loops keep their time.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use shaddock_tests::client::{Client, Heard};
use shaddock_tests::roles::{game_loop, roles};
use shaddock_tests::{Cluster, Signal, metric, wait_for};

/// How often a line of a server's log names an event.
fn events(cluster: &Cluster, server: &str, event: &str) -> usize {
    let event = format!("event {event}");
    let is_it = |line: &&str| line.contains(server) && line.contains(&event);
    cluster.logs().lines().filter(is_it).count()
}

fn comes(cluster: &Cluster, server: &str, event: &str) {
    wait_for(event, Duration::from_secs(10), || events(cluster, server, event) > 0);
}

#[test]
fn servers_are_told_of_their_own_start_of_all_and_of_others() {
    let cluster = Cluster::of(roles(1, 2, json!({})));
    for server in ["connector-server-1", "backend-1", "backend-2"] {
        comes(&cluster, server, "after start");
        comes(&cluster, server, "all started");
        comes(&cluster, server, "added backend-1");
        assert_eq!(events(&cluster, server, "all started"), 1, "{server}");
        assert_eq!(events(&cluster, server, "added chat-server-1"), 1, "{server}");
    }
    cluster.kill9("backend-2");
    comes(&cluster, "backend-1", "removed backend-2");
    comes(&cluster, "connector-server-1", "removed backend-2");
    assert_eq!(events(&cluster, "backend-1", "removed backend-1"), 0);
}

#[test]
fn sessions_are_told_when_users_come_go_and_close() {
    let cluster = Cluster::of(roles(1, 1, json!({})));
    let mut client = Client::connect(cluster.connector_port(1));
    client.request("connector.roles.bind", &json!("ann"));
    comes(&cluster, "connector-server-1", "bound ann");
    client.request("connector.roles.bind", &json!("ann"));
    client.request("connector.roles.unbind", &json!({}));
    comes(&cluster, "connector-server-1", "unbound ann");
    client.request("connector.roles.bind", &json!("bob"));
    comes(&cluster, "connector-server-1", "bound bob");
    client.close();
    comes(&cluster, "connector-server-1", "closed bob client closed");
    assert_eq!(events(&cluster, "connector-server-1", "bound ann"), 1, "the second bind changed nothing");
}

#[test]
fn a_plugin_may_do_its_last_work_while_its_clients_are_still_there() {
    let app = json!({ "connector": { "stopHoldMs": 2000 } });
    let mut cluster = Cluster::of(roles(1, 1, app));
    let mut client = Client::connect(cluster.connector_port(1));
    client.request("connector.roles.bind", &json!("ann"));
    client.request("connector.roles.watch", &json!({}));
    let (code, _) = cluster.stop_with(Signal::INT);
    assert_eq!(code, Some(0));
    assert_eq!(client.push(), ("onNote".to_owned(), json!({ "what": "before stop" })));
    assert!(matches!(client.hear(), Heard::Closed));
}

/// A client that watches what timers and crons note.
fn watcher(cluster: &Cluster) -> Client {
    let mut client = Client::connect(cluster.connector_port(1));
    client.request("connector.roles.bind", &json!("ann"));
    client.request("connector.roles.watch", &json!({}));
    client
}

#[test]
fn timers_fire_once_or_again_and_again_until_cancelled() {
    let cluster = Cluster::of(roles(1, 1, json!({})));
    let mut client = watcher(&cluster);
    let set = |after: Option<u64>, every: Option<u64>, payload: &str| json!({ "name": "note", "after_ms": after, "every_ms": every, "payload": payload });
    let note = |what: &str| ("onNote".to_owned(), json!({ "what": { "timer": what } }));
    client.request("connector.roles.timer", &set(Some(300), None, "late"));
    client.request("connector.roles.timer", &set(Some(1), None, "soon"));
    assert_eq!(client.push(), note("soon"));
    assert_eq!(client.push(), note("late"));
    let timer = client.request("connector.roles.timer", &set(None, Some(20), "again"));
    for _ in 0..3 {
        assert_eq!(client.push(), note("again"));
    }
    assert_eq!(client.request("connector.roles.cancel", &timer[0]), json!(true));
    assert_eq!(client.request("connector.roles.cancel", &timer[0]), json!(false));
    // what cannot be is an error at once
    let too_often = client.request("connector.roles.timer", &set(None, Some(1), "x"));
    assert_eq!(too_often, json!({ "code": 400 }));
    let too_late = client.request("connector.roles.timer", &set(Some(u64::MAX), None, "x"));
    assert_eq!(too_late, json!({ "code": 400 }));
}

#[test]
fn a_repeating_timer_that_is_slow_is_skipped_and_counted() {
    let cluster = Cluster::of(roles(1, 1, json!({})));
    let mut client = watcher(&cluster);
    let timer = json!({ "name": "slow", "every_ms": 20, "payload": 200 });
    client.request("connector.roles.timer", &timer);
    for _ in 0..2 {
        assert_eq!(client.push().1["what"], "slow timer");
    }
    let port = cluster.admin_port("connector-server-1");
    let skipped = metric(port, "shaddock_timers_skipped_total").unwrap();
    let fired = metric(port, "shaddock_timers_fired_total").unwrap();
    assert!(skipped > fired, "{skipped} skipped, {fired} fired");
    assert_eq!(metric(port, "shaddock_timers"), Some(1.0));
}

#[test]
fn timers_that_find_no_free_instance_are_put_off_and_not_lost() {
    let setup = roles(1, 1, json!({}));
    setup.edit("plugins.json", |plugins| {
        plugins["roles"]["pool"] = json!({ "policy": "single", "queuedCallsMax": 10 });
    });
    let cluster = Cluster::of(setup);
    let mut client = watcher(&cluster);
    let begun = Instant::now();
    let timers = json!({ "name": "slow", "after_ms": 200, "payload": 3, "count": 60 });
    assert_eq!(client.request("connector.roles.timer", &timers).as_array().unwrap().len(), 60);
    for _ in 0..60 {
        assert_eq!(client.push().1["what"], "slow timer");
    }
    let lines_max = 20 * (2 + begun.elapsed().as_secs() as usize);
    let port = cluster.admin_port("connector-server-1");
    let count = |what: &str| metric(port, &format!("shaddock_timers_{what}_total"));
    wait_for("each has fired once", Duration::from_secs(5), || count("fired") == Some(60.0));
    assert!(count("put_off") >= Some(49.0), "{:?}", count("put_off"));
    assert_eq!(metric(port, "shaddock_timers"), Some(0.0));
    let lines = cluster.logs().matches("no instance is free for a timer").count();
    assert!((1..=lines_max).contains(&lines), "{lines} lines, {lines_max} may be");
}

#[test]
fn a_timer_that_nothing_answers_to_is_logged() {
    let cluster = Cluster::of(roles(1, 1, json!({})));
    let mut client = Client::connect(cluster.connector_port(1));
    let timer = json!({ "name": "nobody", "after_ms": 1, "payload": 1 });
    client.request("connector.roles.timer", &timer);
    wait_for("it is logged", Duration::from_secs(5), || {
        cluster.logs().lines().any(|line| line.contains("a timer's call failed") && line.contains("nobody"))
    });
}

#[test]
fn a_game_loop_keeps_its_rate_and_counts_what_it_misses() {
    let cluster = Cluster::of(game_loop(20));
    let mut client = Client::connect(cluster.connector_port(1));
    let mut ticks = || client.request("world.loop.ticks", &json!({}));
    wait_for("ten ticks", Duration::from_secs(10), || ticks().as_array().unwrap().len() >= 10);
    let seen = ticks();
    let numbers: Vec<u64> = seen.as_array().unwrap().iter().map(|tick| tick[0].as_u64().unwrap()).collect();
    let missed: u64 = seen.as_array().unwrap().iter().map(|tick| tick[1].as_u64().unwrap()).sum();
    assert_eq!(numbers.first(), Some(&1));
    assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "{numbers:?}");
    assert_eq!(
        numbers.len() as u64 + missed,
        *numbers.last().unwrap(),
        "each number was run or told as missed"
    );
    let mut load = |ms: u64| client.request("world.loop.load", &json!(ms));
    assert_eq!(load(120), json!({}));
    let port = cluster.admin_port("world-1");
    let count =
        |kind: &str| metric(port, &format!("shaddock_ticks_total{{kind=\"{kind}\",plugin=\"loop\"}}"));
    wait_for("ticks are missed", Duration::from_secs(10), || {
        count("missed").is_some_and(|missed| missed >= 4.0)
    });
    assert!(count("late") > Some(0.0));
    assert!(count("run") > Some(10.0));
}

#[test]
fn a_game_loop_that_the_plugin_does_not_have_stops_the_start() {
    let setup = roles(1, 1, json!({}));
    setup.edit("plugins.json", |plugins| plugins["roles"]["tickHz"] = json!(20));
    let found = "plugins.json: roles.tickHz: the plugin does not export `tick`";
    setup.run(&["check"]).expect(2).says(found);
    setup.run(&["start"]).expect(1).says(found);
    setup.nothing_runs();
}

#[test]
fn a_broadcast_goes_to_whom_the_filter_selects() {
    let cluster = Cluster::of(roles(1, 1, json!({})));
    let join = |name: &str, level: &str| {
        let mut client = Client::connect(cluster.connector_port(1));
        client.request("connector.roles.bind", &json!(name));
        client.request("connector.roles.setting", &json!(["level", level]));
        client
    };
    let (mut high, mut low) = (join("ann", "high"), join("bob", "low"));
    assert_eq!(low.request("connector.roles.broadcast", &json!("high")), json!({}));
    assert_eq!(high.push(), ("onLevel".to_owned(), json!({ "level": "high" })));
    // a filter that fails selects nobody
    assert_eq!(low.request("connector.roles.broadcast", &json!("trap")), json!({}));
    assert_eq!(low.request("connector.roles.broadcast", &json!("low")), json!({}));
    assert_eq!(low.push(), ("onLevel".to_owned(), json!({ "level": "low" })));
    let id = high.ask("connector.roles.address", &json!({}));
    assert!(matches!(high.hear(), Heard::Answer(answered, _) if answered == id));
}

#[test]
fn a_push_reports_whom_it_did_not_reach() {
    let cluster = Cluster::of(roles(2, 1, json!({})));
    let mut client = watcher(&cluster);
    let unreached = client.request("connector.roles.report", &json!(["ann", "nobody"]));
    assert_eq!(unreached, json!([{ "uid": "nobody", "frontend_id": "connector-server-1" }]));
    assert_eq!(client.push(), ("onReport".to_owned(), json!({ "hello": 1 })));
}

#[test]
fn a_user_is_found_kicked_and_sent_to_at_whatever_frontend() {
    let cluster = Cluster::of(roles(2, 1, json!({})));
    let join = |connector: usize| {
        let mut client = Client::connect(cluster.connector_port(connector));
        client.request("connector.roles.bind", &json!("ann"));
        client
    };
    let (mut first, mut second) = (join(1), join(2));
    let found = first.request("connector.roles.find", &json!("ann"));
    let frontends: Vec<&Value> = found.as_array().unwrap().iter().map(|session| &session[0]).collect();
    assert_eq!(frontends, ["connector-server-1", "connector-server-2"]);
    assert_eq!(first.request("connector.roles.send", &json!({ "x": 1 })), json!({}));
    assert_eq!(first.push(), ("onSent".to_owned(), json!({ "x": 1 })));
    first.ask("connector.roles.kickEverywhere", &json!("ann"));
    for client in [&mut first, &mut second] {
        loop {
            match client.hear() {
                Heard::Kick(reason) => break assert_eq!(reason, "out"),
                Heard::Closed => panic!("closed without a kick"),
                _ => {}
            }
        }
    }
}

#[test]
fn delivery_policies_decide_what_a_slow_client_gets() {
    let cluster = Cluster::of(roles(1, 1, json!({})));
    let flood = |delivery: &str, field: Option<&str>| json!({ "channel": delivery, "delivery": delivery, "field": field, "count": 400, "bytes": 1000 });
    // the client reads nothing while 400 messages of 1000 bytes are pushed in one call
    let mut client = Client::connect(cluster.connector_port(1));
    client.request("connector.roles.bind", &json!("ann"));
    let seen = |client: &mut Client, delivery: &str, field: Option<&str>| {
        let id = client.ask("connector.roles.flood", &flood(delivery, field));
        client.answer(id);
        // pushes that were held back may come after the answer; a mark of another channel ends the wait
        client.request("connector.roles.send", &json!("mark"));
        let mut numbers = Vec::new();
        loop {
            let (route, body) = client.push();
            if route == "onFlood" {
                numbers.push(body["number"].as_u64().unwrap());
            }
            if (396..400).all(|number| numbers.contains(&number)) {
                return numbers;
            }
        }
    };
    let every = seen(&mut client, "every", None);
    assert_eq!(every, (0..400).collect::<Vec<_>>());
    let latest = seen(&mut client, "latest", Some("player"));
    assert!(latest.len() < 400, "{latest:?}");
    for player in 0..4 {
        let of_player: Vec<u64> = latest.iter().copied().filter(|number| number % 4 == player).collect();
        assert!(of_player.is_sorted(), "{latest:?}");
        assert_eq!(of_player.last(), Some(&(396 + player)), "{latest:?}");
    }
    let oldest = seen(&mut client, "drop-oldest", None);
    assert!(oldest.len() < 400 && oldest.ends_with(&(390..400).collect::<Vec<_>>()), "{oldest:?}");
    let dropped = |policy: &str| {
        metric(
            cluster.admin_port("connector-server-1"),
            &format!("shaddock_pushes_dropped_total{{policy=\"{policy}\"}}"),
        )
    };
    assert!(dropped("latest") > Some(0.0) && dropped("drop_oldest") > Some(0.0));
    client.ask("connector.roles.flood", &flood("disconnect", None));
    while !matches!(client.hear(), Heard::Closed) {}
}
