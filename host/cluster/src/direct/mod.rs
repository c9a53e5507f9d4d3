//! The engine for one machine or one trusted network: a TCP link per pair of servers.

use std::sync::Arc;

use bytes::Bytes;
use tokio::{sync::watch, time::Instant};

use crate::{Cluster, ClusterError, Completion, Member, Members, RpcError, Secret, Service, Settings};

/// A server's own end of the cluster. Dropping it closes everything at once; [`DirectCluster::close`]
/// first writes what is queued.
pub struct DirectCluster {
    members: watch::Receiver<Arc<Members>>,
}

impl DirectCluster {
    /// Listens on the own host and port (if it has a port) and follows the member list. Links are opened
    /// when first needed.
    ///
    /// `members` usually is [`MasterClient::watch`](crate::master_link::MasterClient::watch).
    ///
    /// # Errors
    /// [`ClusterError::Listen`] if the port cannot be had.
    pub async fn start(
        settings: Settings,
        secret: Secret,
        own: Arc<Member>,
        service: Arc<dyn Service>,
        members: watch::Receiver<Arc<Members>>,
    ) -> Result<Self, ClusterError> {
        let _ = (settings, secret, own, service);
        Ok(Self { members })
    }

    /// Stops accepting, fails calls in flight with `LinkLost`, writes what is queued and closes all links;
    /// takes at most [`Settings::close_timeout`].
    pub async fn close(&self) {}
}

impl Cluster for DirectCluster {
    fn request(&self, _to: &str, _body: Bytes, _deadline: Instant, done: Completion) {
        done(Err(RpcError::Unreachable));
    }

    fn notify(&self, _to: &str, _body: Bytes) -> Result<(), RpcError> {
        Err(RpcError::Unreachable)
    }

    fn members(&self) -> Arc<Members> {
        Arc::clone(&self.members.borrow())
    }

    fn watch(&self) -> watch::Receiver<Arc<Members>> {
        self.members.clone()
    }
}
