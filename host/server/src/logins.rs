//! One session per user, where app.json says so: at each frontend, or in the whole cluster.
//!
//! In the cluster the master decides: it knows which session of which frontend holds a user, and a bind asks for
//! that first. A frontend that registers anew tells the master whom it holds.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use shaddock_cluster::master_link::MasterClient;
use shaddock_config::{OnDuplicate, SingleSession};
use shaddock_engine::types::Failure;

use crate::peer::SessionOp;
use crate::server::Server;
use crate::session::{Others, Session, has_session};

/// How long the master may take. It waits for the other frontend, if there is one, for half of that.
const CLAIM_TIMEOUT: Duration = Duration::from_secs(2);
/// Sessions in one note to the master, so that none is longer than a link carries.
const SESSIONS_PER_NOTE: usize = 2_000;
/// What a client is told that gives way to a new one.
pub(crate) const DUPLICATE_LOGIN: &str = "duplicate login";

/// The master's answer to a claim.
#[derive(Deserialize)]
struct Claimed {
    granted: bool,
    /// Who holds the user.
    frontend: Option<String>,
}

/// What binds need where a user has one session in the cluster.
#[derive(Default)]
pub(crate) struct Logins {
    /// Set when this server has registered.
    pub(crate) master: OnceLock<Arc<MasterClient>>,
    /// Users and numbers of sessions whose binds are under way.
    pending: Mutex<HashSet<(Arc<str>, u64)>>,
}

impl Logins {
    fn pending(&self) -> MutexGuard<'_, HashSet<(Arc<str>, u64)>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn master(&self) -> Result<&Arc<MasterClient>, Failure> {
        self.master.get().ok_or_else(|| Failure::retryable(503, "the server is starting"))
    }
}

impl Server {
    /// Whether an operation has to ask the master.
    pub(crate) fn asks_master(&self, op: &SessionOp) -> bool {
        matches!(op, SessionOp::Bind { .. }) && self.is_single_in_cluster()
    }

    fn is_single_in_cluster(&self) -> bool {
        self.settings.session.single_session == SingleSession::Cluster
    }

    /// Carries out an operation on a session of this server; answers JSON.
    pub(crate) async fn session_op_anywhere(self: &Arc<Self>, op: SessionOp) -> Result<Value, Failure> {
        match op {
            SessionOp::Bind { number, uid } if self.is_single_in_cluster() => {
                let server = Arc::clone(self);
                // In a task: what was claimed is used or given back, whatever becomes of the caller.
                let binding =
                    self.tasks.spawn(async move { server.bind_in_cluster(number, uid.into()).await });
                let bound = binding.await;
                bound.unwrap_or_else(|_| Err(Failure::retryable(503, "the server is stopping")))?;
                Ok(Value::Null)
            }
            op => self.session_op(op),
        }
    }

    /// Binds a user to a session here; sessions that have to give way are kicked.
    pub(crate) fn bind_here(&self, number: u64, uid: Arc<str>) -> Result<(), Failure> {
        let session = &self.settings.session;
        let others = match (session.single_session, session.on_duplicate) {
            (SingleSession::Off, _) => Others::Stay,
            (_, OnDuplicate::RefuseNew) => Others::Refuse,
            (_, OnDuplicate::KickOld) => Others::GiveWay,
        };
        let Some(displaced) = self.sessions.bind(number, uid, others)? else { return Ok(()) };
        for session in displaced {
            session.kick(DUPLICATE_LOGIN);
        }
        if let Ok(session) = self.sessions.get(number) {
            self.tell_bound(&session);
        }
        Ok(())
    }

    async fn bind_in_cluster(&self, number: u64, uid: Arc<str>) -> Result<(), Failure> {
        if self.sessions.may_bind(number, &uid)? {
            return Ok(());
        }
        if !self.sessions.by_uid(&uid).is_empty() {
            // Held here already: nobody else needs to be asked.
            self.bind_here(number, Arc::clone(&uid))?;
            self.note(json!({ "op": "adopt", "sessions": [[&*uid, number]] }));
            return Ok(());
        }
        let pending = (Arc::clone(&uid), number);
        self.logins.pending().insert(pending.clone());
        let claimed = self.claim(number, &uid).await;
        let bound = match &claimed {
            Ok(None) => self.bind_here(number, Arc::clone(&uid)),
            Ok(Some(frontend_id)) => Err(has_session(&uid, frontend_id)),
            Err(failure) => Err(failure.clone()),
        };
        // Before anything is given back: a master that comes up in this moment is told of all that is pending.
        self.logins.pending().remove(&pending);
        if bound.is_err() && !matches!(claimed, Ok(Some(_))) {
            self.release(number, &uid);
        }
        bound
    }

    /// Asks the master for a user; who has it, if somebody else keeps it.
    async fn claim(&self, number: u64, uid: &str) -> Result<Option<String>, Failure> {
        let kick_old = self.settings.session.on_duplicate == OnDuplicate::KickOld;
        let claim = json!({ "op": "claim", "uid": uid, "number": number, "kick_old": kick_old });
        let answer = self.logins.master()?.request(&claim, CLAIM_TIMEOUT).await.map_err(|error| {
            Failure::retryable(
                503,
                format!("{uid} cannot be bound: {error} (app.json: session.singleSession)"),
            )
        })?;
        let claimed: Claimed =
            serde_json::from_value(answer).map_err(|error| Failure::new(500, error.to_string()))?;
        Ok(if claimed.granted { None } else { Some(claimed.frontend.unwrap_or_default()) })
    }

    /// Takes a binding back.
    pub(crate) fn unbind(&self, number: u64, uid: &str) -> Result<(), Failure> {
        self.sessions.unbind(number, uid)?;
        if let Ok(session) = self.sessions.get(number) {
            self.tell_unbound(&session, uid);
        }
        if self.is_single_in_cluster() {
            self.release(number, uid);
        }
        Ok(())
    }

    /// Forgets a session that has ended.
    pub(crate) fn close_session(&self, session: &Session) {
        self.sessions.close(session);
        if let Some(uid) = session.uid() {
            self.traces.keep(uid, &session.last_requests);
        }
        if self.is_single_in_cluster()
            && let Some(uid) = session.uid()
        {
            self.release(session.number(), &uid);
        }
    }

    fn release(&self, number: u64, uid: &str) {
        self.note(json!({ "op": "release", "uid": uid, "number": number }));
    }

    fn note(&self, note: Value) {
        if let Ok(master) = self.logins.master() {
            master.note(note);
        }
    }

    /// Kicks a user's sessions here but for `keep`, by the master's order; `number` may be about to be bound.
    pub(crate) fn displace(&self, uid: &str, number: u64, keep: Option<u64>) {
        let mut displaced = self.sessions.displace(uid, keep);
        let about_to_be = self.logins.pending().iter().any(|(user, of)| **user == *uid && *of == number);
        if about_to_be && keep != Some(number) {
            displaced.extend(self.sessions.get(number));
        }
        for session in displaced {
            session.kick(DUPLICATE_LOGIN);
        }
    }

    /// What a master that has just registered this server is to know: who is bound here, or about to be.
    pub(crate) fn introduction(&self) -> Vec<Value> {
        if !self.is_single_in_cluster() {
            return Vec::new();
        }
        // The pending ones first: a bind leaves them when it is among the others.
        let mut held: HashSet<(Arc<str>, u64)> = self.logins.pending().clone();
        let bound = self.sessions.all(true);
        held.extend(bound.iter().filter_map(|session| Some((session.uid()?, session.number()))));
        let held: Vec<Value> = held.into_iter().map(|(uid, number)| json!([&*uid, number])).collect();
        held.chunks(SESSIONS_PER_NOTE).map(|some| json!({ "op": "adopt", "sessions": some })).collect()
    }
}
