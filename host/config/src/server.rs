//! The processes of a cluster: the master of master.json and the servers of servers.json.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

use serde_json::{Map, Value};

/// The master of a cluster.
#[derive(Clone, Debug, PartialEq)]
pub struct MasterEntry {
    /// Its id, of the same name space as the servers' ids.
    pub id: String,
    /// Where the servers find it.
    pub host: String,
    /// Registration, membership and commands.
    pub port: u16,
    /// The web pages (the chat app's page, for one); none: not served.
    pub web_port: Option<u16>,
    /// The address that the web port listens on; none: loopback.
    pub web_host: Option<IpAddr>,
    /// Directory of the web pages, as seen from the configuration directory; none: `../plugins/chat/web`.
    pub web_root: Option<PathBuf>,
    /// Metrics and health, on loopback; none: any free port.
    pub admin_port: Option<u16>,
    /// How new versions of plugins come into the running cluster.
    pub deploy: DeploySettings,
    /// The whole entry of master.json, unknown fields included.
    pub fields: Map<String, Value>,
}

/// How new versions of plugins come into the running cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeploySettings {
    /// Versions of each plugin that stay on disk, so that one can go back to them; those in use come on top.
    pub keep_versions: usize,
    /// Milliseconds that the first server runs a new version before the others get it.
    pub settle_ms: u64,
}

impl Default for DeploySettings {
    fn default() -> Self {
        Self { keep_versions: 10, settle_ms: 2_000 }
    }
}

/// One server of a cluster: one process. Entries with `clusterCount` are expanded already.
#[derive(Clone, Debug, PartialEq)]
pub struct ServerEntry {
    /// Unique in the cluster.
    pub id: String,
    /// The key in servers.json.
    pub server_type: String,
    /// Where other servers find it.
    pub host: String,
    /// The RPC port; none: the server can call but cannot be called.
    pub port: Option<u16>,
    /// The host that clients are told, where it is not `host`.
    pub client_host: Option<String>,
    /// The port that clients connect to; always set if `frontend`.
    pub client_port: Option<u16>,
    /// The address to listen on for clients, where the entry names one.
    pub listen_host: Option<IpAddr>,
    /// Whether it accepts clients.
    pub frontend: bool,
    /// `max-connections`: goes before `connectionsMax` of app.json.
    pub max_connections: Option<u32>,
    /// Its share of what the router `wrr` gives out, 1 to 1000.
    pub weight: u32,
    /// Metrics and health, on loopback; none: any free port.
    pub admin_port: Option<u16>,
    /// The whole entry, unknown fields included, and `serverType`, as pomelo shows it to code.
    pub fields: Map<String, Value>,
}

impl ServerEntry {
    /// The host that clients are told: `clientHost`, else `host`.
    pub fn host_for_clients(&self) -> &str {
        self.client_host.as_deref().unwrap_or(&self.host)
    }
}

/// The loopback address that a host name stands for, if it does.
pub(crate) fn loopback(host: &str) -> Option<IpAddr> {
    if host.eq_ignore_ascii_case("localhost") {
        return Some(Ipv4Addr::LOCALHOST.into());
    }
    host.parse::<IpAddr>().ok().filter(IpAddr::is_loopback)
}

/// Whether a host name means every interface.
pub(crate) fn unspecified(host: &str) -> bool {
    host.parse::<IpAddr>().is_ok_and(|address| address.is_unspecified())
}

/// All interfaces, in the family of the host that clients are told.
pub(crate) fn all_interfaces(host: &str) -> IpAddr {
    match host.parse() {
        Ok(IpAddr::V6(_)) => Ipv6Addr::UNSPECIFIED.into(),
        _ => Ipv4Addr::UNSPECIFIED.into(),
    }
}
