//! Stopping servers: first in words, then by signal, then by force, all within five seconds unless plugins may hold
//! the stop for longer (`stopHoldMs` of app.json), which is added to every time here.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;
use rustix::process::Signal;
use serde_json::json;
use tokio::time::{Instant, timeout_at};

use crate::master::Hub;
use crate::table::{Entry, Phase};

/// Frontends are asked first, so that the sessions they close can still reach their backends.
const FRONTENDS_ALONE: Duration = Duration::from_millis(1500);
/// Those that are still there then get SIGTERM.
const ASK: Duration = Duration::from_millis(3000);
/// And those that are still there then get SIGKILL.
const TERMINATE: Duration = Duration::from_millis(4000);
/// Nobody is waited for any longer; a process that survives this long after SIGKILL hangs in the kernel.
const KILL: Duration = Duration::from_millis(4700);
/// How long an order may take to be acknowledged; the order stands without it.
const ORDER_TIMEOUT: Duration = Duration::from_millis(500);

/// Stops all servers that have a link or a process.
pub(crate) async fn everything(hub: &Hub) {
    hub.stopping.cancel();
    // Who adds servers has them in the table now, or will not start them.
    drop(hub.adding.lock().await);
    let ids = hub.table.read(|entries| {
        entries.values().filter(|entry| !entry.is_gone()).map(|entry| entry.id.clone()).collect()
    });
    servers(hub, &ids).await;
}

/// How long it may take to stop the servers `ids`: the frontends' plugins may hold it first, then those of all.
pub(crate) fn time_max(hub: &Hub, ids: &BTreeSet<String>) -> Duration {
    let frontends = select(hub, ids, |entry| entry.server.frontend);
    KILL + hold_max(hub, &frontends) + hold_max(hub, ids)
}

/// Stops the servers `ids`; returns when they are gone, at the latest after [`time_max`].
pub(crate) async fn servers(hub: &Hub, ids: &BTreeSet<String>) {
    let start = Instant::now();
    let frontends = select(hub, ids, |entry| entry.server.frontend);
    ask(hub, &frontends).await;
    gone_by(hub, &frontends, start + FRONTENDS_ALONE + hold_max(hub, &frontends)).await;
    let backends = select(hub, ids, |entry| !entry.server.frontend);
    // The backends' own time begins when they are asked; what the frontends have held is not taken from it.
    let held = start.elapsed().saturating_sub(FRONTENDS_ALONE);
    let start = start + held + hold_max(hub, ids);
    ask(hub, &backends).await;
    gone_by(hub, ids, start + ASK).await;
    for (signal, until) in [(Signal::TERM, TERMINATE), (Signal::KILL, KILL)] {
        let left = select(hub, ids, |entry| entry.process.is_some());
        for id in &left {
            tracing::warn!(%id, ?signal, "server does not stop when asked, sending a signal");
            send(hub, id, signal);
        }
        gone_by(hub, ids, start + until).await;
    }
    for id in select(hub, ids, |entry| !entry.is_gone()) {
        tracing::error!(%id, "server did not stop");
    }
}

/// For how long the plugins of these servers may hold the stop.
fn hold_max(hub: &Hub, ids: &BTreeSet<String>) -> Duration {
    let hold_ms = |entry: &Entry| hub.config.app_for(&entry.server.server_type).stop.hold_ms;
    let longest = hub.table.read(|entries| ids.iter().filter_map(|id| entries.get(id)).map(hold_ms).max());
    Duration::from_millis(longest.unwrap_or_default())
}

/// Orders the servers `ids` to stop: over the link, or by signal where there is no link yet.
async fn ask(hub: &Hub, ids: &BTreeSet<String>) {
    let orders = ids.iter().map(async |id| {
        let linked = hub.table.change(id, |entry| {
            if !entry.is_gone() {
                entry.phase = Phase::Stopping;
            }
            entry.linked
        });
        let Some(links) = hub.links().filter(|_| linked == Some(true)) else {
            return send(hub, id, Signal::TERM);
        };
        if let Err(error) = links.request(id, &json!({ "op": "stop" }), ORDER_TIMEOUT).await {
            tracing::debug!(%id, %error, "no answer to the order to stop");
            send(hub, id, Signal::TERM);
        }
    });
    join_all(orders).await;
}

fn send(hub: &Hub, id: &str, signal: Signal) {
    hub.table.read(|entries| {
        if let Some(process) = entries.get(id).and_then(|entry| entry.process.as_ref()) {
            process.signal(signal);
        }
    });
}

fn select(hub: &Hub, ids: &BTreeSet<String>, wanted: impl Fn(&Entry) -> bool) -> BTreeSet<String> {
    hub.table.read(|entries| {
        entries.values().filter(|e| ids.contains(&e.id) && wanted(e)).map(|e| e.id.clone()).collect()
    })
}

async fn gone_by(hub: &Hub, ids: &BTreeSet<String>, deadline: Instant) {
    let gone = hub
        .table
        .wait_until(|entries| entries.values().filter(|entry| ids.contains(&entry.id)).all(Entry::is_gone));
    let _ = timeout_at(deadline, gone).await;
}
