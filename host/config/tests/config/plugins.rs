//! plugins.json.

use serde_json::json;
use shaddock_config::{Grants, PluginEntry, PluginLimits, Pool};

use crate::report::{check, load};

/// Checks an entry that has these fields, from line 2 on, beside `component` and `serverTypes`.
fn fields(fields: &str, expected: &[&str]) {
    let text = format!(
        "{{\"talk\": {{\"component\": \"talk.wasm\", \"serverTypes\": [\"gate\", \"chat\"],\n{fields}}}}}"
    );
    check(&[("plugins.json", &text)], expected);
}

fn plugin(fields: &str) -> PluginEntry {
    let text =
        format!(r#"{{"talk": {{"component": "talk.wasm", "serverTypes": ["gate", "chat"]{fields}}}}}"#);
    load("development", &[("plugins.json", &text)]).plugins.remove(0)
}

#[test]
fn what_is_absent_has_its_default() {
    let plugin = plugin("");
    assert_eq!(plugin.name, "talk");
    assert!(plugin.component.is_absolute() && plugin.component.ends_with("talk.wasm"));
    assert_eq!(plugin.server_types, ["gate", "chat"]);
    assert_eq!((plugin.pool, plugin.ordered), (Pool::Warm, true));
    assert_eq!(plugin.grants, Grants::default());
    assert_eq!(plugin.settings, json!({}));
    let limits = PluginLimits {
        memory_bytes_max: 67_108_864,
        deadline_ms: 5_000,
        cpu_ms_max: 1_000,
        value_bytes_max: 1_048_576,
        instances_max: 64,
        nested_instances_max: 64,
        calls_per_instance_max: 128,
        recycle_calls: 0,
        recycle_bytes: None,
        queue_ms_max: 1_000,
        queued_calls_max: 1_024,
    };
    assert_eq!(plugin.limits, limits);
}

#[test]
fn all_fields_are_read() {
    let plugin = plugin(
        r#", "pool": {"policy": "fresh", "instancesMax": 1, "nestedInstancesMax": 2, "queueMsMax": 3, "queuedCallsMax": 4,
            "callsPerInstanceMax": 8, "recycleCalls": 5, "recycleBytes": 65536},
          "limits": {"memoryBytesMax": 65536, "deadlineMs": 6, "cpuMsMax": 7, "valueBytesMax": 2048},
          "grants": ["rpc", "sessions"], "ordered": false, "settings": {"motd": ["hi", 1.5]}"#,
    );
    assert_eq!((plugin.pool, plugin.ordered), (Pool::Fresh, false));
    assert_eq!(plugin.grants, Grants { sessions: true, channels: false, rpc: true, timers: false });
    assert_eq!(plugin.settings, json!({"motd": ["hi", 1.5]}));
    let limits = PluginLimits {
        memory_bytes_max: 65_536,
        deadline_ms: 6,
        cpu_ms_max: 7,
        value_bytes_max: 2_048,
        instances_max: 1,
        nested_instances_max: 2,
        calls_per_instance_max: 8,
        recycle_calls: 5,
        recycle_bytes: Some(65_536),
        queue_ms_max: 3,
        queued_calls_max: 4,
    };
    assert_eq!(plugin.limits, limits);
}

#[test]
fn plugins_keep_the_order_of_the_file_and_are_found_by_type() {
    let text = r#"{
        "$schema": "schema/plugins.schema.json",
        "production": {},
        "development": {
            "z": {"component": "talk.wasm", "serverTypes": ["chat"], "pool": {"policy": "single"}},
            "a": {"component": "./talk.wasm", "serverTypes": ["gate", "chat"]}
        }
    }"#;
    let config = load("development", &[("plugins.json", text)]);
    let names =
        |server_type| config.plugins_for(server_type).map(|plugin| plugin.name.clone()).collect::<Vec<_>>();
    assert_eq!((names("chat"), names("gate")), (vec!["z".to_owned(), "a".to_owned()], vec!["a".to_owned()]));
    assert_eq!(config.plugins[0].pool, Pool::Single);
}

#[test]
fn what_must_be_there_is_missed() {
    check(
        &[(
            "plugins.json",
            "{\"talk\":\n{\"ordered\": true}, \"b\": 1, \"a b\": {\"component\": 5,\n\"serverTypes\": []}}",
        )],
        &[
            "plugins.json:1: talk: missing \"component\"; needed: the path of the component file",
            "plugins.json:1: talk: missing \"serverTypes\"; needed: a list of the server types that load the plugin",
            "plugins.json:2: b: found 1; allowed: an object",
            "plugins.json:2: [\"a b\"]: found the plugin name \"a b\"; allowed: 1 to 64 letters, digits, '-' and '_'",
            "plugins.json:2: [\"a b\"].component: found 5; allowed: the path of a component file, as seen from the configuration directory",
            "plugins.json:3: [\"a b\"].serverTypes: found a list of 0; allowed: at least one server type",
            "warning: servers.json:2: gate: no plugin serves the server type \"gate\"; name it in \"serverTypes\" of a plugin in plugins.json",
            "warning: servers.json:3: chat: no plugin serves the server type \"chat\"; name it in \"serverTypes\" of a plugin in plugins.json",
        ],
    );
    check(
        &[("plugins.json", "[]")],
        &[
            "plugins.json:1: found a list of 0; allowed: an object of plugins, each under its name",
            "warning: servers.json:2: gate: no plugin serves the server type \"gate\"; name it in \"serverTypes\" of a plugin in plugins.json",
            "warning: servers.json:3: chat: no plugin serves the server type \"chat\"; name it in \"serverTypes\" of a plugin in plugins.json",
        ],
    );
}

#[test]
fn a_missing_component_is_found() {
    let advice = "build the plugin, or name its file as seen from the configuration directory";
    for (component, reason) in
        [("gone.wasm", "does not exist"), ("..", "is no file"), ("talk.wasm/x", "cannot")]
    {
        let text = format!(
            "{{\"talk\": {{\"serverTypes\": [\"gate\", \"chat\"],\n\"component\": \"{component}\"}}}}"
        );
        let dir = crate::report::write(&[("plugins.json", &text)]);
        let report = crate::report::report(dir.path(), "development");
        assert_eq!(report.len(), 1, "{report:?}");
        let start = format!("plugins.json:2: talk.component: missing component: {component} {reason}");
        assert!(report[0].starts_with(&start) && report[0].ends_with(advice), "{report:?}");
    }
}

#[test]
fn a_plugin_for_a_type_that_is_not_there_is_refused() {
    check(
        &[(
            "plugins.json",
            "{\"talk\": {\"component\": \"talk.wasm\", \"serverTypes\": [\"gate\",\n\"chatt\",\n\"chat\",\n\"chat\",\n\"world\", 1]}}",
        )],
        &[
            "plugins.json:2: talk.serverTypes[1]: servers.json has no server type \"chatt\"; did you mean \"chat\"?",
            "plugins.json:4: talk.serverTypes[3]: \"chat\" a second time; each name stands once",
            "plugins.json:5: talk.serverTypes[4]: servers.json has no server type \"world\"; allowed: chat, gate",
            "plugins.json:5: talk.serverTypes[5]: found 1; allowed: a server type",
        ],
    );
}

#[test]
fn every_value_that_is_not_allowed_is_refused() {
    for (text, expected) in [
        ("\"pool\": 1", "pool: found 1; allowed: an object"),
        ("\"pool\": {\"policy\": \"hot\"}", "pool.policy: found \"hot\"; allowed: warm, fresh, single"),
        ("\"pool\": {\"policy\": \"singel\"}", "pool.policy: found \"singel\"; did you mean \"single\"?"),
        ("\"pool\": {\"policy\": 1}", "pool.policy: found 1; allowed: warm, fresh, single"),
        (
            "\"pool\": {\"instancesMax\": 0}",
            "pool.instancesMax: found 0; allowed: a whole number from 1 to 10000",
        ),
        ("\"pool\": {\"instanceMax\": 5}", "pool.instanceMax: unknown field; did you mean \"instancesMax\"?"),
        (
            "\"limits\": {\"deadlineMs\": \"5\"}",
            "limits.deadlineMs: found \"5\"; allowed: a whole number from 1 to 600000, without quotes",
        ),
        (
            "\"limits\": {\"cpuMsMax\": 1.5}",
            "limits.cpuMsMax: found 1.5; allowed: a whole number from 1 to 60000",
        ),
        (
            "\"limits\": {\"fuel\": 1}",
            "limits.fuel: unknown field; allowed: memoryBytesMax, deadlineMs, cpuMsMax, valueBytesMax",
        ),
        (
            "\"tickHz\": 20, \"pool\": {\"policy\": \"warm\"}",
            "pool.policy: a game loop (\"tickHz\") in many instances; allowed: the policy \"single\"",
        ),
        ("\"tickHz\": 0", "tickHz: found 0; allowed: a whole number from 1 to 1000"),
        ("\"grants\": \"rpc\"", "grants: found \"rpc\"; allowed: a list of sessions, channels, rpc, timers"),
        ("\"grants\": [\"session\"]", "grants[0]: found \"session\"; did you mean \"sessions\"?"),
        ("\"grants\": [\"rpc\", \"rpc\"]", "grants[1]: \"rpc\" a second time; each name stands once"),
        ("\"ordered\": \"true\"", "ordered: found \"true\"; allowed: true or false"),
        ("\"settings\": [1]", "settings: found a list of 1; allowed: an object of settings"),
        ("\"setings\": {}", "setings: unknown field; did you mean \"settings\"?"),
        (
            "\"$schema\": \"x\"",
            "$schema: unknown field; allowed: component, serverTypes, pool, limits, grants, ordered, tickHz, settings",
        ),
    ] {
        fields(text, &[&format!("plugins.json:2: talk.{expected}")]);
    }
}

#[test]
fn a_single_instance_has_no_pool_to_size() {
    fields(
        "\"pool\": {\"policy\": \"single\",\n\"instancesMax\": 3,\n\"nestedInstancesMax\": 3, \"queueMsMax\": 5}",
        &[
            "warning: plugins.json:3: talk.pool.instancesMax: has no effect; the policy \"single\" keeps one instance",
            "warning: plugins.json:4: talk.pool.nestedInstancesMax: has no effect; the policy \"single\" keeps one instance",
        ],
    );
}
