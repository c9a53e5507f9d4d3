//! The servers that are up, in the form in which plugins are told of them.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use shaddock_cluster::{Member, Members};
use shaddock_engine::types::ServerInfo;
use tokio::sync::watch;

/// The servers of one type, sorted by id.
pub(crate) type ServerList = Arc<[Arc<ServerInfo>]>;

/// The servers that are up by type; replaced as a whole when membership changes.
#[derive(Debug, Default)]
pub(crate) struct Roster {
    by_type: ArcSwap<HashMap<Arc<str>, ServerList>>,
    /// Rings at every change.
    changes: watch::Sender<()>,
}

impl Roster {
    /// Takes over a new membership.
    pub(crate) fn update(&self, members: &Members) {
        let mut by_type: HashMap<Arc<str>, Vec<Arc<ServerInfo>>> = HashMap::new();
        for member in members.all() {
            by_type.entry(Arc::clone(&member.server_type)).or_default().push(Arc::new(info(member)));
        }
        let lists = by_type.into_iter().map(|(server_type, list)| (server_type, list.into())).collect();
        self.by_type.store(Arc::new(lists));
        self.changes.send_replace(());
    }

    /// Waits until no server of that id is up.
    pub(crate) async fn without(&self, id: &str) {
        let mut changes = self.changes.subscribe();
        while self.get(id).is_some() && changes.changed().await.is_ok() {}
    }

    /// The servers of a type, sorted by id; empty if none is up.
    pub(crate) fn of_type(&self, server_type: &str) -> ServerList {
        self.by_type.load().get(server_type).map_or_else(|| Arc::from([]), Arc::clone)
    }

    /// Whether the servers of a type are frontends; none if no server of the type is up.
    pub(crate) fn has_frontends(&self, server_type: &str) -> Option<bool> {
        self.by_type.load().get(server_type)?.first().map(|server| server.frontend)
    }

    /// The types of the servers that are up, sorted.
    pub(crate) fn types(&self) -> Vec<Arc<str>> {
        let mut types: Vec<_> = self.by_type.load().keys().cloned().collect();
        types.sort_unstable();
        types
    }

    /// All frontends that are up.
    pub(crate) fn frontends(&self) -> Vec<Arc<str>> {
        let by_type = self.by_type.load();
        let servers = by_type.values().flat_map(|list| list.iter());
        servers.filter(|server| server.frontend).map(|server| Arc::clone(&server.id)).collect()
    }

    /// The server of that id.
    pub(crate) fn get(&self, id: &str) -> Option<Arc<ServerInfo>> {
        self.by_type.load().values().flat_map(|list| list.iter()).find(|server| &*server.id == id).cloned()
    }
}

/// A member as plugins see it.
pub(crate) fn info(member: &Member) -> ServerInfo {
    let text = |field: &str| member.fields.get(field).and_then(|value| value.as_str()).map(Arc::from);
    let port = |field: &str| {
        let number = member.fields.get(field).and_then(serde_json::Value::as_u64);
        number.and_then(|number| u16::try_from(number).ok())
    };
    ServerInfo {
        id: Arc::clone(&member.id),
        server_type: Arc::clone(&member.server_type),
        frontend: member.frontend,
        host: member.host.as_str().into(),
        port: member.port,
        client_host: text("clientHost"),
        client_port: port("clientPort"),
        fields: serde_json::Value::Object(member.fields.clone()).to_string().into(),
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Waker};

    use serde_json::Map;

    use super::*;

    fn members(ids: &[&str]) -> Members {
        Members::new(ids.iter().map(|id| {
            Arc::new(Member {
                id: (*id).into(),
                server_type: "chat".into(),
                host: "127.0.0.1".to_owned(),
                port: Some(1),
                frontend: false,
                fields: Map::new(),
            })
        }))
    }

    #[test]
    fn who_waits_for_a_server_to_leave_learns_of_it() {
        let roster = Roster::default();
        roster.update(&members(&["a", "b"]));
        let mut waiting = pin!(roster.without("b"));
        let cx = &mut Context::from_waker(Waker::noop());
        assert!(waiting.as_mut().poll(cx).is_pending());
        roster.update(&members(&["b"]));
        assert!(waiting.as_mut().poll(cx).is_pending());
        roster.update(&members(&[]));
        assert!(waiting.as_mut().poll(cx).is_ready());
        assert!(pin!(roster.without("b")).poll(cx).is_ready(), "one that is not there is not waited for");
    }
}
