//! Other versions of plugins take over while the server runs, step by step as the master orders: prepared beside the
//! version that runs, switched to, committed. Until the commit there is a way back.

mod fetch;
mod probation;
mod recording;
mod switch;
mod versions;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use serde_json::Value;
use shaddock_cluster::master_link::{Answer, MasterClient};
use shaddock_config::PluginEntry;
use shaddock_engine::{Plugin, PluginName, PluginStats, Recorder, SavedState};
use shaddock_rollout::{DigestError, Order, Prepared, Target};
use tokio::sync::Notify;

pub(crate) use self::fetch::Source;
use self::recording::Recording;
use crate::edition::{Edition, Loaded};
use crate::error::ServerError;
use crate::load::Loader;
use crate::plugins::Plugins;
use crate::server::Server;

/// Which versions run, and which are about to.
pub(crate) struct Rollout {
    loader: Loader,
    source: Source,
    master: Arc<MasterClient>,
    /// What orders change, one at a time.
    pending: tokio::sync::Mutex<Pending>,
    /// What is known of the version that runs, by plugin.
    running: Mutex<BTreeMap<String, Running>>,
    /// Rings when a version begins to be watched.
    something_new: Notify,
}

/// Versions that do not run, or not for everybody.
#[derive(Default)]
struct Pending {
    prepared: Option<Candidate>,
    canary: Option<Candidate>,
    /// Of the canary.
    watched: Option<Watched>,
    recording: Option<Recording>,
}

/// What a canary is judged by.
struct Watched {
    /// What the version beside it had done when it began.
    baseline: PluginStats,
    is_reported: bool,
}

/// A version that may come to run.
struct Candidate {
    deployment: u64,
    plugin: Plugin,
}

/// The version of a plugin that runs.
struct Running {
    since: SystemTime,
    deployment: Option<u64>,
    is_committed: bool,
    /// The version before it, as far as that is of use.
    before: Option<Before>,
    /// While it is watched.
    probation: Option<Probation>,
}

/// The version that ran before.
struct Before {
    name: Arc<PluginName>,
    deployment: Option<u64>,
    /// What it had done by then.
    stats: PluginStats,
    /// The state that it gave out, for as long as it may come back.
    state: Option<SavedState>,
}

/// The first minutes of a version.
struct Probation {
    until: Instant,
    is_reported: bool,
}

impl Rollout {
    /// Loads the version of every plugin that the master wants; what runs from then on.
    pub(crate) async fn start(
        loader: Loader,
        source: Source,
        master: Arc<MasterClient>,
        server: &Server,
    ) -> Result<(Self, Loaded), ServerError> {
        let targets = fetch::targets(&master).await?;
        let mut plugins = Vec::new();
        let mut running = BTreeMap::new();
        for entry in loader.entries() {
            let target = targets.plugins.get(&entry.name);
            let compiled = match target {
                Some(Target { digest, .. }) => source.compiled(digest, &master).await?,
                None => source.configured(entry)?,
            };
            plugins.push(loader.load(entry, &compiled).await?);
            let first = Running {
                since: SystemTime::now(),
                deployment: target.map(|target| target.deployment),
                is_committed: true,
                before: None,
                probation: None,
            };
            running.insert(entry.name.clone(), first);
        }
        let edition = loader.edition(&plugins, &Plugins::default())?;
        let protocol = loader.protocol(&server.settings, [&edition.plugins], None)?;
        let loaded = Loaded { edition: Arc::new(edition), canary: None, protocol };
        let (pending, running) = (tokio::sync::Mutex::default(), Mutex::new(running));
        let rollout = Self { loader, source, master, pending, running, something_new: Notify::new() };
        Ok((rollout, loaded))
    }

    fn running(&self) -> MutexGuard<'_, BTreeMap<String, Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The entry of plugins.json, with its place there.
    fn entry(&self, plugin: &str) -> Result<(usize, &PluginEntry), String> {
        let mut entries = self.loader.entries().iter().enumerate();
        let unknown = || format!("plugins.json of this server has no plugin {plugin:?}");
        entries.find(|(_, entry)| entry.name == plugin).ok_or_else(unknown)
    }

    /// The version that runs of the plugin at that place of plugins.json.
    fn plugin<'a>(&self, loaded: &'a Loaded, index: usize) -> Option<&'a Plugin> {
        loaded.edition.plugins.all().get(index)
    }

    /// Loads a version beside the one that runs, and tries it out.
    async fn prepare(
        &self,
        server: &Server,
        deployment: u64,
        name: &str,
        digest: &shaddock_rollout::Digest,
    ) -> Result<Prepared, String> {
        let (index, entry) = self.entry(name)?;
        let mut pending = self.pending.lock().await;
        let text = |error: ServerError| error.to_string();
        let compiled = self.source.compiled(digest, &self.master).await.map_err(text)?;
        let begun = Instant::now();
        let plugin = self.loader.load(entry, &compiled).await.map_err(text)?;
        let load_us = micros(begun.elapsed());
        plugin.self_test().await.map_err(|error| format!("the self-test of {name} failed: {error}"))?;
        // Tried now, so that the switch finds nothing to complain of.
        let loaded = server.loaded().map_err(|failure| failure.message)?;
        let edition = self.edition_with(&loaded, index, &plugin).map_err(text)?;
        self.loader.protocol(&server.settings, [&edition.plugins], Some(&loaded)).map_err(text)?;
        // Others may run it before this server does.
        server.traces.know(&plugin);
        let summary = versions::summary(&plugin);
        log_step(&plugin, deployment, "a version is prepared");
        pending.prepared = Some(Candidate { deployment, plugin });
        Ok(Prepared { summary, load_us })
    }

    /// Loads a version that has run here, its calls taken down if somebody records.
    async fn load_again(
        &self,
        version: &PluginName,
        recorder: Option<Arc<Recorder>>,
    ) -> Result<Plugin, String> {
        let (_, entry) = self.entry(&version.name)?;
        let digest = version.digest.parse().map_err(|error: DigestError| error.to_string())?;
        let compiled =
            self.source.compiled(&digest, &self.master).await.map_err(|error| error.to_string())?;
        self.loader.load_recorded(entry, &compiled, recorder).await.map_err(|error| error.to_string())
    }

    /// What would run with another version of the plugin at that place of plugins.json.
    fn edition_with(&self, loaded: &Loaded, index: usize, plugin: &Plugin) -> Result<Edition, ServerError> {
        let mut plugins = loaded.edition.plugins.all().to_vec();
        if let Some(place) = plugins.get_mut(index) {
            *place = plugin.clone();
        }
        self.loader.edition(&plugins, &loaded.edition.plugins)
    }
}

impl Server {
    /// Carries out an order of the master about versions. What it has begun it ends, even if the master does not wait.
    pub(crate) fn roll_out(self: &Arc<Self>, order: Order) -> Answer {
        let server = Arc::clone(self);
        let work = self.tasks.spawn(async move { server.carry_out(order).await });
        Box::pin(async move { work.await.unwrap_or_else(|error| Err(error.to_string())) })
    }

    async fn carry_out(self: &Arc<Self>, order: Order) -> Result<Value, String> {
        let rollout = self.rollout.get().ok_or("the server is starting")?;
        let json = |value: serde_json::Result<Value>| value.map_err(|error| error.to_string());
        match order {
            Order::PluginPrepare { deployment, plugin, digest } => {
                let prepared = rollout.prepare(self, deployment, &plugin, &digest).await?;
                json(serde_json::to_value(prepared))
            }
            Order::PluginSwitch { deployment, canary_bp } => {
                json(serde_json::to_value(rollout.switch(self, deployment, canary_bp).await?))
            }
            Order::PluginCommit { deployment } => rollout.commit(deployment).map(|()| Value::Null),
            Order::PluginRevert { deployment } => {
                rollout.revert(self, deployment).await.map(|()| Value::Null)
            }
            Order::PluginVersions => json(serde_json::to_value(rollout.versions(self)?)),
            Order::PluginRecord { plugin, seconds, bytes_max } => {
                let time = Duration::from_secs(seconds);
                rollout.begin_recording(self, &plugin, time, bytes_max).await.map(|()| Value::Null)
            }
            Order::PluginRecordEnd => json(serde_json::to_value(rollout.end_recording(self).await?)),
            Order::PluginRecorded { offset } => json(serde_json::to_value(rollout.recorded(offset).await?)),
            Order::PluginTrace { uid } => json(serde_json::to_value(self.trace(&uid))),
        }
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// A line about what becomes of a version.
fn log_step(plugin: &Plugin, deployment: u64, what: &str) {
    let PluginName { name, version, digest } = &**plugin.name();
    tracing::info!(plugin = &**name, version = &**version, digest = &**digest, deployment, "{what}");
}
