//! The built-in routers, each with what it remembers of the servers of one type.
//!
//! Made when the membership changes, never for a call.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use shaddock_config::Router;
use shaddock_engine::types::{RouteKey, ServerInfo};

use crate::ring::Ring;

/// One way to pick, for the servers of one type.
#[derive(Debug)]
pub(crate) enum Balancer {
    /// pomelo's default.
    Crc32,
    /// The same over keys that a session without a user has, too.
    Hash,
    /// The next turn.
    RoundRobin(AtomicUsize),
    /// The weights, and what each server is owed.
    Weighted(Mutex<Vec<Owed>>),
    /// Calls under way by server, and the next turn among equals.
    LeastActive { active: Vec<Arc<AtomicUsize>>, turn: AtomicUsize },
    /// Places of all servers.
    Consistent(Ring),
    /// Any.
    Random,
}

/// Smooth weighted round robin: with every pick each server is owed its weight more, and the one that is owed most
/// is picked and pays for all.
#[derive(Debug)]
pub(crate) struct Owed {
    weight: i64,
    owed: i64,
}

/// A call under way, for routers that count them. Dropping it is the call's end.
#[derive(Debug, Default)]
pub(crate) struct Active(Option<Arc<AtomicUsize>>);

impl Active {
    fn begin(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(Some(Arc::clone(count)))
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        if let Some(count) = &self.0 {
            count.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Balancer {
    /// For a list of servers with their weights; `previous` is the balancer of the list before, by id.
    pub(crate) fn new(
        router: Router,
        servers: &[Arc<ServerInfo>],
        weights: &[u32],
        previous: Option<(&Balancer, &[Arc<ServerInfo>])>,
    ) -> Self {
        match router {
            Router::Crc32 => Self::Crc32,
            Router::Hash => Self::Hash,
            Router::Random => Self::Random,
            Router::ConsistentHash => Self::Consistent(Ring::new(servers)),
            Router::RoundRobin => Self::RoundRobin(AtomicUsize::new(match previous {
                Some((Self::RoundRobin(turn), _)) => turn.load(Ordering::Relaxed),
                _ => 0,
            })),
            Router::WeightedRoundRobin => {
                let owed = weights.iter().map(|&weight| Owed { weight: weight.into(), owed: 0 });
                Self::Weighted(Mutex::new(owed.collect()))
            }
            Router::LeastActive => {
                // calls that are under way end after the change, too
                let kept = |server: &ServerInfo| {
                    let (Self::LeastActive { active, .. }, before) = previous? else { return None };
                    let place = before.iter().position(|other| other.id == server.id)?;
                    active.get(place).cloned()
                };
                let active = servers.iter().map(|server| kept(server).unwrap_or_default()).collect();
                Self::LeastActive { active, turn: AtomicUsize::new(0) }
            }
        }
    }

    /// The index of the server for a call, among `count`, of which there is at least one.
    pub(crate) fn pick(&self, key: &RouteKey, count: usize) -> usize {
        match self {
            Self::Crc32 => crc32_index(uid_or_value(key), count),
            Self::Hash => with_key(key, |key| crc32_index(key, count)),
            Self::Consistent(ring) => with_key(key, |key| ring.index(key)),
            Self::RoundRobin(turn) => turn.fetch_add(1, Ordering::Relaxed) % count.max(1),
            Self::Weighted(owed) => most_owed(&mut owed.lock().unwrap_or_else(PoisonError::into_inner)),
            Self::LeastActive { active, turn } => least_active(active, turn.fetch_add(1, Ordering::Relaxed)),
            Self::Random => fastrand::usize(..count.max(1)),
        }
    }

    /// Counts a call to the server with that index, if calls are counted.
    pub(crate) fn begin(&self, index: usize) -> Active {
        match self {
            Self::LeastActive { active, .. } => active.get(index).map(Active::begin).unwrap_or_default(),
            _ => Active::default(),
        }
    }

    /// Whether [`Balancer::begin`] has an effect.
    pub(crate) fn counts_calls(&self) -> bool {
        matches!(self, Self::LeastActive { .. })
    }
}

fn uid_or_value(key: &RouteKey) -> &str {
    match key {
        RouteKey::Session(session) => session.uid.as_deref().unwrap_or(""),
        RouteKey::Value(value) => value,
    }
}

/// As `uid_or_value`, but sessions without a user differ.
fn with_key<T>(key: &RouteKey, f: impl FnOnce(&str) -> T) -> T {
    match key {
        RouteKey::Session(session) if session.uid.is_none() => {
            f(&format!("{}:{}", session.id.frontend_id, session.id.number))
        }
        _ => f(uid_or_value(key)),
    }
}

/// pomelo takes the checksum as a signed number and drops the sign.
fn crc32_index(key: &str, count: usize) -> usize {
    crc32fast::hash(key.as_bytes()).cast_signed().unsigned_abs() as usize % count.max(1)
}

fn most_owed(servers: &mut [Owed]) -> usize {
    let total: i64 = servers.iter().map(|server| server.weight).sum();
    let mut picked: Option<(usize, &mut Owed)> = None;
    for (index, server) in servers.iter_mut().enumerate() {
        server.owed += server.weight;
        // the first of equals
        if picked.as_ref().is_none_or(|(_, most)| server.owed > most.owed) {
            picked = Some((index, server));
        }
    }
    picked.map_or(0, |(index, server)| {
        server.owed -= total;
        index
    })
}

fn least_active(active: &[Arc<AtomicUsize>], turn: usize) -> usize {
    let start = turn % active.len().max(1);
    let (before, from) = active.split_at(start);
    let counts = (start..).zip(from).chain((0..).zip(before));
    let least = counts.min_by_key(|(_, count)| count.load(Ordering::Relaxed));
    least.map_or(0, |(index, _)| index)
}

#[cfg(test)]
mod tests {
    use shaddock_engine::types::{Session, SessionId};

    use super::*;
    use crate::roster::tests::servers;

    fn value(text: &str) -> RouteKey {
        RouteKey::Value(text.into())
    }

    fn session(number: u64, uid: Option<&str>) -> RouteKey {
        let id = SessionId { frontend_id: "connector-1".into(), number };
        RouteKey::Session(Arc::new(Session { id, uid: uid.map(Arc::from), settings: [].into() }))
    }

    fn balancer(router: Router, ids: &[&str]) -> Balancer {
        Balancer::new(router, &servers(ids), &vec![1; ids.len()], None)
    }

    fn picks(balancer: &Balancer, count: usize, calls: usize) -> Vec<usize> {
        (0..calls).map(|_| balancer.pick(&value("x"), count)).collect()
    }

    #[test]
    fn the_default_is_pomelos_signed_crc32() {
        // crc32("alice") is 0x05eb3d45 and crc32("") is 0; crc32("b") has its sign bit clear, "a" has it set
        for (key, count) in [("alice", 3), ("", 3), ("a", 3), ("b", 7), ("r\u{fc}bezahl", 5)] {
            let signed = i64::from(crc32fast::hash(key.as_bytes()).cast_signed());
            let expected = usize::try_from(signed.abs() % count).unwrap();
            assert_eq!(crc32_index(key, count as usize), expected, "{key}");
            assert_eq!(Balancer::Crc32.pick(&session(1, Some(key)), count as usize), expected, "{key}");
        }
        assert_eq!(0x8000_0000_u32.cast_signed().unsigned_abs() % 3, 0x8000_0000 % 3);
        assert_eq!(0xffff_ffff_u32.cast_signed().unsigned_abs() % 3, 1);
    }

    #[test]
    fn sessions_without_a_user_are_one_key_for_crc32_and_many_for_the_others() {
        let ids = ["a", "b", "c", "d"];
        let spread = |router| {
            let balancer = balancer(router, &ids);
            let picked = (0..100).map(|number| balancer.pick(&session(number, None), ids.len()));
            picked.collect::<std::collections::BTreeSet<_>>().len()
        };
        assert_eq!((spread(Router::Crc32), spread(Router::Hash), spread(Router::ConsistentHash)), (1, 4, 4));
        for router in [Router::Crc32, Router::Hash, Router::ConsistentHash] {
            let balancer = balancer(router, &ids);
            let of_user = balancer.pick(&session(1, Some("alice")), 4);
            assert_eq!(balancer.pick(&session(2, Some("alice")), 4), of_user, "{router:?}");
            assert_eq!(balancer.pick(&value("alice"), 4), of_user, "{router:?}");
        }
    }

    #[test]
    fn round_robin_takes_turns_and_goes_on_where_it_was() {
        let ids = servers(&["a", "b", "c"]);
        let first = balancer(Router::RoundRobin, &["a", "b", "c"]);
        assert_eq!(picks(&first, 3, 5), [0, 1, 2, 0, 1]);
        let more = servers(&["a", "b", "c", "d"]);
        let second = Balancer::new(Router::RoundRobin, &more, &[1; 4], Some((&first, &ids)));
        assert_eq!(picks(&second, 4, 3), [1, 2, 3]);
    }

    #[test]
    fn weights_give_shares_that_are_spread_over_time() {
        let three = servers(&["a", "b", "c"]);
        let weighted = Balancer::new(Router::WeightedRoundRobin, &three, &[5, 1, 1], None);
        assert_eq!(picks(&weighted, 3, 7), [0, 0, 1, 0, 2, 0, 0]);
        let weights = [1000, 1, 17];
        let weighted = Balancer::new(Router::WeightedRoundRobin, &three, &weights, None);
        let picked = picks(&weighted, 3, 2 * 1018);
        for (index, weight) in weights.into_iter().enumerate() {
            assert_eq!(picked.iter().filter(|&&other| other == index).count(), 2 * weight as usize);
        }
    }

    #[test]
    fn the_least_active_server_is_picked_and_a_call_that_ends_counts_no_longer() {
        let three = servers(&["a", "b", "c"]);
        let balancer = balancer(Router::LeastActive, &["a", "b", "c"]);
        let mut under_way: Vec<_> =
            (0..9).map(|_| balancer.pick(&value(""), 3)).map(|i| (i, balancer.begin(i))).collect();
        let of = |under_way: &[(usize, Active)], index| under_way.iter().filter(|(i, _)| *i == index).count();
        assert_eq!([of(&under_way, 0), of(&under_way, 1), of(&under_way, 2)], [3, 3, 3]);
        under_way.retain(|(index, _)| *index != 1);
        assert_eq!(picks(&balancer, 3, 4), [1; 4], "its calls have ended");
        // another list of servers: the calls under way still count, and still end
        let four = servers(&["a", "c", "d", "e"]);
        let next = Balancer::new(Router::LeastActive, &four, &[1; 4], Some((&balancer, &three)));
        assert!(picks(&next, 4, 8).into_iter().all(|index| index >= 2));
        drop(under_way);
        assert_eq!(picks(&next, 4, 8).into_iter().collect::<std::collections::BTreeSet<_>>().len(), 4);
    }

    #[test]
    fn random_picks_all_and_nothing_else() {
        let picked = picks(&Balancer::Random, 3, 1000);
        assert_eq!(picked.into_iter().collect::<std::collections::BTreeSet<_>>(), [0, 1, 2].into());
    }

    #[test]
    fn every_router_picks_within_the_list() {
        for router in [
            Router::Crc32,
            Router::Hash,
            Router::RoundRobin,
            Router::WeightedRoundRobin,
            Router::LeastActive,
            Router::ConsistentHash,
            Router::Random,
        ] {
            for ids in [&["a"][..], &["a", "b", "c"]] {
                let balancer = balancer(router, ids);
                for n in 0..50 {
                    let index = balancer.pick(&value(&n.to_string()), ids.len());
                    assert!(index < ids.len(), "{router:?}");
                    drop(balancer.begin(index));
                }
            }
        }
    }
}
