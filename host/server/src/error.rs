//! Why a server could not start, or ended by itself.

use std::io;

use shaddock_cluster::ClusterError;
use shaddock_engine::{CallError, EngineError};
use shaddock_rollout::Digest;

/// Why a server could not start, or ended by itself.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// servers.json has no such server.
    #[error("servers.json has no server with the id {0:?}")]
    UnknownServer(String),
    /// The port for clients cannot be opened.
    #[error("cannot listen for clients on {address}: {source}")]
    ClientPort {
        /// The address tried.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// The port for metrics and health cannot be opened.
    #[error("cannot listen for metrics on {address}: {source}")]
    AdminPort {
        /// The address tried.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// A plugin could not be loaded.
    #[error(transparent)]
    Plugin(#[from] EngineError),
    /// The master does not say which versions to load.
    #[error("the master does not say which versions of the plugins to load: {0}")]
    Targets(String),
    /// A version could not be had from the master.
    #[error("the component {digest:?} cannot be had from the master: {reason}")]
    Component {
        /// Which one.
        digest: Digest,
        /// Why.
        reason: String,
    },
    /// Two plugins serve the same thing.
    #[error("the {what} {name} is claimed by two plugins, {first} and {second}: take it out of one of them")]
    Claimed {
        /// `route`, `method` or `route function for`.
        what: &'static str,
        /// What both claim.
        name: String,
        /// The plugin loaded first.
        first: String,
        /// The other one.
        second: String,
    },
    /// app.json or crons.json names a function that no plugin of this server offers.
    #[error("{field}: no plugin of this server type offers the {what} {name:?}")]
    NotOffered {
        /// The file and its field.
        field: &'static str,
        /// Such as `filter`, `error handler` or `action of crons`.
        what: &'static str,
        /// The name there.
        name: String,
    },
    /// plugins.json gives a game loop to a plugin that has none.
    #[error(
        "plugins.json: {plugin}.tickHz: the plugin does not export `tick`: take the field out, or build the plugin with a game loop"
    )]
    NoTick {
        /// The plugin.
        plugin: String,
    },
    /// A plugin's filter has the name of a built-in one, which app.json would mean.
    #[error("plugin {plugin}: its filter {name:?} has the name of a built-in one: give it another name")]
    BuiltIn {
        /// The plugin.
        plugin: String,
        /// The name.
        name: String,
    },
    /// A plugin's `lifecycle.start` failed.
    #[error("plugin {plugin}: start: {reason}")]
    Start {
        /// The plugin.
        plugin: String,
        /// Why.
        reason: CallError,
    },
    /// The port for other servers cannot be opened, or the master cannot be reached.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// The protocol's schemas are not usable.
    #[error("{0}")]
    Protocol(String),
    /// The metrics cannot be set up.
    #[error("metrics: {0}")]
    Metrics(#[from] prometheus::Error),
}

impl ServerError {
    pub(crate) fn not_offered(field: &'static str, what: &'static str, name: &str) -> Self {
        Self::NotOffered { field, what, name: name.to_owned() }
    }
}
