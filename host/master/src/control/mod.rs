//! What tools ask of a master, and its answers: JSON values on an authenticated link.

mod plugins;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Phase;

pub use plugins::{
    Action, Compared, HistoryEntry, KnownVersion, PluginListing, PluginOverview, PluginRequest, PluginState,
    Progress, Recording, Refusal, RunningVersion, ServedCall, Started, Traced,
};

/// A request of a tool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "lowercase")]
pub enum ToolRequest {
    /// State and numbers of all servers.
    List,
    /// Stop these servers; none: all of them, and then the master.
    Stop {
        /// Ids of servers.
        ids: Vec<String>,
    },
    /// How long such a stop may take.
    #[serde(rename = "stop-time")]
    StopTime {
        /// As in [`ToolRequest::Stop`].
        ids: Vec<String>,
    },
    /// Start servers that the cluster does not have yet, or one that has stopped.
    Add {
        /// An entry as in servers.json with its `serverType`; with nothing but an `id`: the server of that id.
        entry: serde_json::Map<String, Value>,
        /// How long they may take until they are ready.
        ready_timeout_s: u64,
    },
    /// Close all sessions of a user, on all frontends.
    Kick {
        /// The user.
        uid: String,
        /// Told to the client.
        reason: String,
    },
    /// Something about versions of plugins.
    Plugin {
        /// What.
        request: PluginRequest,
    },
}

/// Answer to [`ToolRequest::List`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Listing {
    /// The master itself.
    pub master: MasterStatus,
    /// All servers of servers.json, and those that were added, sorted by id.
    pub servers: Vec<ServerStatus>,
}

/// The master in a [`Listing`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MasterStatus {
    /// Its id in master.json.
    pub id: String,
    /// The environment of the cluster.
    pub env: String,
    /// Its process.
    pub pid: u32,
    /// What it listens on: `master`, `web`, `admin`.
    pub ports: serde_json::Map<String, Value>,
    /// Seconds since it started.
    pub uptime_s: u64,
    /// Where the page is, if one is served.
    pub web_url: Option<String>,
}

/// One server in a [`Listing`]. Numbers are there only if it answered in time.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ServerStatus {
    /// Its id in servers.json.
    pub id: String,
    /// Its type.
    #[serde(rename = "type")]
    pub server_type: String,
    /// Where it is in its life; see [`Phase`].
    pub phase: String,
    /// Why it is down, or why there are no numbers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Its process.
    pub pid: Option<u32>,
    /// What it listens on, by purpose.
    #[serde(default)]
    pub ports: serde_json::Map<String, Value>,
    /// Seconds since it started.
    pub uptime_s: Option<u64>,
    /// Resident memory.
    pub memory_bytes: Option<u64>,
    /// Open client connections (frontends).
    pub connections: Option<u64>,
    /// Sessions (frontends).
    pub sessions: Option<u64>,
    /// Loaded plugins.
    #[serde(default)]
    pub plugins: Vec<PluginStatus>,
}

/// A loaded plugin in a [`ServerStatus`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginStatus {
    /// Name in plugins.json.
    pub name: String,
    /// Version that the component states.
    pub version: String,
    /// Digest of the component file.
    pub digest: String,
}

/// Answer to [`ToolRequest::Stop`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stopped {
    /// Servers that are down now and were not before.
    pub stopped: Vec<String>,
    /// Ids that servers.json does not have, or that did not run.
    pub unknown: Vec<String>,
    /// Whether the master stops too.
    pub master: bool,
}

/// Answer to [`ToolRequest::StopTime`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopTime {
    /// Milliseconds after which the answer to the stop is there at the latest.
    pub ms_max: u64,
}

/// Answer to [`ToolRequest::Add`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "lowercase")]
pub enum Added {
    /// They serve.
    Ready {
        /// Each as in a [`Listing`].
        servers: Vec<ServerStatus>,
        /// What is probably not meant.
        warnings: Vec<String>,
    },
    /// The entry is not sound, by itself or beside the others; nothing was started.
    Invalid {
        /// All problems, one per line.
        error: String,
        /// The same as objects.
        problems: Vec<Value>,
    },
    /// The server of that id runs.
    Running {
        /// Its id.
        id: String,
        /// Its process, if it is one of this master.
        pid: Option<u32>,
    },
    /// The cluster has no server of that id.
    Unknown {
        /// The id.
        id: String,
    },
    /// Not all got ready; nothing that was started is left.
    Failed {
        /// Which ones, and their own errors.
        servers: Vec<crate::ServerFailure>,
    },
}

/// Answer to [`ToolRequest::Kick`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kicked {
    /// Closed sessions.
    pub kicked: u64,
    /// Frontends that did not answer, and why.
    pub failed: Vec<crate::ServerFailure>,
}

/// An answer that is no answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// Why.
    pub error: String,
}

impl ServerStatus {
    pub(crate) fn of(id: &str, server_type: &str, phase: Phase) -> ServerStatus {
        ServerStatus {
            id: id.to_owned(),
            server_type: server_type.to_owned(),
            phase: phase.name().to_owned(),
            ..ServerStatus::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn requests_have_a_command_and_its_fields() {
        for (request, expected) in [
            (ToolRequest::List, json!({"command": "list"})),
            (ToolRequest::Stop { ids: vec![] }, json!({"command": "stop", "ids": []})),
            (ToolRequest::StopTime { ids: vec![] }, json!({"command": "stop-time", "ids": []})),
            (
                ToolRequest::Add { entry: serde_json::Map::new(), ready_timeout_s: 30 },
                json!({"command": "add", "entry": {}, "ready_timeout_s": 30}),
            ),
            (
                ToolRequest::Kick { uid: "u".into(), reason: "r".into() },
                json!({"command": "kick", "uid": "u", "reason": "r"}),
            ),
            (
                ToolRequest::Plugin { request: PluginRequest::Follow { number: 7, seen: 1 } },
                json!({"command": "plugin", "request": {"do": "follow", "number": 7, "seen": 1}}),
            ),
        ] {
            assert_eq!(serde_json::to_value(&request).unwrap(), expected);
            assert_eq!(serde_json::from_value::<ToolRequest>(expected).unwrap(), request);
        }
    }
}
