use std::{sync::Arc, time::Duration};

use serde_json::Value;
use tokio::sync::watch;

use super::{Answer, Process};
use crate::{ClusterError, Member, Members, Secret, Settings};

/// What a server does at the master's request, such as `{"op":"stats"}`, `{"op":"stop"}` or
/// `{"op":"kick","uid":"…"}`.
pub trait Control: Send + Sync + 'static {
    /// Answers one request. The future runs on a task of its own; it is dropped when the master has
    /// given up waiting.
    fn control(&self, request: Value) -> Answer;
}

/// How a server finds and registers with its master.
#[derive(Debug, Clone)]
pub struct MasterClientSettings {
    /// Limits and times.
    pub cluster: Settings,
    /// The master's host, from master.json.
    pub host: String,
    /// The master's port, from master.json.
    pub port: u16,
    /// The cluster's secret.
    pub secret: Secret,
    /// The token of the own server type, from adminServer.json.
    pub token: Option<String>,
    /// What the others are told about this server.
    pub own: Arc<Member>,
    /// What the master is told about the process.
    pub process: Process,
}

/// A server's link to the master. It is kept up in the background: while the master is away the last
/// member list stands, and the server registers anew when it is back.
pub struct MasterClient {
    members: watch::Receiver<Arc<Members>>,
}

impl MasterClient {
    /// Connects and registers. A master that is not up yet is waited for, for
    /// [`Settings::register_timeout`].
    ///
    /// # Errors
    /// Everything that can go wrong, in words for the operator: no master there, a wrong secret or token,
    /// an id that is registered already.
    pub async fn connect(
        _settings: MasterClientSettings,
        _control: Arc<dyn Control>,
    ) -> Result<Self, ClusterError> {
        todo!()
    }

    /// The servers that are ready, and every change.
    pub fn watch(&self) -> watch::Receiver<Arc<Members>> {
        self.members.clone()
    }

    /// Whether the master is there.
    pub fn is_linked(&self) -> bool {
        todo!()
    }

    /// Makes this server a member: the others may call it, clients may come.
    pub fn report_ready(&self) {
        todo!()
    }

    /// Takes this server out of the member list, before it stops. The others then fail their calls in
    /// flight to it, so finish those first.
    pub fn report_leaving(&self) {
        todo!()
    }

    /// Tells the master why this server cannot start. Follow with [`MasterClient::close`].
    pub fn report_failed(&self, message: &str) {
        let _ = message;
        todo!()
    }

    /// Asks the master.
    ///
    /// # Errors
    /// [`ClusterError::Answer`] with the master's own error, or why there is no answer.
    pub async fn request(&self, request: &Value, timeout: Duration) -> Result<Value, ClusterError> {
        let _ = (request, timeout);
        todo!()
    }

    /// Says goodbye (the master's event is then [`LostReason::Left`](super::LostReason::Left)) and closes the link.
    pub async fn close(&self) {
        todo!()
    }
}
