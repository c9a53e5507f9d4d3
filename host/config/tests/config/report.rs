//! The one way the other tests touch the crate: write files, load them, compare the report.

use std::fs;
use std::path::Path;

use shaddock_config::{Config, ConfigError};
use tempfile::TempDir;

/// A configuration without fault: one frontend, two backends, one plugin.
const SOUND: &[(&str, &str)] = &[
    ("master.json", r#"{"id": "master-1", "host": "127.0.0.1", "port": 3005}"#),
    (
        "servers.json",
        r#"{
  "gate": [{"id": "gate-1", "host": "127.0.0.1", "clientPort": 3014, "frontend": true}],
  "chat": [
    {"id": "chat-1", "host": "127.0.0.1", "port": 6050},
    {"id": "chat-2", "host": "127.0.0.1", "port": 6051}
  ]
}"#,
    ),
    ("plugins.json", r#"{"talk": {"component": "talk.wasm", "serverTypes": ["gate", "chat"]}}"#),
    ("talk.wasm", "not looked into"),
];

/// Writes the sound configuration with some files replaced, added, or (with an empty text) left out.
pub(crate) fn write(files: &[(&str, &str)]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in SOUND.iter().chain(files) {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        if text.is_empty() {
            fs::remove_file(path).unwrap();
        } else {
            fs::write(path, text).unwrap();
        }
    }
    dir
}

/// Loads the sound configuration, changed by `files`; it must still be without problems.
pub(crate) fn load(env: &str, files: &[(&str, &str)]) -> Config {
    let dir = write(files);
    Config::load(dir.path(), env).unwrap_or_else(|error| panic!("{error}"))
}

/// Loads the sound configuration, changed by `files`, in the environment `development`, and compares what
/// is reported: one problem or warning a line.
pub(crate) fn check(files: &[(&str, &str)], expected: &[&str]) {
    check_in("development", files, expected);
}

/// As `check`, in any environment.
pub(crate) fn check_in(env: &str, files: &[(&str, &str)], expected: &[&str]) {
    let dir = write(files);
    assert_eq!(report(dir.path(), env), expected, "for {files:#?}");
}

/// What loading a directory reports, with paths below it.
pub(crate) fn report(dir: &Path, env: &str) -> Vec<String> {
    let prefix = format!("{}/", dir.display());
    let real_prefix = format!("{}/", dir.canonicalize().unwrap().display());
    let (problems, warnings) = match Config::load(dir, env) {
        Ok(config) => (Vec::new(), config.warnings),
        Err(ConfigError::Invalid { problems, warnings }) => {
            assert!(!problems.is_empty(), "a refusal says why");
            (problems, warnings)
        }
        Err(other) => return vec![other.to_string()],
    };
    let problems = problems.iter().map(ToString::to_string);
    let warnings = warnings.iter().map(|warning| format!("warning: {warning}"));
    let shorten = |line: String| line.replace(&prefix, "").replace(&real_prefix, "");
    problems.chain(warnings).map(shorten).collect()
}
