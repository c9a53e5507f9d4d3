//! Filters, error handlers and handshake checks of plugins, in front of handlers that know nothing of them.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use shaddock_tests::client::{Client, Heard};
use shaddock_tests::roles::roles;
use shaddock_tests::{Cluster, Config, Signal, component, metric, signal, wait_for};
use shaddock_wire::client::Hello;

#[test]
fn filters_run_in_order_around_the_handler_and_after_in_reverse() {
    let app = json!({
        "connector": { "globalFilters": ["outer", "inner"], "filters": ["own"] },
        "backend": { "filters": ["own", "passes"] },
    });
    let cluster = Cluster::of(roles(1, 1, app));
    let mut client = Client::connect(cluster.connector_port(1));
    let here = client.request("connector.roles.echo", &json!({}));
    assert_eq!(here["trace"], json!(["before outer", "before inner", "before own"]));
    let there = client.request("backend.roles.echo", &json!({}));
    assert_eq!(there["trace"], json!(["before outer", "before inner", "before own"]));
    assert_eq!(there["at"], "backend-1");
    wait_for("all after parts have run", Duration::from_secs(5), || {
        let logs = cluster.logs();
        let order: Vec<&str> = logs.lines().filter(|line| line.contains("after outer ok")).collect();
        order.len() == 2
    });
    let logs = cluster.logs();
    let own: Vec<&str> = logs.lines().filter(|line| line.contains("connector-server-1")).collect();
    let place = |what: &str| own.iter().position(|line| line.contains(what)).unwrap_or(usize::MAX);
    assert!(place("after own ok") < place("after inner ok"), "{logs}");
    assert!(place("after inner ok") < place("after outer ok"), "{logs}");
}

#[test]
fn a_filter_refuses_changes_bodies_and_gives_answers_of_its_own() {
    let app = json!({
        "connector": { "globalFilters": ["outer"], "filters": ["own"] },
        "backend": { "filters": ["inner"] },
    });
    let cluster = Cluster::of(roles(1, 1, app));
    let mut client = Client::connect(cluster.connector_port(1));
    let mut echo = |route: &str, body: Value| client.request(&format!("{route}.roles.echo"), &body);
    for (route, filter) in
        [("connector", "outer"), ("connector", "own"), ("backend", "outer"), ("backend", "inner")]
    {
        assert_eq!(echo(route, json!({ "denyAt": filter })), json!({ "code": 403 }), "{route} {filter}");
        let with_words = json!({ "denyAt": filter, "answer": { "why": 1 } });
        assert_eq!(echo(route, with_words), json!({ "why": 1, "code": 403 }), "{route} {filter}");
        let with_code = json!({ "denyAt": filter, "answer": { "code": 7 } });
        assert_eq!(echo(route, with_code), json!({ "code": 7 }), "{route} {filter}");
        let changed = echo(route, json!({ "changeAt": filter }));
        assert_eq!(changed["body"], json!({ "changeAt": filter, "changed": true }), "{route} {filter}");
    }
    // what a global filter gives out afterwards comes too late
    assert!(echo("connector", json!({ "replaceAt": "outer" }))["body"].is_object());
    assert!(echo("connector", json!({ "replaceAt": "own" }))["replaced"]["body"].is_object());
    assert!(echo("backend", json!({ "replaceAt": "inner" }))["replaced"]["body"].is_object());
}

#[test]
fn error_handlers_turn_failures_into_answers() {
    let app = json!({
        "connector": { "globalFilters": ["outer"], "globalErrorHandler": "global", "filters": ["own"] },
        "backend": { "filters": ["inner"], "errorHandler": "polite" },
    });
    let cluster = Cluster::of(roles(1, 1, app));
    let mut client = Client::connect(cluster.connector_port(1));
    let mut ask = |route: &str, body: Value| client.request(route, &body);
    let denied = |filter: &str| json!({ "denyAt": filter });
    // the global one sees what global filters refuse, and nothing else
    assert_eq!(ask("backend.roles.echo", denied("outer")), json!({ "code": 499, "was": 403 }));
    assert_eq!(ask("connector.roles.echo", denied("own")), json!({ "code": 403 }));
    assert_eq!(ask("connector.roles.fail", json!({})), json!({ "code": 500 }));
    // the other one sees what filters and handlers of its server do
    assert_eq!(ask("backend.roles.echo", denied("inner")), json!({ "sorry": 403, "had": false }));
    assert_eq!(ask("backend.roles.fail", json!({})), json!({ "sorry": 500, "had": false }));
    assert_eq!(ask("backend.roles.fail", json!({ "code": 418 })), json!({ "code": 419 }));
    // an answer that a handler gives with its error is an answer
    let own_words = json!({ "code": 7, "answer": { "reason": "because" } });
    assert_eq!(ask("backend.roles.fail", own_words.clone()), json!({ "reason": "because", "code": 7 }));
    assert_eq!(ask("connector.roles.fail", own_words), json!({ "reason": "because", "code": 7 }));
}

#[test]
fn a_filter_that_traps_or_hangs_lets_nothing_through_and_is_logged_and_counted() {
    for (filter, code) in [("traps", 500), ("hangs", 504)] {
        let setup = roles(1, 1, json!({ "backend": { "filters": ["passes", filter] } }));
        setup.edit("plugins.json", |plugins| {
            plugins["roles"]["limits"] = json!({ "cpuMsMax": 100 });
        });
        let cluster = Cluster::of(setup);
        let mut client = Client::connect(cluster.connector_port(1));
        let answer = client.request("backend.roles.echo", &json!({}));
        let answered = answer["code"].as_u64().unwrap();
        assert!(answered == code || answered == 500, "{filter}: {answer}");
        assert!(answer.get("body").is_none(), "{filter}: {answer}");
        // others are served on
        assert!(client.request("connector.roles.echo", &json!({}))["body"].is_object());
        let refusals = metric(cluster.admin_port("backend-1"), "shaddock_filter_refusals_total");
        assert_eq!(refusals, Some(1.0), "{filter}");
        assert!(cluster.logs().contains("backend-1"), "{filter}");
    }
}

#[test]
fn a_filter_that_nobody_offers_stops_the_start_with_its_name() {
    let setup = roles(1, 1, json!({}));
    setup.edit("app.json", |app| *app = json!({ "backend": { "filters": ["nobody"] } }));
    setup
        .run(&["check"])
        .expect(2)
        .says("app.json: filters: no plugin of this server type offers the filter \"nobody\"");
    setup.run(&["start"]).expect(1).says("the filter \"nobody\"");
    setup.nothing_runs();
}

#[test]
fn the_abuse_filter_runs_in_front_of_the_chat_plugin() {
    let abuse = json!({
        "component": component("abuse_filter"),
        "serverTypes": ["chat"],
        "grants": ["sessions"],
        "settings": { "words": ["darn"], "abusesMax": 2 },
    });
    let shipped = json!({ "all": { "connector": { "heartbeat": 3, "useDict": true, "useProtobuf": true } },
        "gate": { "connector": { "heartbeat": null, "useDict": false } }, "chat": { "filters": ["abuse"] } });
    let cluster = Cluster::start(&Config::small().plugin("abuse-filter", abuse).file("app.json", shipped));
    let (mut alice, _) = Client::enter(cluster.gate_port(), "alice", "room");
    let (mut bob, _) = Client::enter(cluster.gate_port(), "bob", "room");
    let line = |content: &str| json!({ "rid": "room", "content": content, "from": "alice", "target": "*" });
    for (content, seen) in [("hello", "hello"), ("darn it", "**** it"), ("darn darn", "**** ****")] {
        assert_eq!(alice.request("chat.chatHandler.send", &line(content)), json!({}));
        let (route, body) = bob.push();
        assert_eq!((route.as_str(), &body["msg"]), ("onChat", &json!(seen)));
    }
    let refused = alice.request("chat.chatHandler.send", &line("darn"));
    assert_eq!(refused, json!({ "code": 403, "abuse": true }));
    assert_eq!(alice.request("chat.chatHandler.send", &line("sorry")), json!({}));
    assert_eq!(bob.push().1["msg"], "sorry");
}

#[test]
fn slow_requests_are_logged_and_late_ones_given_up() {
    let app = json!({
        "connector": { "globalFilters": ["timeout", "time"], "filterSettings": { "requestTimeoutMs": 300, "slowMs": 100 } },
    });
    let cluster = Cluster::of(roles(1, 1, app));
    let mut client = Client::connect(cluster.connector_port(1));
    let sleep = |ms: u64| json!({ "method": "rolesRemote.sleep", "key": "k", "args": ms });
    assert_eq!(client.request("connector.roles.call", &sleep(1)), json!({ "ok": null }));
    assert_eq!(client.request("connector.roles.call", &sleep(150)), json!({ "ok": null }));
    assert_eq!(client.request("connector.roles.call", &sleep(2_000)), json!({ "code": 504 }));
    wait_for("the slow ones are logged", Duration::from_secs(5), || {
        cluster.logs().lines().filter(|line| line.contains("a slow request")).count() == 2
    });
    assert_eq!(metric(cluster.admin_port("connector-server-1"), "shaddock_slow_requests_total"), Some(2.0));
}

#[test]
fn a_server_whose_scheduler_lags_refuses_requests_and_calls_until_it_does_not() {
    let call = json!({ "method": "rolesRemote.echo", "key": "k", "args": 1 });
    for (place, route, body) in [
        ("filters", "connector.roles.echo", json!({})),
        ("globalFilters", "backend.roles.echo", json!({})),
        ("rpcFilters", "connector.roles.call", call),
    ] {
        let app = json!({ "connector": { place: ["toobusy"], "filterSettings": { "lagMsMax": 50 } } });
        let cluster = Cluster::of(roles(1, 1, app));
        let (pid, port) = (cluster.pid_of("connector-server-1"), cluster.admin_port("connector-server-1"));
        let mut client = Client::connect(cluster.connector_port(1));
        let mut is_refused = || match client.request(route, &body) {
            answer if answer["code"] == 503 => true,
            answer if answer.get("code").is_none() => false,
            answer => panic!("{place}: {answer}"),
        };
        wait_for("a request is refused", Duration::from_secs(60), || {
            // It lags since it does not get to run at all. The lag is measured from the first request on.
            is_refused();
            signal(pid, Signal::STOP);
            std::thread::sleep(Duration::from_millis(500));
            signal(pid, Signal::CONT);
            let on_the_way = Instant::now();
            while on_the_way.elapsed() < Duration::from_millis(300) {
                if is_refused() {
                    return true;
                }
            }
            false
        });
        assert!(metric(port, "shaddock_toobusy_refusals_total") >= Some(1.0), "{place}");
        wait_for("requests are served again", Duration::from_secs(60), || !is_refused());
    }
}

#[test]
fn an_error_handler_has_time_when_the_request_has_none_left() {
    let app = json!({
        "connector": {
            "filters": ["timeout", "own"], "errorHandler": "polite", "filterSettings": { "requestTimeoutMs": 200 },
        },
    });
    let cluster = Cluster::of(roles(1, 1, app));
    let mut client = Client::connect(cluster.connector_port(1));
    let late = json!({ "method": "rolesRemote.sleep", "key": "k", "args": 1_000 });
    assert_eq!(client.request("connector.roles.call", &late), json!({ "sorry": 504, "had": false }));
    wait_for("the after part has run", Duration::from_secs(5), || cluster.logs().contains("after own ok"));
}

#[test]
fn serial_requests_of_one_session_wait_for_each_other() {
    for (filters, serial) in [(json!([]), false), (json!(["serial"]), true)] {
        let cluster = Cluster::of(roles(1, 1, json!({ "connector": { "globalFilters": filters } })));
        let mut client = Client::connect(cluster.connector_port(1));
        let slow = json!({ "method": "rolesRemote.sleep", "key": "k", "args": 400 });
        let first = client.ask("connector.roles.call", &slow);
        let second = client.ask("backend.roles.echo", &json!({}));
        let mut order = Vec::new();
        while order.len() < 2 {
            match client.hear() {
                Heard::Answer(id, _) => order.push(id),
                other => panic!("{other:?}"),
            }
        }
        let expected = if serial { [first, second] } else { [second, first] };
        assert_eq!(order, expected);
    }
}

#[test]
fn calls_to_other_servers_have_filters_too() {
    let cluster = Cluster::of(roles(1, 1, json!({ "connector": { "rpcFilters": ["gate", "rpcLog"] } })));
    let mut client = Client::connect(cluster.connector_port(1));
    let call = |method: &str| json!({ "method": method, "key": "k", "args": 7 });
    let answer = client.request("connector.roles.call", &call("rolesRemote.echo"));
    assert_eq!(answer, json!({ "ok": { "at": "backend-1", "args": { "through": "gate", "args": 7 } } }));
    let refused = client.request("connector.roles.call", &call("rolesRemote.forbidden"));
    assert_eq!(refused["code"], 403);
    assert!(refused["message"].as_str().unwrap().contains("backend.rolesRemote.forbidden at backend-1"));
    let mut unanswered = call("rolesRemote.forbidden");
    unanswered["notify"] = json!(true);
    assert_eq!(client.request("connector.roles.call", &unanswered)["code"], 403, "a notify is filtered, too");
}

#[test]
fn a_handshake_is_checked_before_there_is_a_session() {
    let cluster = Cluster::of(roles(1, 1, json!({})));
    let port = cluster.connector_port(1);
    let hello = |version: &str, user: Value| Hello {
        version: Some(version.to_owned()),
        user: Some(user),
        ..Hello::default()
    };
    let connect = |hello: &Hello| Client::connect_as(port, hello).map(|(_, user)| user);
    assert_eq!(connect(&hello("old", json!({}))).unwrap_err(), 501);
    assert_eq!(connect(&hello("1", json!({ "deny": true }))).unwrap_err(), 500);
    assert_eq!(connect(&hello("1", json!({ "trap": true }))).unwrap_err(), 500);
    assert_eq!(connect(&hello("1", json!("nonsense"))).unwrap_err(), 500);
    assert_eq!(connect(&Hello::default()).unwrap(), Some(json!({ "from": "127.0.0.1", "name": null })));
    let (mut client, user) = Client::connect_as(port, &hello("1", json!({ "name": "ann" }))).unwrap();
    assert_eq!(user, Some(json!({ "from": "127.0.0.1", "name": "ann" })));
    let found = client.request("connector.roles.find", &json!("ann"));
    assert_eq!(found[0][0], "connector-server-1");
    assert!(
        client.request("connector.roles.address", &json!({})).as_str().unwrap().starts_with("127.0.0.1:")
    );
    // a check that says what cannot be: the client is kicked, and the next one is served
    let (mut broken, _) = Client::connect_as(port, &hello("1", json!({ "broken": true }))).unwrap();
    assert!(matches!(broken.hear(), Heard::Kick(_)));
    assert!(connect(&Hello::default()).is_ok());
}

#[test]
fn clients_that_cannot_be_let_in_do_not_fill_the_log() {
    let cluster = Cluster::of(roles(1, 1, json!({})));
    let broken =
        Hello { version: Some("1".to_owned()), user: Some(json!({ "broken": true })), ..Hello::default() };
    let begun = Instant::now();
    for _ in 0..200 {
        let (mut client, _) = Client::connect_as(cluster.connector_port(1), &broken).unwrap();
        assert!(matches!(client.hear(), Heard::Kick(_)));
    }
    let lines_max = 20 * (2 + begun.elapsed().as_secs() as usize);
    let lines = || cluster.logs().matches("a client cannot be let in").count();
    wait_for("it is logged", Duration::from_secs(5), || lines() > 0);
    assert!(lines() <= lines_max, "{} lines, {lines_max} may be", lines());
}
