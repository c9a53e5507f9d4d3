//! The configuration in `config/` at the top of the repository: the chat application's cluster.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;
use shaddock_config::{Config, Grants};
use tempfile::TempDir;

pub(crate) fn shipped() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config")
}

/// A copy of the shipped configuration beside a component that stands for the one that is built.
fn copy() -> (TempDir, PathBuf) {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("config");
    fs::create_dir(&dir).unwrap();
    for entry in fs::read_dir(shipped()).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_file() {
            fs::copy(entry.path(), dir.join(entry.file_name())).unwrap();
        }
    }
    let components = root.path().join("plugins/target/components");
    fs::create_dir_all(&components).unwrap();
    fs::write(components.join("chat.wasm"), "not looked into").unwrap();
    (root, dir)
}

#[test]
fn it_describes_the_tutorials_cluster_without_a_warning() {
    let (_root, dir) = copy();
    for env in ["development", "production"] {
        let config = Config::load(&dir, env).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(config.warnings, [], "{env}");
        assert_eq!((config.master.port, config.master.web_port), (3005, Some(3001)));
        let seen: Vec<_> = config
            .servers
            .iter()
            .map(|server| (server.id.as_str(), server.port, server.client_port, server.frontend))
            .collect();
        assert_eq!(
            seen,
            [
                ("chat-server-1", Some(6050), None, false),
                ("chat-server-2", Some(6051), None, false),
                ("chat-server-3", Some(6052), None, false),
                ("connector-server-1", Some(4050), Some(3050), true),
                ("connector-server-2", Some(4051), Some(3051), true),
                ("connector-server-3", Some(4052), Some(3052), true),
                ("gate-server-1", None, Some(3014), true),
            ]
        );
        assert!(config.servers.iter().all(|server| server.host == "127.0.0.1"));
        assert!(config.servers.iter().all(|server| config.listen_address(server).is_loopback()));
        let connector = &config.app_for("connector").connector;
        assert_eq!(
            (connector.heartbeat_s, connector.use_dict, connector.use_protobuf),
            (Some(3), true, true)
        );
        let gate = &config.app_for("gate").connector;
        assert_eq!((gate.heartbeat_s, gate.use_dict, gate.use_protobuf), (None, false, true));
        assert_eq!(config.plugins.len(), 1);
        assert_eq!(config.plugins[0].server_types, ["gate", "connector", "chat"]);
        assert_eq!(
            config.plugins[0].grants,
            Grants { sessions: true, channels: true, rpc: true, timers: false }
        );
        assert!(config.dictionary.is_empty());
        assert_eq!(config.client_protos, json!({}));
        assert_eq!(
            config.server_protos,
            json!({"onChat": {"required string msg": 1, "required string from": 2, "required string target": 3}})
        );
        let tokens = config.admin_tokens.unwrap();
        assert_eq!(tokens.keys().collect::<Vec<_>>(), ["chat", "connector", "gate"]);
    }
}

#[test]
fn without_the_plugin_built_it_says_what_is_missing() {
    let (root, dir) = copy();
    fs::remove_file(root.path().join("plugins/target/components/chat.wasm")).unwrap();
    let error = Config::load(&dir, "development").unwrap_err();
    assert_eq!(error.problems().len(), 1);
    assert_eq!(
        (error.problems()[0].0.field.as_str(), error.problems()[0].0.line),
        ("chat.component", Some(4))
    );
}
