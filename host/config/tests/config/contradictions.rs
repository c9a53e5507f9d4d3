//! What no single entry gets wrong: ids and ports that two of them claim.

use crate::report::check;

/// Checks servers.json with one server a line from line 2 on, against a master at 3005, 3001 and 3002.
fn servers(entries: &[&str], expected: &[&str]) {
    let text = format!("{{\"chat\": [\n{}\n]}}", entries.join(",\n"));
    check(
        &[
            (
                "master.json",
                "{\"id\": \"m\", \"host\": \"10.0.0.1\",\n\"port\": 3005,\n\"webPort\": 3001,\n\"adminPort\": 3002}",
            ),
            ("servers.json", &text),
            ("plugins.json", r#"{"talk": {"component": "talk.wasm", "serverTypes": ["chat"]}}"#),
        ],
        expected,
    );
}

#[test]
fn an_id_is_the_id_of_one_server() {
    servers(
        &[
            r#"{"id": "a", "host": "h", "port": 1}"#,
            r#"{"id": "a", "host": "h", "port": 2}"#,
            r#"{"id": "m", "host": "h", "port": 3}"#,
            r#"{"clusterCount": 1, "host": "h", "port": 4}"#,
            r#"{"id": "cluster-server-chat-0", "host": "h", "port": 5}"#,
        ],
        &[
            "servers.json:3: chat[1].id: \"a\" is also the id at servers.json:2; each server has an id of its own",
            "servers.json:4: chat[2].id: \"m\" is also the id at master.json:1; each server has an id of its own",
            "servers.json:6: chat[4].id: \"cluster-server-chat-0\" is also the id at servers.json:5; each server has an id of its own",
        ],
    );
}

#[test]
fn a_port_of_a_host_is_the_port_of_one_listener() {
    const ONCE: &str = "each port of a host is listened on once";
    servers(
        &[
            r#"{"id": "a", "host": "h", "port": 1, "clientPort": 2, "frontend": true, "adminPort": 3}"#,
            r#"{"id": "b", "host": "H", "port": 2}"#,
            r#"{"id": "c", "host": "h", "port": 4, "clientPort": 4, "frontend": true}"#,
            r#"{"id": "d", "host": "h", "port": 5, "adminPort": 1}"#,
            r#"{"id": "e", "host": "other", "port": 1}"#,
        ],
        &[
            &format!(
                "servers.json:3: chat[1].port: the port 2 is also the clientPort of \"a\", at servers.json:2; {ONCE}"
            ),
            &format!(
                "servers.json:4: chat[2].clientPort: the port 4 is also the port of \"c\", at servers.json:4; {ONCE}"
            ),
            &format!(
                "servers.json:5: chat[3].adminPort: the port 1 is also the port of \"a\", at servers.json:2; {ONCE}"
            ),
        ],
    );
}

#[test]
fn the_names_of_the_own_machine_are_one_host() {
    const ONCE: &str = "each port of a host is listened on once";
    servers(
        &[
            r#"{"id": "a", "host": "127.0.0.1", "port": 3005}"#,
            r#"{"id": "b", "host": "localhost", "port": 3001}"#,
            r#"{"id": "c", "host": "0.0.0.0", "port": 3002}"#,
            r#"{"id": "d", "host": "10.0.0.1", "port": 9}"#,
            r#"{"id": "e", "host": "::1", "port": 9}"#,
            r#"{"id": "f", "host": "10.0.0.2", "port": 3005}"#,
        ],
        &[
            &format!(
                "servers.json:2: chat[0].port: the port 3005 is also the port of \"m\", at master.json:2; {ONCE}"
            ),
            &format!(
                "servers.json:3: chat[1].port: the port 3001 is also the webPort of \"m\", at master.json:3; {ONCE}"
            ),
            &format!(
                "servers.json:4: chat[2].port: the port 3002 is also the adminPort of \"m\", at master.json:4; {ONCE}"
            ),
            &format!(
                "servers.json:6: chat[4].port: the port 9 is also the port of \"d\", at servers.json:5; {ONCE}"
            ),
        ],
    );
}

#[test]
fn the_client_port_of_a_backend_is_nobodys() {
    servers(
        &[
            r#"{"id": "a", "host": "h", "port": 1, "clientPort": 2}"#,
            r#"{"id": "b", "host": "h", "port": 2}"#,
        ],
        &[
            "warning: servers.json:2: chat[0].clientPort: a client port on a backend; not listened on unless \"frontend\" is true",
        ],
    );
}

#[test]
fn a_cluster_on_one_port_is_told_how_to_count_up() {
    servers(
        &[
            r#"{"clusterCount": 3, "host": "h", "port": 3150, "clientPort": "3150++", "frontend": true}"#,
            r#"{"clusterCount": 2, "host": "h", "port": "3151++"}"#,
        ],
        &[
            "servers.json:2: chat[0].clientPort: the port 3150 is also the port of \"cluster-server-chat-0\", at servers.json:2; each port of a host is listened on once",
            "servers.json:2: chat[0].port: the port 3150 for every server of the entry; write \"3150++\", which counts up from one to the next",
            "servers.json:3: chat[1].port: the port 3151 is also the clientPort of \"cluster-server-chat-1\", at servers.json:2; each port of a host is listened on once",
        ],
    );
}
