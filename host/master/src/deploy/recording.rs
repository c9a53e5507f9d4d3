//! Recordings of the calls of a plugin, which servers make.

use serde::de::DeserializeOwned;
use shaddock_rollout::{Order, Recorded, RecordedPiece};

use super::servers::{self, ASK_TIMEOUT, SWITCH_TIMEOUT};
use crate::ServerFailure;
use crate::control::Recording;
use crate::master::Hub;

/// Has a plugin's calls recorded on the servers named, or on all that run its handlers.
///
/// # Errors
/// If there is no such plugin or server, or nobody records.
pub(super) async fn begin(
    hub: &Hub,
    plugin: &str,
    ids: Vec<String>,
    seconds: u64,
    bytes_max: u64,
) -> Result<Recording, String> {
    let entry = hub.config.plugins.iter().find(|entry| entry.name == plugin);
    let entry = entry.ok_or_else(|| format!("plugins.json has no plugin {plugin:?}"))?;
    let ready = servers::ready(hub);
    if let Some(unknown) = ids.iter().find(|id| !ready.contains(id)) {
        return Err(format!("no server {unknown:?} is ready; see `shaddock list`"));
    }
    let ids: Vec<String> = if ids.is_empty() {
        ready.into_iter().filter(|id| servers::serves(hub, id, entry)).collect()
    } else {
        ids
    };
    if ids.is_empty() {
        return Err(format!("no server that runs {plugin} is ready"));
    }
    let order = Order::PluginRecord { plugin: plugin.to_owned(), seconds, bytes_max };
    let failed = servers::failed(hub, &ids, &order, SWITCH_TIMEOUT).await;
    let servers = ids.into_iter().filter(|id| !failed.iter().any(|(failed, _)| failed == id)).collect();
    let failed = failed.into_iter().map(|(id, error)| ServerFailure { id, error }).collect();
    Ok(Recording { servers, failed })
}

/// Ends a server's recording.
pub(super) async fn end(hub: &Hub, id: &str) -> Result<Recorded, String> {
    ask(hub, id, &Order::PluginRecordEnd, SWITCH_TIMEOUT).await
}

/// A piece of it.
pub(super) async fn piece(hub: &Hub, id: &str, offset: usize) -> Result<RecordedPiece, String> {
    ask(hub, id, &Order::PluginRecorded { offset }, ASK_TIMEOUT).await
}

async fn ask<T: DeserializeOwned>(
    hub: &Hub,
    id: &str,
    order: &Order,
    limit: std::time::Duration,
) -> Result<T, String> {
    servers::order(hub, id, order, limit).await.map_err(|error| servers::named(id, &error))
}
