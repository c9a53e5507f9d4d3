//! Which versions of the plugins run: everything that depends on them, in one object behind one pointer.

use std::sync::Arc;

use shaddock_config::ServerTypeSettings;
use shaddock_engine::Track;
use shaddock_engine::types::{RouteKey, Session};
use shaddock_rollout::Share;
use shaddock_wire::protocol::Protocol;

use crate::error::ServerError;
use crate::filters::AllFilters;
use crate::plugins::Plugins;

/// One version of every plugin, with what this server makes of them. It never changes.
#[derive(Default)]
pub(crate) struct Edition {
    pub(crate) plugins: Plugins,
    pub(crate) filters: AllFilters,
}

impl Edition {
    /// Of a server with these settings.
    pub(crate) fn new(settings: &ServerTypeSettings, plugins: Plugins) -> Result<Self, ServerError> {
        let filters = AllFilters::new(&settings.filters, &plugins)?;
        Ok(Self { plugins, filters })
    }
}

/// What a server runs at a time.
pub(crate) struct Loaded {
    pub(crate) edition: Arc<Edition>,
    /// What runs for a share of the calls, with another version of one plugin.
    pub(crate) canary: Option<Canary>,
    /// What new clients of this frontend speak; its dictionary names the plugins' routes. A session keeps the one
    /// that it began with.
    pub(crate) protocol: Arc<Protocol>,
}

/// A version on trial: it serves a share of the calls.
pub(crate) struct Canary {
    pub(crate) deployment: u64,
    pub(crate) share: Share,
    pub(crate) edition: Arc<Edition>,
}

impl Loaded {
    /// All that run side by side.
    pub(crate) fn editions(&self) -> impl Iterator<Item = &Arc<Edition>> {
        [&self.edition].into_iter().chain(self.canary.as_ref().map(|canary| &canary.edition))
    }

    /// What a call runs on that was decided about so.
    pub(crate) fn edition_for(&self, track: Track) -> &Arc<Edition> {
        match &self.canary {
            Some(canary) if track == Track::canary(canary.deployment) => &canary.edition,
            _ => &self.edition,
        }
    }

    /// Decides whether a call gets the canary, unless that has been decided before. The same key gets the same
    /// everywhere.
    pub(crate) fn decide(&self, track: Track, key: Key<'_>) -> Track {
        match &self.canary {
            Some(canary) if track.deployment() != Some(canary.deployment) => canary.decide(key),
            _ => track,
        }
    }
}

impl Canary {
    fn decide(&self, key: Key<'_>) -> Track {
        if key.place() < u32::from(self.share.basis_points()) {
            Track::canary(self.deployment)
        } else {
            Track::stable(self.deployment)
        }
    }
}

/// What stands for a call when it is decided whether it gets a canary.
#[derive(Clone, Copy)]
pub(crate) enum Key<'a> {
    /// Its user, or else its session.
    Session(&'a Session),
    /// What it is routed by.
    Value(&'a str),
}

impl<'a> From<&'a RouteKey> for Key<'a> {
    fn from(key: &'a RouteKey) -> Self {
        match key {
            RouteKey::Session(session) => Self::Session(session),
            RouteKey::Value(value) => Self::Value(value),
        }
    }
}

impl Key<'_> {
    /// Its place among 10,000 that are all alike.
    fn place(self) -> u32 {
        let mut sum = crc32fast::Hasher::new();
        match self {
            Self::Value(value) => sum.update(value.as_bytes()),
            Self::Session(Session { uid: Some(uid), .. }) => sum.update(uid.as_bytes()),
            Self::Session(Session { id, .. }) => {
                sum.update(id.frontend_id.as_bytes());
                sum.update(&id.number.to_le_bytes());
            }
        }
        // Stirred (the end of SplitMix64): the sum alone also picks the backend.
        let mut z = u64::from(sum.finalize()).wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % 10_000) as u32
    }
}

#[cfg(test)]
mod tests {
    use shaddock_engine::types::SessionId;

    use super::*;

    fn session(uid: Option<&str>, number: u64) -> Session {
        let id = SessionId { frontend_id: "c1".into(), number };
        Session { id, uid: uid.map(Into::into), settings: Arc::default() }
    }

    #[test]
    fn a_user_is_decided_about_the_same_way_wherever_and_as_whatever() {
        let by_session = |number| Key::Session(&session(Some("alice"), number)).place();
        assert_eq!(by_session(1), by_session(2));
        assert_eq!(by_session(1), Key::Value("alice").place());
        assert_ne!(Key::Session(&session(None, 1)).place(), Key::Session(&session(None, 2)).place());
    }

    #[test]
    fn a_share_is_the_share_that_was_asked_for_also_of_those_who_go_to_one_backend() {
        for backends in [1, 2, 3, 5] {
            let names = (0..20_000).map(|number| format!("player{number}"));
            let of_first = names.filter(|name| crc32fast::hash(name.as_bytes()).is_multiple_of(backends));
            let places: Vec<u32> = of_first.map(|name| Key::Value(&name).place()).collect();
            let chosen = places.iter().filter(|place| **place < 500).count() as f64 / places.len() as f64;
            assert!((0.04..0.06).contains(&chosen), "{chosen} of those of one of {backends}");
        }
    }

    #[test]
    fn what_was_decided_stays_and_travels() {
        let canary = |deployment, basis_points: u16| {
            let share = basis_points.try_into().unwrap();
            Some(Canary { deployment, share, edition: Arc::default() })
        };
        let loaded = |canary| Loaded { edition: Arc::default(), canary, protocol: Arc::default() };
        let key = Key::Value("alice");
        let here = loaded(canary(7, 9_999));
        assert_eq!(loaded(None).decide(Track::UNDECIDED, key), Track::UNDECIDED);
        assert_eq!(here.decide(Track::UNDECIDED, key), Track::canary(7));
        assert_eq!(here.decide(Track::stable(7), key), Track::stable(7), "decided elsewhere");
        assert_eq!(here.decide(Track::stable(6), key), Track::canary(7), "decided about another one");
        let is_canary = |track| Arc::ptr_eq(here.edition_for(track), &here.canary.as_ref().unwrap().edition);
        assert!(is_canary(Track::canary(7)));
        assert!(![Track::canary(6), Track::stable(7), Track::UNDECIDED].into_iter().any(is_canary));
    }
}
