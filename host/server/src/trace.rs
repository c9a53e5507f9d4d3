//! Which versions served a user: the last requests of each session, remembered by its frontend.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hashbrown::HashMap;
use indexmap::IndexSet;
use shaddock_cluster::Instant;
use shaddock_engine::types::Failure;
use shaddock_engine::{Plugin, PluginName};
use shaddock_rollout::{Trace, TracedCall};

use crate::server::Server;

/// Requests of a session that are remembered.
const REQUESTS_MAX: usize = 8;
/// Sessions with a user that have ended, and are remembered for a while.
const ENDED_MAX: usize = 256;

/// The last requests of a session; no memory until the first one ends.
#[derive(Debug, Default)]
pub(crate) struct LastRequests(Mutex<Option<Box<Ring>>>);

#[derive(Debug, Clone, Default)]
struct Ring {
    requests: [Served; REQUESTS_MAX],
    count: usize,
}

/// A request that has been answered.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Served {
    /// The [`PluginName::tag`] of the version; 0: no plugin was asked.
    pub(crate) by: u64,
    /// The number of its route's name, see [`Names`].
    pub(crate) route: u32,
    /// The code of the failure.
    pub(crate) code: Option<u32>,
    /// Since the server's start.
    pub(crate) at: Duration,
    pub(crate) took: Duration,
}

impl LastRequests {
    fn lock(&self) -> MutexGuard<'_, Option<Box<Ring>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn add(&self, request: Served) {
        let mut ring = self.lock();
        let ring = ring.get_or_insert_default();
        if let Some(place) = ring.requests.get_mut(ring.count % REQUESTS_MAX) {
            *place = request;
        }
        ring.count += 1;
    }
}

impl Ring {
    /// Oldest first.
    fn in_order(&self) -> impl Iterator<Item = &Served> {
        let (newer, older) = self.requests.split_at(self.count % REQUESTS_MAX);
        let older = if self.count < REQUESTS_MAX { &[] } else { older };
        older.iter().chain(newer)
    }
}

/// What the short forms in [`Served`] stand for, and the requests of sessions that have ended.
#[derive(Debug, Default)]
pub(crate) struct Traces {
    versions: RwLock<HashMap<u64, Arc<PluginName>>>,
    ended: Mutex<VecDeque<(Arc<str>, Box<Ring>)>>,
}

impl Traces {
    /// A version that may serve, here or on another server.
    pub(crate) fn know(&self, plugin: &Plugin) {
        let mut versions = self.versions.write().unwrap_or_else(PoisonError::into_inner);
        versions.entry(plugin.name().tag()).or_insert_with(|| Arc::clone(plugin.name()));
    }

    /// The version of that tag.
    pub(crate) fn version(&self, tag: u64) -> Option<Arc<PluginName>> {
        self.versions.read().unwrap_or_else(PoisonError::into_inner).get(&tag).cloned()
    }

    fn ended(&self) -> MutexGuard<'_, VecDeque<(Arc<str>, Box<Ring>)>> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A user's session that has ended.
    pub(crate) fn keep(&self, uid: Arc<str>, requests: &LastRequests) {
        let Some(ring) = requests.lock().take() else { return };
        let mut ended = self.ended();
        if ended.len() >= ENDED_MAX {
            ended.pop_front();
        }
        ended.push_back((uid, ring));
    }
}

/// The names of routes, each with a number for as long as the process lives. There are as many as the plugins that
/// were ever loaded serve, which are bounded each.
#[derive(Debug, Default)]
pub(crate) struct Names(RwLock<IndexSet<Arc<str>>>);

/// Of this process: routes are numbered when plugins are loaded.
pub(crate) static ROUTES: std::sync::LazyLock<Names> = std::sync::LazyLock::new(Names::default);

impl Names {
    /// The number of a name.
    pub(crate) fn number(&self, name: &Arc<str>) -> u32 {
        let mut names = self.0.write().unwrap_or_else(PoisonError::into_inner);
        names.insert_full(Arc::clone(name)).0 as u32
    }

    fn name(&self, number: u32) -> Option<Arc<str>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get_index(number as usize).cloned()
    }
}

impl Server {
    /// The last requests of a user here, oldest first, that a plugin was asked for.
    pub(crate) fn trace(&self, uid: &str) -> Trace {
        let mut rings: Vec<Ring> = self
            .traces
            .ended()
            .iter()
            .filter(|(user, _)| **user == *uid)
            .map(|(_, ring)| Ring::clone(ring))
            .collect();
        let open = self.sessions.by_uid(uid);
        rings.extend(
            open.iter().filter_map(|session| Some(Ring::clone(session.last_requests.lock().as_ref()?))),
        );
        let now = (Instant::now().duration_since(self.started), SystemTime::now());
        let mut calls: Vec<TracedCall> =
            rings.iter().flat_map(Ring::in_order).filter_map(|served| self.traced(served, now)).collect();
        calls.sort_by_key(|call| call.at_ms);
        Trace { calls }
    }

    fn traced(&self, served: &Served, (since_start, wall): (Duration, SystemTime)) -> Option<TracedCall> {
        let version = self.traces.version(served.by)?;
        let at = wall - since_start.saturating_sub(served.at);
        let at_ms = at.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        Some(TracedCall {
            at_ms: u64::try_from(at_ms).unwrap_or(u64::MAX),
            route: ROUTES.name(served.route)?.to_string(),
            plugin: version.name.to_string(),
            version: version.version.to_string(),
            digest: version.digest.parse().ok()?,
            outcome: served.code.map_or_else(|| "ok".to_owned(), |code| code.to_string()),
            us: u64::try_from(served.took.as_micros()).unwrap_or(u64::MAX),
        })
    }
}

/// An answer that names the version that gave it; one that is no object stays as it is.
pub(crate) fn name_version(answer: Result<&[u8], &Failure>, version: &PluginName) -> Vec<u8> {
    let failed;
    let json = match answer {
        Ok([]) => b"{}",
        Ok(json) => json,
        Err(failure) => {
            failed = format!("{{\"code\":{}}}", failure.code);
            failed.as_bytes()
        }
    };
    let json = json.trim_ascii();
    let Some(fields) = json.strip_prefix(b"{").and_then(|json| json.strip_suffix(b"}")) else {
        return json.to_vec();
    };
    let comma = if fields.trim_ascii().is_empty() { "" } else { "," };
    let named = format!("{comma}\"__version__\":\"{}@{}\"}}", version.name, version.version);
    [b"{", fields, named.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_names_its_version() {
        let version = PluginName { name: "chat".into(), version: "0123".into(), digest: "0123".into() };
        let named = |answer| String::from_utf8(name_version(answer, &version)).unwrap();
        assert_eq!(named(Ok(b"")), r#"{"__version__":"chat@0123"}"#);
        assert_eq!(named(Ok(b" {\"a\":1} ")), r#"{"a":1,"__version__":"chat@0123"}"#);
        assert_eq!(named(Ok(b"[1]")), "[1]");
        assert_eq!(named(Err(&Failure::new(404, "x"))), r#"{"code":404,"__version__":"chat@0123"}"#);
    }

    #[test]
    fn the_last_requests_are_remembered_in_order() {
        let last = LastRequests::default();
        let tags = |last: &LastRequests| -> Vec<u64> {
            last.lock().as_ref().unwrap().in_order().map(|served| served.by).collect()
        };
        for by in 1..=3 {
            last.add(Served { by, ..Served::default() });
        }
        assert_eq!(tags(&last), [1, 2, 3]);
        for by in 4..=11 {
            last.add(Served { by, ..Served::default() });
        }
        assert_eq!(tags(&last), [4, 5, 6, 7, 8, 9, 10, 11]);
    }

    #[test]
    fn a_route_keeps_its_number() {
        let names = Names::default();
        let (a, b): (Arc<str>, Arc<str>) = ("a.b.c".into(), "d.e.f".into());
        assert_eq!((names.number(&a), names.number(&b), names.number(&a)), (0, 1, 0));
        assert_eq!(names.name(1), Some(b));
        assert_eq!(names.name(2), None);
    }
}
