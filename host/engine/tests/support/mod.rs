//! What the tests of the engine share: the probe plugin, a cache, and a host that records what it is asked.

#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests; each uses its own part"
)]

#[path = "../../../../tests/src/patch.rs"]
mod patch;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use shaddock_engine::types::{
    Audience, CallOptions, Delivery, Failure, Level, Member, RouteKey, ServerInfo, Session, SessionId,
    Setting,
};
use shaddock_engine::{
    Cache, Call, CallError, CallScope, Compiled, Engine, EngineError, EngineSettings, Grants, Host, Plugin,
    PluginLimits, PluginSpec, PoolPolicy, compile,
};
use tokio::time::Instant;

pub const ALL_GRANTS: Grants = Grants { sessions: true, channels: true, rpc: true, timers: true };

/// A component that `cargo xtask plugins` has built.
pub fn component(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins/target/components").join(name);
    assert!(path.is_file(), "{} is missing: run `cargo xtask test`, which builds it first", path.display());
    path
}

/// Version `number` of the guest `versioned`, as [`patch::patched`] makes it.
pub fn versioned(number: u32, marks: &[&str]) -> PathBuf {
    let bytes = patch::patched(&std::fs::read(component("versioned.wasm")).unwrap(), number, marks);
    let name = format!("{number}_{}", marks.join("_"));
    file(&name, &bytes)
}

/// A file that outlives the test. Others may read it at this moment, so it changes at once.
fn file(name: &str, bytes: &[u8]) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("wasm");
    std::fs::create_dir_all(&dir).unwrap();
    let path = dir.join(format!("{name}.wasm"));
    if std::fs::read(&path).ok().as_deref() != Some(bytes) {
        let draft = dir.join(format!("{name}.{:?}", std::thread::current().id()));
        std::fs::write(&draft, bytes).unwrap();
        std::fs::rename(&draft, &path).unwrap();
    }
    path
}

/// Kept from run to run: what is in it is found by content.
pub fn cache() -> Cache {
    Cache::open(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled")).unwrap()
}

pub fn engine() -> Engine {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    ENGINE.get_or_init(|| Engine::new(&EngineSettings::default()).unwrap()).clone()
}

pub fn compiled(file: &Path) -> Compiled {
    compile::compile(file, &cache()).unwrap()
}

/// Writes a component in text form to a file that outlives the test.
pub fn wat(name: &str, text: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("wat");
    std::fs::create_dir_all(&dir).unwrap();
    let path = dir.join(format!("{name}.wasm"));
    std::fs::write(&path, wat::parse_str(text).unwrap()).unwrap();
    path
}

pub fn spec() -> PluginSpec {
    PluginSpec {
        name: "probe".into(),
        server_types: vec!["probe".into()],
        pool: PoolPolicy::Warm,
        limits: PluginLimits { cpu_ms_max: 2_000, ..PluginLimits::default() },
        grants: ALL_GRANTS,
        settings: "{}".into(),
        recorder: None,
    }
}

pub async fn load(spec: PluginSpec, host: &Arc<TestHost>) -> Result<Plugin, EngineError> {
    load_file(&component("probe.wasm"), spec, host).await
}

pub async fn load_file(file: &Path, spec: PluginSpec, host: &Arc<TestHost>) -> Result<Plugin, EngineError> {
    let plugin = engine().load(spec, &compiled(file), host.clone()).await?;
    let _ = host.plugin.set(plugin.clone());
    Ok(plugin)
}

/// A plugin that its host does not know, and so does not keep.
pub async fn load_alone(file: &Path, spec: PluginSpec) -> Plugin {
    engine().load(spec, &compiled(file), Arc::new(TestHost::default())).await.unwrap()
}

/// The probe with ordinary settings.
pub async fn probe() -> (Plugin, Arc<TestHost>) {
    probe_with(spec()).await
}

pub async fn probe_with(spec: PluginSpec) -> (Plugin, Arc<TestHost>) {
    let host = Arc::new(TestHost::default());
    let plugin = load(spec, &host).await.unwrap();
    (plugin, host)
}

pub fn call() -> Call {
    Call::new(Instant::now() + Duration::from_secs(60))
}

pub fn session() -> Arc<Session> {
    Arc::new(Session {
        id: SessionId { frontend_id: "connector-1".into(), number: 7 },
        uid: Some("alice".into()),
        settings: [Setting { key: "rid".into(), value: "\"red\"".into() }].into(),
    })
}

pub async fn handle(plugin: &Plugin, what: &str, body: &str) -> Result<String, CallError> {
    let answer = plugin.handle(call(), &format!("probe.t.{what}"), body.as_bytes(), session()).await?;
    Ok(String::from_utf8(answer).unwrap())
}

pub fn server(id: &str) -> Arc<ServerInfo> {
    Arc::new(ServerInfo {
        id: id.into(),
        server_type: id.split('-').next().unwrap().into(),
        frontend: false,
        host: "127.0.0.1".into(),
        port: Some(6050),
        client_host: None,
        client_port: None,
        fields: "{}".into(),
    })
}

/// Records every call as one line, and answers as the tests need it.
#[derive(Default)]
pub struct TestHost {
    pub lines: Mutex<Vec<String>>,
    pub plugin: OnceLock<Plugin>,
    /// Of the last RPC.
    pub scope: Mutex<Option<CallScope>>,
}

impl TestHost {
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.lines.lock().unwrap())
    }

    fn note(&self, line: impl Into<String>) {
        self.lines.lock().unwrap().push(line.into());
    }

    async fn nested(&self, call: &CallScope, method: &str, args: &[u8]) -> Result<Vec<u8>, Failure> {
        let plugin = self.plugin.get().unwrap().clone();
        plugin.remote(call.nested(), &format!("probe.{method}"), args).await.map_err(CallError::into_failure)
    }
}

fn show(settings: &[Setting]) -> String {
    settings.iter().map(|one| format!("{}={}", one.key, one.value)).collect::<Vec<_>>().join(",")
}

#[async_trait]
impl Host for TestHost {
    fn log(&self, call: &CallScope, level: Level, message: &str) {
        self.note(format!("{level:?} {} {message}", call.route));
    }
    fn own_server(&self) -> Arc<ServerInfo> {
        server("probe-1")
    }
    fn servers(&self, _: &CallScope, server_type: &str) -> Vec<Arc<ServerInfo>> {
        vec![server(&format!("{server_type}-1")), server(&format!("{server_type}-2"))]
    }
    fn server(&self, _: &CallScope, id: &str) -> Option<Arc<ServerInfo>> {
        Some(server(id))
    }
    fn server_types(&self, _: &CallScope) -> Vec<Arc<str>> {
        vec!["probe".into()]
    }
    async fn session_get(&self, _: &CallScope, id: &SessionId) -> Result<Session, Failure> {
        Ok(Session { id: id.clone(), ..(*session()).clone() })
    }
    async fn sessions_by_uid(
        &self,
        _: &CallScope,
        frontend: &str,
        uid: &str,
    ) -> Result<Vec<Session>, Failure> {
        let id = SessionId { frontend_id: frontend.into(), number: 99 };
        Ok(vec![Session { id, uid: Some(uid.into()), settings: [].into() }])
    }
    async fn session_bind(&self, _: &CallScope, id: &SessionId, uid: &str) -> Result<(), Failure> {
        self.note(format!("bind {} {uid}", id.number));
        Ok(())
    }
    async fn session_unbind(&self, _: &CallScope, id: &SessionId, uid: &str) -> Result<(), Failure> {
        self.note(format!("unbind {} {uid}", id.number));
        Ok(())
    }
    async fn session_push(
        &self,
        _: &CallScope,
        id: &SessionId,
        settings: Vec<Setting>,
    ) -> Result<(), Failure> {
        self.note(format!("push {} {}", id.number, show(&settings)));
        Ok(())
    }
    async fn session_kick(&self, _: &CallScope, id: &SessionId, reason: &str) -> Result<(), Failure> {
        self.note(format!("kick {} {}", id.number, reason.len()));
        Ok(())
    }
    async fn kick_uid(&self, _: &CallScope, _: &str, _: &str, _: &str) -> Result<u32, Failure> {
        Ok(1)
    }
    async fn sessions_find(&self, call: &CallScope, uid: &str) -> Result<Vec<Session>, Failure> {
        self.sessions_by_uid(call, "connector-1", uid).await
    }
    async fn kick_everywhere(&self, _: &CallScope, _: &str, _: &str) -> Result<u32, Failure> {
        Ok(2)
    }
    async fn session_address(&self, _: &CallScope, _: &SessionId) -> Result<String, Failure> {
        Ok("127.0.0.1:1".into())
    }
    async fn session_send(
        &self,
        _: &CallScope,
        id: &SessionId,
        route: &str,
        body: Vec<u8>,
    ) -> Result<(), Failure> {
        self.note(format!("send {} {route} {}", id.number, body.len()));
        Ok(())
    }
    fn channel_create(&self, _: &CallScope, name: &str) -> Result<bool, Failure> {
        self.note(format!("create {name}"));
        Ok(true)
    }
    fn channel_join(&self, _: &CallScope, name: &str, member: Member) -> Result<bool, Failure> {
        self.note(format!("join {name} {}/{}", member.uid, member.frontend_id));
        Ok(true)
    }
    fn channel_leave(&self, _: &CallScope, name: &str, member: &Member) -> bool {
        self.note(format!("leave {name} {}", member.uid));
        true
    }
    fn channel_members(&self, _: &CallScope, _: &str) -> Result<Vec<Member>, Failure> {
        Ok(vec![Member { uid: "bob".into(), frontend_id: "connector-1".into() }])
    }
    fn channel_find(&self, _: &CallScope, _: &str, uid: &str) -> Option<Member> {
        Some(Member { uid: uid.into(), frontend_id: "connector-1".into() })
    }
    fn channel_push(&self, _: &CallScope, name: &str, route: &str, body: Vec<u8>) -> Result<(), Failure> {
        self.note(format!("channel push {name} {route} {}", body.len()));
        Ok(())
    }
    fn push_to(&self, _: &CallScope, members: Vec<Member>, route: &str, _: Vec<u8>) -> Result<(), Failure> {
        self.note(format!("push to {} {route}", members.len()));
        Ok(())
    }
    fn broadcast(
        &self,
        _: &CallScope,
        kind: &str,
        route: &str,
        _: Vec<u8>,
        audience: Audience,
    ) -> Result<(), Failure> {
        self.note(format!("broadcast {kind} {route} {}", audience.bound_only));
        Ok(())
    }
    async fn channel_push_and_report(
        &self,
        _: &CallScope,
        _: &str,
        _: &str,
        _: Vec<u8>,
    ) -> Result<Vec<Member>, Failure> {
        Ok(Vec::new())
    }
    async fn push_to_and_report(
        &self,
        _: &CallScope,
        members: Vec<Member>,
        _: &str,
        _: Vec<u8>,
    ) -> Result<Vec<Member>, Failure> {
        Ok(members)
    }
    fn channel_set_delivery(&self, _: &CallScope, name: &str, delivery: Delivery) -> Result<(), Failure> {
        self.note(format!("delivery {name} {delivery:?}"));
        Ok(())
    }
    fn timer_set(
        &self,
        _: &CallScope,
        delay_ms: u64,
        period_ms: Option<u64>,
        name: &str,
        payload: Vec<u8>,
    ) -> Result<u64, Failure> {
        self.note(format!("timer {name} {delay_ms} {period_ms:?} {}", payload.len()));
        Ok(1)
    }
    fn timer_cancel(&self, _: &CallScope, id: u64) -> bool {
        id == 1
    }
    fn channel_destroy(&self, _: &CallScope, _: &str) -> bool {
        false
    }
    async fn rpc_call(
        &self,
        call: &CallScope,
        server_type: &str,
        key: RouteKey,
        method: &str,
        args: Vec<u8>,
        _: CallOptions,
    ) -> Result<Vec<u8>, Failure> {
        *self.scope.lock().unwrap() = Some(call.clone());
        if let RouteKey::Session(session) = &key {
            self.note(format!("rpc {server_type} by {:?} {}", session.uid, show(&session.settings)));
        }
        match method.strip_prefix("caseRemote.").unwrap_or(method) {
            "sleep" => std::future::pending().await,
            "nap" => {
                let ms = std::str::from_utf8(&args).unwrap().parse().unwrap();
                tokio::time::sleep(Duration::from_millis(ms)).await;
                Ok(args)
            }
            "panic" => panic!("the host panics"),
            "answer100k" => Ok(vec![1; 100_000]),
            "yield" => {
                tokio::task::yield_now().await;
                Ok(args)
            }
            _ => self.nested(call, method, &args).await,
        }
    }
    async fn rpc_call_server(
        &self,
        _: &CallScope,
        _: &str,
        _: &str,
        args: Vec<u8>,
    ) -> Result<Vec<u8>, Failure> {
        Ok(args.len().to_string().into_bytes())
    }
    async fn rpc_call_all(
        &self,
        _: &CallScope,
        _: &str,
        _: &str,
        _: Vec<u8>,
    ) -> Vec<(Arc<str>, Result<Vec<u8>, Failure>)> {
        vec![
            ("a".into(), Ok(vec![0; 600])),
            ("b".into(), Ok(vec![0; 600])),
            ("c".into(), Err(Failure::retryable(503, "gone"))),
        ]
    }
    async fn rpc_notify(
        &self,
        _: &CallScope,
        _: &str,
        _: RouteKey,
        _: &str,
        _: Vec<u8>,
    ) -> Result<(), Failure> {
        Ok(())
    }
}
