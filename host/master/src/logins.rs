//! Which session holds a user, where a user has one session in the cluster (`"singleSession": "cluster"`).

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use shaddock_cluster::ClusterError;
use shaddock_cluster::master_link::Answer;

use crate::master::Hub;

/// How long a frontend may take to kick a session that gives way.
const DISPLACE_TIMEOUT: Duration = Duration::from_secs(1);
/// How long the order to kick it stands if it does not.
const DISPLACE_VALID: Duration = Duration::from_secs(60);

/// A session: its frontend, and its number there.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Holder {
    frontend: Arc<str>,
    number: u64,
}

/// What a claim comes to.
#[derive(Debug, PartialEq, Eq)]
enum Claim {
    Granted,
    /// The user stays with this session.
    Taken(Holder),
    /// It is granted when this session is gone.
    GivesWay(Holder),
}

/// The holders of all users. As many as there are bound sessions, which each frontend bounds.
#[derive(Debug, Default)]
pub(crate) struct Logins {
    by_uid: Mutex<HashMap<String, Holder>>,
}

/// What a frontend asks, and waits for.
#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "lowercase")]
enum Request {
    Claim { uid: String, number: u64, kick_old: bool },
}

/// What a frontend tells.
#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "lowercase")]
enum Note {
    /// The session does not hold the user any more.
    Release { uid: String, number: u64 },
    /// These sessions hold their users.
    Adopt { sessions: Vec<(String, u64)> },
}

impl Logins {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Holder>> {
        self.by_uid.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn claim(&self, uid: &str, claimer: &Holder, kick_old: bool) -> Claim {
        match self.lock().entry(uid.to_owned()) {
            Entry::Vacant(free) => {
                free.insert(claimer.clone());
                Claim::Granted
            }
            Entry::Occupied(held) if held.get() == claimer => Claim::Granted,
            Entry::Occupied(held) if !kick_old => Claim::Taken(held.get().clone()),
            // From now on a still later claim makes this one give way.
            Entry::Occupied(mut held) => Claim::GivesWay(held.insert(claimer.clone())),
        }
    }

    fn holder(&self, uid: &str) -> Option<Holder> {
        self.lock().get(uid).cloned()
    }

    fn release(&self, uid: &str, holder: &Holder) {
        if let Entry::Occupied(held) = self.lock().entry(uid.to_owned())
            && held.get() == holder
        {
            held.remove();
        }
    }

    /// Enters a session that holds its user already; false if another frontend does.
    fn adopt(&self, uid: String, holder: Holder) -> bool {
        match self.lock().entry(uid) {
            Entry::Vacant(free) => drop(free.insert(holder)),
            Entry::Occupied(held) if held.get().frontend != holder.frontend => return false,
            Entry::Occupied(mut held) => drop(held.insert(holder)),
        }
        true
    }

    /// A frontend has gone, and its sessions with it.
    pub(crate) fn release_all(&self, frontend: &str) {
        self.lock().retain(|_, holder| *holder.frontend != *frontend);
    }
}

/// Answers a frontend. What it claims is entered at once, in the order of what it asks and tells.
pub(crate) fn answer(hub: &Arc<Hub>, frontend: &Arc<str>, request: Value) -> Answer {
    let Request::Claim { uid, number, kick_old } = match serde_json::from_value(request) {
        Ok(request) => request,
        Err(error) => {
            let error = format!("not a request known here: {error}");
            return Box::pin(std::future::ready(Err(error)));
        }
    };
    let claimer = Holder { frontend: Arc::clone(frontend), number };
    let old = match hub.logins.claim(&uid, &claimer, kick_old) {
        Claim::Granted => return Box::pin(async { Ok(json!({ "granted": true })) }),
        Claim::Taken(holder) => return Box::pin(async move { Ok(taken(&holder)) }),
        Claim::GivesWay(old) => old,
    };
    let hub = Arc::clone(hub);
    Box::pin(async move {
        tracing::debug!(uid, frontend = %old.frontend, "a session gives way to a new one");
        let keep = (old.frontend == claimer.frontend).then_some(claimer.number);
        let ordered = displace(&hub, &uid, &old, keep);
        if tokio::time::timeout(DISPLACE_TIMEOUT, ordered).await.is_err() {
            hub.logins.release(&uid, &claimer);
            return Err(format!("{}, which has a session of the user, does not answer", old.frontend));
        }
        match hub.logins.holder(&uid) {
            Some(holder) if holder == claimer => Ok(json!({ "granted": true })),
            Some(later) => Ok(taken(&later)),
            None => Err("the session has gone meanwhile".to_owned()),
        }
    })
}

fn taken(holder: &Holder) -> Value {
    json!({ "granted": false, "frontend": &*holder.frontend })
}

/// Takes a note of a frontend.
pub(crate) fn note(hub: &Arc<Hub>, frontend: &Arc<str>, note: Value) {
    let holder = |number| Holder { frontend: Arc::clone(frontend), number };
    match serde_json::from_value(note) {
        Ok(Note::Release { uid, number }) => hub.logins.release(&uid, &holder(number)),
        Ok(Note::Adopt { sessions }) => {
            for (uid, number) in sessions {
                if !hub.logins.adopt(uid.clone(), holder(number)) {
                    // While this master did not know of it another session was bound.
                    tracing::debug!(uid, %frontend, "a session that was not known gives way");
                    let (hub, old) = (Arc::clone(hub), holder(number));
                    hub.tasks.clone().spawn(async move { displace(&hub, &uid, &old, None).await });
                }
            }
        }
        Err(error) => tracing::warn!(id = %frontend, %error, "ignored a note from a server"),
    }
}

/// Has a frontend kick a user's sessions but for `keep`. Returns when it has, or is gone.
async fn displace(hub: &Arc<Hub>, uid: &str, old: &Holder, keep: Option<u64>) {
    let order = json!({ "op": "displace", "uid": uid, "number": old.number, "keep": keep });
    let (of_task, id) = (Arc::clone(hub), Arc::clone(&old.frontend));
    // In a task: the order stands when nobody waits for it any more.
    let ordered = hub.tasks.spawn(async move {
        let Some(links) = of_task.links() else { return };
        match links.request(&id, &order, DISPLACE_VALID).await {
            Ok(_) | Err(ClusterError::Request { .. }) => {}
            Err(error) => tracing::warn!(%id, %error, "a session did not give way"),
        }
    });
    let _ = ordered.await;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holder(frontend: &str, number: u64) -> Holder {
        Holder { frontend: frontend.into(), number }
    }

    #[test]
    fn the_first_claim_wins_or_the_last_one_if_the_old_give_way() {
        let logins = Logins::default();
        let (a, b, c) = (holder("c1", 1), holder("c2", 1), holder("c2", 2));
        assert_eq!(logins.claim("u", &a, false), Claim::Granted);
        assert_eq!(logins.claim("u", &a, false), Claim::Granted, "the same again");
        assert_eq!(logins.claim("u", &b, false), Claim::Taken(a.clone()));
        assert_eq!(logins.claim("v", &b, false), Claim::Granted, "another user");
        assert_eq!(logins.claim("u", &b, true), Claim::GivesWay(a));
        assert_eq!(logins.claim("u", &c, true), Claim::GivesWay(b));
        assert_eq!(logins.holder("u"), Some(c));
    }

    #[test]
    fn a_user_is_free_again_after_release_by_its_holder_only() {
        let logins = Logins::default();
        let (a, b) = (holder("c1", 1), holder("c2", 1));
        logins.claim("u", &a, false);
        logins.release("u", &b);
        logins.release("nobody", &b);
        assert_eq!(logins.holder("u"), Some(a.clone()));
        logins.release("u", &a);
        assert_eq!(logins.claim("u", &b, false), Claim::Granted);
    }

    #[test]
    fn a_frontend_that_goes_lets_all_its_users_go() {
        let logins = Logins::default();
        for (uid, frontend) in [("u", "c1"), ("v", "c1"), ("w", "c2")] {
            logins.claim(uid, &holder(frontend, 1), false);
        }
        logins.release_all("c1");
        assert_eq!((logins.holder("u"), logins.holder("v")), (None, None));
        assert_eq!(logins.holder("w"), Some(holder("c2", 1)));
    }

    #[test]
    fn what_a_frontend_holds_is_entered_unless_another_one_has_it() {
        let logins = Logins::default();
        assert!(logins.adopt("u".to_owned(), holder("c1", 1)));
        assert!(logins.adopt("u".to_owned(), holder("c1", 2)), "another session of the same frontend");
        assert!(!logins.adopt("u".to_owned(), holder("c2", 1)));
        assert_eq!(logins.holder("u"), Some(holder("c1", 2)));
    }
}
