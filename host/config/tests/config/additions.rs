//! Servers that join a running cluster.

use serde_json::{Map, Value, json};
use shaddock_config::{Config, ServerEntry};

use crate::report::load;

fn known(config: &Config) -> Vec<&ServerEntry> {
    config.servers.iter().collect()
}

fn entry(value: Value) -> Map<String, Value> {
    let Value::Object(entry) = value else { panic!("not an object: {value}") };
    entry
}

fn refused(value: &Value, expected: &[&str]) {
    let config = load("development", &[]);
    let error = config.additions(&known(&config), &entry(value.clone())).unwrap_err();
    let problems: Vec<String> = error.problems().iter().map(ToString::to_string).collect();
    assert_eq!(problems, expected, "for {value}");
}

#[test]
fn a_sound_server_may_join_and_is_read_again_by_its_process() {
    let mut config = load("development", &[]);
    let chat = json!({"serverType": "chat", "id": "chat-3", "host": "127.0.0.1", "port": 6053, "zone": "eu"});
    let additions = config.additions(&known(&config), &entry(chat)).unwrap();
    assert!(additions.warnings.is_empty(), "{:?}", additions.warnings);
    let [chat] = &additions.servers[..] else { panic!("{:?}", additions.servers) };
    assert_eq!((chat.id.as_str(), chat.server_type.as_str(), chat.port), ("chat-3", "chat", Some(6053)));
    assert_eq!(chat.fields["zone"], "eu");
    config.put_server(&chat.fields).unwrap();
    assert_eq!(config.server("chat-3"), Some(chat));
    config.put_server(&chat.fields).unwrap();
    assert_eq!(config.servers.len(), 4, "one of the same id is replaced");
}

#[test]
fn a_counted_entry_counts_on() {
    let mut config = load("development", &[]);
    let chats =
        || entry(json!({"serverType": "chat", "clusterCount": 2, "host": "127.0.0.1", "port": "6060++"}));
    let first = config.additions(&known(&config), &chats()).unwrap().servers;
    let ids: Vec<_> = first.iter().map(|server| (server.id.as_str(), server.port)).collect();
    assert_eq!(ids, [("cluster-server-chat-0", Some(6060)), ("cluster-server-chat-1", Some(6061))]);
    for server in &first {
        config.put_server(&server.fields).unwrap();
        assert_eq!(config.server(&server.id), Some(server));
    }
    let mut more = chats();
    more.insert("port".to_owned(), "6070++".into());
    let more = config.additions(&known(&config), &more).unwrap().servers;
    assert_eq!(more[0].id, "cluster-server-chat-2");
}

#[test]
fn what_is_taken_unknown_or_malformed_is_refused() {
    let sound = json!({"serverType": "chat", "id": "chat-3", "host": "127.0.0.1", "port": 6053});
    for (field, value, expected) in [
        (
            "id",
            json!("chat-2"),
            "shaddock add: id: the id \"chat-2\" is taken; take another one; \"id\" alone starts a server of the cluster that has stopped",
        ),
        (
            "id",
            json!("master-1"),
            "shaddock add: id: the id \"master-1\" is taken; take another one; \"id\" alone starts a server of the cluster that has stopped",
        ),
        (
            "id",
            json!("a b"),
            "shaddock add: id: found \"a b\"; allowed: a text of 1 to 64 characters without '/', white space and control characters",
        ),
        (
            "port",
            json!(6051),
            "shaddock add: port: the port 6051 is also the port of \"chat-2\"; each port of a host is listened on once",
        ),
        (
            "port",
            json!(3005),
            "shaddock add: port: the port 3005 is also the port of \"master-1\"; each port of a host is listened on once",
        ),
        (
            "port",
            json!("6053"),
            "shaddock add: port: found \"6053\"; allowed: a whole number from 1 to 65535, without quotes",
        ),
        (
            "serverType",
            json!("chatt"),
            "shaddock add: serverType: the configuration has no server type \"chatt\"; did you mean \"chat\"?",
        ),
        (
            "frontend",
            json!(true),
            "shaddock add: missing \"clientPort\"; needed: the port that clients of this frontend connect to",
        ),
        (
            "clusterCount",
            json!(2),
            "shaddock add: port: the port 6053 is also the port of \"cluster-server-chat-0\"; each port of a host is listened on once",
        ),
    ] {
        let mut value_with = sound.clone();
        value_with[field] = value;
        refused(&value_with, &[expected]);
    }
    refused(&json!({}), &["shaddock add: missing \"serverType\"; needed: the server's type"]);
    refused(
        &json!({"serverType": "chat", "id": "chat-3"}),
        &["shaddock add: missing \"host\"; needed: the address at which other servers find this one"],
    );
}

#[test]
fn what_is_probably_not_meant_is_warned_of() {
    let config = load("development", &[("app.json", r#"{"all": {}}"#), ("plugins.json", "")]);
    let chat = json!({"serverType": "chat", "id": "chat-3", "host": "127.0.0.1", "frontend": true, "clientPort": 3050});
    let additions = config.additions(&known(&config), &entry(chat)).unwrap();
    let warnings: Vec<String> = additions.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        [
            "shaddock add: no plugin serves the server type \"chat\"; name it in \"serverTypes\" of a plugin in plugins.json",
            "shaddock add: \"frontend\" is true, but not for \"chat-1\"; servers of one type are alike",
        ]
    );
}
