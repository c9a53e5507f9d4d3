use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::Process;
use crate::Member;

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
    /// The reason in words if the id is registered already: which process holds it.
    pub fn register(&mut self, member: Arc<Member>, process: Process, ready: bool) -> Result<(), String> {
        if let Some(holder) = self.servers.get(&member.id) {
            return Err(format!(
                "id `{}` is registered already, by process {}",
                member.id, holder.process.pid
            ));
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

#[cfg(test)]
mod tests {
    use serde_json::Map;

    use super::*;

    fn register(registry: &mut Registry, id: &str, ready: bool) -> Result<(), String> {
        let member = Member {
            id: id.into(),
            server_type: "chat".into(),
            host: "127.0.0.1".to_owned(),
            port: None,
            frontend: false,
            fields: Map::new(),
        };
        registry.register(Arc::new(member), Process { pid: 42, admin_port: None }, ready)
    }

    fn check(registry: &Registry, version: u64, members: &[&str]) {
        let snapshot = registry.snapshot();
        let ids: Vec<&str> = snapshot.members.iter().map(|member| &*member.id).collect();
        assert_eq!((snapshot.version, ids.as_slice()), (version, members));
    }

    #[test]
    fn only_ready_servers_are_members_and_they_are_sorted() {
        let mut registry = Registry::new(7);
        register(&mut registry, "b", false).unwrap();
        register(&mut registry, "a", false).unwrap();
        check(&registry, 0, &[]);
        assert!(registry.set_ready("b", true));
        assert!(registry.set_ready("a", true));
        assert!(!registry.set_ready("a", true), "no news");
        check(&registry, 2, &["a", "b"]);
        assert!(registry.set_ready("b", false));
        check(&registry, 3, &["a"]);
        assert!(!registry.remove("b"), "it was no member any more");
        assert!(registry.remove("a"));
        check(&registry, 4, &[]);
        assert_eq!(registry.snapshot().incarnation, 7);
        assert!(!registry.remove("a") && !registry.set_ready("a", true), "unknown by now");
    }

    #[test]
    fn a_server_that_knew_an_earlier_master_is_a_member_at_once() {
        let mut registry = Registry::new(1);
        register(&mut registry, "a", true).unwrap();
        check(&registry, 1, &["a"]);
    }

    #[test]
    fn an_id_is_registered_once() {
        let mut registry = Registry::new(1);
        register(&mut registry, "a", false).unwrap();
        let reason = register(&mut registry, "a", true).unwrap_err();
        assert!(reason.contains("`a`") && reason.contains("process 42"), "{reason}");
        check(&registry, 0, &[]);
        registry.remove("a");
        register(&mut registry, "a", false).unwrap();
    }
}
