//! Bringing single servers to the versions that count: those that come, those that missed an order, those that went
//! back by themselves.

use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::time::Duration;

use shaddock_rollout::{Order, Share, VersionState};

use super::plan::Plan;
use super::record::UnderWay;
use super::rollout::prepare;
use super::servers::{self, COMMIT_TIMEOUT, REVERT_TIMEOUT, SWITCH_TIMEOUT, named};
use super::slot::canary_of;
use super::{Deploys, MASTER};
use crate::control::Action;
use crate::master::Hub;

/// Between the first failure and the next try; doubled from try to try.
const PAUSE_MIN: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// Tries before a server is left as it is until it comes anew, or the next deployment is over.
const TRIES_MAX: u32 = 12;

/// Looks at a server, and brings it to its versions if it does not run them.
pub(crate) fn reconcile(hub: &Arc<Hub>, id: &str) {
    if hub.stopping.is_cancelled() {
        return;
    }
    match hub.deploys.state().reconciling.entry(id.to_owned()) {
        Entry::Occupied(mut at_work) => {
            at_work.insert(true);
            return hub.deploys.retry.notify_waiters();
        }
        Entry::Vacant(free) => free.insert(false),
    };
    let (of_task, id) = (Arc::clone(hub), id.to_owned());
    hub.tasks.spawn(async move {
        tokio::select! {
            () = keep_trying(&of_task, &id) => {}
            () = servers::lost(&of_task, &id) => of_task.deploys.forget(&id),
            () = of_task.stopping.cancelled() => of_task.deploys.forget(&id),
        }
    });
}

/// The same for every server that is there.
pub(super) fn reconcile_all(hub: &Arc<Hub>) {
    for id in servers::ready(hub) {
        reconcile(hub, &id);
    }
}

async fn keep_trying(hub: &Hub, id: &str) {
    let (mut tries, mut pause) = (0, PAUSE_MIN);
    loop {
        let brought = {
            let _beside_others_like_it = hub.deploys.orders.read().await;
            bring(hub, id).await
        };
        tries += 1;
        let last = tries >= TRIES_MAX;
        match &brought {
            Err(error) if tries == 1 || last => {
                tracing::warn!(id, error, last, "server not brought to the versions that count");
            }
            Err(error) => {
                tracing::debug!(id, error, tries, "server not brought to the versions that count yet");
            }
            Ok(()) => {}
        }
        if hub.deploys.is_settled(id, brought, last) {
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = hub.deploys.retry.notified() => {}
        }
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// Brings one server to the versions that count. The caller holds the lock of orders.
///
/// # Errors
/// By plugin, what could not be done; the others are as they should be.
pub(super) async fn bring(hub: &Hub, id: &str) -> Result<(), String> {
    let mut failed = Vec::new();
    for state in servers::versions(hub, id).await? {
        let plugin = state.plugin.clone();
        if let Err(error) = bring_plugin(hub, id, state).await {
            failed.push(format!("plugin {plugin}: {error}"));
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(failed.join("; ")) }
}

async fn bring_plugin(hub: &Hub, id: &str, mut state: VersionState) -> Result<(), String> {
    let plugin = state.plugin.clone();
    let Some(digest) = hub.deploys.stable(&plugin) else { return Ok(()) };
    let (target, canary) = {
        let known = hub.deploys.state();
        (known.record.target(&plugin), canary_of(&known, &plugin))
    };
    hub.deploys.keep_summary(&state);
    let is_target = |state: &VersionState| {
        state.digest == digest && state.deployment == target.as_ref().map(|target| target.deployment)
    };
    let foreign_canary = state.canary.as_ref().map(|found| found.deployment);
    let foreign_canary =
        foreign_canary.filter(|found| canary.as_ref().is_none_or(|canary| canary.number != *found));
    let foreign_switch = state.deployment.filter(|_| !state.committed && !is_target(&state));
    for deployment in [foreign_canary, foreign_switch].into_iter().flatten() {
        tracing::info!(id, plugin, deployment, "a deployment that does not count is reverted");
        let order = Order::PluginRevert { deployment };
        servers::order::<()>(hub, id, &order, REVERT_TIMEOUT).await?;
        state = servers::version_of(hub, id, &plugin).await?;
    }
    if state.digest != digest {
        let number = match target {
            Some(target) => target.deployment,
            None => hub.deploys.change(super::record::Record::draw)?,
        };
        tracing::info!(
            id,
            plugin,
            from = state.digest.short(),
            to = digest.short(),
            "server brought to its version"
        );
        let plan = Plan {
            number,
            plugin: plugin.clone(),
            digest,
            from: state.digest,
            action: Action::Deploy,
            reason: None,
            by: MASTER.to_owned(),
            canary: None,
            force: true,
            settle: Duration::ZERO,
        };
        enter(hub, id, &plan, None).await?;
        servers::order::<()>(hub, id, &Order::PluginCommit { deployment: number }, COMMIT_TIMEOUT).await?;
    } else if !state.committed
        && let Some(deployment) = state.deployment
    {
        servers::order::<()>(hub, id, &Order::PluginCommit { deployment }, COMMIT_TIMEOUT).await?;
    }
    match canary {
        Some(canary) if state.canary.is_none() => enter_canary(hub, id, &canary).await,
        _ => Ok(()),
    }
}

async fn enter_canary(hub: &Hub, id: &str, canary: &UnderWay) -> Result<(), String> {
    tracing::info!(id, plugin = canary.plugin, deployment = canary.number, "the canary runs there too");
    enter(hub, id, &Plan::of_canary(canary, MASTER, None), canary.canary).await
}

/// Prepares and switches on one server.
async fn enter(hub: &Hub, id: &str, plan: &Plan, share: Option<Share>) -> Result<(), String> {
    hub.deploys.compile(&plan.digest).await?;
    prepare(hub, plan, id).await?;
    let order = Order::PluginSwitch { deployment: plan.number, canary_bp: share };
    let switched = servers::order::<serde_json::Value>(hub, id, &order, SWITCH_TIMEOUT).await;
    if let Err(error) = switched {
        let order = Order::PluginRevert { deployment: plan.number };
        return match servers::order::<()>(hub, id, &order, REVERT_TIMEOUT).await {
            Ok(()) => Err(error),
            Err(left) => Err(format!("{error}; and not reverted: {}", named(id, &left))),
        };
    }
    Ok(())
}

impl Deploys {
    /// Notes how a server stands after a try. True if it is left alone now.
    fn is_settled(&self, id: &str, brought: Result<(), String>, is_last: bool) -> bool {
        let mut state = self.state();
        let is_well = brought.is_ok();
        match brought {
            Ok(()) => drop(state.problems.remove(id)),
            Err(error) => drop(state.problems.insert(id.to_owned(), error)),
        }
        let Some(again) = state.reconciling.get_mut(id) else { return true };
        if std::mem::take(again) || !(is_well || is_last) {
            return false;
        }
        state.reconciling.remove(id);
        true
    }

    /// A server has gone; what was the matter with it is over.
    fn forget(&self, id: &str) {
        let mut state = self.state();
        state.reconciling.remove(id);
        state.problems.remove(id);
    }

    /// What the versions offer that nobody deployed is learned from the servers.
    fn keep_summary(&self, state: &VersionState) {
        if self.store.summary(&state.digest).is_none()
            && self.store.component(&state.digest).exists()
            && let Err(error) = self.store.save_summary(&state.digest, &state.summary)
        {
            tracing::debug!(%error, "what a version offers is not kept");
        }
    }
}
