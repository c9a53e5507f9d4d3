//! Which session holds a user, where a user has one session in the cluster (`"singleSession": "cluster"`).

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::try_join_all;
use serde::Deserialize;
use serde_json::{Value, json};
use shaddock_cluster::master_link::Answer;
use shaddock_cluster::{ClusterError, RpcError};

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
    /// It is granted when these sessions are gone.
    GiveWay(Vec<Holder>),
}

/// Who holds a user.
#[derive(Debug)]
struct Held {
    by: Holder,
    /// Sessions that are to give way and are not known to have done it, the oldest first. If the newest one fails, the
    /// one before it holds the user again.
    before: Vec<Holder>,
}

impl Held {
    fn by(holder: Holder) -> Self {
        Self { by: holder, before: Vec::new() }
    }

    /// Forgets those sessions; false if nobody is left.
    fn keep(&mut self, is_kept: impl Fn(&Holder) -> bool) -> bool {
        self.before.retain(&is_kept);
        while !is_kept(&self.by) {
            let Some(before) = self.before.pop() else { return false };
            self.by = before;
        }
        true
    }
}

/// The holders of all users. As many as there are bound sessions, which each frontend bounds.
#[derive(Debug, Default)]
pub(crate) struct Logins {
    by_uid: Mutex<HashMap<String, Held>>,
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
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Held>> {
        self.by_uid.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn claim(&self, uid: &str, claimer: &Holder, kick_old: bool) -> Claim {
        match self.lock().entry(uid.to_owned()) {
            Entry::Vacant(free) => {
                free.insert(Held::by(claimer.clone()));
                Claim::Granted
            }
            Entry::Occupied(held) if held.get().by == *claimer => Claim::Granted,
            Entry::Occupied(held) if !kick_old => Claim::Taken(held.get().by.clone()),
            Entry::Occupied(mut held) => {
                let held = held.get_mut();
                // From now on a still later claim makes this one give way.
                let old = std::mem::replace(&mut held.by, claimer.clone());
                held.before.push(old);
                held.before.retain(|old| old != claimer);
                Claim::GiveWay(held.before.clone())
            }
        }
    }

    fn holder(&self, uid: &str) -> Option<Holder> {
        self.lock().get(uid).map(|held| held.by.clone())
    }

    /// The session does not hold the user, or does not any more.
    fn release(&self, uid: &str, holder: &Holder) {
        if let Entry::Occupied(mut held) = self.lock().entry(uid.to_owned())
            && !held.get_mut().keep(|other| other != holder)
        {
            held.remove();
        }
    }

    /// Enters a session that holds its user already; false if another frontend does.
    fn adopt(&self, uid: String, holder: Holder) -> bool {
        match self.lock().entry(uid) {
            Entry::Vacant(free) => drop(free.insert(Held::by(holder))),
            Entry::Occupied(held) if held.get().by.frontend != holder.frontend => return false,
            Entry::Occupied(mut held) => held.get_mut().by = holder,
        }
        true
    }

    /// A frontend has gone, and its sessions with it.
    pub(crate) fn release_all(&self, frontend: &str) {
        self.lock().retain(|_, held| held.keep(|holder| *holder.frontend != *frontend));
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
        Claim::GiveWay(old) => old,
    };
    let hub = Arc::clone(hub);
    Box::pin(async move {
        let displaced = try_join_all(old.iter().map(async |old| {
            tracing::debug!(uid, frontend = %old.frontend, "a session gives way to a new one");
            let keep = (old.frontend == claimer.frontend).then_some(claimer.number);
            let ordered = tokio::time::timeout(DISPLACE_TIMEOUT, displace(&hub, &uid, old, keep)).await;
            let error = match ordered {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(error)) => error,
                Err(_) => "it does not answer".to_owned(),
            };
            Err(format!("{}, which has a session of the user, keeps it: {error}", old.frontend))
        }));
        if let Err(error) = displaced.await {
            hub.logins.release(&uid, &claimer);
            return Err(error);
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

/// Has a frontend kick a user's sessions but for `keep`. Returns when it has, or is gone; else why it has not.
async fn displace(hub: &Arc<Hub>, uid: &str, old: &Holder, keep: Option<u64>) -> Result<(), String> {
    let order = json!({ "op": "displace", "uid": uid, "number": old.number, "keep": keep });
    let (of_task, uid, old) = (Arc::clone(hub), uid.to_owned(), old.clone());
    // In a task: the order stands when nobody waits for it any more.
    let ordered = hub.tasks.spawn(async move {
        let id = &old.frontend;
        let links = of_task.links().ok_or("the master is starting")?;
        match links.request(id, &order, DISPLACE_VALID).await {
            Ok(_) => {}
            Err(error) if is_gone(&error) => {}
            Err(error) => {
                tracing::warn!(%id, %error, "a session did not give way");
                return Err(error.to_string());
            }
        }
        of_task.logins.release(&uid, &old);
        Ok(())
    });
    ordered.await.unwrap_or_else(|error| Err(error.to_string()))
}

/// Whether there is no frontend any more that could have sessions. One that is there and does not carry out the order,
/// for whatever reason, has them still.
fn is_gone(error: &ClusterError) -> bool {
    let ClusterError::Request { source, .. } = error else { return false };
    matches!(source, RpcError::UnknownServer | RpcError::Unreachable | RpcError::LinkLost)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use serde_json::Map;
    use shaddock_cluster::master_link::{Control, MasterClient, MasterClientSettings, Process};
    use shaddock_cluster::{Member, Secret, Settings};
    use shaddock_config::Config;

    use super::*;
    use crate::{Components, Launch, Master, MasterOptions, Output, StateDir};

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
        assert_eq!(logins.claim("u", &b, true), Claim::GiveWay(vec![a.clone()]));
        assert_eq!(logins.claim("u", &c, true), Claim::GiveWay(vec![a.clone(), b.clone()]));
        assert_eq!(logins.holder("u"), Some(c.clone()));
        for old in [&a, &b] {
            logins.release("u", old);
        }
        assert_eq!(logins.claim("u", &a, true), Claim::GiveWay(vec![c]), "the others have gone");
    }

    #[test]
    fn who_did_not_give_way_holds_the_user_when_the_claim_fails() {
        let logins = Logins::default();
        let (a, b, c) = (holder("c1", 1), holder("c2", 1), holder("c3", 1));
        logins.claim("u", &a, true);
        logins.claim("u", &b, true);
        logins.claim("u", &c, true);
        logins.release("u", &b);
        assert_eq!(logins.holder("u"), Some(c.clone()));
        logins.release("u", &c);
        assert_eq!(logins.holder("u"), Some(a.clone()));
        assert_eq!(logins.claim("u", &b, false), Claim::Taken(a.clone()));
        assert_eq!(logins.claim("u", &b, true), Claim::GiveWay(vec![a]));
        logins.release_all("c1");
        logins.release_all("c2");
        assert_eq!(logins.holder("u"), None);
    }

    #[test]
    fn a_frontend_that_does_not_obey_is_not_gone() {
        let failed = |source| ClusterError::Request { peer: "c1".to_owned(), source };
        for source in [RpcError::UnknownServer, RpcError::Unreachable, RpcError::LinkLost] {
            assert!(is_gone(&failed(source.clone())), "{source}");
        }
        let refused = RpcError::Refused("no".to_owned());
        for source in [RpcError::Overloaded, RpcError::TooLarge, refused, RpcError::TimedOut] {
            assert!(!is_gone(&failed(source.clone())), "{source}");
        }
        assert!(!is_gone(&ClusterError::Answer("no".to_owned())));
    }

    /// A frontend that answers every order as told.
    struct Frontend(Result<Value, String>);

    impl Control for Frontend {
        fn control(&self, _: Value) -> Answer {
            Box::pin(std::future::ready(self.0.clone()))
        }
    }

    async fn frontend(hub: &Hub, id: &str, answer: Result<Value, String>) -> MasterClient {
        let own = Member {
            id: id.into(),
            server_type: "connector".into(),
            host: "127.0.0.1".to_owned(),
            port: None,
            frontend: true,
            fields: Map::new(),
        };
        let settings = MasterClientSettings {
            cluster: Settings::default(),
            host: "127.0.0.1".to_owned(),
            port: hub.links().unwrap().local_addr().port(),
            secret: Secret::load(&hub.state.secret()).unwrap(),
            token: None,
            own: Arc::new(own),
            process: Process { pid: 1, admin_port: None },
        };
        MasterClient::connect(settings, Arc::new(Frontend(answer))).await.unwrap()
    }

    #[tokio::test]
    async fn a_session_whose_frontend_does_not_kick_it_keeps_its_user() {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in [
            ("master.json", r#"{"id": "m", "host": "127.0.0.1", "port": 3005}"#),
            (
                "servers.json",
                r#"{"connector": [
                {"id": "c1", "host": "127.0.0.1", "clientPort": 3010, "frontend": true},
                {"id": "c2", "host": "127.0.0.1", "clientPort": 3011, "frontend": true},
                {"id": "c3", "host": "127.0.0.1", "clientPort": 3012, "frontend": true}]}"#,
            ),
        ] {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        let mut config = Config::load(dir.path(), "development").unwrap();
        config.master.port = 0;
        let launch = Launch { program: PathBuf::new(), arguments: Vec::new(), output: Output::Files };
        let options = MasterOptions {
            config: Arc::new(config),
            state: StateDir::at(dir.path().join("state")),
            launch,
            ready_timeout: Duration::from_secs(1),
            components: Components { compile: Arc::new(|_| Box::pin(async { Ok(()) })), bytes_max: 0 },
            files: Vec::new(),
        };
        let master = Master::start(options).await.unwrap();
        let hub = &master.hub;
        let stubborn = frontend(hub, "c1", Err("no".to_owned())).await;
        let (second, third) =
            (frontend(hub, "c2", Ok(Value::Null)).await, frontend(hub, "c3", Ok(Value::Null)).await);
        let claim = json!({ "op": "claim", "uid": "u", "number": 7, "kick_old": true });
        let granted = Ok(json!({ "granted": true }));
        let claim = async |by: &MasterClient| {
            by.request(&claim, Duration::from_secs(5)).await.map_err(|error| error.to_string())
        };
        assert_eq!(claim(&stubborn).await, granted);
        for again in 0..2 {
            let refused = claim(&second).await.unwrap_err();
            assert!(
                refused.contains("c1, which has a session of the user, keeps it: no"),
                "{again} {refused}"
            );
        }
        assert_eq!(hub.logins.holder("u"), Some(holder("c1", 7)));
        stubborn.close().await;
        assert_eq!(claim(&second).await, granted, "its frontend has gone");
        assert_eq!(claim(&third).await, granted, "its frontend obeys");
        assert_eq!(hub.logins.holder("u"), Some(holder("c3", 7)));
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
