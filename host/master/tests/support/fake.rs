//! A server that answers the orders about versions as a real one would, and fails where a test wants it to.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use serde_json::{Map, Value, json};
use shaddock_cluster::master_link::{Answer, Control, MasterClient, MasterClientSettings, Process};
use shaddock_cluster::{Member, Secret, Settings};
use shaddock_rollout::{
    Ask, Before, Canary, Digest, Figures, Note, Order, Prepared, Share, Summary, Switched, Target, Targets,
    Trace, TracedCall, VersionState, Versions,
};
use tokio::sync::Notify;

/// What components offer; stands for loading them.
pub type Library = Arc<Mutex<HashMap<Digest, Summary>>>;

#[derive(Clone)]
struct Version {
    digest: Digest,
    deployment: Option<u64>,
    committed: bool,
}

#[derive(Clone)]
struct Plugin {
    running: Version,
    before: Option<Version>,
    canary: Option<(u64, Digest, Share)>,
}

#[derive(Default)]
struct State {
    plugins: BTreeMap<String, Plugin>,
    prepared: Option<(u64, String, Digest)>,
    /// Operations that fail, and with what.
    failing: HashMap<&'static str, String>,
    /// Operations that are not answered.
    hanging: Vec<&'static str>,
    log: Vec<String>,
}

pub struct Fake {
    pub id: String,
    server_type: String,
    library: Library,
    state: Mutex<State>,
    changed: Notify,
    client: Mutex<Option<Arc<MasterClient>>>,
}

impl Fake {
    pub fn new(id: &str, library: &Library) -> Arc<Fake> {
        Arc::new(Fake {
            id: id.to_owned(),
            server_type: id.split('-').next().unwrap().to_owned(),
            library: library.clone(),
            state: Mutex::default(),
            changed: Notify::new(),
            client: Mutex::default(),
        })
    }

    /// Registers, loads what it is to load if it has nothing yet, and is ready.
    pub async fn start(self: &Arc<Fake>, port: u16, secret: Secret, files: &BTreeMap<String, Digest>) {
        self.register(port, secret).await;
        let client = self.client();
        let ask = serde_json::to_value(Ask::PluginTargets).unwrap();
        let targets = client.request(&ask, std::time::Duration::from_secs(5)).await.unwrap();
        let targets: Targets = serde_json::from_value(targets).unwrap();
        {
            let mut state = self.state.lock().unwrap();
            for (name, file) in files {
                let target = targets.plugins.get(name).cloned();
                let digest = target.as_ref().map_or(file, |Target { digest, .. }| digest).clone();
                let deployment = target.map(|target| target.deployment);
                let running = Version { digest, deployment, committed: true };
                state.plugins.entry(name.clone()).or_insert(Plugin { running, before: None, canary: None });
            }
        }
        client.report_ready();
    }

    async fn register(self: &Arc<Fake>, port: u16, secret: Secret) {
        let own = Member {
            id: self.id.as_str().into(),
            server_type: self.server_type.as_str().into(),
            host: "127.0.0.1".to_owned(),
            port: None,
            frontend: false,
            fields: Map::new(),
        };
        let settings = MasterClientSettings {
            cluster: Settings::default(),
            host: "127.0.0.1".to_owned(),
            port,
            secret,
            token: None,
            own: Arc::new(own),
            process: Process { pid: 1, admin_port: None },
        };
        // The master may not have noticed yet that the link before is gone.
        let client = loop {
            match MasterClient::connect(settings.clone(), Arc::new(Orders(self.clone()))).await {
                Ok(client) => break client,
                Err(error) if error.to_string().contains("registered already") => {
                    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
                }
                Err(error) => panic!("{}: {error}", self.id),
            }
        };
        *self.client.lock().unwrap() = Some(Arc::new(client));
    }

    pub fn client(&self) -> Arc<MasterClient> {
        self.client.lock().unwrap().clone().unwrap()
    }

    /// Loses the link, as a server that is killed.
    pub fn kill(&self) {
        drop(self.client.lock().unwrap().take());
    }

    /// A process that is started anew has nothing in memory.
    pub fn forget(&self) {
        let mut state = self.state.lock().unwrap();
        state.plugins.clear();
        state.prepared = None;
    }

    pub fn fail(&self, op: &'static str, error: &str) {
        self.state.lock().unwrap().failing.insert(op, error.to_owned());
    }

    pub fn heal(&self, op: &'static str) {
        self.state.lock().unwrap().failing.remove(op);
    }

    pub fn hang(&self, op: &'static str) {
        self.state.lock().unwrap().hanging.push(op);
    }

    /// Everything that was ordered since the last call.
    pub fn take_log(&self) -> Vec<String> {
        std::mem::take(&mut self.state.lock().unwrap().log)
    }

    pub fn note_over_budget(&self, deployment: u64, plugin: &str, reason: &str) {
        let note =
            Note::PluginOverBudget { deployment, plugin: plugin.to_owned(), reason: reason.to_owned() };
        self.client().note(serde_json::to_value(note).unwrap());
    }

    /// The running version of a plugin, and whether it is final.
    pub fn runs(&self, plugin: &str) -> (Digest, bool) {
        let state = self.state.lock().unwrap();
        let running = &state.plugins[plugin].running;
        (running.digest.clone(), running.committed)
    }

    pub fn canary(&self, plugin: &str) -> Option<(Digest, u16)> {
        let state = self.state.lock().unwrap();
        let (_, digest, share) = state.plugins[plugin].canary.clone()?;
        Some((digest, share.basis_points()))
    }

    /// Waits until a condition on it holds.
    pub async fn until(&self, what: &str, condition: impl Fn(&Fake) -> bool) {
        let wait = async {
            loop {
                let changed = self.changed.notified();
                if condition(self) {
                    return;
                }
                changed.await;
            }
        };
        let waited = tokio::time::timeout(std::time::Duration::from_secs(20), wait).await;
        waited.unwrap_or_else(|_| panic!("{}: waited in vain until {what}", self.id));
    }

    fn answer(&self, order: Value) -> Option<Result<Value, String>> {
        let op = order["op"].as_str().unwrap().to_owned();
        if !op.starts_with("plugin_") {
            return Some(Ok(Value::Null));
        }
        let mut state = self.state.lock().unwrap();
        if op != "plugin_versions" {
            let number = order["deployment"].as_u64().map_or_else(String::new, |number| format!(" {number}"));
            state.log.push(format!("{op}{number}"));
        }
        if state.hanging.contains(&op.as_str()) {
            return None;
        }
        if let Some(error) = state.failing.get(op.as_str()) {
            return Some(Err(error.clone()));
        }
        let order: Order = serde_json::from_value(order).unwrap();
        let answer = state.obey(order, &self.library);
        drop(state);
        self.changed.notify_waiters();
        Some(answer)
    }
}

impl State {
    fn obey(&mut self, order: Order, library: &Library) -> Result<Value, String> {
        let offers = |digest: &Digest| library.lock().unwrap().get(digest).cloned();
        match order {
            Order::PluginPrepare { deployment, plugin, digest } => {
                let summary = offers(&digest).ok_or("it is not compiled")?;
                self.prepared = Some((deployment, plugin, digest));
                Ok(serde_json::to_value(Prepared { summary, load_us: 900 }).unwrap())
            }
            Order::PluginSwitch { deployment, canary_bp } => {
                self.switch(deployment, canary_bp)?;
                Ok(serde_json::to_value(Switched { held_us: None }).unwrap())
            }
            Order::PluginCommit { deployment } => {
                for plugin in self.plugins.values_mut() {
                    if plugin.running.deployment == Some(deployment) {
                        plugin.running.committed = true;
                    }
                }
                Ok(Value::Null)
            }
            Order::PluginRevert { deployment } => {
                self.revert(deployment);
                Ok(Value::Null)
            }
            Order::PluginVersions => {
                let plugins = self.plugins.iter().map(|(name, plugin)| plugin.told(name, offers));
                Ok(serde_json::to_value(Versions { plugins: plugins.collect() }).unwrap())
            }
            Order::PluginRecord { .. } | Order::PluginRecordEnd | Order::PluginRecorded { .. } => {
                Err("it records nothing".to_owned())
            }
            Order::PluginTrace { .. } => {
                let calls = self.plugins.iter().enumerate().map(|(index, (name, plugin))| TracedCall {
                    at_ms: 1000 + index as u64,
                    route: "chat.chatHandler.send".to_owned(),
                    plugin: name.clone(),
                    version: "1.0.0".to_owned(),
                    digest: plugin.running.digest.clone(),
                    outcome: "ok".to_owned(),
                    us: 80,
                });
                Ok(serde_json::to_value(Trace { calls: calls.collect() }).unwrap())
            }
        }
    }

    fn switch(&mut self, deployment: u64, share: Option<Share>) -> Result<(), String> {
        let promoted = self.plugins.iter().find_map(|(name, plugin)| {
            let (number, digest, _) = plugin.canary.clone().filter(|(number, ..)| *number == deployment)?;
            Some((number, name.clone(), digest))
        });
        let prepared = self.prepared.take().filter(|(number, ..)| *number == deployment);
        let (_, name, digest) = prepared.or(promoted).ok_or("nothing is prepared")?;
        let plugin = self.plugins.get_mut(&name).ok_or("no such plugin")?;
        match share {
            Some(share) => plugin.canary = Some((deployment, digest, share)),
            None => {
                plugin.canary = None;
                let new = Version { digest, deployment: Some(deployment), committed: false };
                plugin.before = Some(std::mem::replace(&mut plugin.running, new));
            }
        }
        Ok(())
    }

    fn revert(&mut self, deployment: u64) {
        self.prepared = self.prepared.take().filter(|(number, ..)| *number != deployment);
        for plugin in self.plugins.values_mut() {
            plugin.canary = plugin.canary.take().filter(|(number, ..)| *number != deployment);
            if plugin.running.deployment == Some(deployment)
                && !plugin.running.committed
                && let Some(before) = plugin.before.take()
            {
                plugin.running = before;
            }
        }
    }
}

impl Plugin {
    fn told(&self, name: &str, offers: impl Fn(&Digest) -> Option<Summary>) -> VersionState {
        let figures = || Figures { calls: 10, p50_us: Some(80), p99_us: Some(300), ..Figures::default() };
        VersionState {
            plugin: name.to_owned(),
            version: "1.0.0".to_owned(),
            digest: self.running.digest.clone(),
            since_ms: 5,
            deployment: self.running.deployment,
            committed: self.running.committed,
            on_probation: true,
            is_own: true,
            summary: offers(&self.running.digest).unwrap_or_default(),
            figures: figures(),
            before: self.before.as_ref().map(|before| Before {
                version: "0.9.0".to_owned(),
                digest: before.digest.clone(),
                figures: figures(),
            }),
            canary: self.canary.clone().map(|(deployment, digest, share_bp)| Canary {
                version: "1.1.0".to_owned(),
                digest,
                deployment,
                share_bp,
                figures: figures(),
            }),
        }
    }
}

struct Orders(Arc<Fake>);

impl Control for Orders {
    fn control(&self, request: Value) -> Answer {
        let fake = self.0.clone();
        Box::pin(async move {
            let is_stop = request == json!({ "op": "stop" });
            let answer = fake.answer(request);
            if is_stop {
                tokio::spawn(async move { fake.kill() });
            }
            match answer {
                Some(answer) => answer,
                None => std::future::pending().await,
            }
        })
    }
}
