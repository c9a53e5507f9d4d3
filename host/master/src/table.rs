//! What the master knows of each server of servers.json, and a bell that rings when it changes.

use std::collections::BTreeMap;
use std::net::{IpAddr, TcpListener, ToSocketAddrs};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use shaddock_config::{Config, ServerEntry};
use tokio::sync::watch;

use crate::process::Process;

/// Where a server is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Of another machine, and not seen yet.
    Absent,
    /// Its process runs; it is not ready.
    Starting,
    /// It serves.
    Ready,
    /// It was asked to stop.
    Stopping,
    /// It stopped because it was asked to.
    Stopped,
    /// It ended, or its link to the master broke, without having been asked to.
    Down,
}

impl Phase {
    /// Name in tables, JSON and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Phase::Absent => "absent",
            Phase::Starting => "starting",
            Phase::Ready => "ready",
            Phase::Stopping => "stopping",
            Phase::Stopped => "stopped",
            Phase::Down => "down",
        }
    }

    /// Whether the server is on its way out or gone.
    pub(crate) fn is_ending(self) -> bool {
        matches!(self, Phase::Stopping | Phase::Stopped | Phase::Down)
    }
}

/// One server of servers.json, or one that was added.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) id: String,
    /// What the configuration says of it.
    pub(crate) server: Arc<ServerEntry>,
    /// Whether servers.json does not have it: it is forgotten when it has stopped.
    pub(crate) added: bool,
    /// Whether it belongs on this machine, so that this master starts it.
    pub(crate) local: bool,
    pub(crate) phase: Phase,
    /// The process, while it runs and is a child of this master.
    pub(crate) process: Option<Process>,
    /// Whether its link to the master is up.
    pub(crate) linked: bool,
    /// Why it is down.
    pub(crate) error: Option<String>,
    /// Whether `error` is what the server itself said, which nothing else that is seen of it can better.
    pub(crate) own_words: bool,
}

impl Entry {
    fn new(server: &ServerEntry, local: bool) -> Entry {
        Entry {
            id: server.id.clone(),
            server: Arc::new(server.clone()),
            added: false,
            local,
            phase: if local { Phase::Starting } else { Phase::Absent },
            process: None,
            linked: false,
            error: None,
            own_words: false,
        }
    }

    /// A server that joins the cluster; its process is to be started next.
    pub(crate) fn added(server: &ServerEntry) -> Entry {
        Entry { added: true, ..Entry::new(server, true) }
    }

    /// Whether nothing of it is left that could still stop.
    pub(crate) fn is_gone(&self) -> bool {
        self.process.is_none() && !self.linked
    }
}

/// All servers, sorted by id.
#[derive(Debug)]
pub(crate) struct Table {
    entries: Mutex<BTreeMap<String, Entry>>,
    changes: watch::Sender<u64>,
}

impl Table {
    /// The servers of `config`; none runs yet.
    pub(crate) fn new(config: &Config) -> Table {
        let entry =
            |server: &ServerEntry| (server.id.clone(), Entry::new(server, is_this_machine(&server.host)));
        Table {
            entries: Mutex::new(config.servers.iter().map(entry).collect()),
            changes: watch::Sender::new(0),
        }
    }

    /// Reads all entries.
    pub(crate) fn read<T>(&self, read: impl FnOnce(&BTreeMap<String, Entry>) -> T) -> T {
        read(&self.lock())
    }

    /// Changes the entry `id`, if there is one, and wakes those who wait for a change.
    pub(crate) fn change<T>(&self, id: &str, change: impl FnOnce(&mut Entry) -> T) -> Option<T> {
        let result = self.lock().get_mut(id).map(change);
        if result.is_some() {
            self.changes.send_modify(|version| *version = version.wrapping_add(1));
        }
        result
    }

    /// Changes the table as a whole, and wakes those who wait for a change.
    pub(crate) fn change_all<T>(&self, change: impl FnOnce(&mut BTreeMap<String, Entry>) -> T) -> T {
        let result = change(&mut self.lock());
        self.changes.send_modify(|version| *version = version.wrapping_add(1));
        result
    }

    /// Forgets a server that was added and of which nothing is left since it was asked to stop.
    pub(crate) fn forget_stopped(&self, id: &str) {
        let is_over = |entry: &Entry| entry.added && entry.phase == Phase::Stopped && entry.is_gone();
        self.change_all(|entries| {
            if entries.get(id).is_some_and(is_over) {
                entries.remove(id);
            }
        });
    }

    /// Waits until `condition` holds.
    pub(crate) async fn wait_until(&self, mut condition: impl FnMut(&BTreeMap<String, Entry>) -> bool) {
        let mut changes = self.changes.subscribe();
        while !self.read(&mut condition) {
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether `host` names this machine: an address that this machine can listen on.
pub(crate) fn is_this_machine(host: &str) -> bool {
    let can_listen = |address: IpAddr| TcpListener::bind((address, 0)).is_ok();
    if let Ok(address) = host.parse() {
        return can_listen(address);
    }
    (host, 0).to_socket_addrs().is_ok_and(|mut addresses| addresses.any(|address| can_listen(address.ip())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_what_can_be_listened_on() {
        for (host, expected) in
            [("127.0.0.1", true), ("0.0.0.0", true), ("localhost", true), ("192.0.2.1", false)]
        {
            assert_eq!(is_this_machine(host), expected, "{host}");
        }
    }
}
