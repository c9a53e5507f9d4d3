//! Pushes of plugins that are more than plain ones: under a delivery policy, with a report, to a selection.

use std::sync::Arc;

use bytes::Bytes;
use shaddock_cluster::{Instant, RpcError};
use shaddock_engine::CallScope;
use shaddock_engine::types::{Delivery, Failure, Member};
use tokio::sync::oneshot;

use crate::channel::{Group, group};
use crate::delivery::Policy;
use crate::host::{PluginHost, push_body};
use crate::peer::{self, Notice, PushTo, Request};
use crate::selected::Audience;

/// A push whose report is still to come.
struct Reported {
    group: Group,
    answer: Answer,
}

enum Answer {
    Here(Vec<u32>),
    From(oneshot::Receiver<Result<Bytes, RpcError>>),
    /// The push could not be sent.
    Nowhere,
}

impl PluginHost {
    /// `channels.set-delivery`.
    #[expect(dead_code, reason = "for the imports of that name")]
    pub(crate) fn channel_set_delivery(&self, name: &str, delivery: Delivery) -> Result<(), Failure> {
        Ok(self.0.channels.set_delivery(name, delivery)?)
    }

    /// `channels.push-and-report`.
    #[expect(dead_code, reason = "for the imports of that name")]
    pub(crate) async fn channel_push_and_report(
        &self,
        call: &CallScope,
        name: &str,
        route: &str,
        body: Vec<u8>,
    ) -> Result<Vec<Member>, Failure> {
        let (groups, policy) = self.0.channels.audience(name)?;
        self.push_groups_and_report(call, policy, groups, route, body).await
    }

    /// `channels.push-to-and-report`.
    #[expect(dead_code, reason = "for the imports of that name")]
    pub(crate) async fn push_to_and_report(
        &self,
        call: &CallScope,
        members: Vec<Member>,
        route: &str,
        body: Vec<u8>,
    ) -> Result<Vec<Member>, Failure> {
        self.push_groups_and_report(call, None, group(members), route, body).await
    }

    /// `channels.broadcast-to` with a filter.
    #[expect(dead_code, reason = "for the imports of that name")]
    pub(crate) fn broadcast_to(
        &self,
        call: &CallScope,
        server_type: &str,
        route: &str,
        body: Vec<u8>,
        audience: Audience,
    ) -> Result<(), Failure> {
        let body = push_body(route, body)?;
        let notice = Notice::SelectedBroadcast { route: route.into(), body, audience };
        self.notify_type(call, server_type, &notice)
    }

    /// Pushes under a channel's delivery policy.
    pub(crate) fn push_governed(
        &self,
        call: &CallScope,
        policy: &Arc<Policy>,
        groups: Vec<Group>,
        route: &str,
        body: Vec<u8>,
    ) -> Result<(), Failure> {
        let body = push_body(route, body)?;
        let route: Arc<str> = route.into();
        for Group { frontend_id, uids } in groups {
            let push = PushTo { route: Arc::clone(&route), body: body.clone(), uids };
            self.notify(call, &frontend_id, &Notice::GovernedPush { policy: Arc::clone(policy), push });
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
        let deadline = call.deadline.min(self.0.deadline());
        let send = |group: Group| {
            let push = PushTo { route: Arc::clone(&route), body: body.clone(), uids: group.uids.clone() };
            let answer = self.push_reported(&group.frontend_id, policy.clone(), push, deadline);
            Reported { group, answer }
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
    ) -> Answer {
        let own_id = &self.0.info.id;
        if frontend_id == &**own_id {
            return Answer::Here(self.0.push_and_report_here(own_id, policy.as_deref(), &push));
        }
        let Ok(cluster) = self.0.cluster() else { return Answer::Nowhere };
        let (done, answer) = oneshot::channel();
        let completion = Box::new(move |answer| {
            let _ = done.send(answer);
        });
        cluster.request(frontend_id, Request::Push { policy, push }.encode(), deadline, completion);
        Answer::From(answer)
    }
}

impl Reported {
    async fn add_unreached(self, unreached: &mut Vec<Member>) {
        let Group { frontend_id, uids } = self.group;
        let places = match self.answer {
            Answer::Here(places) => Some(places),
            Answer::From(answer) => match answer.await {
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
            Answer::Nowhere => None,
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
