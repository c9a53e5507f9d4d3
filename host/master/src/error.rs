//! What can keep a master from starting or a cluster from getting ready.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Errors of the master.
#[derive(Debug, Error)]
pub enum MasterError {
    /// Another process of this machine runs with this state directory under this id.
    #[error("{} is held by {}", path.display(), holder(*pid))]
    Claimed {
        /// The run file.
        path: PathBuf,
        /// Who holds it.
        pid: Option<u32>,
    },
    /// Servers that an earlier master started still serve, without a master.
    #[error(
        "servers of an earlier run still serve without a master ({}); end them with `shaddock stop`",
        pairs(servers)
    )]
    Leftovers {
        /// Ids and process ids.
        servers: Vec<(String, u32)>,
    },
    /// A port of the master cannot be listened on.
    #[error("cannot listen on {address} ({what} of master.json): {source}{}", taken_hint(source))]
    Listen {
        /// The setting that names the port.
        what: &'static str,
        /// Host and port.
        address: String,
        /// What the system said.
        source: io::Error,
    },
    /// A file or directory cannot be used.
    #[error("cannot {action} {}: {source}", path.display())]
    File {
        /// What was being done.
        action: &'static str,
        /// To what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The directory of the web page is missing.
    #[error("webRoot of master.json: {} is not a directory", path.display())]
    WebRoot {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The record of deployed versions cannot be used.
    #[error(
        "the record of deployed versions {} is damaged: {reason}; move it away (the plugins then run the files of \
         plugins.json, and deployments are counted anew), or put back a copy of it",
        path.display()
    )]
    Record {
        /// The record.
        path: PathBuf,
        /// What is the matter with it.
        reason: String,
    },
    /// The deployed version of a plugin cannot be started with.
    #[error(
        "plugin {plugin}: its deployed version {digest} cannot be used: {reason}; to start with the file of \
         plugins.json instead, remove the plugin from `targets` in {}",
        record.display()
    )]
    Deployed {
        /// The plugin.
        plugin: String,
        /// First digits of the version's digest.
        digest: String,
        /// What is the matter with it.
        reason: String,
        /// The record that names it.
        record: PathBuf,
    },
    /// The link port or the secret.
    #[error(transparent)]
    Cluster(#[from] shaddock_cluster::ClusterError),
    /// Metrics cannot be set up.
    #[error("metrics: {0}")]
    Metrics(#[from] prometheus::Error),
    /// One or more servers did not get ready; the rest was stopped.
    #[error("{}", lines(.0))]
    NotReady(Vec<ServerFailure>),
    /// A stop was asked for while the cluster was starting.
    #[error("stopped while starting")]
    Interrupted,
}

/// Why one server did not get ready.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerFailure {
    /// Which server.
    pub id: String,
    /// Its own error, or how it ended.
    pub error: String,
}

impl fmt::Display for ServerFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.id, self.error)
    }
}

impl ServerFailure {
    pub(crate) fn too_slow(id: &str, limit: Duration) -> ServerFailure {
        ServerFailure { id: id.to_owned(), error: format!("not ready after {} s", limit.as_secs()) }
    }
}

impl MasterError {
    pub(crate) fn file(action: &'static str, path: &Path, source: io::Error) -> MasterError {
        MasterError::File { action, path: path.to_owned(), source }
    }

    pub(crate) fn listen(what: &'static str, address: SocketAddr, source: io::Error) -> MasterError {
        MasterError::Listen { what, address: address.to_string(), source }
    }
}

fn holder(pid: Option<u32>) -> String {
    pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
}

fn pairs(servers: &[(String, u32)]) -> String {
    servers.iter().map(|(id, pid)| format!("{id}: process {pid}")).collect::<Vec<_>>().join(", ")
}

fn taken_hint(source: &io::Error) -> &'static str {
    if source.kind() == io::ErrorKind::AddrInUse {
        "; another program, or a cluster of another configuration, has this port"
    } else {
        ""
    }
}

fn lines(failures: &[ServerFailure]) -> String {
    failures.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}
