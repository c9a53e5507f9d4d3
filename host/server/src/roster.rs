//! The servers that are up, in the form in which plugins are told of them.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arc_swap::ArcSwap;
use shaddock_cluster::{Member, Members};
use shaddock_config::Router;
use shaddock_engine::types::ServerInfo;
use tokio::sync::watch;

use crate::balancer::{Active, Balancer};

/// The servers of one type, sorted by id.
pub(crate) type ServerList = Arc<[Arc<ServerInfo>]>;

/// The servers that are up by type; replaced as a whole when membership changes.
#[derive(Debug)]
pub(crate) struct Roster {
    routers: BTreeMap<String, Router>,
    by_type: ArcSwap<HashMap<Arc<str>, Arc<Group>>>,
    /// Rings at every change.
    changes: watch::Sender<()>,
}

/// The servers of one type, with the built-in router for calls to them.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) servers: ServerList,
    weights: Vec<u32>,
    pub(crate) balancer: Balancer,
}

impl Group {
    /// The place of a server in the list.
    pub(crate) fn index_of(&self, id: &str) -> Option<usize> {
        self.servers.binary_search_by(|server| (*server.id).cmp(id)).ok()
    }

    /// Counts a call to a server of the group, if its router counts calls.
    pub(crate) fn begin(&self, id: &str) -> Active {
        if !self.balancer.counts_calls() {
            return Active::default();
        }
        self.index_of(id).map(|index| self.balancer.begin(index)).unwrap_or_default()
    }
}

impl Roster {
    /// Nobody is up; `routers` are the built-in routers by the type called.
    pub(crate) fn new(routers: BTreeMap<String, Router>) -> Self {
        Self { routers, by_type: ArcSwap::default(), changes: watch::Sender::default() }
    }

    /// Takes over a new membership.
    pub(crate) fn update(&self, members: &Members) {
        let mut by_type: HashMap<Arc<str>, Vec<&Arc<Member>>> = HashMap::new();
        for member in members.all() {
            by_type.entry(Arc::clone(&member.server_type)).or_default().push(member);
        }
        let before = self.by_type.load();
        let groups = by_type.into_iter().map(|(server_type, members)| {
            let group = self.group(&server_type, &members, before.get(&server_type));
            (server_type, group)
        });
        self.by_type.store(Arc::new(groups.collect()));
        self.changes.send_replace(());
    }

    /// Waits until no server of that id is up.
    pub(crate) async fn without(&self, id: &str) {
        let mut changes = self.changes.subscribe();
        while self.get(id).is_some() && changes.changed().await.is_ok() {}
    }

    /// The group of a type; the one before if nothing has changed in it.
    fn group(&self, server_type: &str, members: &[&Arc<Member>], before: Option<&Arc<Group>>) -> Arc<Group> {
        let servers: ServerList = members.iter().map(|member| Arc::new(info(member))).collect();
        let weights: Vec<_> = members.iter().map(|member| weight(member)).collect();
        if let Some(before) = before.filter(|before| before.servers == servers && before.weights == weights) {
            return Arc::clone(before);
        }
        let router = self.routers.get(server_type).copied().unwrap_or_default();
        let previous = before.map(|before| (&before.balancer, &*before.servers));
        let balancer = Balancer::new(router, &servers, &weights, previous);
        Arc::new(Group { servers, weights, balancer })
    }

    /// The servers of a type with their router; none if no server of the type is up.
    pub(crate) fn group_of(&self, server_type: &str) -> Option<Arc<Group>> {
        self.by_type.load().get(server_type).map(Arc::clone)
    }

    /// The servers of a type, sorted by id; empty if none is up.
    pub(crate) fn of_type(&self, server_type: &str) -> ServerList {
        let groups = self.by_type.load();
        groups.get(server_type).map_or_else(|| Arc::from([]), |group| Arc::clone(&group.servers))
    }

    /// Whether the servers of a type are frontends; none if no server of the type is up.
    pub(crate) fn has_frontends(&self, server_type: &str) -> Option<bool> {
        self.by_type.load().get(server_type)?.servers.first().map(|server| server.frontend)
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
        let servers = by_type.values().flat_map(|group| group.servers.iter());
        servers.filter(|server| server.frontend).map(|server| Arc::clone(&server.id)).collect()
    }

    /// The server of that id.
    pub(crate) fn get(&self, id: &str) -> Option<Arc<ServerInfo>> {
        let groups = self.by_type.load();
        groups.values().find_map(|group| group.servers.get(group.index_of(id)?).cloned())
    }
}

/// What servers.json says; a number out of its range can only come from a server of another configuration.
fn weight(member: &Member) -> u32 {
    let weight = member.fields.get("weight").and_then(serde_json::Value::as_u64);
    weight.map_or(1, |weight| u32::try_from(weight.clamp(1, 1_000)).unwrap_or(1))
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
pub(crate) mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Waker};

    use serde_json::json;

    use super::*;

    fn member(id: &str, fields: &serde_json::Value) -> Arc<Member> {
        Arc::new(Member {
            id: id.into(),
            server_type: id.split('-').next().unwrap().into(),
            host: "127.0.0.1".to_owned(),
            port: Some(1),
            frontend: false,
            fields: fields.as_object().unwrap().clone(),
        })
    }

    /// Servers with these ids.
    pub(crate) fn servers(ids: &[&str]) -> Vec<Arc<ServerInfo>> {
        ids.iter().map(|id| Arc::new(info(&member(id, &json!({}))))).collect()
    }

    /// Members with these ids, whose types are what stands before the dash.
    pub(crate) fn members(ids: &[&str]) -> Members {
        Members::new(ids.iter().map(|id| member(id, &json!({}))))
    }

    #[test]
    fn who_waits_for_a_server_to_leave_learns_of_it() {
        let roster = Roster::new(BTreeMap::new());
        roster.update(&members(&["chat-1", "chat-2"]));
        let mut waiting = pin!(roster.without("chat-2"));
        let cx = &mut Context::from_waker(Waker::noop());
        assert!(waiting.as_mut().poll(cx).is_pending());
        roster.update(&members(&["chat-2"]));
        assert!(waiting.as_mut().poll(cx).is_pending());
        roster.update(&members(&[]));
        assert!(waiting.as_mut().poll(cx).is_ready());
        assert!(
            pin!(roster.without("chat-2")).poll(cx).is_ready(),
            "one that is not there is not waited for"
        );
    }

    #[test]
    fn a_group_is_made_anew_only_when_it_has_changed() {
        let roster = Roster::new([("chat".to_owned(), Router::LeastActive)].into());
        roster.update(&members(&["chat-2", "chat-1"]));
        let first = roster.group_of("chat").unwrap();
        assert_eq!(first.index_of("chat-2"), Some(1));
        roster.update(&members(&["chat-1", "chat-2", "area-1"]));
        assert!(Arc::ptr_eq(&first, &roster.group_of("chat").unwrap()), "another type has changed");
        let call = first.begin("chat-1");
        roster.update(&members(&["chat-1", "chat-3"]));
        let second = roster.group_of("chat").unwrap();
        assert!(!Arc::ptr_eq(&first, &second));
        assert_eq!(second.servers.len(), 2);
        let key = shaddock_engine::types::RouteKey::Value("".into());
        assert_eq!(second.balancer.pick(&key, 2), 1, "the call to chat-1 is still under way");
        assert_eq!(second.balancer.pick(&key, 2), 1);
        drop(call);
        assert_eq!(roster.get("chat-3").unwrap().id, "chat-3".into());
        assert!(roster.get("chat-2").is_none() && roster.group_of("area").is_none());
    }

    #[test]
    fn weights_come_from_servers_json() {
        let roster = Roster::new([("chat".to_owned(), Router::WeightedRoundRobin)].into());
        roster
            .update(&Members::new([member("chat-1", &json!({ "weight": 3 })), member("chat-2", &json!({}))]));
        let group = roster.group_of("chat").unwrap();
        let key = shaddock_engine::types::RouteKey::Value("".into());
        let picked: Vec<_> = (0..8).map(|_| group.balancer.pick(&key, 2)).collect();
        assert_eq!(picked.iter().filter(|&&index| index == 0).count(), 6);
    }
}
