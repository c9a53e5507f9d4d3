//! Adding servers to the running cluster: checked like the configuration, started, and waited for.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Map, Value};
use shaddock_config::{ConfigError, ServerEntry};

use crate::ServerFailure;
use crate::control::Added;
use crate::launch::{all_ready, start_process};
use crate::listing;
use crate::master::Hub;
use crate::stop;
use crate::table::{Entry, Phase, is_this_machine};

/// Processes that have been started.
struct Started {
    ids: BTreeSet<String>,
    /// Whether servers.json, or an earlier call, has them.
    again: bool,
    warnings: Vec<String>,
}

/// Starts what `entry` describes: new servers, or with nothing but an id one that has stopped. All of them get
/// ready, or none is left.
///
/// # Errors
/// If the cluster is stopping.
pub(crate) async fn add(
    hub: &Arc<Hub>,
    entry: &Map<String, Value>,
    ready_timeout: Duration,
) -> Result<Added, String> {
    let started = {
        let _one_at_a_time = hub.adding.lock().await;
        if hub.stopping.is_cancelled() {
            return Err("the cluster is stopping".to_owned());
        }
        match lone_id(entry) {
            Some(id) => start_again(hub, id),
            None => start_new(hub, entry),
        }
    };
    let Started { ids, again, warnings } = match started {
        Ok(started) => started,
        Err(refused) => return Ok(refused),
    };
    tracing::info!(servers = ?ids, "a tool adds servers");
    if let Err(failures) = all_ready(hub, &ids, ready_timeout, &mut |_| ()).await {
        give_up(hub, &ids, again).await;
        return Ok(Added::Failed { servers: failures });
    }
    let servers = hub.table.read(|entries| {
        ids.iter().filter_map(|id| Some(entries.get(id)?.server.clone())).collect::<Vec<_>>()
    });
    let servers = join_all(servers.iter().map(|server| listing::server(hub, server))).await;
    Ok(Added::Ready { servers, warnings })
}

/// The id, if the entry has nothing else.
fn lone_id(entry: &Map<String, Value>) -> Option<&str> {
    entry.get("id").filter(|_| entry.len() == 1)?.as_str()
}

/// Starts a server of the table once more.
fn start_again(hub: &Arc<Hub>, id: &str) -> Result<Started, Added> {
    let id = id.to_owned();
    let server = hub.table.change_all(|entries| {
        let Some(entry) = entries.get_mut(&id) else { return Err(Added::Unknown { id: id.clone() }) };
        if !entry.is_gone() || entry.phase == Phase::Starting {
            let pid = entry.process.as_ref().map(|process| process.pid);
            return Err(Added::Running { id: id.clone(), pid });
        }
        if !entry.local {
            let error = elsewhere(&entry.server);
            return Err(Added::Failed { servers: vec![ServerFailure { id: id.clone(), error }] });
        }
        entry.phase = Phase::Starting;
        (entry.error, entry.own_words) = (None, false);
        Ok(entry.server.clone())
    })?;
    start_process(hub, &id, Some(Value::Object(server.fields.clone()).to_string()));
    Ok(Started { ids: BTreeSet::from([id]), again: true, warnings: Vec::new() })
}

/// Checks new servers and starts them.
fn start_new(hub: &Arc<Hub>, entry: &Map<String, Value>) -> Result<Started, Added> {
    let known: Vec<Arc<ServerEntry>> =
        hub.table.read(|entries| entries.values().map(|entry| entry.server.clone()).collect());
    let known: Vec<&ServerEntry> = known.iter().map(AsRef::as_ref).collect();
    let additions = hub.config.additions(&known, entry).map_err(|error| invalid(&error))?;
    let remote = additions.servers.iter().filter(|server| !is_this_machine(&server.host));
    let remote: Vec<_> =
        remote.map(|server| ServerFailure { id: server.id.clone(), error: elsewhere(server) }).collect();
    if !remote.is_empty() {
        return Err(Added::Failed { servers: remote });
    }
    hub.table.change_all(|entries| {
        entries.extend(additions.servers.iter().map(|server| (server.id.clone(), Entry::added(server))));
    });
    for server in &additions.servers {
        start_process(hub, &server.id, Some(Value::Object(server.fields.clone()).to_string()));
    }
    Ok(Started {
        ids: additions.servers.into_iter().map(|server| server.id).collect(),
        again: false,
        warnings: additions.warnings.iter().map(ToString::to_string).collect(),
    })
}

fn invalid(error: &ConfigError) -> Added {
    let problems = error.problems().iter().map(serde_json::to_value);
    Added::Invalid { error: error.to_string(), problems: problems.filter_map(Result::ok).collect() }
}

fn elsewhere(server: &ServerEntry) -> String {
    format!(
        "{} is no address of this machine: put the server into servers.json, and start it there with `shaddock server --id {}`",
        server.host, server.id
    )
}

/// Leaves nothing behind: no process and, of servers that were new, no trace.
async fn give_up(hub: &Arc<Hub>, ids: &BTreeSet<String>, again: bool) {
    // With the phase and the error that a server had of itself.
    let running = hub.table.read(|entries| {
        let runs = |id: &&String| entries.get(*id).is_some_and(|entry| !entry.is_gone());
        ids.iter().filter(runs).cloned().collect()
    });
    stop::servers(hub, &running).await;
    if again {
        return;
    }
    hub.table.change_all(|entries| {
        for id in ids {
            if entries.get(id).is_some_and(Entry::is_gone) {
                entries.remove(id);
            }
        }
    });
}
