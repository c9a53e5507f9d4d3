//! The imports of plugins with many calls in flight. The host of a test answers at once.

pub(crate) mod sessions {
    use super::super::host::sessions as plain;
    pub(crate) use super::super::host::sessions::set;
    use super::super::state::Failed;
    use crate::bindings::shaddock::plugin::types::{Session, SessionId};

    pub(crate) async fn get(id: SessionId) -> Failed<Session> {
        plain::get(&id)
    }

    pub(crate) async fn by_uid(frontend_id: String, uid: String) -> Failed<Vec<Session>> {
        plain::by_uid(&frontend_id, &uid)
    }

    pub(crate) async fn bind(id: SessionId, uid: String) -> Failed<()> {
        plain::bind(&id, &uid)
    }

    pub(crate) async fn unbind(id: SessionId, uid: String) -> Failed<()> {
        plain::unbind(&id, &uid)
    }

    pub(crate) async fn push(id: SessionId, keys: Vec<String>) -> Failed<()> {
        plain::push(&id, &keys)
    }

    pub(crate) async fn kick(id: SessionId, reason: String) -> Failed<()> {
        plain::kick(&id, &reason)
    }

    pub(crate) async fn kick_uid(frontend_id: String, uid: String, reason: String) -> Failed<u32> {
        plain::kick_uid(&frontend_id, &uid, &reason)
    }

    pub(crate) async fn find(uid: String) -> Failed<Vec<Session>> {
        plain::find(&uid)
    }

    pub(crate) async fn kick_everywhere(uid: String, reason: String) -> Failed<u32> {
        plain::kick_everywhere(&uid, &reason)
    }

    pub(crate) async fn address(id: SessionId) -> Failed<String> {
        plain::address(&id)
    }

    pub(crate) async fn send(id: SessionId, route: String, body: Vec<u8>) -> Failed<()> {
        plain::send(&id, &route, &body)
    }
}

pub(crate) mod rpc {
    use super::super::host::rpc as plain;
    pub(crate) use super::super::host::rpc::{CallOptions, RouteKey};
    use super::super::state::Failed;

    pub(crate) async fn call(
        server_type: String,
        key: RouteKey,
        method: String,
        args: Vec<u8>,
    ) -> Failed<Vec<u8>> {
        plain::call(&server_type, &key, &method, &args)
    }

    pub(crate) async fn call_server(server_id: String, method: String, args: Vec<u8>) -> Failed<Vec<u8>> {
        plain::call_server(&server_id, &method, &args)
    }

    pub(crate) async fn call_all(
        server_type: String,
        method: String,
        args: Vec<u8>,
    ) -> Vec<(String, Failed<Vec<u8>>)> {
        plain::call_all(&server_type, &method, &args)
    }

    pub(crate) async fn notify(
        server_type: String,
        key: RouteKey,
        method: String,
        args: Vec<u8>,
    ) -> Failed<()> {
        plain::notify(&server_type, &key, &method, &args)
    }

    pub(crate) async fn call_with(
        server_type: String,
        key: RouteKey,
        method: String,
        args: Vec<u8>,
        options: CallOptions,
    ) -> Failed<Vec<u8>> {
        plain::call_with(&server_type, &key, &method, &args, options)
    }
}
