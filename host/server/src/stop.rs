//! The end of a server: it leaves the cluster, finishes what is under way, and closes.

use std::time::Duration;

use shaddock_cluster::Instant;
use shaddock_cluster::direct::DirectCluster;
use shaddock_cluster::master_link::MasterClient;
use tokio::time::{sleep, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::peer::Request;
use crate::server::Server;

/// How long the others may take to learn that this server has left.
const FAREWELL_TIMEOUT: Duration = Duration::from_millis(700);
/// Who had picked this server just before may not have sent its call yet.
const LATECOMERS: Duration = Duration::from_millis(50);
/// How long the connections of clients and the calls under way may take in all, when no plugin holds the stop any more.
const DRAIN_TIMEOUT: Duration = Duration::from_millis(2500);

/// A server that ends, with everything it runs on.
pub(crate) struct Stopping<'a> {
    pub(crate) server: &'a Server,
    /// The client port with its connections, the admin port.
    pub(crate) tasks: &'a TaskTracker,
    /// Ends them.
    pub(crate) closing: &'a CancellationToken,
    pub(crate) cluster: &'a DirectCluster,
    pub(crate) master: &'a MasterClient,
}

impl Stopping<'_> {
    /// Ends everything in the order in which nothing is cut off that still could finish.
    pub(crate) async fn run(self) {
        let hold_max = Duration::from_millis(self.server.settings.stop.hold_ms);
        self.server.tell_before_stop(hold_max).await;
        let deadline = Instant::now() + DRAIN_TIMEOUT;
        self.leave().await;
        self.drain(deadline).await;
        for plugin in self.server.own_plugins() {
            if let Err(error) = plugin.stop().await {
                let of = plugin.name();
                tracing::warn!(plugin = %of.name, version = %of.version, digest = %of.digest, %error, "stop failed");
            }
        }
        self.cluster.close().await;
        self.master.close().await;
        tracing::info!(id = %self.server.info.id, "server stopped");
    }

    /// Takes this server out of the member list and waits until those that are linked with it send it nothing new. It
    /// serves on meanwhile. Without a master nobody would learn of it.
    async fn leave(&self) {
        let is_linked = self.master.is_linked();
        self.master.report_leaving();
        if !is_linked {
            return;
        }
        let farewell = Request::Leaving.encode();
        let outcomes = self.cluster.ask_linked(&farewell, Instant::now() + FAREWELL_TIMEOUT).await;
        if outcomes.is_empty() {
            return;
        }
        for error in outcomes.iter().filter_map(|outcome| outcome.as_ref().err()) {
            tracing::debug!(%error, "a server did not say that it knows of the end of this one");
        }
        sleep(LATECOMERS).await;
    }

    /// Closes the connections of clients and waits for the calls under way.
    async fn drain(&self, deadline: Instant) {
        self.closing.cancel();
        if timeout_at(deadline, self.tasks.wait()).await.is_err() {
            tracing::warn!(connections = self.server.metrics.connections.get(), "connections are cut off");
        }
        self.server.tasks.close();
        if timeout_at(deadline, self.server.tasks.wait()).await.is_err() {
            tracing::warn!(calls = self.server.tasks.len(), "calls for other servers are cut off");
        }
    }
}
