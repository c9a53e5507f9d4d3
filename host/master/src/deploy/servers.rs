//! Orders to servers, and who is there to take them.

use std::time::Duration;

use futures_util::future::join_all;
use serde::de::DeserializeOwned;
use serde_json::Value;
use shaddock_config::PluginEntry;
use shaddock_rollout::{Order, VersionState, Versions};

use crate::master::Hub;
use crate::table::{Entry, Phase};

/// A server of another machine first fetches the component and compiles it.
pub(super) const PREPARE_TIMEOUT: Duration = Duration::from_secs(240);
/// Calls may have to be held while state is handed over.
pub(super) const SWITCH_TIMEOUT: Duration = Duration::from_secs(20);
/// Nothing has to be done that takes long.
pub(super) const COMMIT_TIMEOUT: Duration = Duration::from_secs(5);
/// As for a commit.
pub(super) const REVERT_TIMEOUT: Duration = Duration::from_secs(5);
/// A question about numbers in memory.
pub(super) const ASK_TIMEOUT: Duration = Duration::from_secs(3);

/// Servers that take orders, sorted by id.
pub(super) fn ready(hub: &Hub) -> Vec<String> {
    let is_ready = |entry: &&Entry| entry.linked && entry.phase == Phase::Ready;
    hub.table.read(|entries| entries.values().filter(is_ready).map(|entry| entry.id.clone()).collect())
}

/// Servers that do not.
pub(super) fn not_ready(hub: &Hub) -> Vec<String> {
    let is_away = |entry: &&Entry| !entry.linked || entry.phase != Phase::Ready;
    hub.table.read(|entries| entries.values().filter(is_away).map(|entry| entry.id.clone()).collect())
}

/// Moves the server that gets a plugin's new version first to the front: the first one that runs its handlers.
pub(super) fn lead(hub: &Hub, plugin: &str, ids: &mut [String]) {
    let Some(entry) = hub.config.plugins.iter().find(|entry| entry.name == plugin) else { return };
    if let Some(index) = ids.iter().position(|id| serves(hub, id, entry))
        && let Some(front) = ids.get_mut(..=index)
    {
        front.rotate_right(1);
    }
}

/// Whether a server runs the handlers of a plugin.
pub(super) fn serves(hub: &Hub, id: &str, plugin: &PluginEntry) -> bool {
    let is_its = |entry: &Entry| plugin.server_types.contains(&entry.server.server_type);
    hub.table.read(|entries| entries.get(id).is_some_and(is_its))
}

/// Waits until a server takes no orders any more.
pub(super) async fn lost(hub: &Hub, id: &str) {
    let is_there = |entry: &Entry| entry.linked && entry.phase == Phase::Ready;
    hub.table.wait_until(|entries| !entries.get(id).is_some_and(is_there)).await;
}

/// Gives an order.
///
/// # Errors
/// The server's own, or why there is no answer.
pub(super) async fn order<T: DeserializeOwned>(
    hub: &Hub,
    id: &str,
    order: &Order,
    limit: Duration,
) -> Result<T, String> {
    let links = hub.links().ok_or("the master is starting")?;
    let order = serde_json::to_value(order).map_err(|error| error.to_string())?;
    let answer = links.request(id, &order, limit).await.map_err(|error| error.to_string())?;
    serde_json::from_value(answer).map_err(|error| format!("its answer is not understood: {error}"))
}

/// Gives an order to several servers at once; those that failed, and why.
pub(super) async fn failed(
    hub: &Hub,
    ids: &[String],
    order: &Order,
    limit: Duration,
) -> Vec<(String, String)> {
    let answers = ids
        .iter()
        .map(async |id| Some((id.clone(), self::order::<Value>(hub, id, order, limit).await.err()?)));
    join_all(answers).await.into_iter().flatten().collect()
}

/// What runs on a server.
///
/// # Errors
/// As for any order.
pub(super) async fn versions(hub: &Hub, id: &str) -> Result<Vec<VersionState>, String> {
    let versions: Versions = order(hub, id, &Order::PluginVersions, ASK_TIMEOUT).await?;
    Ok(versions.plugins)
}

/// How one plugin stands on a server.
///
/// # Errors
/// As for any order, and if the server does not have the plugin.
pub(super) async fn version_of(hub: &Hub, id: &str, plugin: &str) -> Result<VersionState, String> {
    let found = versions(hub, id).await?.into_iter().find(|state| state.plugin == plugin);
    found.ok_or_else(|| format!("it does not have a plugin {plugin:?}"))
}

pub(super) fn named(id: &str, error: &str) -> String {
    format!("{id}: {error}")
}
