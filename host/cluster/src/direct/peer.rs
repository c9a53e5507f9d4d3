//! Another server, and which link to it counts.
//!
//! There is at most one link per pair of servers, whoever opened it, so everything that one server sends
//! the other is in one order. When both open one at the same time, the link of the server with the
//! smaller id wins: it refuses the other's attempt as *crossed*, and the other moves its waiting calls to
//! the link that comes in. An attempt that arrives while a link stands is either such a crossing, noticed
//! late, or comes from a peer that has lost the link: it says which link it had last, so that is known.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{
    Member, RpcError, Settings,
    auth::{Hello, Refusal},
    backoff::Backoff,
    link::{Link, Phase},
};

pub(super) struct Peer {
    pub(super) id: Arc<str>,
    state: Mutex<State>,
}

struct State {
    /// None: it is no member (any more, or not yet known to be one).
    member: Option<Arc<Member>>,
    current: Option<Current>,
    /// The name of the last link that stood, 0 for none.
    previous: u64,
    backoff: Backoff,
    /// No attempt before that: calls fail until then.
    not_before: Option<Instant>,
    /// It has left the list: until when the link that it had then may be used.
    leaving_until: Option<Instant>,
}

impl State {
    /// What is under way may still need a server that has left, but nobody opens a link to it.
    fn link_of_leaving(&self) -> Result<ForCall, RpcError> {
        let in_time = self.leaving_until.is_some_and(|until| Instant::now() < until);
        match &self.current {
            Some(current) if in_time && current.link.phase() == Phase::Open => {
                Ok(ForCall::Link(Arc::clone(&current.link)))
            }
            _ => Err(RpcError::UnknownServer),
        }
    }
}

/// The link in use or in the making.
#[derive(Clone)]
pub(super) struct Current {
    pub(super) link: Arc<Link>,
    /// Cancelled when its socket is no longer read.
    pub(super) ended: CancellationToken,
    opener: Opener,
    /// Its name; 0 until it stands.
    name: u64,
    /// The peer's run, once it stands.
    incarnation: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Opener {
    Us,
    /// We tried, and were told that the peer's own attempt is on its way.
    UsInVain,
    Them,
}

/// A link for a call: there already, or to be opened by the caller of [`Peer::link`].
pub(super) enum ForCall {
    Link(Arc<Link>),
    Dial { link: Arc<Link>, member: Arc<Member>, previous: u64 },
}

/// An incoming link that is taken.
pub(super) struct Admitted {
    pub(super) current: Current,
    /// An older link, to be ended first.
    pub(super) replaced: Option<Current>,
}

impl Peer {
    pub(super) fn new(id: Arc<str>, settings: &Settings) -> Self {
        let state = State {
            member: None,
            current: None,
            previous: 0,
            backoff: Backoff::new(settings.backoff_min, settings.backoff_max),
            not_before: None,
            leaving_until: None,
        };
        Self { id, state: Mutex::new(state) }
    }

    /// The link for a call.
    pub(super) fn link(&self, settings: &Settings) -> Result<ForCall, RpcError> {
        let mut state = self.lock();
        let Some(member) = &state.member else { return state.link_of_leaving() };
        if member.port.is_none() {
            return Err(RpcError::Unreachable);
        }
        if let Some(current) = &state.current {
            return Ok(ForCall::Link(Arc::clone(&current.link)));
        }
        if state.not_before.is_some_and(|at| Instant::now() < at) {
            return Err(RpcError::Unreachable);
        }
        let (member, previous) = (Arc::clone(member), state.previous);
        let link = Arc::new(Link::new(settings));
        state.current = Some(Current::new(Arc::clone(&link), Opener::Us));
        Ok(ForCall::Dial { link, member, previous })
    }

    /// Our attempt succeeded. None if the link was replaced or closed meanwhile.
    pub(super) fn established(&self, link: &Arc<Link>, name: u64, incarnation: u64) -> Option<Current> {
        let mut state = self.lock();
        state.backoff.reset();
        state.not_before = None;
        let current = state.current.as_mut().filter(|current| Arc::ptr_eq(&current.link, link))?;
        if !link.open() {
            return None;
        }
        (current.name, current.incarnation) = (name, incarnation);
        let current = current.clone();
        state.previous = name;
        Some(current)
    }

    /// Our attempt was refused because the peer's own is on its way.
    pub(super) fn crossed(&self, link: &Arc<Link>) {
        let mut state = self.lock();
        if let Some(current) = state.current.as_mut().filter(|current| Arc::ptr_eq(&current.link, link)) {
            current.opener = Opener::UsInVain;
        }
    }

    /// Our attempt failed: true if it is the first failure in a row.
    pub(super) fn failed(&self, link: &Arc<Link>) -> bool {
        let is_first = {
            let mut state = self.lock();
            state.current.take_if(|current| Arc::ptr_eq(&current.link, link));
            let is_first = state.not_before.is_none();
            state.not_before = Some(Instant::now() + state.backoff.next());
            is_first
        };
        link.close(&RpcError::Unreachable);
        is_first
    }

    /// A link that was closed before it stood: the next call gets another.
    pub(super) fn drop_closed(&self, link: &Arc<Link>) {
        let is_this =
            |current: &mut Current| Arc::ptr_eq(&current.link, link) && link.phase() == Phase::Closed;
        self.lock().current.take_if(is_this);
    }

    /// The peer opens a link and has proved itself: take it, or say why not.
    pub(super) fn admit(
        &self,
        own_id: &str,
        hello: &Hello,
        settings: &Settings,
    ) -> Result<Admitted, Refusal> {
        let mut state = self.lock();
        let mut replaced = state.current.take();
        if let Some(current) = &replaced
            && current.counts_against(own_id, &self.id, hello)
        {
            state.current = replaced;
            return Err(Refusal::Crossed);
        }
        let waiting = replaced.take_if(|current| current.link.phase() == Phase::Connecting);
        let mut current =
            waiting.unwrap_or_else(|| Current::new(Arc::new(Link::new(settings)), Opener::Them));
        current.opener = Opener::Them;
        (current.name, current.incarnation) = (hello.link_id(), hello.incarnation);
        if !current.link.open() {
            // Closed in this moment, as at shutdown.
            return Err(Refusal::Crossed);
        }
        state.previous = current.name;
        state.current = Some(current.clone());
        state.not_before = None;
        state.backoff.reset();
        Ok(Admitted { current, replaced })
    }

    /// The link is over.
    pub(super) fn ended(&self, current: &Current) {
        self.lock().current.take_if(|now| Arc::ptr_eq(&now.link, &current.link));
        current.ended.cancel();
    }

    /// The member list changed. Gives a link that this concerns, and how; `leaving_until` is when a server
    /// that leaves now is given up.
    pub(super) fn set_member(
        &self,
        member: Option<&Arc<Member>>,
        leaving_until: Instant,
    ) -> Option<(Current, Change)> {
        let mut state = self.lock();
        let before = std::mem::replace(&mut state.member, member.cloned());
        let (Some(before), Some(after)) = (&before, member) else {
            if member.is_some() {
                // Back again: a new start.
                state.not_before = None;
                state.leaving_until = None;
                state.backoff.reset();
                return None;
            }
            let current = before.and(state.current.clone())?;
            if current.link.phase() == Phase::Connecting {
                return Some((current, Change::Over));
            }
            state.leaving_until = Some(leaving_until);
            return Some((current, Change::Leaving));
        };
        if (&before.host, before.port) == (&after.host, after.port) {
            return None;
        }
        state.not_before = None;
        state.backoff.reset();
        let current = state.current.take()?;
        Some((current, Change::Over))
    }

    /// Whether it has left the list and was not back since.
    pub(super) fn has_left(&self) -> bool {
        self.lock().member.is_none()
    }

    /// Neither a member nor linked: nothing to remember.
    pub(super) fn is_forgettable(&self) -> bool {
        let state = self.lock();
        state.member.is_none() && state.current.is_none()
    }

    pub(super) fn current_link(&self) -> Option<Arc<Link>> {
        self.lock().current.as_ref().map(|current| Arc::clone(&current.link))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a change of the member list means for a link.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// It is over: the server is at another address, or has left before the link stood.
    Over,
    /// The server has left and finishes what is under way.
    Leaving,
}

impl Current {
    fn new(link: Arc<Link>, opener: Opener) -> Self {
        Self { link, ended: CancellationToken::new(), opener, name: 0, incarnation: 0 }
    }

    /// Whether this link stands against an attempt of the peer.
    fn counts_against(&self, own_id: &str, peer_id: &str, hello: &Hello) -> bool {
        match self.link.phase() {
            Phase::Connecting => self.opener == Opener::Us && own_id < peer_id,
            // A peer never opens a second link beside one it opened, nor beside one it knows to stand.
            Phase::Open => {
                self.opener != Opener::Them
                    && hello.incarnation == self.incarnation
                    && hello.previous != self.name
            }
            Phase::Closing | Phase::Closed => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Map;

    use super::*;
    use crate::auth::Purpose;

    const RUN: u64 = 77;

    fn settings() -> Settings {
        Settings::default()
    }

    fn peer(id: &str) -> Peer {
        let peer = Peer::new(id.into(), &settings());
        peer.set_member(
            Some(&Arc::new(Member {
                id: id.into(),
                server_type: "x".into(),
                host: "127.0.0.1".to_owned(),
                port: Some(1),
                frontend: false,
                fields: Map::new(),
            })),
            Instant::now(),
        );
        peer
    }

    fn hello(nonce: u8, incarnation: u64, previous: u64) -> Hello {
        Hello {
            purpose: Purpose::Link,
            nonce: [nonce; 32],
            incarnation,
            previous,
            id: "b".to_owned(),
            server_type: "x".to_owned(),
            to: "m".to_owned(),
        }
    }

    fn dial(peer: &Peer) -> Arc<Link> {
        match peer.link(&settings()) {
            Ok(ForCall::Dial { link, .. }) => link,
            _ => panic!("a new link is expected"),
        }
    }

    fn current(peer: &Peer) -> Arc<Link> {
        match peer.link(&settings()) {
            Ok(ForCall::Link(link)) => link,
            _ => panic!("the link is expected"),
        }
    }

    #[test]
    fn of_two_attempts_at_once_the_smaller_ids_wins_on_both_sides() {
        // As `m` with a peer of a greater id: its attempt is refused, ours goes on.
        let greater = peer("z");
        let ours = dial(&greater);
        assert_eq!(greater.admit("m", &hello(1, RUN, 0), &settings()).err(), Some(Refusal::Crossed));
        assert!(greater.established(&ours, 5, RUN).is_some());
        // As `m` with a peer of a smaller id: our calls move to its link, our own attempt is void.
        let smaller = peer("a");
        let ours = dial(&smaller);
        let admitted = smaller.admit("m", &hello(1, RUN, 0), &settings()).ok().unwrap();
        assert!(Arc::ptr_eq(&admitted.current.link, &ours) && admitted.replaced.is_none());
        assert!(smaller.established(&ours, 5, RUN).is_none());
        assert_eq!(ours.phase(), Phase::Open);
    }

    #[test]
    fn who_was_told_to_wait_takes_what_comes() {
        let greater = peer("z");
        let ours = dial(&greater);
        greater.crossed(&ours);
        let admitted = greater.admit("m", &hello(1, RUN, 0), &settings()).ok().unwrap();
        assert!(Arc::ptr_eq(&admitted.current.link, &ours));
    }

    #[test]
    fn an_attempt_from_before_our_link_stood_is_refused() {
        for id in ["a", "z"] {
            let peer = peer(id);
            let ours = dial(&peer);
            peer.established(&ours, 5, RUN).unwrap();
            assert_eq!(peer.admit("m", &hello(1, RUN, 0), &settings()).err(), Some(Refusal::Crossed));
            assert!(Arc::ptr_eq(&current(&peer), &ours), "{id}: the link stays");
        }
    }

    #[test]
    fn a_peer_that_lost_our_link_or_was_started_anew_replaces_it() {
        for (incarnation, previous) in [(RUN, 5), (RUN + 1, 0)] {
            let peer = peer("z");
            let ours = dial(&peer);
            peer.established(&ours, 5, RUN).unwrap();
            let admitted = peer.admit("m", &hello(1, incarnation, previous), &settings()).ok().unwrap();
            assert!(Arc::ptr_eq(&admitted.replaced.unwrap().link, &ours));
            assert!(Arc::ptr_eq(&current(&peer), &admitted.current.link));
            // The end of the old one does not touch the new one.
            peer.ended(&Current::new(ours, Opener::Us));
            assert!(Arc::ptr_eq(&current(&peer), &admitted.current.link));
        }
    }

    #[test]
    fn a_peer_that_opened_a_link_and_opens_another_has_lost_the_first() {
        let peer = peer("a");
        let first = peer.admit("m", &hello(1, RUN, 0), &settings()).ok().unwrap();
        let second = peer.admit("m", &hello(2, RUN, 0), &settings()).ok().unwrap();
        assert!(Arc::ptr_eq(&second.replaced.unwrap().link, &first.current.link));
    }

    #[test]
    fn the_next_attempt_names_the_last_link() {
        let peer = peer("a");
        let first = peer.admit("m", &hello(1, RUN, 0), &settings()).ok().unwrap();
        peer.ended(&first.current);
        let Ok(ForCall::Dial { previous, .. }) = peer.link(&settings()) else { panic!("a new link") };
        assert_eq!(previous, hello(1, RUN, 0).link_id());
    }
}
