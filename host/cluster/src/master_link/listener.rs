use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use serde_json::Value;

use super::{Answer, Process, Registered, Snapshot};
use crate::{ClusterError, Member, Secret, Settings};

/// How the master listens.
#[derive(Debug, Clone)]
pub struct MasterListenerSettings {
    /// Limits and times.
    pub cluster: Settings,
    /// The host to listen on, from master.json.
    pub host: String,
    /// The port; 0 takes a free one.
    pub port: u16,
    /// The cluster's secret.
    pub secret: Secret,
    /// Token by server type, from adminServer.json; none: the secret alone counts.
    pub tokens: Option<BTreeMap<String, String>>,
}

/// What happens to servers. Events of one server come in order.
#[derive(Debug, Clone)]
pub enum MasterEvent {
    /// A server registered; it is not a member before it is ready.
    Registered {
        /// Who.
        member: Arc<Member>,
        /// Its process.
        process: Process,
    },
    /// A server is a member now.
    Ready {
        /// Its id.
        id: Arc<str>,
    },
    /// A server is no member any more because it is about to stop.
    Leaving {
        /// Its id.
        id: Arc<str>,
    },
    /// A server cannot start.
    Failed {
        /// Its id.
        id: Arc<str>,
        /// Its own words.
        message: String,
    },
    /// A server's link is gone, and it is no member any more.
    Lost {
        /// Its id.
        id: Arc<str>,
        /// How.
        reason: LostReason,
    },
}

/// How a server's link ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LostReason {
    /// It said goodbye.
    Left,
    /// The connection broke; the text says how.
    Broken(String),
}

/// What the master does with events and requests.
pub trait MasterService: Send + Sync + 'static {
    /// Something happened to a server. Called inline: must not block.
    fn event(&self, event: MasterEvent);

    /// Answers a tool's request. Runs on a task of its own, dropped when the tool has gone.
    fn tool(&self, request: Value) -> Answer;

    /// Answers a server's request.
    fn server(&self, id: &Arc<str>, request: Value) -> Answer {
        let _ = (id, request);
        Box::pin(async { Err("the master takes no such request".to_owned()) })
    }
}

/// The master's end of all its links.
pub struct MasterListener {}

impl MasterListener {
    /// Listens and serves in the background until [`MasterListener::close`] or drop.
    ///
    /// # Errors
    /// [`ClusterError::Listen`] if the port cannot be had.
    pub async fn start(
        _settings: MasterListenerSettings,
        _service: Arc<dyn MasterService>,
    ) -> Result<Self, ClusterError> {
        todo!()
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        todo!()
    }

    /// The servers that are registered, sorted by id.
    pub fn registered(&self) -> Vec<Registered> {
        todo!()
    }

    /// The member list that all servers were told last.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        todo!()
    }

    /// Asks a server; it answers by its [`Control`](super::Control).
    ///
    /// # Errors
    /// [`ClusterError::Answer`] with the server's own error, or why there is no answer.
    pub async fn request(&self, id: &str, request: &Value, timeout: Duration) -> Result<Value, ClusterError> {
        let _ = (id, request, timeout);
        todo!()
    }

    /// Stops listening and closes all links.
    pub async fn close(&self) {
        todo!()
    }
}
