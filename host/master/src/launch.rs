//! Starting the servers of this machine, and waiting until all are ready.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::master::{Hub, Master};
use crate::process::{self, Exit};
use crate::table::Phase;
use crate::{MasterError, ServerFailure};

/// How far the start is: servers of this machine that are ready, and all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Servers that are ready.
    pub ready: usize,
    /// Servers of this machine.
    pub total: usize,
}

/// After a first failure: time for others to fail too, so that one start tells all that is the matter.
const MORE_FAILURES: Duration = Duration::from_millis(300);

impl Master {
    /// Starts every server of this machine and returns when all are ready. `progress` is called at every step.
    ///
    /// # Errors
    /// [`MasterError::NotReady`] with each server's own error, or [`MasterError::Interrupted`]; everything that was
    /// started is stopped by then and all ports are closed.
    pub async fn launch(
        self,
        interrupt: &CancellationToken,
        mut progress: impl FnMut(Progress),
    ) -> Result<Master, MasterError> {
        let hub = self.hub.clone();
        let ids = start_processes(&hub);
        let result = tokio::select! {
            ready = all_ready(&hub, &ids, hub.ready_timeout, &mut progress) => ready.map_err(MasterError::NotReady),
            () = interrupt.cancelled() => Err(MasterError::Interrupted),
            () = hub.asked_to_stop.cancelled() => Err(MasterError::Interrupted),
        };
        match result {
            Ok(()) => Ok(self),
            Err(error) => {
                self.close().await;
                Err(error)
            }
        }
    }
}

/// Starts the servers of this machine; their ids.
fn start_processes(hub: &Arc<Hub>) -> BTreeSet<String> {
    let ids: BTreeSet<String> = hub.table.read(|entries| {
        entries.values().filter(|entry| entry.local && !entry.added).map(|entry| entry.id.clone()).collect()
    });
    for id in &ids {
        start_process(hub, id, None);
    }
    ids
}

/// Starts the process of a server of the table; `entry` is told to it in place of what the files say.
pub(crate) fn start_process(hub: &Arc<Hub>, id: &str, entry: Option<String>) {
    match process::spawn(&hub.launch, id, entry, hub.state.server_log(id)) {
        Ok((process, watch)) => {
            tracing::debug!(%id, pid = process.pid, "server process started");
            hub.table.change(id, |entry| {
                entry.process = Some(process);
                entry.phase = Phase::Starting;
            });
            let (hub_of_watcher, id) = (hub.clone(), id.to_owned());
            hub.tasks.spawn(async move {
                let exit = watch.await;
                ended(&hub_of_watcher, &id, &exit);
            });
        }
        Err(error) => {
            tracing::error!(%id, %error, "server process not started");
            hub.table.change(id, |entry| {
                entry.phase = Phase::Down;
                entry.error = Some(format!("cannot run {}: {error}", hub.launch.program.display()));
            });
        }
    }
}

/// Enters the end of a process into the table.
fn ended(hub: &Hub, id: &str, exit: &std::io::Result<Exit>) {
    let how = exit.as_ref().map_or_else(ToString::to_string, Exit::how);
    hub.table.change(id, |entry| {
        entry.process = None;
        if entry.phase == Phase::Stopping {
            entry.phase = Phase::Stopped;
            tracing::debug!(%id, "server process ended");
            return;
        }
        hub.metrics.exits.inc();
        tracing::warn!(%id, end = %how, "server process ended unasked");
        let was_starting = entry.phase == Phase::Starting;
        entry.phase = Phase::Down;
        if !entry.own_words {
            entry.error = Some(why(hub, id, exit, &how, was_starting));
        }
    });
    hub.table.forget_stopped(id);
}

/// The end of a process in words: its own; else how it ended and, if it never got ready, what it logged last.
fn why(hub: &Hub, id: &str, exit: &std::io::Result<Exit>, how: &str, was_starting: bool) -> String {
    let Ok(exit) = exit else { return how.to_owned() };
    if let Some(fatal) = &exit.fatal {
        return fatal.clone();
    }
    match hub.launch.log_file(hub.state.server_log(id)) {
        Some(log) => format!("{how}; see {}", log.display()),
        None if was_starting => exit.with_last_lines(),
        None => how.to_owned(),
    }
}

/// Waits until these servers are ready, or one of them is not going to be.
pub(crate) async fn all_ready(
    hub: &Hub,
    ids: &BTreeSet<String>,
    limit: Duration,
    progress: &mut impl FnMut(Progress),
) -> Result<(), Vec<ServerFailure>> {
    let mut last = None;
    let mut failed = false;
    let settled = hub.table.wait_until(|entries| {
        let phases = || ids.iter().map(|id| entries.get(id).map_or(Phase::Stopped, |entry| entry.phase));
        let now =
            Progress { ready: phases().filter(|phase| *phase == Phase::Ready).count(), total: ids.len() };
        if last.replace(now) != Some(now) {
            progress(now);
        }
        failed = phases().any(Phase::is_ending);
        failed || now.ready == now.total
    });
    let in_time = tokio::time::timeout(limit, settled).await.is_ok();
    if in_time && !failed {
        return Ok(());
    }
    if failed {
        let all_settled = hub.table.wait_until(|entries| {
            entries.values().filter(|e| ids.contains(&e.id)).all(|entry| entry.phase != Phase::Starting)
        });
        let _ = tokio::time::timeout(MORE_FAILURES, all_settled).await;
        // A server says why over its link, then its process ends, which may tell more.
        let all_ended = hub.table.wait_until(|entries| {
            let mut down = entries.values().filter(|e| ids.contains(&e.id) && e.phase == Phase::Down);
            down.all(|entry| entry.process.is_none())
        });
        let _ = tokio::time::timeout(MORE_FAILURES, all_ended).await;
    }
    Err(failures(hub, ids, (!in_time).then_some(limit)))
}

fn failures(hub: &Hub, ids: &BTreeSet<String>, too_slow: Option<Duration>) -> Vec<ServerFailure> {
    let stopped = || "it was stopped".to_owned();
    hub.table.read(|entries| {
        let of = |id: &String| {
            let Some(entry) = entries.get(id) else {
                return Some(ServerFailure { id: id.clone(), error: stopped() });
            };
            match (entry.phase, too_slow) {
                (Phase::Starting, Some(limit)) => Some(ServerFailure::too_slow(id, limit)),
                (phase, _) if phase.is_ending() => {
                    Some(ServerFailure { id: id.clone(), error: entry.error.clone().unwrap_or_else(stopped) })
                }
                _ => None,
            }
        };
        ids.iter().filter_map(of).collect()
    })
}
