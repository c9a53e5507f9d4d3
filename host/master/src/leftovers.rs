//! Servers that outlived their master (daemon mode), known by the run files they hold.

use std::path::PathBuf;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::time::{Instant, sleep};

use crate::{MasterError, RunFile, StateDir};

/// How long a server may take to stop after SIGTERM when no plugin holds the stop; then it gets SIGKILL.
const TERMINATE: Duration = Duration::from_secs(4);
/// How long it may take to end after that.
const KILL: Duration = Duration::from_millis(800);
/// How often run files are looked at. They are locks of other processes, which ring no bell.
const LOOK: Duration = Duration::from_millis(20);

/// A server process without a master.
#[derive(Clone, Debug)]
struct Leftover {
    id: String,
    run_file: PathBuf,
}

impl StateDir {
    /// Ids and process ids of servers of this machine that run with this state directory.
    pub fn running_servers(&self) -> Vec<(String, u32)> {
        let holder = |server: Leftover| Some((server.id, RunFile::holder(&server.run_file)?));
        self.server_run_files().into_iter().filter_map(holder).collect()
    }

    /// Waits until no server runs with this state directory, but not longer than `limit`; those that still run then.
    pub(crate) async fn servers_gone(&self, limit: Duration) -> Vec<(String, u32)> {
        let deadline = Instant::now() + limit;
        loop {
            let running = self.running_servers();
            if running.is_empty() || Instant::now() >= deadline {
                return running;
            }
            sleep(LOOK).await;
        }
    }

    /// Ends servers that serve on without a master: SIGTERM, after a while SIGKILL. Returns the ids of those ended.
    /// Their plugins may hold the stop for `hold_max`.
    ///
    /// # Errors
    /// [`MasterError::Leftovers`] if one does not end.
    pub async fn end_leftovers(&self, hold_max: Duration) -> Result<Vec<String>, MasterError> {
        let before = self.running_servers();
        for (signal, limit) in [(Signal::TERM, TERMINATE + hold_max), (Signal::KILL, KILL)] {
            for (_, pid) in self.running_servers() {
                send(pid, signal);
            }
            if self.servers_gone(limit).await.is_empty() {
                return Ok(before.into_iter().map(|(id, _)| id).collect());
            }
        }
        Err(MasterError::Leftovers { servers: self.running_servers() })
    }

    /// Waits until the master's process has ended.
    ///
    /// # Errors
    /// [`MasterError::Claimed`] if it has not after `limit`.
    pub async fn master_gone(&self, limit: Duration) -> Result<(), MasterError> {
        let (path, deadline) = (self.master_run_file(), Instant::now() + limit);
        while let Some(pid) = RunFile::holder(&path) {
            if Instant::now() >= deadline {
                return Err(MasterError::Claimed { path, pid: Some(pid) });
            }
            sleep(LOOK).await;
        }
        Ok(())
    }

    fn server_run_files(&self) -> Vec<Leftover> {
        let Ok(entries) = self.run_dir().read_dir() else { return Vec::new() };
        let mut files: Vec<_> = entries
            .filter_map(|entry| {
                let run_file = entry.ok()?.path();
                let id = run_file.file_name()?.to_str().filter(|name| !name.starts_with('.'))?.to_owned();
                Some(Leftover { id, run_file })
            })
            .collect();
        files.sort_by(|a, b| a.id.cmp(&b.id));
        files
    }
}

/// The lock that the process holds proves that `pid` is the server and no later process with its number.
fn send(pid: u32, signal: Signal) {
    let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return };
    if let Err(error) = kill_process(pid, signal) {
        tracing::debug!(pid = pid.as_raw_nonzero(), %error, "signal not delivered");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_held_run_files_of_servers_count() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::at(dir.path());
        state.create().unwrap();
        let _master = RunFile::claim(&state.master_run_file()).unwrap();
        let _chat = RunFile::claim(&state.server_run_file("chat-1")).unwrap();
        drop(RunFile::claim(&state.server_run_file("chat-2")).unwrap());
        assert_eq!(state.running_servers(), [("chat-1".to_owned(), std::process::id())]);
        assert!(matches!(
            state.master_gone(Duration::from_millis(30)).await,
            Err(MasterError::Claimed { pid: Some(_), .. })
        ));
    }
}
