//! dictionary.json, clientProtos.json, serverProtos.json and adminServer.json.

use serde_json::json;

use crate::report::{check, load};

#[test]
fn a_dictionary_is_a_list_of_routes_or_nothing() {
    for (text, expected) in
        [("[]", vec![]), ("{}", vec![]), (r#"["onChat", "onAdd"]"#, vec!["onChat", "onAdd"])]
    {
        assert_eq!(load("development", &[("dictionary.json", text)]).dictionary, expected, "{text}");
    }
    let long = format!("[\"{}\"]", "x".repeat(256));
    for (text, expected) in [
        ("[\"a\",\n1]", "dictionary.json:2: [1]: found 1; allowed: a route: a text of 1 to 255 bytes"),
        ("[\"\"]", "dictionary.json:1: [0]: found \"\"; allowed: a route: a text of 1 to 255 bytes"),
        ("{\"a\": 1}", "dictionary.json:1: found an object; allowed: a list of routes, or {}"),
        (
            "[\"a\",\n\"a\"]",
            "warning: dictionary.json:2: [1]: \"a\" a second time; its last code is the one that counts",
        ),
    ] {
        check(&[("dictionary.json", text)], &[expected]);
    }
    let expected = format!(
        "dictionary.json:1: [0]: found \"{}…\"; allowed: a route: a text of 1 to 255 bytes",
        "x".repeat(60)
    );
    check(&[("dictionary.json", &long)], &[&expected]);
    let many = format!("[{}1]", "1,".repeat(65_535));
    check(
        &[("dictionary.json", &many)],
        &["dictionary.json:1: found a list of 65536; allowed: at most 65535 routes"],
    );
}

#[test]
fn schemas_are_kept_as_they_stand() {
    let text = r#"{
        "message Shared": {"required int32 a": 1},
        "onChat": {
            "message Inner": {"optional string b": 1, "message Core": {"optional Inner up": 2}, "repeated Core c": 3},
            "required Inner inner": 1, "repeated Shared list": 2, "optional double d": 3
        }
    }"#;
    let expected: serde_json::Value = serde_json::from_str(text).unwrap();
    let config = load("development", &[("serverProtos.json", text), ("clientProtos.json", "{}")]);
    assert_eq!((config.server_protos, config.client_protos), (expected, json!({})));
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
    assert_eq!(load("development", &[]).client_protos, json!({}));
}

#[test]
fn schema_lines_that_cannot_work_are_refused_and_those_that_pomelo_passes_over_are_warned_of() {
    check(
        &[(
            "clientProtos.json",
            "{\"a.b.c\": {\n\"required string a\": 1,\n\"optional bool b\": 2,\n\"optional int32 c\": 0,\n\"optional int32 d\": 1,\n\"optional int32\": 5,\n\"needed int32 e\": 6,\n\"message M\": 7},\n\"x\": []}",
        )],
        &[
            "clientProtos.json:3: [\"a.b.c\"][\"optional bool b\"]: found the type \"bool\"; allowed: uInt32, sInt32, int32, float, double, string, or a message declared in this file",
            "clientProtos.json:4: [\"a.b.c\"][\"optional int32 c\"]: found 0; allowed: a whole number from 1 to 536870911",
            "clientProtos.json:8: [\"a.b.c\"][\"message M\"]: found 7; allowed: an object of schema lines such as \"required string name\": 1",
            "clientProtos.json:9: x: found a list of 0; allowed: an object of schema lines such as \"required string name\": 1",
            "warning: clientProtos.json:5: [\"a.b.c\"][\"optional int32 d\"]: the tag 1 is that of \"a\" already; passed over, as in pomelo",
            "warning: clientProtos.json:6: [\"a.b.c\"][\"optional int32\"]: no schema line; passed over, as in pomelo; the form is \"required|optional|repeated <type> <name>\"",
            "warning: clientProtos.json:7: [\"a.b.c\"][\"needed int32 e\"]: no schema line; passed over, as in pomelo; the form is \"required|optional|repeated <type> <name>\"",
        ],
    );
    check(
        &[("serverProtos.json", "[]")],
        &["serverProtos.json:1: found a list of 0; allowed: an object of schemas by route"],
    );
}

#[test]
fn tokens_are_read_and_never_shown() {
    let text = r#"[{"type": "gate", "token": "one"}, {"type": "chat", "token": "two"}, {"type": "master", "token": "3"}]"#;
    let config = load("development", &[("adminServer.json", text)]);
    let tokens = config.admin_tokens.clone().unwrap();
    assert_eq!((tokens["gate"].as_str(), tokens["chat"].as_str()), ("one", "two"));
    let debug = format!("{config:?}");
    assert!(debug.contains("gate") && !debug.contains("\"one\"") && !debug.contains("\"two\""), "{debug}");
    assert!(load("development", &[]).admin_tokens.is_none());
}

#[test]
fn tokens_that_would_let_nobody_in_are_refused() {
    check(
        &[(
            "adminServer.json",
            "[{\"type\": \"gate\", \"token\": \"secret\"},\n{\"type\": \"gate\", \"token\": \"secret\"},\n{\"type\": \"gone\", \"token\": \"secret\"},\n{\"type\": 1, \"token\": \"secret\"},\n{\"type\": \"chat\", \"token\": 99},\n{\"typ\": \"chat\", \"token\": \"\"}]",
        )],
        &[
            "adminServer.json:1: no token for the server type \"chat\"; with this file, servers without a token cannot register",
            "adminServer.json:2: [1]: a second token for \"gate\"; one token for each server type",
            "adminServer.json:4: [3].type: found 1; allowed: a server type",
            "adminServer.json:5: [4].token: no text, or an empty one; allowed: a text that is not empty",
            "adminServer.json:6: [5]: missing \"type\"; needed: a server type",
            "warning: adminServer.json:3: [2]: servers.json has no server type \"gone\"; this token is not used",
        ],
    );
    check(
        &[("adminServer.json", "{}")],
        &["adminServer.json:1: found an object; allowed: a list of objects with \"type\" and \"token\""],
    );
}
