//! Where files are looked for, which section counts, and what a file that is no JSON is told.

use std::path::Path;

use shaddock_config::{Config, ConfigError};

use crate::report::{check, check_in, load, write};

#[test]
fn a_sound_configuration_reports_nothing() {
    check(&[], &[]);
    check_in("production", &[], &[]);
}

#[test]
fn files_that_must_be_there_are_missed_and_others_are_not() {
    check(
        &[("master.json", ""), ("servers.json", "")],
        &[
            "master.json: no such file; needed; development/master.json would do as well",
            "servers.json: no such file; needed; development/servers.json would do as well",
        ],
    );
    check(
        &[("plugins.json", "")],
        &[
            "warning: servers.json:2: gate: no plugin serves the server type \"gate\"; name it in \"serverTypes\" of a plugin in plugins.json",
            "warning: servers.json:3: chat: no plugin serves the server type \"chat\"; name it in \"serverTypes\" of a plugin in plugins.json",
        ],
    );
}

#[test]
fn the_section_of_the_environment_counts() {
    let master = r#"{
        "development": {"id": "m-dev", "host": "localhost", "port": 1000},
        "production": {"id": "m-prod", "host": "10.0.0.1", "port": 2000}
    }"#;
    assert_eq!(load("development", &[("master.json", master)]).master.id, "m-dev");
    let config = load("production", &[("master.json", master)]);
    assert_eq!(
        (config.env.as_str(), config.master.id.as_str(), config.master.port),
        ("production", "m-prod", 2000)
    );
    check_in(
        "staging",
        &[("master.json", master)],
        &[
            "master.json: no section for the environment \"staging\"; the file has sections for development, production",
        ],
    );
}

#[test]
fn every_file_with_sections_misses_the_one_it_does_not_have() {
    check_in(
        "test",
        &[
            ("servers.json", r#"{"live": {"chat": [{"id": "c", "host": "h", "port": 1}]}, "old": {}}"#),
            (
                "plugins.json",
                r#"{"$schema": "x", "live": {"talk": {"component": "talk.wasm", "serverTypes": ["chat"]}}}"#,
            ),
            ("app.json", r#"{"live": {"chat": {"rpc": {"timeoutMs": 5}}}}"#),
        ],
        &[
            "app.json: no section for the environment \"test\"; the file has sections for live",
            "plugins.json: no section for the environment \"test\"; the file has sections for live",
            "servers.json: no section for the environment \"test\"; the file has sections for live, old",
        ],
    );
}

#[test]
fn a_section_that_javascript_finds_false_is_none() {
    for section in ["null", "false", "0", "\"\""] {
        let master = format!(r#"{{"development": {section}, "id": "whole", "host": "h", "port": 1}}"#);
        assert_eq!(load("development", &[("master.json", &master)]).master.id, "whole", "{section}");
    }
}

#[test]
fn a_directory_per_environment_is_looked_into_second() {
    let master = r#"{"id": "from-directory", "host": "h", "port": 1, "development": {}}"#;
    let config = load("development", &[("master.json", ""), ("development/master.json", master)]);
    assert_eq!(config.master.id, "from-directory");
    check(
        &[("development/master.json", master)],
        &["warning: development/master.json: not read; master.json goes before it; keep one"],
    );
    check(
        &[("servers.json", ""), ("development/servers.json", "{\n\"gate\": {}}")],
        &[
            "development/servers.json:2: gate: found an object; allowed: a list of servers",
            "plugins.json:1: talk.serverTypes[1]: servers.json has no server type \"chat\"; allowed: gate",
        ],
    );
}

#[test]
fn other_files_have_no_sections() {
    let config = load(
        "development",
        &[
            ("development/clientProtos.json", r#"{"a.b.c": {"required string x": 1}}"#),
            ("development/dictionary.json", r#"["onChat"]"#),
            ("serverProtos.json", r#"{"development": {"required string x": 1}}"#),
        ],
    );
    assert_eq!(config.client_protos["a.b.c"]["required string x"], 1);
    assert_eq!(config.server_protos["development"]["required string x"], 1);
    assert_eq!(config.dictionary, ["onChat"]);
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
}

#[test]
fn a_file_that_is_no_json_is_told_so_with_its_line_and_the_others_are_still_read() {
    check(
        &[
            ("servers.json", "{\n  \"gate\": [\n  ],\n}"),
            ("master.json", "{\n // the master\n}"),
            ("app.json", "[\n1"),
            ("dictionary.json", "{'a'}"),
            (
                "plugins.json",
                "{\"talk\": {\"component\": \"gone.wasm\",\n \"serverTypes\": [\"x\"], \"ordered\": 1}}",
            ),
        ],
        &[
            "app.json:2: no JSON: found the end of the file; allowed: ',' or ']' after an item of a list",
            "dictionary.json:1: no JSON: found '\\''; allowed: a key in double quotes",
            "master.json:2: no JSON: found '/' (JSON has no comments); allowed: a key in double quotes",
            "plugins.json:1: talk.component: missing component: gone.wasm does not exist; build the plugin, or name its file as seen from the configuration directory",
            "plugins.json:2: talk.ordered: found 1; allowed: true or false",
            "servers.json:4: no JSON: found '}'; allowed: a key in double quotes",
        ],
    );
}

#[test]
fn a_key_that_stands_twice_is_a_problem_in_every_file() {
    check(
        &[
            ("master.json", "{\"id\": \"m\", \"host\": \"h\",\n\"port\": 1,\n\"port\": 2}"),
            ("serverProtos.json", "{\"onChat\": {\"required string a\": 1,\n\"required string a\": 2}}"),
        ],
        &[
            "master.json:3: port: a second time, after line 2; each key stands once",
            "serverProtos.json:2: onChat[\"required string a\"]: a second time, after line 1; each key stands once",
        ],
    );
}

#[test]
fn files_that_cannot_be_text_are_refused() {
    let dir = write(&[]);
    std::fs::write(dir.path().join("master.json"), b"{\n\"id\": \"\xff\"}").unwrap();
    std::fs::remove_file(dir.path().join("servers.json")).unwrap();
    std::fs::create_dir(dir.path().join("servers.json")).unwrap();
    std::fs::write(dir.path().join("dictionary.json"), " ".repeat((16 << 20) + 1)).unwrap();
    let report = crate::report::report(dir.path(), "development");
    assert_eq!(report[0], "dictionary.json: larger than 16 MiB; a smaller file");
    assert_eq!(report[1], "master.json:2: bytes that are no UTF-8; text in UTF-8");
    assert!(report[2].starts_with("servers.json: cannot be read: "), "{report:?}");
    assert_eq!(report.len(), 3);
}

#[test]
fn a_directory_or_an_environment_that_cannot_be_one_is_refused() {
    let error = Config::load(Path::new("/no/such/directory"), "development").unwrap_err();
    assert!(matches!(error, ConfigError::Directory { .. }));
    assert!(error.to_string().starts_with("cannot read the configuration directory /no/such/directory: "));
    assert!(error.to_string().ends_with("; name it with --config"));
    assert!(error.problems().is_empty() && error.warnings().is_empty());
    for env in ["", "..", "a/b", "a b", &"x".repeat(65)] {
        let error = Config::load(write(&[]).path(), env).unwrap_err();
        assert!(matches!(&error, ConfigError::Environment(name) if name == env));
        let expected =
            format!("\"{env}\" is no environment name; allowed: 1 to 64 letters, digits, '-' and '_'");
        assert_eq!(error.to_string(), expected);
    }
}

#[test]
fn an_error_displays_all_problems_one_a_line_and_keeps_the_warnings() {
    let dir = write(&[
        ("master.json", "{}"),
        ("servers.json", "{\"chat\": [\n{\"id\": \"c\", \"host\": \"h\", \"port\": 1, \"cpu\": 2}]}"),
        ("plugins.json", r#"{"talk": {"component": "talk.wasm", "serverTypes": ["chat"]}}"#),
    ]);
    let error = Config::load(dir.path(), "development").unwrap_err();
    assert_eq!(error.problems().len(), 3);
    assert_eq!(error.to_string().lines().count(), 3);
    assert_eq!(error.warnings().len(), 1);
    let warning = serde_json::to_value(&error.warnings()[0]).unwrap();
    assert_eq!(warning["line"], 2);
    assert_eq!(warning["field"], "chat[0].cpu");
    assert_eq!(warning["found"], "has no effect yet");
}
