//! State and numbers of all servers, gathered on demand.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Map, Value, json};
use shaddock_config::ServerEntry;

use crate::control::{Listing, MasterStatus, ServerStatus};
use crate::master::{Hub, Master};

/// How long a server may take to tell its numbers.
const STATS_TIMEOUT: Duration = Duration::from_secs(2);

impl Master {
    /// State and numbers of all servers.
    pub async fn listing(&self) -> Listing {
        listing(&self.hub).await
    }
}

/// State and numbers of all servers; those that do not answer are listed without numbers.
pub(crate) async fn listing(hub: &Hub) -> Listing {
    let servers: Vec<_> =
        hub.table.read(|entries| entries.values().map(|entry| entry.server.clone()).collect());
    Listing { master: master(hub), servers: join_all(servers.iter().map(|s| server(hub, s))).await }
}

fn master(hub: &Hub) -> MasterStatus {
    let port = hub.links().map_or(hub.config.master.port, |links| links.local_addr().port());
    let mut ports = Map::from_iter([("master".to_owned(), port.into())]);
    if let Some(web) = hub.ports.web {
        ports.insert("web".to_owned(), web.port().into());
    }
    ports.insert("admin".to_owned(), hub.ports.admin.port().into());
    MasterStatus {
        id: hub.config.master.id.clone(),
        env: hub.config.env.clone(),
        pid: std::process::id(),
        ports,
        uptime_s: hub.started.elapsed().as_secs(),
        web_url: hub.web_url(),
    }
}

pub(crate) async fn server(hub: &Hub, server: &ServerEntry) -> ServerStatus {
    let known = hub.table.read(|entries| {
        let entry = entries.get(&server.id)?;
        let pid = entry.process.as_ref().map(|process| process.pid);
        Some((entry.phase, entry.linked, entry.error.clone(), pid))
    });
    let Some((phase, linked, error, pid)) = known else {
        return ServerStatus::of(&server.id, &server.server_type, crate::Phase::Absent);
    };
    let mut status = ServerStatus { error, pid, ..ServerStatus::of(&server.id, &server.server_type, phase) };
    status.ports = configured_ports(server);
    let Some(links) = hub.links().filter(|_| linked) else { return status };
    match links.request(&server.id, &json!({ "op": "stats" }), STATS_TIMEOUT).await {
        Ok(stats) => fill(&mut status, &stats),
        Err(error) => {
            status.error.get_or_insert_with(|| format!("no numbers: {error}"));
        }
    }
    status.ports.extend(admin_port(hub, &server.id));
    status
}

fn configured_ports(server: &ServerEntry) -> Map<String, Value> {
    let named = [("client", server.client_port), ("rpc", server.port)];
    named.into_iter().filter_map(|(name, port)| Some((name.to_owned(), port?.into()))).collect()
}

fn admin_port(hub: &Hub, id: &str) -> Option<(String, Value)> {
    let registered = hub.links()?.registered();
    let port = registered.iter().find(|server| *server.member.id == *id)?.process.admin_port?;
    Some(("admin".to_owned(), port.into()))
}

fn fill(status: &mut ServerStatus, stats: &Value) {
    let number = |name: &str| stats.get(name).and_then(Value::as_u64);
    status.pid = number("pid").and_then(|pid| u32::try_from(pid).ok()).or(status.pid);
    status.uptime_s = number("uptime_s");
    status.memory_bytes = number("memory_bytes");
    status.connections = number("connections");
    status.sessions = number("sessions");
    let plugins = stats.get("plugins").cloned().unwrap_or_default();
    status.plugins = serde_json::from_value(plugins).unwrap_or_default();
}
