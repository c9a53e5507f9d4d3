//! The configuration of a cluster to measure.
//!
//! The bench plugin is measured on servers of two types. The chat application runs as it is shipped, but for ports,
//! numbers of servers, and heartbeats: the load generator's players have none.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};

pub(super) const ENVIRONMENT: &str = "development";
pub(super) const FRONTEND: &str = "connector";

/// What a cluster runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Application {
    /// `plugins/bench`.
    Bench,
    /// `plugins/chat`, with its gate.
    Chat,
}

impl Application {
    /// Its plugin's name, in plugins.json and as the stem of its component file.
    pub(crate) fn plugin(self) -> &'static str {
        match self {
            Self::Bench => "bench",
            Self::Chat => "chat",
        }
    }

    pub(super) fn backend(self) -> &'static str {
        match self {
            Self::Bench => "backend",
            Self::Chat => "chat",
        }
    }

    fn gates(self) -> usize {
        match self {
            Self::Bench => 0,
            Self::Chat => 1,
        }
    }
}

/// How many servers of which kind.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    pub(crate) application: Application,
    pub(crate) frontends: u32,
    pub(crate) backends: u32,
    /// Client connections of one frontend.
    pub(crate) connections_max: usize,
}

impl Layout {
    /// Writes the files into `directory`; the client ports of the frontends, in order.
    pub(super) fn write(self, directory: &Path, component: &Path) -> Result<Vec<u16>> {
        let frontends = self.frontends as usize;
        let gates = self.application.gates();
        let ports = free_ports(1 + gates + 2 * frontends + self.backends as usize)?;
        let (master, rest) = ports.split_first().context("no free port")?;
        let (gate_ports, rest) = rest.split_at_checked(gates).context("no free ports")?;
        let (client_ports, rest) = rest.split_at_checked(frontends).context("no free ports")?;
        let (frontend_ports, backend_ports) = rest.split_at_checked(frontends).context("no free ports")?;

        let connectors: Vec<Value> = (1..)
            .zip(frontend_ports.iter().zip(client_ports))
            .map(|(number, (port, client_port))| {
                let id = format!("{FRONTEND}-{number}");
                json!({ "id": id, "host": "127.0.0.1", "port": port, "clientPort": client_port, "frontend": true })
            })
            .collect();
        let backends: Vec<Value> = (1..)
            .zip(backend_ports)
            .map(|(number, port)| {
                let id = format!("{}-{number}", self.application.backend());
                json!({ "id": id, "host": "127.0.0.1", "port": port })
            })
            .collect();
        let gates: Vec<Value> = (1..)
            .zip(gate_ports)
            .map(|(number, client_port)| {
                let id = format!("gate-{number}");
                json!({ "id": id, "host": "127.0.0.1", "clientPort": client_port, "frontend": true })
            })
            .collect();
        let mut servers = Map::new();
        for (server_type, list) in
            [(FRONTEND, connectors), (self.application.backend(), backends), ("gate", gates)]
        {
            if !list.is_empty() {
                servers.insert(server_type.to_owned(), list.into());
            }
        }

        fs::create_dir_all(directory)?;
        let write = |name: &str, content: &Value| {
            let path = directory.join(name);
            fs::write(&path, format!("{content:#}\n")).with_context(|| format!("writing {}", path.display()))
        };
        let development = |content: Value| json!({ ENVIRONMENT: content });
        write("master.json", &development(json!({ "id": "master", "host": "127.0.0.1", "port": master })))?;
        write("servers.json", &development(servers.into()))?;
        write("plugins.json", &development(self.plugins(component)))?;
        if self.application == Application::Chat {
            fs::write(directory.join("serverProtos.json"), CHAT_PROTOS)?;
        }
        write("app.json", &development(self.app()))?;
        Ok(client_ports.to_vec())
    }

    /// Limits that a measurement must not run into; everything else stays as shipped.
    fn app(self) -> Value {
        json!({ FRONTEND: { "connector": {
            "useDict": true,
            "useProtobuf": self.application == Application::Chat,
            "connectionsMax": self.connections_max,
            "queuedRequestsMax": 2048,
            "idleTimeoutMs": 600_000,
        } } })
    }

    fn plugins(self, component: &Path) -> Value {
        let own = [FRONTEND, self.application.backend()];
        let gate = (self.application.gates() > 0).then_some("gate");
        json!({ self.application.plugin(): {
            "component": component,
            "serverTypes": gate.into_iter().chain(own).collect::<Vec<_>>(),
            "grants": ["sessions", "channels", "rpc"],
        } })
    }
}

/// How the chat application's pushes are encoded.
const CHAT_PROTOS: &str = include_str!("../../../../config/serverProtos.json");

/// Ports that are free now. All are held until all are found, so they differ; a moment later somebody else may take
/// one, and then the cluster says which.
fn free_ports(count: usize) -> Result<Vec<u16>> {
    let listeners = (0..count)
        .map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
        .collect::<std::io::Result<Vec<_>>>()
        .context("finding free ports")?;
    listeners.iter().map(|listener| Ok(listener.local_addr()?.port())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_is_valid_and_has_ports_of_its_own() {
        let directory = tempfile::tempdir().unwrap();
        let component = directory.path().join("bench.wasm");
        fs::write(&component, "").unwrap();
        let layout =
            Layout { application: Application::Bench, frontends: 3, backends: 4, connections_max: 10 };
        let client_ports = layout.write(&directory.path().join("config"), &component).unwrap();

        let config = shaddock_config::Config::load(&directory.path().join("config"), ENVIRONMENT).unwrap();
        assert!(config.warnings.is_empty(), "{:?}", config.warnings);
        assert_eq!(
            config.servers_of(FRONTEND).map(|server| server.client_port.unwrap()).collect::<Vec<_>>(),
            client_ports
        );
        assert_eq!(config.servers_of("backend").count(), 4);
        assert_eq!(config.app_for(FRONTEND).connector.connections_max, 10);
        assert!(config.plugins[0].component.ends_with("bench.wasm") && config.plugins[0].grants.channels);
        let ports = config.servers.iter().flat_map(|server| [server.port, server.client_port]).flatten();
        let unique: std::collections::BTreeSet<u16> = ports.chain([config.master.port]).collect();
        assert_eq!(unique.len(), 11);
    }

    #[test]
    fn the_chat_cluster_has_a_gate_and_encodes_pushes_as_shipped() {
        let directory = tempfile::tempdir().unwrap();
        let component = directory.path().join("chat.wasm");
        fs::write(&component, "").unwrap();
        let layout =
            Layout { application: Application::Chat, frontends: 2, backends: 3, connections_max: 10 };
        layout.write(&directory.path().join("config"), &component).unwrap();

        let config = shaddock_config::Config::load(&directory.path().join("config"), ENVIRONMENT).unwrap();
        assert!(config.warnings.is_empty(), "{:?}", config.warnings);
        let servers = ["gate", FRONTEND, "chat"].map(|server_type| config.servers_of(server_type).count());
        assert_eq!(servers, [1, 2, 3]);
        assert_eq!(config.plugins[0].name, "chat");
        assert!(directory.path().join("config/serverProtos.json").exists());
    }
}
