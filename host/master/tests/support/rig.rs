//! A configuration, a master in a runtime of its own that can be killed, and its servers.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::de::DeserializeOwned;
use shaddock_cluster::Secret;
use shaddock_cluster::master_link::Tool;
use shaddock_config::Config;
use shaddock_master::control::{
    HistoryEntry, PluginListing, PluginRequest, Progress, Refusal, Started, ToolRequest,
};
use shaddock_master::{Components, Launch, Master, MasterError, MasterOptions, Output, Plugins, StateDir};
use shaddock_rollout::{Digest, Share, Summary};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use super::fake::{Fake, Library};

const LIMIT: Duration = Duration::from_secs(20);
/// Longer than any test: whoever settles for so long is interrupted.
pub const FOREVER_MS: u64 = 600_000;

pub struct Rig {
    dir: TempDir,
    config: Arc<Config>,
    library: Library,
    master: Mutex<Option<(Runtime, Plugins)>>,
    pub fakes: Vec<Arc<Fake>>,
}

/// What is told of a deployment.
pub struct Deploy<'a> {
    pub file: &'a str,
    pub canary: Option<&'a str>,
    pub force: bool,
    pub settle_ms: u64,
}

impl Default for Deploy<'_> {
    fn default() -> Self {
        Deploy { file: "new.wasm", canary: None, force: false, settle_ms: 0 }
    }
}

impl Rig {
    /// A master with three servers, `chat-1` to `chat-3`; all run `old.wasm`, and `new.wasm` lies beside it.
    pub async fn new() -> Rig {
        let mut rig = Rig::without_master().await;
        rig.start_master().await.unwrap();
        for id in ["chat-1", "chat-2", "chat-3"] {
            let fake = Fake::new(id, &rig.library);
            rig.fakes.push(fake);
        }
        for index in 0..3 {
            rig.start_fake(index).await;
        }
        rig
    }

    pub async fn without_master() -> Rig {
        let dir = tempfile::tempdir().unwrap();
        let config_dir = dir.path().join("config");
        std::fs::create_dir(&config_dir).unwrap();
        let library = Library::default();
        let write = |name: &str, text: &str| std::fs::write(config_dir.join(name), text).unwrap();
        write(
            "master.json",
            &format!(
                r#"{{"id": "m", "host": "127.0.0.1", "port": {}, "deploy": {{"keepVersions": 2}}}}"#,
                free_port().await
            ),
        );
        write(
            "servers.json",
            r#"{"chat": [
                {"id": "chat-1", "host": "127.0.0.1", "port": 1},
                {"id": "chat-2", "host": "127.0.0.1", "port": 2},
                {"id": "chat-3", "host": "127.0.0.1", "port": 3}]}"#,
        );
        write(
            "plugins.json",
            r#"{"chat": {"component": "old.wasm", "serverTypes": ["chat"]},
                "solo": {"component": "solo.wasm", "serverTypes": ["chat"], "pool": {"policy": "single"}}}"#,
        );
        for name in ["old.wasm", "solo.wasm"] {
            write(name, &format!("{name} a.b.c"));
        }
        let config = Arc::new(Config::load(&config_dir, "development").unwrap());
        let rig = Rig { dir, config, library, master: Mutex::default(), fakes: Vec::new() };
        rig.component("old.wasm", &["a.b.c"]);
        rig.component("solo.wasm", &["a.b.c"]);
        rig.component("new.wasm", &["a.b.c", "a.b.d"]);
        rig
    }

    /// Writes a component that offers these routes; its digest.
    pub fn component(&self, name: &str, routes: &[&str]) -> Digest {
        let text = format!("{name} {}", routes.join(" "));
        std::fs::write(self.file(name), &text).unwrap();
        let routes = routes.iter().map(ToString::to_string).collect();
        let summary = Summary { bytes: text.len() as u64, routes, ..Summary::default() };
        let digest = digest_of(text.as_bytes());
        self.library.lock().unwrap().insert(digest.clone(), summary);
        digest
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.config.dir.join(name)
    }

    pub fn digest(&self, name: &str) -> Digest {
        digest_of(&std::fs::read(self.file(name)).unwrap())
    }

    pub fn state(&self) -> StateDir {
        StateDir::at(self.dir.path().join("state"))
    }

    pub fn record(&self) -> PathBuf {
        self.dir.path().join("state/plugins/record.json")
    }

    /// Starts a master on the same configuration and state directory.
    pub async fn start_master(&self) -> Result<(), MasterError> {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let compile: shaddock_master::Compile = Arc::new(|file| {
            Box::pin(async move {
                let text = std::fs::read_to_string(file).map_err(|error| error.to_string())?;
                if text.contains("broken") { Err("it does not compile".to_owned()) } else { Ok(()) }
            })
        });
        let output = Output::Files;
        let options = MasterOptions {
            config: self.config.clone(),
            state: self.state(),
            launch: Launch { program: "/bin/false".into(), arguments: Vec::new(), output },
            ready_timeout: LIMIT,
            components: Components { compile, bytes_max: 1000 },
            files: Vec::new(),
        };
        let started = runtime.spawn(async move {
            let master = Master::start(options).await?;
            let plugins = master.plugins();
            tokio::spawn(async move { master.run(&CancellationToken::new()).await });
            Ok(plugins)
        });
        match started.await.unwrap() {
            Ok(plugins) => {
                *self.master.lock().unwrap() = Some((runtime, plugins));
                Ok(())
            }
            Err(error) => {
                runtime.shutdown_background();
                Err(error)
            }
        }
    }

    /// The master is gone at once, as if it were killed, and another one started; no server knows it yet.
    pub async fn restart_master(&self) {
        let (runtime, _) = self.master.lock().unwrap().take().unwrap();
        tokio::task::spawn_blocking(move || runtime.shutdown_timeout(LIMIT)).await.unwrap();
        for fake in &self.fakes {
            fake.kill();
        }
        self.start_master().await.unwrap();
    }

    pub async fn start_fake(&self, index: usize) {
        let files = self
            .config
            .plugins
            .iter()
            .map(|plugin| (plugin.name.clone(), digest_of(&std::fs::read(&plugin.component).unwrap())));
        let files: BTreeMap<_, _> = files.collect();
        self.fakes[index].start(self.config.master.port, self.secret(), &files).await;
        let id = &self.fakes[index].id;
        self.until_ready(id).await;
    }

    fn secret(&self) -> Secret {
        Secret::load(&self.state().secret()).unwrap()
    }

    async fn until_ready(&self, id: &str) {
        for _ in 0..2000 {
            let listing: shaddock_master::control::Listing = self.ask(&ToolRequest::List).await;
            if listing.servers.iter().any(|server| server.id == id && server.phase == "ready") {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("{id} is not ready");
    }

    pub async fn until_listed(&self, what: &str, condition: impl Fn(&PluginListing) -> bool) {
        for _ in 0..2000 {
            if condition(&self.list().await) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("waited in vain until {what}: {:#?}", self.list().await);
    }

    pub fn plugins(&self) -> Plugins {
        self.master.lock().unwrap().as_ref().unwrap().1.clone()
    }

    pub async fn try_ask<T: DeserializeOwned>(&self, request: &ToolRequest) -> Result<T, String> {
        let tool = Tool::connect("127.0.0.1", self.config.master.port, &self.secret()).await.unwrap();
        let answer = tool.request(&serde_json::to_value(request).unwrap(), LIMIT).await;
        answer.map(|answer| serde_json::from_value(answer).unwrap()).map_err(|error| error.to_string())
    }

    pub async fn ask<T: DeserializeOwned>(&self, request: &ToolRequest) -> T {
        self.try_ask(request).await.unwrap()
    }

    pub async fn plugin<T: DeserializeOwned>(&self, request: PluginRequest) -> T {
        self.ask(&ToolRequest::Plugin { request }).await
    }

    pub async fn list(&self) -> PluginListing {
        self.plugin(PluginRequest::List).await
    }

    pub async fn history(&self) -> Vec<HistoryEntry> {
        self.plugin(PluginRequest::History { plugin: None }).await
    }

    /// Begins a deployment of `chat`.
    pub async fn begin(&self, deploy: Deploy<'_>) -> Started {
        self.begin_of("chat", deploy).await
    }

    pub async fn begin_of(&self, plugin: &str, deploy: Deploy<'_>) -> Started {
        let canary: Option<Share> = deploy.canary.map(|share| share.parse().unwrap());
        self.plugin(PluginRequest::Deploy {
            plugin: plugin.to_owned(),
            file: self.file(deploy.file),
            canary,
            force: deploy.force,
            settle_ms: Some(deploy.settle_ms),
            by: "ann".to_owned(),
        })
        .await
    }

    /// Deploys, and waits until it is over.
    pub async fn deploy(&self, deploy: Deploy<'_>) -> HistoryEntry {
        let started = self.begin(deploy).await;
        self.end(&started).await
    }

    pub async fn change(&self, request: PluginRequest) -> HistoryEntry {
        let started = self.plugin(request).await;
        self.end(&started).await
    }

    pub async fn end(&self, started: &Started) -> HistoryEntry {
        let mut seen = 0;
        loop {
            let progress = self.follow(started, seen).await;
            seen += progress.steps.len();
            if let Some(end) = progress.end {
                return end;
            }
        }
    }

    pub async fn until_step(&self, started: &Started, begins: &str) {
        let mut seen = 0;
        loop {
            let progress = self.follow(started, seen).await;
            if progress.steps.iter().any(|step| step.starts_with(begins)) {
                return;
            }
            assert!(progress.end.is_none(), "no step {begins:?}: {progress:?}");
            seen += progress.steps.len();
        }
    }

    async fn follow(&self, started: &Started, seen: usize) -> Progress {
        self.plugin(PluginRequest::Follow { number: number(started), seen }).await
    }

    /// All servers run this file, finally, and no canary.
    pub fn assert_all_run(&self, file: &str) {
        let digest = self.digest(file);
        for fake in &self.fakes {
            assert_eq!(fake.runs("chat"), (digest.clone(), true), "{}", fake.id);
            assert_eq!(fake.canary("chat"), None, "{}", fake.id);
        }
    }

    pub async fn until_all_run(&self, file: &str) {
        let digest = self.digest(file);
        for fake in &self.fakes {
            let what = format!("it runs {file}");
            fake.until(&what, |fake| fake.runs("chat") == (digest.clone(), true)).await;
        }
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        if let Some((runtime, _)) = self.master.lock().unwrap().take() {
            runtime.shutdown_background();
        }
    }
}

pub fn number(started: &Started) -> u64 {
    match started {
        Started::Started { number } => *number,
        other => panic!("not started: {other:?}"),
    }
}

pub fn refusal(started: &Started) -> (Refusal, &str) {
    match started {
        Started::Refused { refusal, error } => (*refusal, error),
        other => panic!("not refused: {other:?}"),
    }
}

fn digest_of(bytes: &[u8]) -> Digest {
    use sha2::Digest as _;
    let hex: String = sha2::Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    hex.parse().unwrap()
}

/// A free port below those that the system gives to outgoing connections.
async fn free_port() -> u16 {
    static CALLS: AtomicU16 = AtomicU16::new(0);
    loop {
        let call = CALLS.fetch_add(1, Ordering::Relaxed);
        let place = (std::process::id().wrapping_mul(97) + u32::from(call)) % 15_000;
        let port = 14_000 + u16::try_from(place).unwrap();
        if TcpListener::bind(("127.0.0.1", port)).await.is_ok() {
            return port;
        }
    }
}
