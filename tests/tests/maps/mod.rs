//! A cluster made of maps: one gate, one connector and three chat servers, each with the chat plugin loaded.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;
use shaddock_engine::types::{
    Audience, CallOptions, Delivery, Failure, Level, Member, RouteKey, ServerInfo, Session, SessionId,
    Setting,
};
use shaddock_engine::{
    Cache, Call, CallError, CallScope, Engine, EngineSettings, Grants, Host, Plugin, PluginLimits,
    PluginSpec, PoolPolicy, compile,
};
use tokio::time::Instant;

pub(crate) const ENTER: &str = "connector.entryHandler.enter";
pub(crate) const SEND: &str = "chat.chatHandler.send";
const CONNECTOR: &str = "connector-server-1";
const TYPES: [&str; 3] = ["gate", "connector", "chat"];

type Servers = BTreeMap<Arc<str>, (Arc<ServerInfo>, Plugin)>;
/// By server and name.
type Rooms = BTreeMap<(Arc<str>, String), Vec<Member>>;

/// What the servers share in the place of a network.
#[derive(Default)]
pub(crate) struct Cluster {
    servers: OnceLock<Servers>,
    down: Mutex<BTreeSet<String>>,
    sessions: Mutex<BTreeMap<u64, Session>>,
    sessions_made: Mutex<u64>,
    rooms: Mutex<Rooms>,
    pushes: Mutex<Vec<String>>,
    goes: Mutex<Option<u64>>,
}

/// One server, as its plugin sees it.
struct Server {
    own: Arc<ServerInfo>,
    cluster: Arc<Cluster>,
}

fn server(id: &str, frontend: bool, port: u16) -> Arc<ServerInfo> {
    let server_type = id.split('-').next().unwrap();
    Arc::new(ServerInfo {
        id: id.into(),
        server_type: server_type.into(),
        frontend,
        host: "127.0.0.1".into(),
        port: Some(port + 1000),
        client_host: None,
        client_port: frontend.then_some(port),
        fields: "{}".into(),
    })
}

fn spec() -> PluginSpec {
    PluginSpec {
        name: "chat".into(),
        server_types: TYPES.map(Into::into).into(),
        pool: PoolPolicy::Warm,
        limits: PluginLimits::default(),
        grants: Grants { sessions: true, channels: true, rpc: true, timers: false },
        settings: "{}".into(),
        recorder: None,
    }
}

impl Cluster {
    pub(crate) async fn start() -> Arc<Self> {
        let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins/target/components");
        let file = std::env::var_os("SHADDOCK_COMPONENTS").map_or(built, Into::into).join("chat.wasm");
        assert!(file.exists(), "no {}: run `cargo xtask plugins`", file.display());
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled");
        let compiled = compile::compile(&file, &Cache::open(&dir).unwrap()).unwrap();
        let engine = Engine::new(&EngineSettings::default()).unwrap();
        let cluster = Arc::new(Self::default());
        let mut servers = BTreeMap::new();
        for own in [
            server("gate-server-1", true, 3014),
            server(CONNECTOR, true, 3050),
            server("chat-server-1", false, 5050),
            server("chat-server-2", false, 5051),
            server("chat-server-3", false, 5052),
        ] {
            let host = Arc::new(Server { own: own.clone(), cluster: cluster.clone() });
            let plugin = engine.load(spec(), &compiled, host).await.unwrap();
            servers.insert(own.id.clone(), (own, plugin));
        }
        assert!(cluster.servers.set(servers).is_ok());
        cluster.tell_routers();
        cluster
    }

    fn plugin(&self, id: &str) -> &Plugin {
        &self.servers.get().unwrap()[id].1
    }

    fn up(&self, server_type: &str) -> Vec<Arc<ServerInfo>> {
        let down = self.down.lock().unwrap();
        let all = self.servers.get().unwrap().values().map(|(info, _)| info);
        all.filter(|info| *info.server_type == *server_type && !down.contains(&*info.id)).cloned().collect()
    }

    fn tell_routers(&self) {
        for (_, plugin) in self.servers.get().unwrap().values() {
            plugin.set_servers("chat", self.up("chat").into());
        }
    }

    pub(crate) fn stop_server(&self, id: &str) {
        self.down.lock().unwrap().insert(id.to_owned());
        self.tell_routers();
    }

    pub(crate) fn start_servers(&self) {
        self.down.lock().unwrap().clear();
        self.tell_routers();
    }

    /// A new session of the connector.
    pub(crate) fn client(&self) -> u64 {
        self.session(CONNECTOR)
    }

    pub(crate) fn session(&self, frontend: &str) -> u64 {
        let mut made = self.sessions_made.lock().unwrap();
        *made += 1;
        let id = SessionId { frontend_id: frontend.into(), number: *made };
        self.sessions.lock().unwrap().insert(*made, Session { id, uid: None, settings: [].into() });
        *made
    }

    /// A session whose connection breaks while the next RPC is under way.
    pub(crate) fn goes_during_next_rpc(&self, session: u64) {
        *self.goes.lock().unwrap() = Some(session);
    }

    /// What the client gets, empty for `{}`; or `failure` and the code.
    pub(crate) async fn request(&self, session: u64, route: &str, body: Value) -> String {
        let session = self.sessions.lock().unwrap()[&session].clone();
        let server_type = route.split('.').next().unwrap();
        let server = if session.id.frontend_id.starts_with(server_type) {
            session.id.frontend_id.to_string()
        } else {
            let key = RouteKey::Session(Arc::new(session.clone()));
            self.plugin(&session.id.frontend_id).route(server_type, &key, route).unwrap().to_string()
        };
        let body = serde_json::to_vec(&body).unwrap();
        match self.plugin(&server).handle(call(), route, &body, Arc::new(session)).await {
            Ok(answer) => String::from_utf8(answer).unwrap(),
            Err(CallError::Failure(failure)) => format!("failure {}", failure.code),
            Err(other) => panic!("{route}: {other}"),
        }
    }

    pub(crate) async fn close(&self, session: u64) {
        let Some(session) = self.sessions.lock().unwrap().remove(&session) else { return };
        let plugin = self.plugin(&session.id.frontend_id.clone());
        plugin.session_closed(Arc::new(session), "client closed").await.unwrap();
    }

    /// The pushes since the last time, as `route body -> uids`.
    pub(crate) fn pushes(&self) -> Vec<String> {
        std::mem::take(&mut *self.pushes.lock().unwrap())
    }

    /// The rooms, as `server room: uids`.
    pub(crate) fn rooms(&self) -> Vec<String> {
        let rooms = self.rooms.lock().unwrap();
        rooms.iter().map(|((server, room), members)| format!("{server} {room}: {}", uids(members))).collect()
    }

    fn find<T>(&self, id: &SessionId, found: impl FnOnce(&mut Session) -> T) -> Result<T, Failure> {
        let mut sessions = self.sessions.lock().unwrap();
        sessions.get_mut(&id.number).map(found).ok_or_else(|| Failure::new(404, "no such session"))
    }

    async fn remote(&self, server: &str, method: &str, args: &[u8]) -> Result<Vec<u8>, Failure> {
        if let Some(session) = self.goes.lock().unwrap().take() {
            self.sessions.lock().unwrap().remove(&session);
        }
        let answer = self.plugin(server).remote(call(), method, args).await;
        answer.map_err(|e| Failure::new(e.code(), e.to_string()))
    }
}

fn call() -> Call {
    Call::new(Instant::now() + Duration::from_secs(10))
}

fn uids(members: &[Member]) -> String {
    members.iter().map(|member| &*member.uid).collect::<Vec<_>>().join(" ")
}

impl Server {
    fn room(&self, name: &str) -> (Arc<str>, String) {
        (self.own.id.clone(), name.to_owned())
    }

    fn note(&self, members: &[Member], route: &str, body: &[u8]) {
        let push = format!("{route} {} -> {}", std::str::from_utf8(body).unwrap(), uids(members));
        self.cluster.pushes.lock().unwrap().push(push);
    }
}

#[async_trait]
impl Host for Server {
    fn log(&self, call: &CallScope, level: Level, message: &str) {
        println!("{} {}: {level:?}: {message}", self.own.id, call.route);
    }
    fn own_server(&self) -> Arc<ServerInfo> {
        self.own.clone()
    }
    fn servers(&self, _: &CallScope, server_type: &str) -> Vec<Arc<ServerInfo>> {
        self.cluster.up(server_type)
    }

    fn server(&self, _: &CallScope, _: &str) -> Option<Arc<ServerInfo>> {
        unimplemented!()
    }
    fn server_types(&self, _: &CallScope) -> Vec<Arc<str>> {
        unimplemented!()
    }
    async fn sessions_find(&self, _: &CallScope, _: &str) -> Result<Vec<Session>, Failure> {
        unimplemented!()
    }
    async fn kick_everywhere(&self, _: &CallScope, _: &str, _: &str) -> Result<u32, Failure> {
        unimplemented!()
    }
    async fn session_address(&self, _: &CallScope, _: &SessionId) -> Result<String, Failure> {
        unimplemented!()
    }
    async fn session_send(&self, _: &CallScope, _: &SessionId, _: &str, _: Vec<u8>) -> Result<(), Failure> {
        unimplemented!()
    }
    async fn channel_push_and_report(
        &self,
        _: &CallScope,
        _: &str,
        _: &str,
        _: Vec<u8>,
    ) -> Result<Vec<Member>, Failure> {
        unimplemented!()
    }
    async fn push_to_and_report(
        &self,
        _: &CallScope,
        _: Vec<Member>,
        _: &str,
        _: Vec<u8>,
    ) -> Result<Vec<Member>, Failure> {
        unimplemented!()
    }
    fn channel_set_delivery(&self, _: &CallScope, _: &str, _: Delivery) -> Result<(), Failure> {
        unimplemented!()
    }
    fn timer_set(&self, _: &CallScope, _: u64, _: Option<u64>, _: &str, _: Vec<u8>) -> Result<u64, Failure> {
        unimplemented!()
    }
    fn timer_cancel(&self, _: &CallScope, _: u64) -> bool {
        unimplemented!()
    }

    async fn session_get(&self, _: &CallScope, id: &SessionId) -> Result<Session, Failure> {
        self.cluster.find(id, |session| session.clone())
    }
    async fn sessions_by_uid(
        &self,
        _: &CallScope,
        frontend: &str,
        uid: &str,
    ) -> Result<Vec<Session>, Failure> {
        tokio::task::yield_now().await;
        let sessions = self.cluster.sessions.lock().unwrap();
        let here = sessions.values().filter(|session| *session.id.frontend_id == *frontend);
        Ok(here.filter(|session| session.uid.as_deref() == Some(uid)).cloned().collect())
    }
    async fn session_bind(&self, _: &CallScope, id: &SessionId, uid: &str) -> Result<(), Failure> {
        tokio::task::yield_now().await;
        self.cluster.find(id, |session| match &session.uid {
            Some(bound) if **bound != *uid => Err(Failure::new(409, "bound to somebody else")),
            _ => {
                session.uid = Some(uid.into());
                Ok(())
            }
        })?
    }
    async fn session_unbind(&self, _: &CallScope, id: &SessionId, uid: &str) -> Result<(), Failure> {
        self.cluster.find(id, |session| {
            assert_eq!(session.uid.as_deref(), Some(uid));
            session.uid = None;
        })
    }
    async fn session_push(
        &self,
        _: &CallScope,
        id: &SessionId,
        settings: Vec<Setting>,
    ) -> Result<(), Failure> {
        self.cluster.find(id, |session| {
            for Setting { key, value } in settings {
                session.set(key, value);
            }
        })
    }
    async fn session_kick(&self, _: &CallScope, _: &SessionId, _: &str) -> Result<(), Failure> {
        unimplemented!()
    }
    async fn kick_uid(&self, _: &CallScope, _: &str, _: &str, _: &str) -> Result<u32, Failure> {
        unimplemented!()
    }

    fn channel_create(&self, _: &CallScope, _: &str) -> Result<bool, Failure> {
        unimplemented!()
    }
    fn channel_join(&self, _: &CallScope, name: &str, member: Member) -> Result<bool, Failure> {
        // Time for the others to look at the room before this one is in it.
        std::thread::sleep(Duration::from_millis(1));
        let mut rooms = self.cluster.rooms.lock().unwrap();
        let members = rooms.entry(self.room(name)).or_default();
        let new = !members.contains(&member);
        if new {
            members.push(member);
        }
        Ok(new)
    }
    fn channel_leave(&self, _: &CallScope, name: &str, member: &Member) -> bool {
        let mut rooms = self.cluster.rooms.lock().unwrap();
        let Some(members) = rooms.get_mut(&self.room(name)) else { return false };
        let before = members.len();
        members.retain(|one| one != member);
        let left = members.len() < before;
        if members.is_empty() {
            rooms.remove(&self.room(name));
        }
        left
    }
    fn channel_members(&self, _: &CallScope, name: &str) -> Result<Vec<Member>, Failure> {
        let rooms = self.cluster.rooms.lock().unwrap();
        rooms.get(&self.room(name)).cloned().ok_or_else(|| Failure::new(404, "no such channel"))
    }
    fn channel_find(&self, call: &CallScope, name: &str, uid: &str) -> Option<Member> {
        self.channel_members(call, name).ok()?.into_iter().find(|member| *member.uid == *uid)
    }
    fn channel_push(&self, call: &CallScope, name: &str, route: &str, body: Vec<u8>) -> Result<(), Failure> {
        self.note(&self.channel_members(call, name)?, route, &body);
        Ok(())
    }
    fn push_to(
        &self,
        _: &CallScope,
        members: Vec<Member>,
        route: &str,
        body: Vec<u8>,
    ) -> Result<(), Failure> {
        assert!(!members.is_empty());
        self.note(&members, route, &body);
        Ok(())
    }
    fn broadcast(&self, _: &CallScope, _: &str, _: &str, _: Vec<u8>, _: Audience) -> Result<(), Failure> {
        unimplemented!()
    }
    fn channel_destroy(&self, _: &CallScope, _: &str) -> bool {
        unimplemented!()
    }

    async fn rpc_call(
        &self,
        _: &CallScope,
        server_type: &str,
        key: RouteKey,
        method: &str,
        args: Vec<u8>,
        _: CallOptions,
    ) -> Result<Vec<u8>, Failure> {
        let routed = self.cluster.plugin(&self.own.id).route(server_type, &key, method);
        let server = routed.map_err(|_| Failure::new(404, "no server of the type"))?;
        self.cluster.remote(&server, &format!("{server_type}.{method}"), &args).await
    }
    async fn rpc_call_server(&self, _: &CallScope, _: &str, _: &str, _: Vec<u8>) -> Result<Vec<u8>, Failure> {
        unimplemented!()
    }
    async fn rpc_call_all(
        &self,
        _: &CallScope,
        _: &str,
        _: &str,
        _: Vec<u8>,
    ) -> Vec<(Arc<str>, Result<Vec<u8>, Failure>)> {
        unimplemented!()
    }
    async fn rpc_notify(
        &self,
        _: &CallScope,
        _: &str,
        _: RouteKey,
        _: &str,
        _: Vec<u8>,
    ) -> Result<(), Failure> {
        unimplemented!()
    }
}
