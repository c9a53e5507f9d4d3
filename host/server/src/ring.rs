//! Consistent hashing: a ring of hashes on which every server has many places.
//!
//! A key belongs to the server with the last place before it. A server that comes takes keys from those whose places
//! it gets between, and one that goes leaves its keys to them; all other keys stay. The ring is pomelo's: 100 places
//! for each server, the md5 of its id and the place's number.

use std::sync::Arc;

use md5::{Digest, Md5};
use shaddock_engine::types::ServerInfo;

/// Places of one server.
const PLACES: u32 = 100;

/// The places of the servers of one type, sorted, each with the server's index.
#[derive(Debug)]
pub(crate) struct Ring(Vec<(u128, u32)>);

impl Ring {
    /// The ring of a list of servers; the indices are those of the list.
    pub(crate) fn new(servers: &[Arc<ServerInfo>]) -> Self {
        let places = (0..).zip(servers).flat_map(|(index, server)| {
            (0..PLACES).map(move |place| (hash(&format!("{}:{place}", server.id)), index))
        });
        let mut ring: Vec<_> = places.collect();
        ring.sort_unstable();
        Self(ring)
    }

    /// The index of the server that a key belongs to.
    pub(crate) fn index(&self, key: &str) -> usize {
        let key = hash(key);
        let after = self.0.partition_point(|(place, _)| *place <= key);
        let before = after.checked_sub(1).and_then(|place| self.0.get(place));
        before.or(self.0.last()).map_or(0, |(_, index)| *index as usize)
    }
}

fn hash(text: &str) -> u128 {
    u128::from_be_bytes(Md5::digest(text.as_bytes()).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::roster::tests::servers;

    fn owners(ids: &[&str]) -> Vec<String> {
        let servers = servers(ids);
        let ring = Ring::new(&servers);
        (0..10_000).map(|key| servers[ring.index(&format!("key {key}"))].id.to_string()).collect()
    }

    #[test]
    fn only_the_keys_of_the_server_that_comes_or_goes_move() {
        let five = owners(&["a", "b", "c", "d", "e"]);
        let four = owners(&["a", "b", "d", "e"]);
        for (key, (before, after)) in five.iter().zip(&four).enumerate() {
            assert!(before == after || before == "c", "key {key} moved from {before} to {after}");
            assert!(after != "c");
        }
        let moved = five.iter().filter(|owner| *owner == "c").count();
        assert!((1_000..3_500).contains(&moved), "c has a fair share of 10000 keys: {moved}");
        let heirs: std::collections::BTreeSet<_> =
            five.iter().zip(&four).filter(|(before, _)| *before == "c").map(|(_, after)| after).collect();
        assert_eq!(heirs.len(), 4, "what c leaves is shared by all others");
    }

    #[test]
    fn it_is_pomelos_ring() {
        // What pomelo-rpc's ConsistentHash finds for these keys: the last place at or before the key, else the last one.
        let servers = servers(&["chat-1", "chat-2"]);
        let mut places: Vec<(String, &str)> = Vec::new();
        for server in ["chat-1", "chat-2"] {
            for place in 0..100 {
                places.push((format!("{:032x}", hash(&format!("{server}:{place}"))), server));
            }
        }
        places.sort();
        let ring = Ring::new(&servers);
        for key in ["", "alice", "bob", "room 1", "\u{fc}"] {
            let hex = format!("{:032x}", hash(key));
            let expected = places.iter().rev().find(|(place, _)| *place <= hex).or(places.last()).unwrap().1;
            assert_eq!(&*servers[ring.index(key)].id, expected, "{key}");
        }
        assert_eq!(hash("alice"), 0x6384e2b2184bcbf58eccf10ca7a6563c);
    }

    #[test]
    fn a_ring_of_one_or_none_has_an_answer() {
        assert_eq!(Ring::new(&servers(&["a"])).index("x"), 0);
        assert_eq!(Ring::new(&[]).index("x"), 0);
    }
}
