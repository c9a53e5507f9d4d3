//! `channels`: all with the host, which only enqueues.

use super::{check_name, check_route, check_value};
use crate::bindings::shaddock::plugin::channels::Host;
use crate::context::Context;
use crate::limits::PUSH_MEMBERS_MAX;
use crate::types::{Failure, Member};

type Answer<T> = wasmtime::Result<Result<T, Failure>>;

impl Host for Context {
    fn create(&mut self, name: String) -> Answer<bool> {
        Ok(check_name("channel name", &name)
            .and_then(|()| self.shared.host.channel_create(&self.scope, &name)))
    }

    fn join(&mut self, name: String, member: Member) -> Answer<bool> {
        let checked = check_name("channel name", &name).and_then(|()| check_member(&member));
        Ok(checked.and_then(|()| self.shared.host.channel_join(&self.scope, &name, member)))
    }

    fn leave(&mut self, name: String, member: Member) -> wasmtime::Result<bool> {
        Ok(self.shared.host.channel_leave(&self.scope, &name, &member))
    }

    fn members(&mut self, name: String) -> Answer<Vec<Member>> {
        Ok(self.shared.host.channel_members(&self.scope, &name))
    }

    fn find(&mut self, name: String, uid: String) -> wasmtime::Result<Option<Member>> {
        Ok(self.shared.host.channel_find(&self.scope, &name, &uid))
    }

    fn push(&mut self, name: String, route: String, body: Vec<u8>) -> Answer<()> {
        let checked = check_name("channel name", &name).and_then(|()| self.check_message(&route, &body));
        Ok(checked.and_then(|()| self.shared.host.channel_push(&self.scope, &name, &route, body)))
    }

    fn push_to(&mut self, members: Vec<Member>, route: String, body: Vec<u8>) -> Answer<()> {
        let checked = check_members(&members).and_then(|()| self.check_message(&route, &body));
        Ok(checked.and_then(|()| self.shared.host.push_to(&self.scope, members, &route, body)))
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
        let host = &self.shared.host;
        Ok(checked.and_then(|()| host.broadcast(&self.scope, &server_type, &route, body, bound_only)))
    }

    fn destroy(&mut self, name: String) -> wasmtime::Result<bool> {
        Ok(self.shared.host.channel_destroy(&self.scope, &name))
    }
}

impl Context {
    fn check_message(&self, route: &str, body: &[u8]) -> Result<(), Failure> {
        check_route("route", route)?;
        check_value("body", body, self.shared.limits.value_bytes_max)
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
