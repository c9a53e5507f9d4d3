//! A whole configuration: what all files say together, checked.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::{
    App, ConfigError, CronEntry, MasterEntry, PluginEntry, ServerEntry, ServerTypeSettings, Warning, server,
};

/// The environment in which client ports are never open to other machines.
pub const DEVELOPMENT: &str = "development";

/// The configuration of a cluster in one environment, loaded and cross-checked.
#[derive(Clone)]
pub struct Config {
    /// The environment that was asked for.
    pub env: String,
    /// The configuration directory: an absolute path.
    pub dir: PathBuf,
    /// master.json.
    pub master: MasterEntry,
    /// servers.json, `clusterCount` expanded, sorted by id.
    pub servers: Vec<ServerEntry>,
    /// plugins.json, in the order of the file.
    pub plugins: Vec<PluginEntry>,
    /// app.json.
    pub app: App,
    /// crons.json, in the order of the file.
    pub crons: Vec<CronEntry>,
    /// dictionary.json: the routes added after those of the handlers, in order.
    pub dictionary: Vec<String>,
    /// clientProtos.json: an object.
    pub client_protos: Value,
    /// serverProtos.json: an object.
    pub server_protos: Value,
    /// adminServer.json: token by server type; none: the file is absent and any server is accepted.
    pub admin_tokens: Option<BTreeMap<String, String>>,
    /// What has no effect or is probably not meant.
    pub warnings: Vec<Warning>,
}

impl Config {
    /// Loads and checks all files of a configuration directory for one environment.
    ///
    /// # Errors
    ///
    /// A directory that cannot be read or a name that is no environment; else
    /// [`ConfigError::Invalid`] with every problem of every file.
    pub fn load(dir: &Path, env: &str) -> Result<Self, ConfigError> {
        crate::load::load(dir, env)
    }

    /// Loads and checks master.json alone: for commands that talk to a running cluster, which must work
    /// whatever has become of the other files since it started.
    ///
    /// # Errors
    ///
    /// As [`Config::load`].
    pub fn load_master(dir: &Path, env: &str) -> Result<MasterEntry, ConfigError> {
        crate::load::load_master(dir, env)
    }

    /// The server with an id.
    pub fn server(&self, id: &str) -> Option<&ServerEntry> {
        let index = self.servers.binary_search_by(|server| server.id.as_str().cmp(id)).ok()?;
        self.servers.get(index)
    }

    /// The servers of a type, sorted by id.
    pub fn servers_of<'a>(&'a self, server_type: &str) -> impl Iterator<Item = &'a ServerEntry> {
        self.servers.iter().filter(move |server| server.server_type == server_type)
    }

    /// The server types, sorted.
    pub fn types(&self) -> BTreeSet<&str> {
        self.servers.iter().map(|server| server.server_type.as_str()).collect()
    }

    /// The settings of a server type, defaults filled in.
    pub fn app_for(&self, server_type: &str) -> &ServerTypeSettings {
        self.app.types.get(server_type).unwrap_or(&self.app.all)
    }

    /// The plugins that serve a type, in the order of plugins.json.
    pub fn plugins_for<'a>(&'a self, server_type: &str) -> impl Iterator<Item = &'a PluginEntry> {
        self.plugins.iter().filter(move |plugin| plugin.server_types.iter().any(|name| name == server_type))
    }

    /// The crons that a server runs, in the order of crons.json.
    pub fn crons_for<'a>(
        &'a self,
        server_type: &'a str,
        server_id: &'a str,
    ) -> impl Iterator<Item = &'a CronEntry> {
        self.crons.iter().filter(move |cron| cron.is_for(server_type, server_id))
    }

    /// The address on which a frontend listens for clients: `listenHost` of its entry, else
    /// `connector.listenHost` of app.json, else loopback in the environment `development`, else loopback
    /// if the host that clients are told (`clientHost`, else `host`) is a loopback one, else all interfaces.
    pub fn listen_address(&self, server: &ServerEntry) -> IpAddr {
        let named = server.listen_host.or(self.app_for(&server.server_type).connector.listen_host);
        if let Some(address) = named {
            return address;
        }
        if self.env == DEVELOPMENT {
            return Ipv4Addr::LOCALHOST.into();
        }
        let told = server.host_for_clients();
        server::loopback(told).unwrap_or_else(|| server::all_interfaces(told))
    }

    /// Milliseconds for which plugins may hold the stop of a server.
    pub fn stop_hold_ms(&self, id: &str) -> u64 {
        let settings = self.server(id).map_or(&self.app.all, |server| self.app_for(&server.server_type));
        settings.stop.hold_ms
    }

    /// Connections that a frontend accepts at a time: `max-connections` of its entry, else
    /// `connector.connectionsMax` of app.json.
    pub fn connections_max(&self, server: &ServerEntry) -> u32 {
        server.max_connections.unwrap_or(self.app_for(&server.server_type).connector.connections_max)
    }
}

impl fmt::Debug for Config {
    /// Names the types that have a token, never the tokens.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tokens = self.admin_tokens.as_ref().map(|tokens| tokens.keys().collect::<Vec<_>>());
        f.debug_struct("Config")
            .field("env", &self.env)
            .field("dir", &self.dir)
            .field("master", &self.master)
            .field("servers", &self.servers)
            .field("plugins", &self.plugins)
            .field("app", &self.app)
            .field("crons", &self.crons)
            .field("dictionary", &self.dictionary)
            .field("admin_tokens_of", &tokens)
            .field("warnings", &self.warnings)
            .finish_non_exhaustive()
    }
}
