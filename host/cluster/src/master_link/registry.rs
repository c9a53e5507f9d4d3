use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::Process;
use crate::{ClusterError, Member, auth::Refusal};

/// A registered server.
#[derive(Debug, Clone)]
pub struct Registered {
    /// As servers.json describes it.
    pub member: Arc<Member>,
    /// Its process.
    pub process: Process,
    /// Whether it is a member.
    pub ready: bool,
    /// When it registered.
    pub since: Instant,
}

/// The member list as it is sent to all servers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Which run of a master made it.
    pub incarnation: u64,
    /// Counts the changes within that run, from 0.
    pub version: u64,
    /// The ready servers, sorted by id.
    pub members: Vec<Arc<Member>>,
}

/// Who is registered and who is ready: the bookkeeping behind the member list, without I/O.
#[derive(Debug)]
pub struct Registry {
    servers: BTreeMap<Arc<str>, Registered>,
    snapshot: Arc<Snapshot>,
}

impl Registry {
    /// An empty registry of a master with this (random) incarnation.
    #[must_use]
    pub fn new(incarnation: u64) -> Self {
        Self {
            servers: BTreeMap::new(),
            snapshot: Arc::new(Snapshot { incarnation, version: 0, members: Vec::new() }),
        }
    }

    /// Adds a server; if it is ready already (it knew an earlier master) it is a member at once.
    ///
    /// # Errors
    /// [`ClusterError::Refused`] if the id is registered already, with the pid that holds it.
    pub fn register(&mut self, member: Arc<Member>, process: Process, ready: bool) -> Result<(), ClusterError> {
        if let Some(holder) = self.servers.get(&member.id) {
            let reason = format!("id `{}` is registered already, by process {}", member.id, holder.process.pid);
            return Err(ClusterError::Refused {
                peer: "the master".to_owned(),
                refusal: Refusal::Registration(reason),
            });
        }
        let id = Arc::clone(&member.id);
        self.servers.insert(id, Registered { member, process, ready, since: Instant::now() });
        if ready {
            self.changed();
        }
        Ok(())
    }

    /// Makes a registered server a member, or takes that back. True if that changes the member list.
    pub fn set_ready(&mut self, id: &str, ready: bool) -> bool {
        let Some(server) = self.servers.get_mut(id) else { return false };
        if server.ready == ready {
            return false;
        }
        server.ready = ready;
        self.changed();
        true
    }

    /// Forgets a server. True if that changes the member list.
    pub fn remove(&mut self, id: &str) -> bool {
        let Some(server) = self.servers.remove(id) else { return false };
        if server.ready {
            self.changed();
        }
        server.ready
    }

    /// The registered servers, sorted by id.
    pub fn servers(&self) -> impl Iterator<Item = &Registered> {
        self.servers.values()
    }

    /// The current member list.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshot)
    }

    fn changed(&mut self) {
        self.snapshot = Arc::new(Snapshot {
            incarnation: self.snapshot.incarnation,
            version: self.snapshot.version + 1,
            members: self.servers.values().filter(|s| s.ready).map(|s| Arc::clone(&s.member)).collect(),
        });
    }
}
