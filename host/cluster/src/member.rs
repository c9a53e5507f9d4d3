use std::{collections::HashMap, sync::Arc};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A server of the cluster, as servers.json describes it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Member {
    /// Unique in the cluster.
    pub id: Arc<str>,
    /// Its key in servers.json.
    pub server_type: Arc<str>,
    /// The host for other servers.
    pub host: String,
    /// The RPC port; none: the server can call but cannot be called.
    pub port: Option<u16>,
    /// Whether clients connect to it.
    pub frontend: bool,
    /// The whole servers.json entry, unknown fields included.
    pub fields: Map<String, Value>,
}

/// The servers that are up, at one moment: immutable, sorted by id.
///
/// Sorted, so that `crc32(key) % n` means the same on every server.
#[derive(Debug, Default)]
pub struct Members {
    all: Vec<Arc<Member>>,
    by_type: HashMap<Arc<str>, Vec<Arc<Member>>>,
}

impl Members {
    /// Sorts and indexes. Of members with the same id the last one counts.
    #[must_use]
    pub fn new(members: impl IntoIterator<Item = Arc<Member>>) -> Self {
        let mut by_id = std::collections::BTreeMap::new();
        for member in members {
            by_id.insert(Arc::clone(&member.id), member);
        }
        let all: Vec<Arc<Member>> = by_id.into_values().collect();
        let mut by_type: HashMap<Arc<str>, Vec<Arc<Member>>> = HashMap::new();
        for member in &all {
            by_type.entry(Arc::clone(&member.server_type)).or_default().push(Arc::clone(member));
        }
        Self { all, by_type }
    }

    /// The member with that id.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&Arc<Member>> {
        let index = self.all.binary_search_by(|member| (*member.id).cmp(id)).ok()?;
        self.all.get(index)
    }

    /// The members of a type, sorted by id; empty if there is none.
    #[must_use]
    pub fn of_type(&self, server_type: &str) -> &[Arc<Member>] {
        self.by_type.get(server_type).map_or(&[], Vec::as_slice)
    }

    /// All members, sorted by id.
    #[must_use]
    pub fn all(&self) -> &[Arc<Member>] {
        &self.all
    }
}

impl PartialEq for Members {
    fn eq(&self, other: &Self) -> bool {
        self.all == other.all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(id: &str, server_type: &str, port: u16) -> Arc<Member> {
        Arc::new(Member {
            id: id.into(),
            server_type: server_type.into(),
            host: "127.0.0.1".to_owned(),
            port: Some(port),
            frontend: false,
            fields: Map::new(),
        })
    }

    fn ids(members: &[Arc<Member>]) -> Vec<&str> {
        members.iter().map(|member| &*member.id).collect()
    }

    #[test]
    fn members_are_sorted_by_id_whatever_the_order_of_joining() {
        let members = Members::new([member("c-2", "c", 2), member("a-1", "a", 1), member("c-1", "c", 3)]);
        assert_eq!(ids(members.all()), ["a-1", "c-1", "c-2"]);
        assert_eq!(ids(members.of_type("c")), ["c-1", "c-2"]);
        assert!(members.of_type("none").is_empty());
        assert_eq!(members.get("c-2").unwrap().port, Some(2));
        assert!(members.get("c").is_none());
    }

    #[test]
    fn the_last_of_two_with_one_id_counts() {
        let members = Members::new([member("a", "x", 1), member("a", "y", 2)]);
        assert_eq!(members.all().len(), 1);
        assert!(members.of_type("x").is_empty());
        assert_eq!(ids(members.of_type("y")), ["a"]);
    }
}
