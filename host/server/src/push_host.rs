//! Pushes of plugins, handed to the frontends: plain ones, under a delivery policy, with a report, to all of a type.

use std::sync::Arc;

use bytes::Bytes;
use serde::de::IgnoredAny;
use shaddock_cluster::Instant;
use shaddock_engine::CallScope;
use shaddock_engine::types::{Failure, Member};

use crate::call_failure;
use crate::channel::Group;
use crate::delivery::Policy;
use crate::host::{Answer, PluginHost, half_way_to};
use crate::peer::{self, Notice, PushTo, Request};

/// A push whose report is still to come.
struct Reported {
    group: Group,
    report: Report,
}

enum Report {
    Here(Vec<u32>),
    From(Answer),
    /// The push could not be sent.
    Nowhere,
}

impl PluginHost {
    /// Hands a push to all frontends of a type.
    pub(crate) fn notify_type(
        &self,
        call: &CallScope,
        server_type: &str,
        notice: &Notice,
    ) -> Result<(), Failure> {
        let frontends = self.0.roster.of_type(server_type);
        if !frontends.first().is_some_and(|server| server.frontend) {
            return Err(Failure::new(404, format!("no frontend of type {server_type:?} is up")));
        }
        for frontend in frontends.iter() {
            self.notify(call, &frontend.id, notice);
        }
        Ok(())
    }

    /// Hands a push to a frontend. One that has just gone had its clients with it.
    pub(crate) fn notify(&self, call: &CallScope, frontend_id: &str, notice: &Notice) {
        if frontend_id == &*self.0.info.id {
            match notice {
                Notice::Push(push) => return self.0.push_here(push),
                Notice::Broadcast { route, body, bound_only } => {
                    return self.0.broadcast_here(route, body, *bound_only);
                }
                Notice::GovernedPush { policy, push } => {
                    return self.0.push_governed_here(&self.0.info.id, policy, push);
                }
                Notice::SelectedBroadcast { route, body, selection } => {
                    return self.0.broadcast_selected(Arc::clone(route), body.clone(), selection.clone());
                }
                Notice::Rpc(_) => {}
            }
        }
        let sent = self.0.cluster().and_then(|cluster| {
            cluster
                .notify(frontend_id, notice.encode())
                .map_err(|error| call_failure::of_session(frontend_id, &error))
        });
        if let Err(failure) = sent {
            tracing::debug!(frontend_id, route = %call.route, reason = %failure, "a push did not reach a frontend");
        }
    }

    /// Pushes, under a delivery policy if the channel has one.
    pub(crate) fn push_groups(
        &self,
        call: &CallScope,
        policy: Option<&Arc<Policy>>,
        groups: Vec<Group>,
        route: &str,
        body: Vec<u8>,
    ) -> Result<(), Failure> {
        let body = push_body(route, body)?;
        let route: Arc<str> = route.into();
        for Group { frontend_id, uids } in groups {
            let push = PushTo { route: Arc::clone(&route), body: body.clone(), uids };
            let notice = match policy {
                None => Notice::Push(push),
                Some(policy) => Notice::GovernedPush { policy: Arc::clone(policy), push },
            };
            self.notify(call, &frontend_id, &notice);
        }
        Ok(())
    }

    /// Pushes and waits for the frontends; answers the members who were not reached.
    ///
    /// Everything is handed over before the first wait, so that the push keeps its place among those of its caller.
    pub(crate) async fn push_groups_and_report(
        &self,
        call: &CallScope,
        policy: Option<Arc<Policy>>,
        groups: Vec<Group>,
        route: &str,
        body: Vec<u8>,
    ) -> Result<Vec<Member>, Failure> {
        let body = push_body(route, body)?;
        let route: Arc<str> = route.into();
        let deadline = half_way_to(call.deadline.min(self.0.deadline()));
        let send = |group: Group| {
            let push = PushTo { route: Arc::clone(&route), body: body.clone(), uids: group.uids.clone() };
            let report = self.push_reported(&group.frontend_id, policy.clone(), push, deadline);
            Reported { group, report }
        };
        let sent: Vec<Reported> = groups.into_iter().map(send).collect();
        let mut unreached = Vec::new();
        for reported in sent {
            reported.add_unreached(&mut unreached).await;
        }
        Ok(unreached)
    }

    fn push_reported(
        &self,
        frontend_id: &str,
        policy: Option<Arc<Policy>>,
        push: PushTo,
        deadline: Instant,
    ) -> Report {
        let own_id = &self.0.info.id;
        if frontend_id == &**own_id {
            return Report::Here(self.0.push_and_report_here(own_id, policy.as_deref(), &push));
        }
        let message = Request::Push { policy, push }.encode();
        self.send(frontend_id, message, deadline).map_or(Report::Nowhere, Report::From)
    }
}

impl Reported {
    async fn add_unreached(self, unreached: &mut Vec<Member>) {
        let Group { frontend_id, uids } = self.group;
        let places = match self.report {
            Report::Here(places) => Some(places),
            Report::From(answer) => match answer.await {
                Ok(Ok(answer)) => peer::decode_answer(answer)
                    .and_then(|body| {
                        peer::decode_unreached(body).map_err(|error| Failure::new(500, error.to_string()))
                    })
                    .inspect_err(|failure| {
                        tracing::warn!(peer = %frontend_id, reason = %failure, "the report of a push cannot be read");
                    })
                    .ok(),
                _ => None,
            },
            Report::Nowhere => None,
        };
        let member = |uid: Arc<str>| Member { uid, frontend_id: Arc::clone(&frontend_id) };
        match places {
            None => unreached.extend(uids.into_iter().map(member)),
            Some(places) => {
                let uids = places.into_iter().filter_map(|place| uids.get(place as usize).cloned());
                unreached.extend(uids.map(member));
            }
        }
    }
}

/// What goes to clients as it is must be JSON.
pub(crate) fn push_body(route: &str, body: Vec<u8>) -> Result<Bytes, Failure> {
    if route.is_empty() || route.len() > 255 {
        return Err(Failure::new(400, "the route of a push has 1 to 255 bytes"));
    }
    match serde_json::from_slice::<IgnoredAny>(&body) {
        Ok(_) => Ok(body.into()),
        Err(error) => Err(Failure::new(400, format!("the body of the push {route} is not JSON: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::group;
    use crate::testing::{frontend, session_of};
    use shaddock_engine::types::Delivery;
    use shaddock_engine::{Call, PluginName};

    fn call(host: &PluginHost) -> CallScope {
        let plugin = PluginName { name: "p".into(), version: "1".into(), digest: "1".into() };
        CallScope::new(Arc::new(plugin), "connector.t.push".into(), Call::new(host.0.deadline()))
    }

    fn member(uid: &str, frontend_id: &str) -> Member {
        Member { uid: uid.into(), frontend_id: frontend_id.into() }
    }

    #[tokio::test]
    async fn who_has_no_session_and_who_is_at_a_frontend_that_is_down_is_reported() {
        let host = PluginHost(frontend());
        let call = call(&host);
        let (a, b) = (session_of(&host.0, "a"), session_of(&host.0, "b"));
        let closing = session_of(&host.0, "closing");
        closing.kick("bye");
        let others =
            [("stranger", "c1"), ("closing", "c1"), ("x", "c2"), ("y", "c2")].map(|(u, f)| member(u, f));
        let everybody = [member("a", "c1")].into_iter().chain(others.clone()).chain([member("b", "c1")]);
        let groups = group(everybody);
        let unreached =
            host.push_groups_and_report(&call, None, groups.clone(), "onChat", b"{}".to_vec()).await;
        assert_eq!(unreached.unwrap(), others);
        assert!(a.outbound.bytes() > 0 && b.outbound.bytes() > 0);
        assert_eq!(host.0.metrics.pushes.get(), 2);
        let refused = host.push_groups_and_report(&call, None, groups, "onChat", b"{".to_vec()).await;
        assert_eq!(refused.unwrap_err().code, 400);
    }

    #[tokio::test]
    async fn pushes_of_a_channel_follow_its_policy() {
        let host = PluginHost(frontend());
        let call = call(&host);
        let session = session_of(&host.0, "a");
        let channels = &host.0.channels;
        channels.join("moves", member("a", "c1")).unwrap();
        channels.set_delivery("moves", Delivery::Latest(Some("id".into()))).unwrap();
        let push = |id: u32, x: u32| {
            let (groups, policy) = host.0.channels.audience("moves").unwrap();
            let body = format!("{{\"id\":{id},\"x\":{x}}}").into_bytes();
            host.push_groups(&call, policy.as_ref(), groups, "onMove", body).unwrap();
            session.outbound.bytes()
        };
        session.outbound.write(|out| out.extend_from_slice(&[0; 20 << 10]));
        let parked = [push(1, 10), push(2, 10)];
        assert!(parked[0] < parked[1], "{parked:?}");
        assert_eq!(push(1, 11), parked[1], "in the place of the first one");
        let (groups, policy) = channels.audience("moves").unwrap();
        let body = b"{\"id\":2,\"x\":12}".to_vec();
        let unreached = host.push_groups_and_report(&call, policy, groups, "onMove", body).await;
        assert_eq!(unreached.unwrap(), [], "it has a session, and will get it");
        assert_eq!(session.outbound.bytes(), parked[1]);
        let text = host.0.metrics.text(host.0.levels(), &[]);
        assert!(text.contains("shaddock_pushes_dropped_total{policy=\"latest\"} 2"), "{text}");
    }
}
