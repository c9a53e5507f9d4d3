//! `channels`: all with the host, which only enqueues.

use super::{check_name, check_route, check_value};
use crate::bindings::shaddock::plugin::channels::{self, Host};
use crate::context::Context;
use crate::limits::{FILTER_PARAM_BYTES_MAX, PUSH_MEMBERS_MAX};
use crate::types::{Audience, Delivery, Failure, Member};

type Answer<T> = wasmtime::Result<Result<T, Failure>>;

impl Host for Context {
    fn create(&mut self, name: String) -> Answer<bool> {
        Ok(check_name("channel name", &name).and_then(|()| self.host().channel_create(&self.scope, &name)))
    }

    fn join(&mut self, name: String, member: Member) -> Answer<bool> {
        let checked = check_name("channel name", &name).and_then(|()| check_member(&member));
        Ok(checked.and_then(|()| self.host().channel_join(&self.scope, &name, member)))
    }

    fn leave(&mut self, name: String, member: Member) -> wasmtime::Result<bool> {
        Ok(self.host().channel_leave(&self.scope, &name, &member))
    }

    fn members(&mut self, name: String) -> Answer<Vec<Member>> {
        Ok(self.host().channel_members(&self.scope, &name))
    }

    fn find(&mut self, name: String, uid: String) -> wasmtime::Result<Option<Member>> {
        Ok(self.host().channel_find(&self.scope, &name, &uid))
    }

    fn push(&mut self, name: String, route: String, body: Vec<u8>) -> Answer<()> {
        let checked = check_name("channel name", &name).and_then(|()| self.check_message(&route, &body));
        Ok(checked.and_then(|()| self.host().channel_push(&self.scope, &name, &route, body)))
    }

    fn push_to(&mut self, members: Vec<Member>, route: String, body: Vec<u8>) -> Answer<()> {
        let checked = check_members(&members).and_then(|()| self.check_message(&route, &body));
        Ok(checked.and_then(|()| self.host().push_to(&self.scope, members, &route, body)))
    }

    fn broadcast(
        &mut self,
        server_type: String,
        route: String,
        body: Vec<u8>,
        bound_only: bool,
    ) -> Answer<()> {
        let checked =
            check_name("server type", &server_type).and_then(|()| self.check_message(&route, &body));
        let host = self.host();
        let audience = Audience { bound_only, filter: None };
        Ok(checked.and_then(|()| host.broadcast(&self.scope, &server_type, &route, body, audience)))
    }

    async fn push_and_report(&mut self, name: String, route: String, body: Vec<u8>) -> Answer<Vec<Member>> {
        let checked = check_name("channel name", &name).and_then(|()| self.check_message(&route, &body));
        if let Err(failure) = checked {
            return Ok(Err(failure));
        }
        Ok(self.host().channel_push_and_report(&self.scope, &name, &route, body).await)
    }

    async fn push_to_and_report(
        &mut self,
        members: Vec<Member>,
        route: String,
        body: Vec<u8>,
    ) -> Answer<Vec<Member>> {
        let checked = check_members(&members).and_then(|()| self.check_message(&route, &body));
        if let Err(failure) = checked {
            return Ok(Err(failure));
        }
        Ok(self.host().push_to_and_report(&self.scope, members, &route, body).await)
    }

    fn broadcast_to(
        &mut self,
        server_type: String,
        route: String,
        body: Vec<u8>,
        audience: channels::Audience,
    ) -> Answer<()> {
        let checked = check_name("server type", &server_type)
            .and_then(|()| self.check_message(&route, &body))
            .and_then(|()| {
                audience.filter.as_ref().map_or(Ok(()), |(name, param)| check_filter(name, param))
            });
        let audience = Audience { bound_only: audience.bound_only, filter: audience.filter };
        let host = self.host();
        Ok(checked.and_then(|()| host.broadcast(&self.scope, &server_type, &route, body, audience)))
    }

    fn set_delivery(&mut self, name: String, delivery: channels::Delivery) -> Answer<()> {
        let delivery = match delivery {
            channels::Delivery::Every => Delivery::Every,
            channels::Delivery::Latest(field) => Delivery::Latest(field),
            channels::Delivery::DropOldest(waiting_max) => Delivery::DropOldest(waiting_max),
            channels::Delivery::Disconnect => Delivery::Disconnect,
        };
        let checked = check_name("channel name", &name).and_then(|()| check_delivery(&delivery));
        Ok(checked.and_then(|()| self.host().channel_set_delivery(&self.scope, &name, delivery)))
    }

    fn destroy(&mut self, name: String) -> wasmtime::Result<bool> {
        Ok(self.host().channel_destroy(&self.scope, &name))
    }
}

impl Context {
    fn check_message(&self, route: &str, body: &[u8]) -> Result<(), Failure> {
        check_route("route", route)?;
        check_value("body", body, self.shared.limits.value_bytes_max)
    }
}

fn check_filter(name: &str, param: &str) -> Result<(), Failure> {
    check_name("filter's name", name)?;
    if param.len() > FILTER_PARAM_BYTES_MAX {
        let message =
            format!("the filter's parameter has {} bytes; at most {FILTER_PARAM_BYTES_MAX}", param.len());
        return Err(Failure::new(400, message));
    }
    Ok(())
}

fn check_delivery(delivery: &Delivery) -> Result<(), Failure> {
    match delivery {
        Delivery::Latest(Some(field)) => check_name("field", field),
        Delivery::DropOldest(0) => Err(Failure::new(400, "drop-oldest(0) would deliver nothing")),
        _ => Ok(()),
    }
}

fn check_member(member: &Member) -> Result<(), Failure> {
    check_name("uid", &member.uid)?;
    check_name("frontend id", &member.frontend_id)
}

fn check_members(members: &[Member]) -> Result<(), Failure> {
    if members.is_empty() || members.len() > PUSH_MEMBERS_MAX {
        return Err(Failure::new(
            400,
            format!("{} members; 1 to {PUSH_MEMBERS_MAX} are allowed", members.len()),
        ));
    }
    members.iter().try_for_each(check_member)
}
