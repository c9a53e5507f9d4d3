//! The configuration of a cluster for a test: the shipped one, with other numbers of servers and free ports.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value, json};

use crate::{Ports, component, root};

/// The environment of clusters in tests.
pub(crate) const ENV: &str = "development";
/// Files that are taken as they are shipped unless [`Config::file`] names them.
const SHIPPED: [&str; 5] =
    ["adminServer.json", "app.json", "clientProtos.json", "serverProtos.json", "dictionary.json"];

/// What a test wants of a cluster.
#[derive(Clone, Debug)]
pub struct Config {
    gates: usize,
    connectors: usize,
    chats: usize,
    plugins: Map<String, Value>,
    files: BTreeMap<String, Value>,
    fields: BTreeMap<String, Map<String, Value>>,
}

impl Config {
    /// The chat application on one gate, one connector and one chat server.
    pub fn small() -> Config {
        Config::chat(1, 1, 1)
    }

    /// The chat application as the tutorial has it: one gate, three connectors, three chat servers.
    pub fn tutorial() -> Config {
        Config::chat(1, 3, 3)
    }

    /// The chat application on so many servers of each type.
    pub fn chat(gates: usize, connectors: usize, chats: usize) -> Config {
        let chat = json!({
            "component": component("chat"),
            "serverTypes": ["gate", "connector", "chat"],
            "grants": ["sessions", "channels", "rpc"],
        });
        let plugins = Map::from_iter([("chat".to_owned(), chat)]);
        Config { gates, connectors, chats, plugins, files: BTreeMap::new(), fields: BTreeMap::new() }
    }

    /// Adds a plugin, or puts it in place of one.
    pub fn plugin(mut self, name: &str, entry: Value) -> Config {
        self.plugins.insert(name.to_owned(), entry);
        self
    }

    /// Takes a plugin away.
    pub fn without_plugin(mut self, name: &str) -> Config {
        self.plugins.remove(name);
        self
    }

    /// Puts `content` in place of a shipped file, such as `app.json`.
    pub fn file(mut self, name: &str, content: Value) -> Config {
        self.files.insert(name.to_owned(), content);
        self
    }

    /// Adds a field to the entry of a server in servers.json (or changes one).
    pub fn field(mut self, id: &str, name: &str, value: Value) -> Config {
        self.fields.entry(id.to_owned()).or_default().insert(name.to_owned(), value);
        self
    }

    /// How many ports it takes.
    pub(crate) fn ports(&self) -> usize {
        3 + self.gates + 2 * self.connectors + self.chats
    }

    /// Writes all files.
    pub(crate) fn write(&self, dir: &Path, ports: &mut Ports) {
        std::fs::create_dir_all(dir).unwrap();
        for name in SHIPPED {
            std::fs::copy(root().join("config").join(name), dir.join(name)).unwrap();
        }
        if !self.files.contains_key("app.json") {
            // A test's client says nothing while the test does something else.
            let mut app = read(dir, "app.json");
            app["connector"]["connector"]["heartbeatTimeout"] = json!(60);
            write(dir, "app.json", &app);
        }
        // app.json names its schema by a path beside it.
        let schema = root().join("config/schema");
        if schema.is_dir() {
            std::os::unix::fs::symlink(schema, dir.join("schema")).unwrap();
        }
        write(dir, "plugins.json", &Value::Object(self.plugins.clone()));
        write(dir, "servers.json", &json!({ ENV: self.servers(ports) }));
        let web_root = root().join("plugins/chat/web");
        let master = json!({
            "id": "master-server-1", "host": "127.0.0.1", "port": ports.pick(), "webPort": ports.pick(),
            "webRoot": web_root,
        });
        write(dir, "master.json", &json!({ ENV: master }));
        for (name, content) in &self.files {
            write(dir, name, content);
        }
    }

    fn servers(&self, ports: &mut Ports) -> Value {
        let mut list = |count: usize, server_type: &str, client: bool, rpc: bool| {
            let entries = (1..=count).map(|number| {
                let id = format!("{server_type}-server-{number}");
                let mut entry =
                    Map::from_iter([("id".to_owned(), json!(id)), ("host".to_owned(), json!("127.0.0.1"))]);
                if rpc {
                    entry.insert("port".to_owned(), ports.pick().into());
                }
                if client {
                    entry.insert("clientPort".to_owned(), ports.pick().into());
                    entry.insert("frontend".to_owned(), true.into());
                }
                entry.extend(self.fields.get(&id).cloned().unwrap_or_default());
                Value::Object(entry)
            });
            entries.collect::<Vec<_>>()
        };
        json!({
            "connector": list(self.connectors, "connector", true, true),
            "chat": list(self.chats, "chat", false, true),
            "gate": list(self.gates, "gate", true, false),
        })
    }
}

pub(crate) fn read(dir: &Path, name: &str) -> Value {
    serde_json::from_slice(&std::fs::read(dir.join(name)).unwrap()).unwrap()
}

pub(crate) fn write(dir: &Path, name: &str, content: &Value) {
    std::fs::write(dir.join(name), serde_json::to_vec_pretty(content).unwrap()).unwrap();
}
