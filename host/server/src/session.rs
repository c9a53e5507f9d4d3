//! The sessions of a frontend: what is known of each connected client.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use shaddock_engine::types::{Failure, Session as Snapshot, SessionId, Setting};
use shaddock_wire::protocol::{self, Protocol};
use shaddock_wire::text::TextForm;

use crate::frame::{Frame, Transport};
use crate::outbound::Outbound;
use crate::reason::CloseReason;
use crate::trace::LastRequests;

/// Bytes of a uid at the most.
pub(crate) const UID_BYTES_MAX: usize = 256;

/// How a client is spoken to.
pub(crate) struct Speaker {
    pub(crate) transport: Transport,
    pub(crate) text_form: TextForm,
    pub(crate) protocol: Arc<Protocol>,
    pub(crate) address: SocketAddr,
}

/// A client from the end of its handshake to its close.
#[derive(Debug)]
pub(crate) struct Session {
    number: u64,
    state: Mutex<Arc<Snapshot>>,
    pub(crate) outbound: Arc<Outbound>,
    pub(crate) transport: Transport,
    pub(crate) text_form: TextForm,
    /// What its client speaks, for as long as it lives.
    pub(crate) protocol: Arc<Protocol>,
    /// The client's.
    pub(crate) address: SocketAddr,
    /// Who served it of late.
    pub(crate) last_requests: LastRequests,
    /// Whoever tells plugins of something in its life waits for what was told before; made when it is needed first.
    pub(crate) turn: OnceLock<Arc<tokio::sync::Mutex<()>>>,
}

impl Session {
    fn lock(&self) -> MutexGuard<'_, Arc<Snapshot>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its number on this frontend.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// What it is now.
    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.lock())
    }

    /// The user bound to it.
    pub(crate) fn uid(&self) -> Option<Arc<str>> {
        self.lock().uid.clone()
    }

    /// Writes settings, all or none; the last writer wins.
    pub(crate) fn write(&self, settings: Vec<Setting>, bytes_max: usize) -> Result<(), Failure> {
        let mut state = self.lock();
        let mut merged = state.settings.to_vec();
        for setting in settings {
            match merged.iter_mut().find(|known| known.key == setting.key) {
                Some(known) => *known = setting,
                None => merged.push(setting),
            }
        }
        let bytes: usize = merged.iter().map(|setting| setting.key.len() + setting.value.len()).sum();
        if bytes > bytes_max {
            let message = format!(
                "settings of {bytes} bytes; {bytes_max} are allowed (app.json: session.settingsBytesMax)"
            );
            return Err(Failure::new(507, message));
        }
        Arc::make_mut(&mut state).settings = merged.into();
        Ok(())
    }

    /// Sends KICK with the reason, then closes.
    pub(crate) fn kick(&self, reason: &str) {
        let (package, ()) = Frame::build(reason.len() + 32, |out| protocol::encode_kick(reason, out));
        self.outbound.close(CloseReason::Kicked(reason.into()), Some(package.as_slice(self.transport)));
    }
}

/// What becomes of the sessions that a user has already when another one is bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Others {
    /// They stay.
    Stay,
    /// They stay, and the new one is refused.
    Refuse,
    /// They are kicked.
    GiveWay,
}

#[derive(Debug, Default)]
struct Tables {
    by_number: HashMap<u64, Arc<Session>>,
    by_uid: HashMap<Arc<str>, Vec<Arc<Session>>>,
}

/// All sessions of this frontend.
#[derive(Debug)]
pub(crate) struct Sessions {
    frontend_id: Arc<str>,
    next: AtomicU64,
    tables: RwLock<Tables>,
}

impl Sessions {
    /// None yet.
    pub(crate) fn new(frontend_id: Arc<str>) -> Self {
        Self { frontend_id, next: AtomicU64::new(1), tables: RwLock::default() }
    }

    fn read(&self) -> RwLockReadGuard<'_, Tables> {
        self.tables.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Tables> {
        self.tables.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.read().by_number.len()
    }

    /// A new session, not bound to anybody.
    pub(crate) fn open(&self, outbound: Arc<Outbound>, client: Speaker) -> Arc<Session> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let id = SessionId { frontend_id: Arc::clone(&self.frontend_id), number };
        let state = Mutex::new(Arc::new(Snapshot { id, uid: None, settings: Arc::default() }));
        let session = Arc::new(Session {
            number,
            state,
            outbound,
            transport: client.transport,
            text_form: client.text_form,
            protocol: client.protocol,
            address: client.address,
            last_requests: LastRequests::default(),
            turn: OnceLock::new(),
        });
        self.write().by_number.insert(number, Arc::clone(&session));
        session
    }

    /// Forgets a session; afterwards nobody finds it by number or uid.
    pub(crate) fn close(&self, session: &Session) {
        let mut tables = self.write();
        tables.by_number.remove(&session.number);
        if let Some(uid) = session.uid() {
            remove_uid(&mut tables, &uid, session.number);
        }
    }

    /// The session of that number.
    pub(crate) fn get(&self, number: u64) -> Result<Arc<Session>, Failure> {
        self.read()
            .by_number
            .get(&number)
            .cloned()
            .ok_or_else(|| Failure::new(404, format!("session does not exist, number: {number}")))
    }

    /// The sessions of a user here.
    pub(crate) fn by_uid(&self, uid: &str) -> Vec<Arc<Session>> {
        self.read().by_uid.get(uid).cloned().unwrap_or_default()
    }

    /// All sessions, or all that have a user.
    pub(crate) fn all(&self, bound_only: bool) -> Vec<Arc<Session>> {
        let tables = self.read();
        if bound_only {
            tables.by_uid.values().flatten().cloned().collect()
        } else {
            tables.by_number.values().cloned().collect()
        }
    }

    /// Calls `visit` with every session of every user named.
    pub(crate) fn for_users(&self, uids: &[Arc<str>], mut visit: impl FnMut(&Arc<Session>)) {
        let tables = self.read();
        for session in uids.iter().filter_map(|uid| tables.by_uid.get(uid)).flatten() {
            visit(session);
        }
    }

    /// The same; answers the places, in the list, of those users for none of whose sessions `visit` said yes.
    pub(crate) fn for_users_or_else(
        &self,
        uids: &[Arc<str>],
        mut visit: impl FnMut(&Arc<Session>) -> bool,
    ) -> Vec<u32> {
        let tables = self.read();
        let mut missed = Vec::new();
        for (place, uid) in (0..).zip(uids) {
            let sessions = tables.by_uid.get(uid).into_iter().flatten();
            if sessions.filter(|session| visit(session)).count() == 0 {
                missed.push(place);
            }
        }
        missed
    }

    /// Binds a user. The same user again is fine; then there is no answer. Else it is the sessions that the user had
    /// here and that `others` makes give way: they are found by their number only from now on, and are to be kicked.
    pub(crate) fn bind(
        &self,
        number: u64,
        uid: Arc<str>,
        others: Others,
    ) -> Result<Option<Vec<Arc<Session>>>, Failure> {
        check_uid(&uid)?;
        let session = self.get(number)?;
        let mut tables = self.write();
        let is_closing = others != Others::Stay && session.outbound.closing().is_some();
        if is_closing || !tables.by_number.contains_key(&number) {
            return Err(Failure::new(404, "the session has just closed"));
        }
        let mut state = session.lock();
        if is_bound_to(&state, &uid)? {
            return Ok(None);
        }
        if others == Others::Refuse && tables.by_uid.contains_key(&uid) {
            return Err(has_session(&uid, &self.frontend_id));
        }
        Arc::make_mut(&mut state).uid = Some(Arc::clone(&uid));
        drop(state);
        let of_user = tables.by_uid.entry(uid).or_default();
        let displaced = if others == Others::GiveWay { std::mem::take(of_user) } else { Vec::new() };
        of_user.push(session);
        Ok(Some(displaced))
    }

    /// Whether a bind could succeed: true if exactly this user is bound already.
    pub(crate) fn may_bind(&self, number: u64, uid: &str) -> Result<bool, Failure> {
        check_uid(uid)?;
        is_bound_to(&self.get(number)?.lock(), uid)
    }

    /// Takes a user's sessions, all but `keep`, out of those that are found by the user, to be kicked.
    pub(crate) fn displace(&self, uid: &str, keep: Option<u64>) -> Vec<Arc<Session>> {
        let mut tables = self.write();
        let Entry::Occupied(mut entry) = tables.by_uid.entry(uid.into()) else { return Vec::new() };
        let is_displaced = |session: &mut Arc<Session>| Some(session.number) != keep;
        let displaced = entry.get_mut().extract_if(.., is_displaced).collect();
        if entry.get().is_empty() {
            entry.remove();
        }
        displaced
    }

    /// Takes a binding back.
    pub(crate) fn unbind(&self, number: u64, uid: &str) -> Result<(), Failure> {
        let session = self.get(number)?;
        let mut tables = self.write();
        let mut state = session.lock();
        if state.uid.as_deref() != Some(uid) {
            let bound = state.uid.as_deref().unwrap_or("nobody");
            return Err(conflict(format!("session has not bound with {uid}, but with {bound}")));
        }
        Arc::make_mut(&mut state).uid = None;
        drop(state);
        remove_uid(&mut tables, uid, number);
        Ok(())
    }
}

/// Whether a session is bound to this user; an error if it is bound to somebody else.
fn is_bound_to(session: &Snapshot, uid: &str) -> Result<bool, Failure> {
    match &session.uid {
        Some(bound) if **bound == *uid => Ok(true),
        Some(bound) => Err(conflict(format!("session has already bound with {bound}"))),
        None => Ok(false),
    }
}

fn check_uid(uid: &str) -> Result<(), Failure> {
    if uid.is_empty() || uid.len() > UID_BYTES_MAX {
        return Err(Failure::new(400, format!("a uid has 1 to {UID_BYTES_MAX} bytes")));
    }
    Ok(())
}

/// The error of a bind where a user has one session at the most.
pub(crate) fn has_session(uid: &str, frontend_id: &str) -> Failure {
    conflict(format!("{uid} has a session already, at {frontend_id} (app.json: session.singleSession)"))
}

fn conflict(message: String) -> Failure {
    Failure::new(409, message)
}

fn remove_uid(tables: &mut Tables, uid: &str, number: u64) {
    if let Entry::Occupied(mut entry) = tables.by_uid.entry(uid.into()) {
        entry.get_mut().retain(|session| session.number != number);
        if entry.get().is_empty() {
            entry.remove();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(sessions: &Sessions) -> Arc<Session> {
        sessions.open(Arc::new(Outbound::new(1000)), crate::testing::speaker())
    }

    #[test]
    fn a_user_is_found_until_unbound_or_closed() {
        let sessions = Sessions::new("c1".into());
        let (a, b) = (open(&sessions), open(&sessions));
        assert_eq!((a.number(), b.number()), (1, 2));
        sessions.bind(1, "u".into(), Others::Stay).unwrap();
        sessions.bind(1, "u".into(), Others::Stay).unwrap();
        sessions.bind(2, "u".into(), Others::Stay).unwrap();
        assert_eq!(sessions.by_uid("u").len(), 2);
        sessions.unbind(1, "u").unwrap();
        assert_eq!(sessions.by_uid("u").len(), 1);
        sessions.close(&b);
        assert!(sessions.by_uid("u").is_empty());
        assert_eq!(sessions.len(), 1);
        assert_eq!(sessions.bind(2, "u".into(), Others::Stay).unwrap_err().code, 404);
    }

    #[test]
    fn binding_somebody_else_is_refused() {
        let sessions = Sessions::new("c1".into());
        open(&sessions);
        sessions.bind(1, "u".into(), Others::Stay).unwrap();
        assert_eq!(sessions.bind(1, "v".into(), Others::Stay).unwrap_err().code, 409);
        assert_eq!(sessions.unbind(1, "v").unwrap_err().code, 409);
        assert_eq!(sessions.bind(1, "".into(), Others::Stay).unwrap_err().code, 400);
        assert_eq!(
            sessions.bind(1, "x".repeat(UID_BYTES_MAX + 1).into(), Others::Stay).unwrap_err().code,
            400
        );
    }

    #[test]
    fn settings_are_bounded_and_the_last_writer_wins() {
        let sessions = Sessions::new("c1".into());
        let session = open(&sessions);
        let set = |key: &str, value: &str| {
            session.write(vec![Setting { key: key.into(), value: value.into() }], 10)
        };
        set("k", "1").unwrap();
        set("k", "2").unwrap();
        set("long", "1234").unwrap();
        let before = session.snapshot();
        assert_eq!(before.setting("k").map(|value| &**value), Some("2"));
        assert_eq!(set("k", "22").unwrap_err().code, 507);
        assert_eq!(session.snapshot(), before);
    }

    #[test]
    fn a_kick_is_the_last_thing_sent() {
        let sessions = Sessions::new("c1".into());
        let session = open(&sessions);
        session.kick("bye");
        assert!(!session.outbound.write(|out| out.extend_from_slice(b"more")));
        assert_eq!(session.outbound.closing(), Some(CloseReason::Kicked("bye".into())));
        assert!(session.outbound.bytes() > 0);
    }

    #[test]
    fn a_second_session_is_refused_or_makes_the_first_give_way() {
        let sessions = Sessions::new("c1".into());
        let (a, b) = (open(&sessions), open(&sessions));
        assert!(sessions.bind(1, "u".into(), Others::Refuse).unwrap().is_some());
        assert!(sessions.bind(1, "u".into(), Others::Refuse).unwrap().is_none(), "the same again is fine");
        let refused = sessions.bind(2, "u".into(), Others::Refuse).unwrap_err();
        assert_eq!((refused.code, b.uid()), (409, None));
        assert!(refused.message.contains("u has a session already, at c1"), "{}", refused.message);
        let displaced = sessions.bind(2, "u".into(), Others::GiveWay).unwrap().unwrap();
        assert!(Arc::ptr_eq(&displaced[0], &a) && displaced.len() == 1);
        assert!(Arc::ptr_eq(&sessions.by_uid("u")[0], &b) && sessions.by_uid("u").len() == 1);
        assert_eq!(a.uid().as_deref(), Some("u"), "whoever is told of its end learns whose it was");
        sessions.close(&a);
        assert_eq!(sessions.by_uid("u").len(), 1, "the end of the first does not touch the second");
        b.kick("bye");
        sessions.displace("u", None);
        assert_eq!(
            sessions.bind(2, "v".into(), Others::GiveWay).unwrap_err().code,
            404,
            "it is being closed"
        );
    }

    #[test]
    fn a_user_is_displaced_but_for_one_session() {
        let sessions = Sessions::new("c1".into());
        for number in 1..=3 {
            open(&sessions);
            sessions.bind(number, "u".into(), Others::Stay).unwrap();
        }
        assert_eq!(sessions.displace("u", Some(2)).len(), 2);
        assert_eq!(sessions.by_uid("u").iter().map(|session| session.number()).collect::<Vec<_>>(), [2]);
        assert_eq!(sessions.displace("u", None).len(), 1);
        assert!(sessions.displace("u", None).is_empty() && sessions.by_uid("u").is_empty());
    }
}
