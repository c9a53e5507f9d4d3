//! The imports of the contract, as the bindings have them.

pub(crate) mod app {
    use super::super::state::with;
    use crate::app::Level;
    use crate::bindings::shaddock::plugin::types::ServerInfo;

    pub(crate) fn log(level: Level, message: &str) {
        eprintln!("{level:?}: {message}");
        with(|state| state.log.push((level, message.to_owned())));
    }

    pub(crate) fn own_server() -> ServerInfo {
        with(|state| {
            let own = state.servers.iter().find(|server| server.id == super::super::FRONTEND);
            own.cloned().unwrap_or_else(|| super::super::state::server(super::super::FRONTEND, "connector"))
        })
    }

    pub(crate) fn servers(server_type: &str) -> Vec<ServerInfo> {
        with(|state| {
            state.servers.iter().filter(|server| server.server_type == server_type).cloned().collect()
        })
    }

    pub(crate) fn server(id: &str) -> Option<ServerInfo> {
        with(|state| state.servers.iter().find(|server| server.id == id).cloned())
    }

    pub(crate) fn server_types() -> Vec<String> {
        let mut types: Vec<String> =
            with(|state| state.servers.iter().map(|server| server.server_type.clone()).collect());
        types.sort();
        types.dedup();
        types
    }

    pub(crate) fn settings() -> String {
        with(|state| state.settings.clone())
    }

    pub(crate) fn now_ms() -> u64 {
        with(|state| state.now_ms)
    }

    pub(crate) fn monotonic_ns() -> u64 {
        with(|state| state.now_ms * 1_000_000)
    }

    pub(crate) fn random_bytes(len: u32) -> Vec<u8> {
        with(|state| state.random.iter().copied().cycle().take(len as usize).collect())
    }
}

pub(crate) mod sessions {
    use super::super::To;
    use super::super::state::{Failed, failure, same, with};
    use crate::bindings::shaddock::plugin::types::{Session, SessionId, Setting};

    pub(crate) fn get(id: &SessionId) -> Failed<Session> {
        with(|state| state.now(id))
    }

    pub(crate) fn by_uid(frontend_id: &str, uid: &str) -> Failed<Vec<Session>> {
        Ok(find(uid)?.into_iter().filter(|session| session.id.frontend_id == frontend_id).collect())
    }

    pub(crate) fn bind(id: &SessionId, uid: &str) -> Failed<()> {
        with(|state| {
            let session = state.frontends(id)?;
            if session.uid.as_deref().is_some_and(|bound| bound != uid) {
                return Err(failure(409, "the session is bound to somebody else"));
            }
            session.uid = Some(uid.to_owned());
            Ok(())
        })
    }

    pub(crate) fn unbind(id: &SessionId, uid: &str) -> Failed<()> {
        with(|state| {
            let session = state.frontends(id)?;
            if session.uid.as_deref() != Some(uid) {
                return Err(failure(409, "that user is not bound to the session"));
            }
            session.uid = None;
            Ok(())
        })
    }

    pub(crate) fn set(id: &SessionId, key: &str, value: &str) -> Failed<()> {
        with(|state| {
            put(&mut state.copy_of(id)?.settings, key, value);
            Ok(())
        })
    }

    pub(crate) fn push(id: &SessionId, keys: &[String]) -> Failed<()> {
        with(|state| {
            let settings = state.copy_of(id)?.settings.clone();
            let session = state.frontends(id)?;
            for setting in settings.iter().filter(|setting| keys.is_empty() || keys.contains(&setting.key)) {
                put(&mut session.settings, &setting.key, &setting.value);
            }
            Ok(())
        })
    }

    fn put(settings: &mut Vec<Setting>, key: &str, value: &str) {
        match settings.iter_mut().find(|setting| setting.key == key) {
            Some(setting) => setting.value = value.to_owned(),
            None => settings.push(Setting { key: key.to_owned(), value: value.to_owned() }),
        }
    }

    pub(crate) fn kick(id: &SessionId, _: &str) -> Failed<()> {
        with(|state| state.sessions.retain(|session| !same(&session.id, id)));
        Ok(())
    }

    pub(crate) fn kick_uid(frontend_id: &str, uid: &str, reason: &str) -> Failed<u32> {
        let found = by_uid(frontend_id, uid)?;
        for session in &found {
            kick(&session.id, reason)?;
        }
        Ok(u32::try_from(found.len()).unwrap_or(u32::MAX))
    }

    pub(crate) fn find(uid: &str) -> Failed<Vec<Session>> {
        let is_theirs = |session: &&Session| session.uid.as_deref() == Some(uid);
        Ok(with(|state| state.sessions.iter().filter(is_theirs).cloned().collect()))
    }

    pub(crate) fn kick_everywhere(uid: &str, reason: &str) -> Failed<u32> {
        kick_uid(super::super::FRONTEND, uid, reason)
    }

    pub(crate) fn address(id: &SessionId) -> Failed<String> {
        get(id).map(|session| format!("127.0.0.1:{}", 50_000 + session.id.number))
    }

    pub(crate) fn send(id: &SessionId, route: &str, body: &[u8]) -> Failed<()> {
        get(id)?;
        with(|state| state.push(To::Session(id.number), route, body))
    }
}

pub(crate) mod channels {
    use super::super::To;
    use super::super::state::{Failed, failure, users, with};
    pub(crate) use crate::bindings::shaddock::plugin::channels::{Audience, Delivery};
    use crate::bindings::shaddock::plugin::types::{Failure, Member};

    fn missing() -> Failure {
        failure(404, "no such channel")
    }

    pub(crate) fn create(name: &str) -> Failed<bool> {
        with(|state| {
            let is_new = state.channel(name).is_none();
            state.with_channel(name, |channel| channel.stays = true);
            Ok(is_new)
        })
    }

    pub(crate) fn join(name: &str, member: &Member) -> Failed<bool> {
        with(|state| {
            let is_new = state.with_channel(name, |channel| {
                let is_new = !channel.members.contains(member);
                if is_new {
                    channel.members.push(member.clone());
                }
                is_new
            });
            Ok(is_new)
        })
    }

    pub(crate) fn leave(name: &str, member: &Member) -> bool {
        with(|state| {
            let Some(channel) = state.channel(name) else { return false };
            let before = channel.members.len();
            channel.members.retain(|known| known != member);
            let was_member = channel.members.len() < before;
            state.channels.retain(|channel| channel.stays || !channel.members.is_empty());
            was_member
        })
    }

    pub(crate) fn members(name: &str) -> Failed<Vec<Member>> {
        with(|state| state.channel(name).map(|channel| channel.members.clone()).ok_or_else(missing))
    }

    pub(crate) fn find(name: &str, uid: &str) -> Option<Member> {
        members(name).ok()?.into_iter().find(|member| member.uid == uid)
    }

    pub(crate) fn push(name: &str, route: &str, body: &[u8]) -> Failed<()> {
        let members = members(name)?;
        with(|state| state.push(users(&members), route, body))
    }

    pub(crate) fn push_to(members: &[Member], route: &str, body: &[u8]) -> Failed<()> {
        if members.is_empty() {
            return Err(failure(400, "no members are named"));
        }
        with(|state| state.push(users(members), route, body))
    }

    pub(crate) fn broadcast(server_type: &str, route: &str, body: &[u8], bound_only: bool) -> Failed<()> {
        let to = To::Broadcast { server_type: server_type.to_owned(), bound_only };
        with(|state| state.push(to, route, body))
    }

    pub(crate) fn destroy(name: &str) -> bool {
        with(|state| {
            let before = state.channels.len();
            state.channels.retain(|channel| channel.name != name);
            state.channels.len() < before
        })
    }

    /// Everybody is reached.
    pub(crate) fn push_and_report(name: &str, route: &str, body: &[u8]) -> Failed<Vec<Member>> {
        push(name, route, body).map(|()| Vec::new())
    }

    pub(crate) fn push_to_and_report(members: &[Member], route: &str, body: &[u8]) -> Failed<Vec<Member>> {
        push_to(members, route, body).map(|()| Vec::new())
    }

    /// The filter is another plugin's: it selects everybody.
    pub(crate) fn broadcast_to(
        server_type: &str,
        route: &str,
        body: &[u8],
        audience: &Audience,
    ) -> Failed<()> {
        broadcast(server_type, route, body, audience.bound_only)
    }

    /// Every client of a test keeps up.
    pub(crate) fn set_delivery(name: &str, _: &Delivery) -> Failed<()> {
        create(name).map(drop)
    }
}

pub(crate) mod rpc {
    use super::super::state::{self, Failed, failure, with};
    pub(crate) use crate::bindings::shaddock::plugin::rpc::{CallOptions, RouteKey};

    pub(crate) fn call(server_type: &str, _: &RouteKey, method: &str, args: &[u8]) -> Failed<Vec<u8>> {
        state::call(server_type, server_type, method, args)
    }

    pub(crate) fn call_server(server_id: &str, method: &str, args: &[u8]) -> Failed<Vec<u8>> {
        let server = with(|state| state.servers.iter().find(|server| server.id == server_id).cloned());
        let server = server.ok_or_else(|| failure(404, "no such server: Host::add_server adds one"))?;
        state::call(&server.server_type, server_id, method, args)
    }

    pub(crate) fn call_all(server_type: &str, method: &str, args: &[u8]) -> Vec<(String, Failed<Vec<u8>>)> {
        let of_type = super::app::servers(server_type);
        of_type.into_iter().map(|server| (server.id.clone(), call_server(&server.id, method, args))).collect()
    }

    /// Nobody waits for the outcome, so that a failure is none of the caller's.
    pub(crate) fn notify(server_type: &str, key: &RouteKey, method: &str, args: &[u8]) -> Failed<()> {
        drop(call(server_type, key, method, args));
        Ok(())
    }

    pub(crate) fn call_with(
        server_type: &str,
        key: &RouteKey,
        method: &str,
        args: &[u8],
        _: CallOptions,
    ) -> Failed<Vec<u8>> {
        call(server_type, key, method, args)
    }
}

pub(crate) mod timers {
    use super::super::Timer;
    use super::super::state::{Failed, failure, with};

    fn set(ms: u64, repeats: bool, name: &str, payload: &[u8]) -> Failed<u64> {
        let payload = serde_json::from_slice(payload).map_err(|e| failure(400, &e.to_string()))?;
        with(|state| {
            let id = state.number();
            state.timers.push(Timer { id, name: name.to_owned(), ms, repeats, payload });
            Ok(id)
        })
    }

    pub(crate) fn after(delay_ms: u64, name: &str, payload: &[u8]) -> Failed<u64> {
        set(delay_ms, false, name, payload)
    }

    pub(crate) fn every(period_ms: u64, name: &str, payload: &[u8]) -> Failed<u64> {
        set(period_ms, true, name, payload)
    }

    pub(crate) fn cancel(id: u64) -> bool {
        with(|state| {
            let before = state.timers.len();
            state.timers.retain(|timer| timer.id != id);
            state.timers.len() < before
        })
    }
}
