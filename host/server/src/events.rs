//! Telling plugins what happens to servers and sessions.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::join_all;
use shaddock_cluster::{Member, Members};
use shaddock_engine::types::ServerInfo;
use shaddock_engine::{Plugin, ServerNews, SessionNews};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::roster::info;
use crate::server::Server;
use crate::session::Session;

/// What changed in the membership from one moment to another.
#[derive(Debug, Default, PartialEq)]
struct Changes {
    added: Vec<ServerInfo>,
    removed: Vec<String>,
    replaced: Vec<ServerInfo>,
}

impl Changes {
    fn between(known: &HashMap<Arc<str>, Arc<Member>>, members: &Members) -> Self {
        let mut changes = Self::default();
        for member in members.all() {
            match known.get(&member.id) {
                None => changes.added.push(info(member)),
                Some(before) if !Arc::ptr_eq(before, member) && before != member => {
                    changes.replaced.push(info(member));
                }
                Some(_) => {}
            }
        }
        let gone = known.keys().filter(|id| members.get(id).is_none());
        changes.removed = gone.map(ToString::to_string).collect();
        changes.removed.sort_unstable();
        changes
    }
}

impl Server {
    fn listeners(&self, listens: fn(&Plugin) -> bool) -> Vec<Plugin> {
        let mut own = self.own_plugins();
        own.retain(listens);
        own
    }

    /// Tells the plugins that listen to servers what happens to them, until `stop`. `all` are the ids in servers.json.
    pub(crate) async fn tell_server_events(
        self: Arc<Self>,
        mut members: watch::Receiver<Arc<Members>>,
        all: Vec<String>,
        stop: CancellationToken,
    ) {
        let listeners = self.listeners(Plugin::has_server_events);
        if listeners.is_empty() {
            return;
        }
        tokio::select! {
            () = stop.cancelled() => return,
            joined = members.wait_for(|members| members.get(&self.info.id).is_some()) => {
                if joined.is_err() {
                    return;
                }
            }
        }
        tell(&listeners, || ServerNews::AfterStart).await;
        let mut known = HashMap::new();
        let mut all_started = false;
        loop {
            let current = Arc::clone(&members.borrow_and_update());
            let changes = Changes::between(&known, &current);
            if !changes.removed.is_empty() {
                tell(&listeners, || ServerNews::Removed(&changes.removed)).await;
            }
            if !changes.replaced.is_empty() {
                tell(&listeners, || ServerNews::Replaced(&changes.replaced)).await;
            }
            if !changes.added.is_empty() {
                tell(&listeners, || ServerNews::Added(&changes.added)).await;
            }
            if !all_started && all.iter().all(|id| current.get(id).is_some()) {
                all_started = true;
                tell(&listeners, || ServerNews::AllStarted).await;
            }
            known = current.all().iter().map(|member| (Arc::clone(&member.id), Arc::clone(member))).collect();
            let changed = tokio::select! {
                () = stop.cancelled() => return,
                changed = members.changed() => changed,
            };
            if changed.is_err() {
                return;
            }
        }
    }

    /// Lets the plugins that listen do what they have to before the server stops; they may hold it for that long.
    pub(crate) async fn tell_before_stop(&self, hold_max: Duration) {
        let listeners = self.listeners(Plugin::has_server_events);
        if listeners.is_empty() {
            return;
        }
        if tokio::time::timeout(hold_max, tell(&listeners, || ServerNews::BeforeStop)).await.is_err() {
            let hold_ms = hold_max.as_millis() as u64;
            tracing::warn!(hold_ms, "a plugin holds the stop for too long; stopping without it");
        }
    }

    /// A user was bound to a session here.
    pub(crate) fn tell_bound(&self, session: &Session) {
        self.tell_in_turn(session, None);
    }

    /// A user's binding was taken back.
    pub(crate) fn tell_unbound(&self, session: &Session, uid: &str) {
        self.tell_in_turn(session, Some(uid.to_owned()));
    }

    /// Tells the plugins that listen to sessions of a bind, or of the unbind of a user, after what was told of this
    /// session before.
    fn tell_in_turn(&self, session: &Session, unbound: Option<String>) {
        let listeners = self.listeners(Plugin::has_session_events);
        if listeners.is_empty() {
            return;
        }
        let snapshot = session.snapshot();
        let mut turn = Box::pin(Arc::clone(session.turn.get_or_init(Arc::default)).lock_owned());
        // The first poll takes the place in line: here, and not when the task happens to run.
        let first = turn.as_mut().now_or_never();
        self.tasks.spawn(async move {
            let _turn = match first {
                Some(turn) => turn,
                None => turn.await,
            };
            for plugin in listeners {
                let session = Arc::clone(&snapshot);
                let news = match &unbound {
                    None => SessionNews::Bound(session),
                    Some(uid) => SessionNews::Unbound { session, uid },
                };
                report(&plugin, plugin.tell_of_session(news).await);
            }
        });
    }
}

async fn tell<'a>(listeners: &[Plugin], news: impl Fn() -> ServerNews<'a>) {
    join_all(listeners.iter().map(async |plugin| report(plugin, plugin.tell_of_servers(news()).await))).await;
}

fn report(plugin: &Plugin, told: Result<(), shaddock_engine::CallError>) {
    if let Err(error) = told {
        let of = plugin.name();
        tracing::warn!(plugin = %of.name, version = %of.version, digest = %of.digest, %error, "a plugin failed at an event");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(id: &str, port: u16) -> Arc<Member> {
        Arc::new(Member {
            id: id.into(),
            server_type: "chat".into(),
            host: "127.0.0.1".into(),
            port: Some(port),
            frontend: false,
            fields: serde_json::Map::new(),
        })
    }

    #[test]
    fn changes_are_what_came_what_went_and_what_is_another_now() {
        let before = [member("a", 1), member("b", 2), member("c", 3)];
        let known = before.iter().map(|member| (Arc::clone(&member.id), Arc::clone(member))).collect();
        let now = Members::new([member("a", 1), member("c", 4), member("d", 5)]);
        let changes = Changes::between(&known, &now);
        assert_eq!(changes.removed, ["b"]);
        assert_eq!(changes.replaced.iter().map(|info| &*info.id).collect::<Vec<_>>(), ["c"]);
        assert_eq!(changes.added.iter().map(|info| &*info.id).collect::<Vec<_>>(), ["d"]);
    }
}
