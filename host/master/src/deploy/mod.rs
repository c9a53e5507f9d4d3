//! Versions of plugins in the running cluster: which one each plugin runs, and how another one comes in.
//!
//! A deployment is *prepared* on all servers beside what runs, *switched* to on one server and, after a settle time,
//! on the rest, and then *committed*: first in the [`record`], on disk, and then on the servers. Until it is in the
//! record it can be undone, and after a crash it never happened; from then on it is what every server is brought to
//! ([`reconcile`]), however long that takes. A canary is a deployment that stays between the switch and the commit.
//!
//! **Invariants.** One deployment is under way at a time. What the record says is on disk before any server hears of
//! it. Orders of a deployment, and those that bring single servers to their versions, never mix.

mod answers;
mod canary;
mod durable;
mod listing;
mod over_budget;
mod plan;
mod reconcile;
mod record;
mod recording;
mod rollout;
mod servers;
mod slot;
mod store;
mod tool;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use shaddock_config::Config;
use shaddock_rollout::Digest;
use tokio::sync::{Notify, RwLock, watch};

pub use tool::{Plugins, Saved};

pub(crate) use answers::{answer, note};
pub(crate) use reconcile::reconcile;
pub(crate) use tool::answer as answer_tool;

use crate::control::{Action, HistoryEntry};
use crate::{MasterError, StateDir};
use record::Record;
use slot::Run;
use store::Store;

/// Sees to it that the compiled code of a component file is in the cache. The error says what is wrong with the file.
pub type Compile = Arc<dyn Fn(PathBuf) -> Compiling + Send + Sync>;
/// A compilation under way; it is given up when this is dropped.
pub type Compiling = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;

/// What the master needs to know of components, which it takes for bytes.
#[derive(Clone)]
pub struct Components {
    /// Compiles.
    pub compile: Compile,
    /// The largest component file.
    pub bytes_max: u64,
}

/// All that the master knows and does of versions.
pub(crate) struct Deploys {
    components: Components,
    store: Store,
    record_file: PathBuf,
    state: Mutex<State>,
    /// What the files of the configuration were when the master started.
    files: BTreeMap<String, Digest>,
    /// Where those files are.
    config_files: BTreeMap<String, PathBuf>,
    keep_versions: usize,
    settle: Duration,
    /// Held by who gives the orders of a deployment, and shared by those who bring single servers to their versions.
    orders: RwLock<()>,
    /// Rings at every step of a deployment and when one ends.
    news: watch::Sender<u64>,
    /// Wakes those who wait before they try a server again.
    retry: Notify,
}

struct State {
    record: Record,
    /// What is being done now, by whoever holds the [`slot::Slot`].
    run: Option<Run>,
    /// What was done last.
    last: Option<Run>,
    /// Why a server does not run what it is to run.
    problems: BTreeMap<String, String>,
    /// By plugin, what the watcher could not bring in last.
    watch_errors: BTreeMap<String, String>,
    /// Servers that are being brought to their versions, and whether they are to be looked at once more.
    reconciling: HashMap<String, bool>,
    /// Deployments that are being undone because they went over their budget.
    undoing: BTreeSet<u64>,
}

impl Deploys {
    /// Opens the store and the record, and settles what is to run: what was under way when the last master ended is
    /// given up, and files of the configuration that were changed since a deployment count again.
    ///
    /// # Errors
    /// [`MasterError::Record`], or a file that cannot be read or written.
    pub(crate) fn open(
        config: &Config,
        state: &StateDir,
        components: Components,
    ) -> Result<Deploys, MasterError> {
        let dir = state.plugin_dir();
        durable::private_dir(&dir)?;
        let store = Store::open(dir.join("components"), components.bytes_max)?;
        let record_file = dir.join("record.json");
        let mut record = Record::load(&record_file)?;
        let mut files = BTreeMap::new();
        for plugin in &config.plugins {
            files.insert(plugin.name.clone(), store.import(&plugin.component)?);
        }
        give_up_unfinished(&mut record);
        prefer_changed_files(&mut record, &files);
        for (plugin, digest) in &files {
            record.remember_first(plugin, digest);
        }
        record.targets.retain(|plugin, _| files.contains_key(plugin));
        record.save(&record_file)?;
        let state = State {
            record,
            run: None,
            last: None,
            problems: BTreeMap::new(),
            watch_errors: BTreeMap::new(),
            reconciling: HashMap::new(),
            undoing: BTreeSet::new(),
        };
        Ok(Deploys {
            components,
            store,
            record_file,
            state: Mutex::new(state),
            files,
            config_files: config.plugins.iter().map(|p| (p.name.clone(), p.component.clone())).collect(),
            keep_versions: config.master.deploy.keep_versions,
            settle: Duration::from_millis(config.master.deploy.settle_ms),
            orders: RwLock::new(()),
            news: watch::Sender::new(0),
            retry: Notify::new(),
        })
    }

    /// Sees to it that deployed versions can be loaded by the servers that are about to start.
    ///
    /// # Errors
    /// [`MasterError::Deployed`] if one cannot.
    pub(crate) async fn compile_targets(&self) -> Result<(), MasterError> {
        let targets: Vec<_> = {
            let state = self.state();
            state.record.targets.iter().map(|(name, target)| (name.clone(), target.digest.clone())).collect()
        };
        for (plugin, digest) in targets {
            let verified = self.store.verify(&digest).map_err(|error| error.to_string());
            let usable = match verified {
                Ok(()) => self.compile(&digest).await,
                Err(error) => Err(error),
            };
            usable.map_err(|reason| MasterError::Deployed {
                plugin,
                digest: digest.short().to_owned(),
                reason,
                record: self.record_file.clone(),
            })?;
        }
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the record on disk, and then what is known of it here.
    fn change<T>(&self, change: impl FnOnce(&mut Record) -> T) -> Result<T, String> {
        let mut state = self.state();
        let mut record = state.record.clone();
        let result = change(&mut record);
        record.save(&self.record_file).map_err(|error| error.to_string())?;
        state.record = record;
        drop(state);
        self.ring();
        Ok(result)
    }

    /// The version that a plugin is to run for all but the canary's calls; none: there is no such plugin.
    fn stable(&self, plugin: &str) -> Option<Digest> {
        let target = self.state().record.target(plugin).map(|target| target.digest);
        target.or_else(|| self.files.get(plugin).cloned())
    }

    /// The error names the version: where the store has the file is nobody's business.
    async fn compile(&self, digest: &Digest) -> Result<(), String> {
        let file = self.store.component(digest);
        let compiled = (self.components.compile)(file.clone()).await;
        compiled.map_err(|error| error.replace(&*file.to_string_lossy(), digest.short()))
    }

    /// Removes versions that have become too old.
    fn prune(&self) {
        let used = self.files.values().cloned().collect();
        match self.change(|record| record.prune(self.keep_versions, &used)) {
            Ok(left) => self.store.retain(&left),
            Err(error) => tracing::warn!(error, "old versions not removed"),
        }
    }

    fn ring(&self) {
        self.news.send_modify(|news| *news = news.wrapping_add(1));
    }
}

/// What was under way when the last master ended never happened.
fn give_up_unfinished(record: &mut Record) {
    let Some(under_way) = record.under_way.take() else { return };
    let (action, reason) = match under_way.canary {
        Some(_) => (Action::Abort, "the master was started anew while the canary ran"),
        None => (under_way.action, "the master ended before it was committed"),
    };
    tracing::warn!(plugin = under_way.plugin, deployment = under_way.number, reason, "deployment given up");
    record.note(HistoryEntry {
        number: under_way.number,
        at_ms: now_ms(),
        plugin: under_way.plugin,
        action,
        digest: under_way.digest,
        from: Some(under_way.from),
        done: action == Action::Abort,
        reason: Some(reason.to_owned()),
        by: MASTER.to_owned(),
        skipped: Vec::new(),
    });
}

/// The operator has changed the file of a plugin after its deployment: the file counts.
fn prefer_changed_files(record: &mut Record, files: &BTreeMap<String, Digest>) {
    for (plugin, file) in files {
        let Some(target) = record.targets.get(plugin).filter(|target| target.file != *file).cloned() else {
            continue;
        };
        tracing::info!(
            plugin,
            file = file.short(),
            deployed = target.digest.short(),
            "the changed file counts"
        );
        record.targets.remove(plugin);
        let number = record.draw();
        record.remember(plugin, file);
        record.note(HistoryEntry {
            number,
            at_ms: now_ms(),
            plugin: plugin.clone(),
            action: Action::ConfigChanged,
            digest: file.clone(),
            from: Some(target.digest),
            done: true,
            reason: Some("the file of plugins.json has changed since the deployment".to_owned()),
            by: MASTER.to_owned(),
            skipped: Vec::new(),
        });
    }
}

/// Who did what nobody asked for.
const MASTER: &str = "master";
/// Who undoes what went over its budget.
const BUDGET: &str = "budget";

/// Milliseconds since 1970.
fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Reads a file into the store, away from the threads that serve.
async fn import(store: &Store, file: &Path) -> Result<Digest, String> {
    let (store, file) = (store.clone(), file.to_owned());
    let imported = tokio::task::spawn_blocking(move || store.import(&file)).await;
    imported.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
}
