//! Answers to the requests of tools.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Map, Value, json};

use crate::ServerFailure;
use crate::add;
use crate::control::{Added, Kicked, StopTime, Stopped, ToolRequest};
use crate::deploy;
use crate::listing::listing;
use crate::master::Hub;
use crate::stop;

/// How long a frontend may take to close the sessions of one user.
const KICK_TIMEOUT: Duration = Duration::from_secs(3);
/// Between the answer to "stop everything" and the closing of the link that carries it.
const FAREWELL: Duration = Duration::from_millis(50);

/// Carries out one request.
pub(crate) async fn answer(hub: &Arc<Hub>, request: Value) -> Result<Value, String> {
    let request =
        serde_json::from_value(request).map_err(|error| format!("not a request known here: {error}"))?;
    // It is half of the request to stop.
    if !matches!(request, ToolRequest::StopTime { .. }) {
        hub.metrics.tool_requests.inc();
    }
    let answer = match request {
        ToolRequest::List => serde_json::to_value(listing(hub).await),
        ToolRequest::Stop { ids } => serde_json::to_value(stop(hub, ids).await),
        ToolRequest::StopTime { ids } => {
            let (wanted, _) = to_stop(hub, ids);
            let ms_max = u64::try_from(stop::time_max(hub, &wanted).as_millis()).unwrap_or(u64::MAX);
            serde_json::to_value(StopTime { ms_max })
        }
        ToolRequest::Add { entry, ready_timeout_s } => {
            serde_json::to_value(add(hub, entry, Duration::from_secs(ready_timeout_s)).await?)
        }
        ToolRequest::Plugin { request } => return deploy::answer_tool(hub, request).await,
        ToolRequest::Kick { uid, reason } => serde_json::to_value(kick(hub, &uid, &reason).await),
    };
    answer.map_err(|error| error.to_string())
}

/// In a task of its own: what was started is waited for, or taken back, when the tool is gone.
async fn add(hub: &Arc<Hub>, entry: Map<String, Value>, ready_timeout: Duration) -> Result<Added, String> {
    let of_task = hub.clone();
    let adding = hub.tasks.spawn(async move { add::add(&of_task, &entry, ready_timeout).await });
    adding.await.map_err(|error| error.to_string())?
}

/// Which servers a stop of `ids` is about, and which of these do not run.
fn to_stop(hub: &Hub, ids: Vec<String>) -> (BTreeSet<String>, Vec<String>) {
    // One that was added and is down is forgotten by being stopped.
    let running: BTreeSet<String> = hub.table.read(|entries| {
        let to_stop = entries.values().filter(|entry| entry.added || !entry.is_gone());
        to_stop.map(|entry| entry.id.clone()).collect()
    });
    if ids.is_empty() {
        return (running, Vec::new());
    }
    let (wanted, unknown): (BTreeSet<_>, BTreeSet<_>) = ids.into_iter().partition(|id| running.contains(id));
    (wanted, unknown.into_iter().collect())
}

async fn stop(hub: &Arc<Hub>, ids: Vec<String>) -> Stopped {
    let master = ids.is_empty();
    if master {
        hub.stopping.cancel();
        drop(hub.adding.lock().await);
    }
    let (wanted, unknown) = to_stop(hub, ids);
    tracing::info!(servers = ?wanted, master, "a tool asks to stop");
    // A task of its own: the stop goes on when the tool is gone.
    let (hub_of_task, ids) = (hub.clone(), wanted.clone());
    let stopping = hub.tasks.spawn(async move {
        let hub = hub_of_task;
        stop::servers(&hub, &ids).await;
        hub.table.change_all(|entries| {
            entries.retain(|id, entry| !(entry.added && ids.contains(id) && entry.is_gone()));
        });
        if master {
            // Beside the tasks that the master waits for: it is what ends the waiting.
            tokio::spawn(async move {
                tokio::time::sleep(FAREWELL).await;
                hub.asked_to_stop.cancel();
            });
        }
    });
    let _ = stopping.await;
    let stopped = hub.table.read(|entries| {
        let is_gone = |id: &String| entries.get(id).is_none_or(crate::table::Entry::is_gone);
        wanted.into_iter().filter(is_gone).collect()
    });
    Stopped { stopped, unknown, master }
}

async fn kick(hub: &Hub, uid: &str, reason: &str) -> Kicked {
    let frontends = hub.table.read(|entries| {
        let linked = entries.values().filter(|entry| entry.server.frontend && entry.linked);
        linked.map(|entry| entry.id.clone()).collect::<Vec<_>>()
    });
    let order = json!({ "op": "kick", "uid": uid, "reason": reason });
    let answers = join_all(frontends.iter().map(|id| kick_on(hub, id, &order))).await;
    let mut result = Kicked { kicked: 0, failed: Vec::new() };
    for (id, answer) in frontends.into_iter().zip(answers) {
        match answer {
            Ok(kicked) => result.kicked += kicked,
            Err(error) => result.failed.push(ServerFailure { id, error }),
        }
    }
    tracing::info!(uid, reason, kicked = result.kicked, "a tool kicked a user");
    result
}

async fn kick_on(hub: &Hub, id: &str, order: &Value) -> Result<u64, String> {
    let links = hub.links().ok_or("the master is starting")?;
    let answer = links.request(id, order, KICK_TIMEOUT).await.map_err(|error| error.to_string())?;
    answer.get("kicked").and_then(Value::as_u64).ok_or_else(|| "its answer has no number".to_owned())
}
