use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use super::Snapshot;
use crate::{Member, Members};

/// What a server makes of the master's member lists.
///
/// A master that was started anew knows nobody until the servers have found their way back to it. Until
/// the grace is over, members that it does not name yet are kept as they were; once it has named one, its
/// word counts for that one.
pub(super) struct Membership {
    members: watch::Sender<Arc<Members>>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    snapshot: Option<Arc<Snapshot>>,
    /// Members that the master before this one named.
    kept: Vec<Arc<Member>>,
}

impl Membership {
    pub(super) fn new() -> Self {
        Self { members: watch::channel(Arc::default()).0, state: Mutex::default() }
    }

    pub(super) fn watch(&self) -> watch::Receiver<Arc<Members>> {
        self.members.subscribe()
    }

    /// Takes a new list. True if it is the first of a new master and members were kept: then call
    /// [`Membership::forget`] when the grace is over.
    pub(super) fn apply(&self, snapshot: &Arc<Snapshot>) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let before = state.snapshot.as_ref().map(|before| (before.incarnation, before.version));
        let is_other_master = before.is_some_and(|(incarnation, _)| incarnation != snapshot.incarnation);
        if is_other_master {
            state.kept = self.members.borrow().all().to_vec();
        } else if before.is_some_and(|(_, version)| version > snapshot.version) {
            return false;
        }
        state.snapshot = Some(Arc::clone(snapshot));
        state.kept.retain(|kept| !snapshot.members.iter().any(|member| member.id == kept.id));
        self.publish(&state);
        is_other_master && !state.kept.is_empty()
    }

    /// The grace for members of before that master is over.
    pub(super) fn forget(&self, incarnation: u64) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.snapshot.as_ref().is_some_and(|snapshot| snapshot.incarnation == incarnation) {
            state.kept = Vec::new();
            self.publish(&state);
        }
    }

    fn publish(&self, state: &State) {
        let named = state.snapshot.iter().flat_map(|snapshot| &snapshot.members);
        let list = Members::new(state.kept.iter().chain(named).cloned());
        self.members.send_if_modified(|members| {
            let is_news = **members != list;
            if is_news {
                *members = Arc::new(list);
            }
            is_news
        });
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Map;

    use super::*;

    fn snapshot(incarnation: u64, version: u64, ids: &[&str]) -> Arc<Snapshot> {
        let member = |id: &&str| {
            Arc::new(Member {
                id: (*id).into(),
                server_type: "chat".into(),
                host: "127.0.0.1".to_owned(),
                port: Some(1),
                frontend: false,
                fields: Map::new(),
            })
        };
        Arc::new(Snapshot { incarnation, version, members: ids.iter().map(member).collect() })
    }

    fn check(membership: &Membership, expected: &[&str]) {
        let members = Arc::clone(&membership.watch().borrow());
        let ids: Vec<&str> = members.all().iter().map(|member| &*member.id).collect();
        assert_eq!(ids, expected);
    }

    #[test]
    fn a_masters_lists_replace_each_other() {
        let membership = Membership::new();
        assert!(!membership.apply(&snapshot(1, 1, &["a", "b"])));
        check(&membership, &["a", "b"]);
        assert!(!membership.apply(&snapshot(1, 2, &["b"])));
        check(&membership, &["b"]);
    }

    #[test]
    fn an_older_list_of_the_same_master_is_ignored() {
        let membership = Membership::new();
        membership.apply(&snapshot(1, 2, &["b"]));
        membership.apply(&snapshot(1, 1, &["a", "b"]));
        check(&membership, &["b"]);
        membership.apply(&snapshot(1, 1, &["a", "b"]));
        check(&membership, &["b"]);
    }

    #[test]
    fn a_restarted_master_does_not_shrink_the_cluster_until_the_grace_is_over() {
        let membership = Membership::new();
        membership.apply(&snapshot(1, 9, &["a", "b", "c"]));
        assert!(membership.apply(&snapshot(2, 0, &[])), "a grace begins");
        check(&membership, &["a", "b", "c"]);
        assert!(!membership.apply(&snapshot(2, 1, &["b"])), "no second one");
        check(&membership, &["a", "b", "c"]);
        membership.apply(&snapshot(2, 2, &[]));
        check(&membership, &["a", "c"]);
        membership.forget(1);
        check(&membership, &["a", "c"]);
        membership.forget(2);
        check(&membership, &[]);
    }

    #[test]
    fn a_list_without_news_wakes_nobody() {
        let membership = Membership::new();
        membership.apply(&snapshot(1, 1, &["a"]));
        let mut watch = membership.watch();
        watch.mark_unchanged();
        membership.apply(&snapshot(1, 1, &["a"]));
        assert!(!watch.has_changed().unwrap());
    }
}
