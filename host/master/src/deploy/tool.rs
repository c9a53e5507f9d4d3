//! What people, and the watcher of component files, ask for.

use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::Duration;

use serde_json::Value;
use shaddock_config::Pool;
use shaddock_rollout::{Digest, Share};

use super::plan::Plan;
use super::slot::{For, Run, Slot, refused};
use super::{canary, import, listing, recording, rollout};
use crate::control::{Action, HistoryEntry, PluginRequest, Progress, Refusal, Started};
use crate::master::Hub;

/// How long one who looks on waits for news; then asks again.
const FOLLOW: Duration = Duration::from_secs(3);
/// Who deploys what was saved.
const WATCHER: &str = "watcher";

/// Answers a tool.
///
/// # Errors
/// What cannot be answered, in words.
pub(crate) async fn answer(hub: &Arc<Hub>, request: PluginRequest) -> Result<Value, String> {
    let answer = match request {
        PluginRequest::Deploy { plugin, file, canary, force, settle_ms, by } => {
            let wish = Wish { action: Action::Deploy, force, settle_ms, canary, by };
            serde_json::to_value(deploy(hub, &plugin, &file, wish).await)
        }
        PluginRequest::Rollback { plugin, version, by } => {
            serde_json::to_value(roll_back(hub, &plugin, version.as_deref(), by))
        }
        PluginRequest::Promote { plugin, by } => serde_json::to_value(canary::promote(hub, &plugin, &by)),
        PluginRequest::Abort { plugin, by } => serde_json::to_value(canary::abort(hub, &plugin, &by, None)),
        PluginRequest::Follow { number, seen } => serde_json::to_value(follow(hub, number, seen).await?),
        PluginRequest::List => serde_json::to_value(listing::listing(hub).await),
        PluginRequest::History { plugin } => serde_json::to_value(hub.deploys.history(plugin.as_deref())),
        PluginRequest::Diff { a, b } => serde_json::to_value(hub.deploys.compare(&a, &b)?),
        PluginRequest::Record { plugin, servers, seconds, bytes_max } => {
            serde_json::to_value(recording::begin(hub, &plugin, servers, seconds, bytes_max).await?)
        }
        PluginRequest::RecordEnd { server } => serde_json::to_value(recording::end(hub, &server).await?),
        PluginRequest::Recorded { server, offset } => {
            serde_json::to_value(recording::piece(hub, &server, offset).await?)
        }
        PluginRequest::Trace { uid } => serde_json::to_value(listing::trace(hub, &uid).await),
    };
    answer.map_err(|error| error.to_string())
}

/// What a deployment is asked to be.
struct Wish {
    action: Action,
    canary: Option<Share>,
    force: bool,
    settle_ms: Option<u64>,
    by: String,
}

async fn deploy(hub: &Arc<Hub>, plugin: &str, file: &Path, wish: Wish) -> Started {
    let Some(entry) = hub.config.plugins.iter().find(|entry| entry.name == plugin) else {
        return unknown_plugin(hub, plugin);
    };
    if wish.canary.is_some() && entry.pool == Pool::Single {
        let error = format!(
            "{plugin} has the pool policy \"single\": one instance per server holds its state, so there is no share \
             of the calls to give away; deploy it without --canary"
        );
        return refused(Refusal::Usage, error);
    }
    let action = if wish.canary.is_some() { Action::Canary } else { wish.action };
    let slot = match Slot::take(hub, For::New, Run::new(plugin, action, None)) {
        Ok(slot) => slot,
        Err(refused) => return refused,
    };
    match import(&hub.deploys.store, file).await {
        Ok(digest) => start(hub, plugin, digest, Wish { action, ..wish }, slot),
        Err(error) => refused(Refusal::Failed, error),
    }
}

fn roll_back(hub: &Arc<Hub>, plugin: &str, version: Option<&str>, by: String) -> Started {
    if hub.deploys.stable(plugin).is_none() {
        return unknown_plugin(hub, plugin);
    }
    let digest = match version {
        Some(prefix) => match hub.deploys.find(prefix, Some(plugin)) {
            Ok((_, digest)) => digest,
            Err(error) => return refused(Refusal::Unknown, error),
        },
        None => match hub.deploys.previous(plugin) {
            Ok(digest) => digest,
            Err(refused) => return refused,
        },
    };
    if let Err(error) = hub.deploys.store.verify(&digest) {
        return refused(Refusal::Failed, error.to_string());
    }
    let run = Run::new(plugin, Action::Rollback, Some(digest.clone()));
    let wish = Wish { action: Action::Rollback, canary: None, force: true, settle_ms: Some(0), by };
    match Slot::take(hub, For::New, run) {
        Ok(slot) => start(hub, plugin, digest, wish, slot),
        Err(refused) => refused,
    }
}

/// Carries out a deployment in a task: it goes on when nobody looks on.
fn start(hub: &Arc<Hub>, plugin: &str, digest: Digest, wish: Wish, slot: Slot) -> Started {
    let Some(from) = hub.deploys.stable(plugin) else { return unknown_plugin(hub, plugin) };
    if from == digest {
        return Started::Unchanged { digest };
    }
    slot.set_digest(&digest);
    let number = slot.number();
    let plan = Plan {
        number,
        plugin: plugin.to_owned(),
        digest,
        from,
        action: wish.action,
        reason: None,
        by: wish.by,
        canary: wish.canary,
        force: wish.force,
        settle: rollout::settle_time(hub, wish.settle_ms),
    };
    if let Err(error) = hub.deploys.begin(&plan) {
        return refused(Refusal::Failed, error);
    }
    tracing::info!(
        deployment = number,
        plugin,
        version = plan.digest.short(),
        by = plan.by,
        "deployment begins"
    );
    let of_task = Arc::clone(hub);
    hub.tasks.spawn(async move { rollout::run(&of_task, plan, slot).await });
    Started::Started { number }
}

fn unknown_plugin(hub: &Hub, plugin: &str) -> Started {
    let known: Vec<_> = hub.config.plugins.iter().map(|entry| entry.name.as_str()).collect();
    refused(Refusal::Unknown, format!("plugins.json has no plugin {plugin:?}; it has: {}", known.join(", ")))
}

/// Waits for news of a deployment.
async fn follow(hub: &Hub, number: u64, seen: usize) -> Result<Progress, String> {
    let mut news = hub.deploys.news.subscribe();
    let told = async {
        loop {
            news.mark_unchanged();
            let progress = hub.deploys.progress(number, seen)?;
            if progress.end.is_some() || !progress.steps.is_empty() || news.changed().await.is_err() {
                return Ok(progress);
            }
        }
    };
    match tokio::time::timeout(FOLLOW, told).await {
        Ok(progress) => progress,
        Err(_) => hub.deploys.progress(number, seen),
    }
}

/// The versions of a running master's plugins, for the program that holds the master.
#[derive(Clone)]
pub struct Plugins {
    hub: Weak<Hub>,
}

/// What became of a file that was saved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Saved {
    /// It is deployed, or could not be.
    Ended(HistoryEntry),
    /// The plugin runs it already.
    Unchanged,
    /// Something else is under way: try again.
    Busy(String),
    /// It could not be begun.
    Refused(String),
}

impl Plugins {
    pub(crate) fn new(hub: &Arc<Hub>) -> Plugins {
        Plugins { hub: Arc::downgrade(hub) }
    }

    /// Deploys a component file that was saved by whoever develops the plugin: whatever vanishes, and on all servers at
    /// once. What goes wrong is kept for [`PluginRequest::List`] until a later one goes well.
    pub async fn saved(&self, plugin: &str, file: &Path) -> Saved {
        let Some(hub) = self.hub.upgrade() else {
            return Saved::Refused("the master has stopped".to_owned());
        };
        let wish = Wish {
            action: Action::Deploy,
            canary: None,
            force: true,
            settle_ms: Some(0),
            by: WATCHER.to_owned(),
        };
        let saved = match deploy(&hub, plugin, file, wish).await {
            Started::Started { number } => ended(&hub, number).await,
            Started::Unchanged { .. } => Saved::Unchanged,
            Started::Refused { refusal: Refusal::Busy, error } => return Saved::Busy(error),
            Started::Refused { error, .. } => Saved::Refused(error),
        };
        hub.deploys.set_watch_error(plugin, saved.error());
        saved
    }
}

async fn ended(hub: &Hub, number: u64) -> Saved {
    let mut seen = 0;
    loop {
        match follow(hub, number, seen).await {
            Ok(Progress { end: Some(entry), .. }) => return Saved::Ended(entry),
            Ok(Progress { steps, .. }) => seen += steps.len(),
            Err(error) => return Saved::Refused(error),
        }
    }
}

impl Saved {
    /// What went wrong.
    pub fn error(&self) -> Option<String> {
        match self {
            Saved::Ended(entry) if !entry.done => Some(entry.reason.clone().unwrap_or_default()),
            Saved::Refused(error) => Some(error.clone()),
            _ => None,
        }
    }
}

impl super::Deploys {
    /// The version to go back to if nobody names one. Never one that was left: who goes back twice does not mean to
    /// go forth.
    fn previous(&self, plugin: &str) -> Result<Digest, Started> {
        let state = self.state();
        let see = format!("see `shaddock plugin history {plugin}`");
        match state.record.targets.get(plugin) {
            Some(target) if target.action.is_rollback() => Err(refused(
                Refusal::Usage,
                format!("{plugin} has been rolled back already: name the version to go to; {see}"),
            )),
            Some(target) => Ok(target.previous.clone()),
            None => Err(refused(Refusal::Unknown, format!("{plugin} runs its first version; {see}"))),
        }
    }

    fn set_watch_error(&self, plugin: &str, error: Option<String>) {
        let mut state = self.state();
        match error {
            Some(error) => drop(state.watch_errors.insert(plugin.to_owned(), error)),
            None => drop(state.watch_errors.remove(plugin)),
        }
    }
}
