//! The JSON Schemas and the loader say the same: same fields, same limits, same defaults.

use std::collections::BTreeSet;
use std::fs;

use jsonschema::Validator;
use serde_json::{Map, Value, json};
use shaddock_config::Config;

use crate::report::{load, report, write};
use crate::shipped::shipped;

/// A schema, the file it is for, and where in that file each of its definitions stands.
struct Subject {
    file: &'static str,
    schema: Value,
    validator: Validator,
    /// Name of the definition, keys that lead to it from an entry.
    objects: &'static [(&'static str, &'static [&'static str])],
}

fn subjects() -> [Subject; 2] {
    let subject = |file, name, objects| {
        let text = fs::read_to_string(shipped().join("schema").join(name)).unwrap();
        let schema: Value = serde_json::from_str(&text).unwrap();
        jsonschema::meta::validate(&schema).unwrap();
        let validator = jsonschema::draft202012::new(&schema).unwrap();
        Subject { file, schema, validator, objects }
    };
    let plugins: &[(_, &[_])] = &[("plugin", &[]), ("pool", &["pool"]), ("limits", &["limits"])];
    let app: &[(_, &[_])] = &[
        ("serverType", &[]),
        ("connector", &["connector"]),
        ("rpc", &["rpc"]),
        ("filterSettings", &["filterSettings"]),
        ("update", &["update"]),
        ("session", &["session"]),
        ("channel", &["channel"]),
    ];
    [subject("plugins.json", "plugins.schema.json", plugins), subject("app.json", "app.schema.json", app)]
}

impl Subject {
    fn properties(&self, definition: &str) -> &Map<String, Value> {
        let definition = self.schema["$defs"].get(definition).unwrap();
        assert_eq!(definition["additionalProperties"], false);
        definition["properties"].as_object().unwrap()
    }

    /// The smallest sound file with one entry.
    fn smallest(&self) -> Value {
        if self.file == "plugins.json" {
            json!({"entry": {"component": "talk.wasm", "serverTypes": ["gate", "chat"]}})
        } else {
            json!({"gate": {}})
        }
    }

    /// The same with one field set in the object that the keys lead to.
    fn with(&self, keys: &[&str], field: &str, value: Value) -> Value {
        let mut file = self.smallest();
        let entry = file.as_object_mut().unwrap().values_mut().next().unwrap();
        let object = keys
            .iter()
            .fold(entry, |object, key| object.as_object_mut().unwrap().entry(*key).or_insert(json!({})));
        object[field] = value;
        file
    }

    fn report(&self, file: &Value) -> Vec<String> {
        let dir = write(&[(self.file, &file.to_string())]);
        report(dir.path(), "development").into_iter().filter(|line| !line.starts_with("warning: ")).collect()
    }

    fn load(&self, file: &Value) -> Config {
        load("development", &[(self.file, &file.to_string())])
    }

    /// Checks that the schema and the loader both take a file, or both refuse it.
    fn agree(&self, file: &Value, sound: bool) {
        assert_eq!(self.validator.is_valid(file), sound, "the schema on {file}");
        let report = self.report(file);
        assert_eq!(report.is_empty(), sound, "the loader on {file}: {report:?}");
    }
}

#[test]
fn the_shipped_files_are_valid() {
    for subject in subjects() {
        let text = fs::read_to_string(shipped().join(subject.file)).unwrap();
        let file: Value = serde_json::from_str(&text).unwrap();
        let errors: Vec<_> = subject.validator.iter_errors(&file).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{}: {errors:?}", subject.file);
        let named = file["$schema"].as_str().unwrap();
        assert!(shipped().join(named).is_file(), "{named}");
    }
}

#[test]
fn the_loader_knows_the_fields_of_the_schema_and_no_others() {
    for subject in subjects() {
        for (definition, keys) in subject.objects {
            // A name that is near to none makes the loader list all it knows.
            let report = subject.report(&subject.with(keys, "qqqqqqqqqqqqqqqqqqqqqq", json!(1)));
            let [line] = report.as_slice() else { panic!("{definition}: {report:?}") };
            let (_, known) = line.split_once("unknown field; allowed: ").unwrap();
            let known: BTreeSet<_> = known.split(", ").collect();
            let properties: BTreeSet<_> = subject.properties(definition).keys().map(String::as_str).collect();
            assert_eq!(known, properties, "{definition}");
        }
    }
}

#[test]
fn every_definition_is_checked() {
    for subject in subjects() {
        let checked: BTreeSet<_> = subject.objects.iter().map(|(definition, _)| *definition).collect();
        for (name, definition) in subject.schema["$defs"].as_object().unwrap() {
            let has_fields = definition["additionalProperties"] == false;
            assert_eq!(has_fields, checked.contains(name.as_str()), "{name}");
        }
    }
}

#[test]
fn limits_are_the_same() {
    for subject in subjects() {
        for (definition, keys) in subject.objects {
            for (name, property) in subject.properties(definition) {
                let Some(minimum) = property["minimum"].as_i64() else { continue };
                let maximum = property["maximum"].as_i64().unwrap();
                let file = |number: i64| subject.with(keys, name, json!(number));
                subject.agree(&file(minimum), true);
                subject.agree(&file(maximum), true);
                subject.agree(&file(minimum - 1), false);
                subject.agree(&file(maximum + 1), false);
                subject.agree(&subject.with(keys, name, json!("1")), false);
                let nullable = property["type"] != "integer";
                subject.agree(&subject.with(keys, name, json!(null)), nullable);
            }
        }
    }
}

#[test]
fn every_number_has_limits_and_every_setting_a_default() {
    for subject in subjects() {
        for (definition, _) in subject.objects {
            for (name, property) in subject.properties(definition) {
                let number = property["type"] == "integer" || property["type"] == json!(["integer", "null"]);
                assert_eq!(
                    number,
                    property.get("minimum").is_some() && property.get("maximum").is_some(),
                    "{name}"
                );
                let without = ["component", "serverTypes", "listenHost"].contains(&name.as_str())
                    || property.get("$ref").is_some();
                assert_eq!(property.get("default").is_none(), without, "{name}");
                assert!(property.get("$ref").is_some() || property["description"].is_string(), "{name}");
            }
        }
    }
}

#[test]
fn defaults_are_the_same() {
    for subject in subjects() {
        let plain = subject.load(&subject.smallest());
        for (definition, keys) in subject.objects {
            for (name, property) in subject.properties(definition) {
                let Some(default) = property.get("default") else { continue };
                let written = subject.load(&subject.with(keys, name, default.clone()));
                assert_eq!(written.app_for("gate"), plain.app_for("gate"), "{definition}.{name}");
                let mut plugin = written.plugins[0].clone();
                plugin.component.clone_from(&plain.plugins[0].component);
                assert_eq!(plugin, plain.plugins[0], "{definition}.{name}");
            }
        }
    }
}

#[test]
fn names_are_the_same() {
    let [plugins, app] = subjects();
    for (subject, keys, name, value, sound) in [
        (&plugins, &["pool"][..], "policy", json!("single"), true),
        (&plugins, &["pool"], "policy", json!("fresh"), true),
        (&plugins, &["pool"], "policy", json!("cold"), false),
        (&plugins, &[], "grants", json!(["sessions", "channels", "rpc"]), true),
        (&plugins, &[], "grants", json!(["sockets"]), false),
        (&plugins, &[], "grants", json!(["rpc", "rpc"]), false),
        (&plugins, &[], "serverTypes", json!([]), false),
        (&plugins, &[], "serverTypes", json!(["chat", "chat"]), false),
        (&plugins, &[], "component", json!(""), false),
        (&plugins, &[], "ordered", json!("true"), false),
        (&plugins, &[], "settings", json!([]), false),
        (&plugins, &[], "settings", json!({"any": ["thing"]}), true),
        (&app, &["connector"], "transports", json!(["tcp", "ws"]), true),
        (&app, &["connector"], "transports", json!([]), false),
        (&app, &["connector"], "transports", json!(["udp"]), false),
        (&app, &["connector"], "blacklist", json!(["192.0.2.0/24"]), true),
        (&app, &["connector"], "blacklist", json!(["::1", "::1"]), false),
        (&app, &["connector"], "blacklist", json!([7]), false),
        (&app, &["connector"], "useDict", json!(1), false),
        (&app, &["connector"], "listenHost", json!(1), false),
        (&app, &[], "router", json!({"chat": "rr"}), true),
        (&app, &[], "router", json!({"chat": "wrr"}), true),
        (&app, &[], "router", json!({"chat": "la"}), true),
        (&app, &[], "router", json!({"chat": "ch"}), true),
        (&app, &[], "router", json!({"chat": "dice"}), false),
        (&app, &[], "filters", json!(["serial", "time", "timeout", "toobusy"]), true),
        (&app, &[], "filters", json!(["magic"]), true),
        (&app, &[], "filters", json!([7]), false),
        (&app, &[], "globalFilters", json!(["a", "a"]), false),
        (&app, &[], "errorHandler", json!(null), true),
        (&app, &[], "errorHandler", json!(""), false),
    ] {
        subject.agree(&subject.with(keys, name, value), sound);
    }
}

#[test]
fn sections_by_environment_are_valid_too() {
    let [plugins, app] = subjects();
    plugins.agree(&json!({"development": plugins.with(&[], "ordered", json!(7))}), false);
    app.agree(&json!({"development": app.with(&["rpc"], "timeoutMs", json!("5"))}), false);
    plugins.agree(&json!({"$schema": "x", "development": plugins.with(&[], "ordered", json!(false))}), true);
    plugins.agree(&json!({"a b": plugins.with(&[], "ordered", json!(false))["entry"]}), false);
    app.agree(&json!({"$schema": "x", "development": app.with(&["rpc"], "timeoutMs", json!(5))}), true);
    app.agree(&json!({"all": {}, "*": {}}), false);
}

#[test]
fn the_manual_has_a_row_for_every_field_with_its_limits_and_default() {
    let manual = fs::read_to_string(shipped().join("../docs/configuration.md")).unwrap();
    for subject in subjects() {
        for (definition, _) in subject.objects {
            for (name, property) in subject.properties(definition) {
                let start = format!("| `{name}` |");
                let row = manual.lines().find(|line| line.starts_with(&start));
                let row = row.unwrap_or_else(|| panic!("no row for {definition}.{name}"));
                for key in ["minimum", "maximum", "default"] {
                    let Some(number) = property[key].as_i64() else { continue };
                    assert!(row.contains(&format!(" {number} ")), "{key} {number} of {name} in {row}");
                }
            }
        }
    }
}
