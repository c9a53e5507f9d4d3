//! (skeleton)
use std::sync::Arc;
use std::time::Duration;

use crate::error::CallError;
use crate::host::{Call, PluginName};
use crate::stats::PluginStats;
use crate::types::{RouteKey, ServerInfo, Session};

/// A loaded plugin; clones share its instances.
#[derive(Clone)]
pub struct Plugin {
    name: Arc<PluginName>,
}

#[allow(unused_variables, clippy::unused_async, reason = "skeleton")]
impl Plugin {
    /// Name, version and digest.
    pub fn name(&self) -> &Arc<PluginName> {
        &self.name
    }
    /// The routes of its handler, `serverType.handler.method`.
    pub fn routes(&self) -> &[Arc<str>] {
        &[]
    }
    /// The methods of its remote, `serverType.service.method`.
    pub fn methods(&self) -> &[Arc<str>] {
        &[]
    }
    /// The server types that its route function serves.
    pub fn router_types(&self) -> &[Arc<str>] {
        &[]
    }
    /// Handles a client's message. `route` is the whole route. An empty answer means `{}`.
    pub async fn handle(
        &self,
        call: Call,
        route: &str,
        body: &[u8],
        session: Session,
    ) -> Result<Vec<u8>, CallError> {
        Err(CallError::TooDeep)
    }
    /// Answers an RPC. `method` is the whole `serverType.service.method`, as listed by [`Plugin::methods`].
    pub async fn remote(&self, call: Call, method: &str, args: &[u8]) -> Result<Vec<u8>, CallError> {
        Err(CallError::TooDeep)
    }
    /// Picks a server, synchronously: the id of one of those last told by [`Plugin::set_servers`] (an index that the
    /// guest answers is looked up in the list that the guest knew). On any error take the built-in route.
    pub fn route(&self, server_type: &str, key: &RouteKey, method: &str) -> Result<Arc<str>, CallError> {
        Err(CallError::TooDeep)
    }
    /// Tells the servers of one of [`Plugin::router_types`], sorted by id; others are ignored.
    pub fn set_servers(&self, server_type: &str, servers: Arc<[Arc<ServerInfo>]>) {}
    /// `lifecycle.start`; does nothing without the role. A failure should stop the server's start.
    pub async fn start(&self) -> Result<(), CallError> {
        Ok(())
    }
    /// `lifecycle.session-closed`.
    pub async fn session_closed(&self, session: Session, reason: &str) -> Result<(), CallError> {
        Ok(())
    }
    /// `lifecycle.stop`.
    pub async fn stop(&self) -> Result<(), CallError> {
        Ok(())
    }
    /// Whether it wants to hear of closed sessions.
    pub fn has_lifecycle(&self) -> bool {
        false
    }
    /// Drops instances that have been idle for as long, but for the few that are always kept.
    pub fn trim(&self, idle: Duration) {}
    /// Counters since it was loaded.
    pub fn stats(&self) -> PluginStats {
        PluginStats::default()
    }
}
