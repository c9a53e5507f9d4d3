//! servers.json and master.json: every field, and `clusterCount`.

use serde_json::json;
use shaddock_config::{Config, DeploySettings, ServerEntry};

use crate::report::{check, load};

/// Checks the entries of one backend type, each on a line of its own from line 2 on.
fn entries(entries: &[&str], expected: &[&str]) {
    check(&files(&text(entries)), expected);
}

fn text(entries: &[&str]) -> String {
    format!("{{\"chat\": [\n{}\n]}}", entries.join(",\n"))
}

fn files(servers: &str) -> [(&str, &str); 2] {
    [
        ("servers.json", servers),
        ("plugins.json", r#"{"talk": {"component": "talk.wasm", "serverTypes": ["chat"]}}"#),
    ]
}

fn load_entries(entries: &[&str]) -> Config {
    load("development", &files(&text(entries)))
}

/// What an entry comes to that has these fields beside id, host and port.
fn server(fields: &str) -> ServerEntry {
    let entry = format!(r#"{{"id": "c", "host": "h", "port": 1{fields}}}"#);
    load_entries(&[&entry]).server("c").unwrap().clone()
}

#[test]
fn all_fields_are_read_and_unknown_ones_are_kept() {
    let server = server(
        r#", "clientPort": 2, "clientHost": "play.example.org", "listenHost": "::", "frontend": "true",
          "max-connections": 3, "adminPort": 4, "weight": 5, "area": {"id": [1, 2.5]}, "boss": true"#,
    );
    assert_eq!((server.port, server.client_port, server.admin_port), (Some(1), Some(2), Some(4)));
    assert_eq!(server.client_host.as_deref(), Some("play.example.org"));
    assert_eq!(server.host_for_clients(), "play.example.org");
    assert_eq!(server.listen_host, Some("::".parse().unwrap()));
    assert_eq!((server.frontend, server.max_connections), (true, Some(3)));
    assert_eq!(server.weight, 5);
    let fields = json!({
        "id": "c", "host": "h", "port": 1, "clientPort": 2, "clientHost": "play.example.org", "listenHost": "::",
        "frontend": "true", "max-connections": 3, "adminPort": 4, "weight": 5, "area": {"id": [1, 2.5]}, "boss": true,
        "serverType": "chat",
    });
    assert_eq!(serde_json::Value::Object(server.fields), fields);
}

#[test]
fn what_is_absent_has_no_value() {
    let server = server("");
    assert_eq!((server.client_port, server.admin_port, server.max_connections), (None, None, None));
    assert_eq!((server.client_host.as_deref(), server.listen_host, server.frontend), (None, None, false));
    assert_eq!(server.host_for_clients(), "h");
    assert_eq!((server.server_type.as_str(), server.weight), ("chat", 1));
}

#[test]
fn frontend_is_a_truth_value_or_its_name() {
    for (value, expected) in [("true", true), ("\"true\"", true), ("false", false), ("\"false\"", false)] {
        assert_eq!(
            server(&format!(", \"frontend\": {value}, \"clientPort\": 9")).frontend,
            expected,
            "{value}"
        );
    }
}

#[test]
fn an_admin_port_of_0_is_any() {
    assert_eq!(server(", \"adminPort\": 0").admin_port, None);
}

#[test]
fn servers_are_sorted_by_id_and_found() {
    let config = load_entries(&[
        r#"{"id": "c-2", "host": "h", "port": 2}"#,
        r#"{"id": "c-10", "host": "h", "port": 3}"#,
        r#"{"id": "a", "host": "h", "port": 1}"#,
    ]);
    let ids: Vec<_> = config.servers.iter().map(|server| server.id.as_str()).collect();
    assert_eq!(ids, ["a", "c-10", "c-2"]);
    assert_eq!(config.server("c-2").unwrap().port, Some(2));
    assert!(config.server("b").is_none());
    assert_eq!(config.servers_of("chat").count(), 3);
    assert_eq!(config.servers_of("gate").count(), 0);
    assert_eq!(config.types().into_iter().collect::<Vec<_>>(), ["chat"]);
}

#[test]
fn every_value_that_is_not_allowed_is_refused() {
    const PORT: &str = "allowed: a whole number from 1 to 65535";
    const HOST: &str = "allowed: a host name or an IP address, without a port";
    let long = "x".repeat(254);
    for (field, value, expected) in [
        ("port", "0", format!("found 0; {PORT}")),
        ("port", "65536", format!("found 65536; {PORT}")),
        ("port", "-1", format!("found -1; {PORT}")),
        ("port", "3050.0", format!("found 3050.0; {PORT}")),
        ("port", "null", format!("found null; {PORT}")),
        ("port", "\"3050\"", format!("found \"3050\"; {PORT}, without quotes")),
        ("port", "\"3150++\"", format!("found \"3150++\"; {PORT}")),
        ("port", "[1]", format!("found a list of 1; {PORT}")),
        ("clientPort", "70000", format!("found 70000; {PORT}")),
        ("adminPort", "70000", "found 70000; allowed: a whole number from 0 to 65535".to_owned()),
        ("max-connections", "0", "found 0; allowed: a whole number from 1 to 1000000".to_owned()),
        ("weight", "1001", "found 1001; allowed: a whole number from 1 to 1000".to_owned()),
        ("frontend", "1", "found 1; allowed: true or false".to_owned()),
        ("frontend", "\"yes\"", "found \"yes\"; allowed: true, false".to_owned()),
        ("frontend", "\"ture\"", "found \"ture\"; did you mean \"true\"?".to_owned()),
        ("clientHost", "\"a:80\"", format!("found \"a:80\"; {HOST}")),
        ("clientHost", "\"a b\"", format!("found \"a b\"; {HOST}")),
        ("clientHost", "\"\"", format!("found \"\"; {HOST}")),
        ("clientHost", "1", format!("found 1; {HOST}")),
        ("clientHost", &format!("\"{long}\""), format!("found \"{}…\"; {HOST}", &long[..60])),
        (
            "listenHost",
            "\"eth0\"",
            "found \"eth0\"; allowed: an IP address such as \"127.0.0.1\", \"0.0.0.0\" or \"::\"".to_owned(),
        ),
    ] {
        let port = if field == "port" { "" } else { ", \"port\": 1" };
        let client = if field.starts_with("client") { ", \"frontend\": true" } else { "" };
        let client_port = if field == "clientHost" { ", \"clientPort\": 9" } else { "" };
        let entry = format!(r#"{{"id": "c", "host": "h"{port}{client}{client_port}, "{field}": {value}}}"#);
        entries(&[&entry], &[&format!("servers.json:2: chat[0].{field}: {expected}")]);
    }
}

#[test]
fn every_missing_field_is_named() {
    entries(
        &["{\"port\": 1}", r#"{"id": "c", "host": "h", "frontend": true}"#, "7"],
        &[
            "servers.json:2: chat[0]: missing \"id\"; needed: a text that no other server has",
            "servers.json:2: chat[0]: missing \"host\"; needed: the address at which other servers find this one",
            "servers.json:3: chat[1]: missing \"clientPort\"; needed: the port that clients of this frontend connect to",
            "servers.json:4: chat[2]: found 7; allowed: an object",
        ],
    );
}

#[test]
fn ids_and_types_stand_in_routes_and_logs() {
    let allowed = "allowed: a text of 1 to 64 characters without '/', white space and control characters";
    entries(
        &[r#"{"id": "a b", "host": "h", "port": 1}"#, r#"{"id": 5, "host": "h", "port": 2}"#],
        &[
            &format!("servers.json:2: chat[0].id: found \"a b\"; {allowed}"),
            &format!("servers.json:3: chat[1].id: found 5; {allowed}"),
        ],
    );
    let allowed =
        "allowed: a server type of 1 to 64 characters without '.', '/', white space and control characters";
    check(
        &files("{\"chat\": [],\n\"a.b\": [],\n\"\": [],\n\"master\": [],\n\"all\": [],\n\"c\": 1}"),
        &[
            &format!("servers.json:2: [\"a.b\"]: found the server type \"a.b\"; {allowed}"),
            &format!("servers.json:3: [\"\"]: found the server type \"\"; {allowed}"),
            "servers.json:4: master: found the server type \"master\"; allowed: another name: this one is reserved",
            "servers.json:5: all: found the server type \"all\"; allowed: another name: this one is reserved",
            "servers.json:6: c: found 1; allowed: a list of servers",
            "warning: servers.json:2: [\"a.b\"]: no plugin serves the server type \"a.b\"; name it in \"serverTypes\" of a plugin in plugins.json",
            "warning: servers.json:3: [\"\"]: no plugin serves the server type \"\"; name it in \"serverTypes\" of a plugin in plugins.json",
            "warning: servers.json:4: master: no plugin serves the server type \"master\"; name it in \"serverTypes\" of a plugin in plugins.json",
            "warning: servers.json:5: all: no plugin serves the server type \"all\"; name it in \"serverTypes\" of a plugin in plugins.json",
            "warning: servers.json:6: c: no plugin serves the server type \"c\"; name it in \"serverTypes\" of a plugin in plugins.json",
        ],
    );
}

#[test]
fn a_file_without_servers_is_refused() {
    let unknown =
        "plugins.json:1: talk.serverTypes[0]: servers.json has no server type \"chat\"; none is known here";
    check(
        &files("{}"),
        &[unknown, "servers.json:1: no server types; needed: at least one with a list of servers"],
    );
    check(
        &files("[]"),
        &[
            "servers.json:1: found a list of 0; allowed: an object of server types, each with a list of servers",
        ],
    );
}

#[test]
fn fields_without_effect_are_warned_of_with_the_reason() {
    entries(
        &[
            r#"{"id": "c", "host": "h", "port": 1, "args": "--x", "cpu": 1, "auto-restart": "true""#,
            r#" "restart-force": "true", "wsPort": 4, "clientport": 9, "zone": 1}"#,
        ],
        &[
            "warning: servers.json:2: chat[0].args: has no effect yet; these are arguments for node, and a server is no node process",
            "warning: servers.json:2: chat[0].cpu: has no effect yet; servers are not bound to processors; the system spreads them",
            "warning: servers.json:2: chat[0].auto-restart: has no effect yet; a server that has ended is not started again",
            "warning: servers.json:3: chat[0].restart-force: has no effect yet; a server that has ended is not started again",
            "warning: servers.json:3: chat[0].wsPort: has no effect yet; clientPort serves WebSocket and TCP alike",
            "warning: servers.json:3: chat[0].clientport: unknown field, kept for plugins to read; did you mean \"clientPort\"?",
        ],
    );
    entries(
        &[
            r#"{"id": "c", "host": "h", "port": 1, "clientPort": 5, "serverType": "gate"}"#,
            r#"{"id": "d", "host": "h"}"#,
        ],
        &[
            "warning: servers.json:2: chat[0].serverType: found \"gate\"; taken as \"chat\", the key it stands under",
            "warning: servers.json:2: chat[0].clientPort: a client port on a backend; not listened on unless \"frontend\" is true",
            "warning: servers.json:3: chat[1]: a backend without \"port\"; no other server can call it",
        ],
    );
}

#[test]
fn cluster_count_expands_as_in_pomelo() {
    let config = load_entries(&[
        r#"{"clusterCount": 2, "host": "10.0.0.1", "port": "3150++", "clientPort": "3010++", "frontend": true, "zone": " 7x++"}"#,
        r#"{"id": "own", "host": "h", "port": 1}"#,
        r#"{"clusterCount": "2", "host": "10.0.0.2", "port": "3150++", "name": "++5", "depth": "-3++"}"#,
    ]);
    let seen: Vec<_> = config
        .servers
        .iter()
        .map(|server| (server.id.as_str(), server.host.as_str(), server.port, server.client_port))
        .collect();
    assert_eq!(
        seen,
        [
            ("cluster-server-chat-0", "10.0.0.1", Some(3150), Some(3010)),
            ("cluster-server-chat-1", "10.0.0.1", Some(3151), Some(3011)),
            ("cluster-server-chat-2", "10.0.0.2", Some(3150), None),
            ("cluster-server-chat-3", "10.0.0.2", Some(3151), None),
            ("own", "h", Some(1), None),
        ]
    );
    let fields = |id: &str| serde_json::Value::Object(config.server(id).unwrap().fields.clone());
    assert_eq!(
        fields("cluster-server-chat-1"),
        json!({"clusterCount": 2, "host": "10.0.0.1", "port": 3151, "clientPort": 3011, "frontend": true,
               "zone": 8, "id": "cluster-server-chat-1", "serverType": "chat"})
    );
    let last = fields("cluster-server-chat-3");
    assert_eq!((&last["name"], &last["depth"]), (&json!("++5"), &json!(-2)));
}

#[test]
fn what_is_wrong_with_a_cluster_is_said_once() {
    let count = "allowed: a whole number from 1 to 1000";
    entries(
        &[
            r#"{"clusterCount": 0, "host": "h", "port": "3150++"}"#,
            r#"{"clusterCount": 1001, "host": "h", "port": "3150++"}"#,
            r#"{"clusterCount": "many", "host": "h", "port": "3150++"}"#,
            r#"{"clusterCount": 3, "host": "h", "port": "x++"}"#,
            r#"{"clusterCount": 3, "host": "h", "port": "65534++"}"#,
            r#"{"clusterCount": 3, "port": "3150++", "frontend": true}"#,
            r#"{"clusterCount": 2, "id": "mine", "host": "h", "port": "4150++", "cpu": 1}"#,
        ],
        &[
            &format!("servers.json:2: chat[0].clusterCount: found 0; {count}"),
            &format!("servers.json:3: chat[1].clusterCount: found 1001; {count}"),
            &format!("servers.json:4: chat[2].clusterCount: found \"many\"; {count}"),
            "servers.json:5: chat[3].port: found \"x++\"; allowed: a number before \"++\", as in \"3150++\"",
            "servers.json:6: chat[4].port: found 65536; allowed: a whole number from 1 to 65535",
            "servers.json:7: chat[5]: missing \"host\"; needed: the address at which other servers find this one",
            "servers.json:7: chat[5]: missing \"clientPort\"; needed: the port that clients of this frontend connect to",
            "warning: servers.json:8: chat[6].id: an id beside clusterCount; not used: the ids are cluster-server-chat-<number>",
            "warning: servers.json:8: chat[6].cpu: has no effect yet; servers are not bound to processors; the system spreads them",
        ],
    );
    let eleven = [r#"{"clusterCount": 1000, "host": "h"}"#; 11];
    entries(&eleven, &["servers.json:12: chat[10]: too many servers; allowed: 10000 in a cluster"]);
}

#[test]
fn the_master_has_its_own_fields() {
    let master = r#"{"id": "m", "host": "h", "port": 1, "webPort": 2, "adminPort": 3, "zone": "x"}"#;
    let config = load("development", &[("master.json", master)]);
    assert_eq!((config.master.web_port, config.master.admin_port), (Some(2), Some(3)));
    assert_eq!(config.master.fields["zone"], "x");
    let config =
        load("development", &[("master.json", r#"{"id": "m", "host": "h", "port": 1, "adminPort": 0}"#)]);
    assert_eq!((config.master.web_port, config.master.admin_port), (None, None));
    let deploy = r#"{"id": "m", "host": "h", "port": 1, "deploy": {"keepVersions": 3}}"#;
    let config = load("development", &[("master.json", deploy)]);
    assert_eq!(config.master.deploy, DeploySettings { keep_versions: 3, settle_ms: 2000 });
    check(
        &[(
            "master.json",
            r#"{"id": "m", "host": "h", "port": 1, "deploy": {"keepVersions": 0, "settleS": 2}}"#,
        )],
        &[
            "master.json:1: deploy.keepVersions: found 0; allowed: a whole number from 1 to 1000",
            "master.json:1: deploy.settleS: unknown field; did you mean \"settleMs\"?",
        ],
    );
    check(
        &[("master.json", "{\"host\": \"\",\n\"webPort\": 0,\n\"args\": 1, \"webport\": 1}")],
        &[
            "master.json:1: missing \"port\"; needed: the port at which servers and commands reach the master",
            "master.json:1: missing \"id\"; needed: a text that no other server has",
            "master.json:1: host: found \"\"; allowed: a host name or an IP address, without a port",
            "master.json:2: webPort: found 0; allowed: a whole number from 1 to 65535",
            "warning: master.json:3: args: has no effect yet; these are arguments for node, and the master is no node process",
            "warning: master.json:3: webport: unknown field, kept for plugins to read; did you mean \"webPort\"?",
        ],
    );
    check(&[("master.json", "[]")], &["master.json:1: found a list of 0; allowed: an object"]);
}

#[test]
fn the_master_can_be_loaded_alone() {
    let dir = crate::report::write(&[("servers.json", "{"), ("plugins.json", "{")]);
    assert_eq!(Config::load_master(dir.path(), "development").unwrap().port, 3005);
    std::fs::remove_file(dir.path().join("master.json")).unwrap();
    let error = Config::load_master(dir.path(), "development").unwrap_err();
    assert_eq!(error.problems()[0].0.found, "no such file");
    assert!(Config::load_master(dir.path(), "a/b").is_err());
}

#[test]
fn client_ports_listen_where_clients_are_told_to_look() {
    const APP: &str = r#"{"chat": {"connector": {"listenHost": "10.9.9.9"}}}"#;
    for (env, entry, app, expected) in [
        ("development", r#""host": "10.0.0.1""#, "{}", "127.0.0.1"),
        ("development", r#""host": "10.0.0.1", "listenHost": "0.0.0.0""#, "{}", "0.0.0.0"),
        ("development", r#""host": "10.0.0.1""#, APP, "10.9.9.9"),
        ("production", r#""host": "127.0.0.1", "listenHost": "localhost""#, APP, "127.0.0.1"),
        ("production", r#""host": "127.0.0.1""#, "{}", "127.0.0.1"),
        ("production", r#""host": "localhost""#, "{}", "127.0.0.1"),
        ("production", r#""host": "::1""#, "{}", "::1"),
        ("production", r#""host": "127.0.0.1", "clientHost": "play.example.org""#, "{}", "0.0.0.0"),
        ("production", r#""host": "10.0.0.1", "clientHost": "127.0.0.1""#, "{}", "127.0.0.1"),
        ("production", r#""host": "10.0.0.1""#, "{}", "0.0.0.0"),
        ("production", r#""host": "fd00::1""#, "{}", "::"),
    ] {
        let servers = text(&[&format!(r#"{{"id": "c", {entry}, "clientPort": 5, "frontend": true}}"#)]);
        let mut changed = files(&servers).to_vec();
        changed.push(("app.json", app));
        let config = load(env, &changed);
        let address = config.listen_address(config.server("c").unwrap());
        assert_eq!(address.to_string(), expected, "{env} {entry} {app}");
    }
}

#[test]
fn the_connections_of_a_server_are_its_own_or_those_of_its_type() {
    let servers = text(&[
        r#"{"id": "a", "host": "h", "clientPort": 1, "frontend": true, "max-connections": 7}"#,
        r#"{"id": "b", "host": "h", "clientPort": 2, "frontend": true}"#,
    ]);
    let app = r#"{"chat": {"connector": {"connectionsMax": 70}}}"#;
    let [servers, plugins] = files(&servers);
    let config = load("development", &[servers, plugins, ("app.json", app)]);
    let of = |id| config.connections_max(config.server(id).unwrap());
    assert_eq!((of("a"), of("b")), (7, 70));
}
