//! One deployment, from the first order to the last.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use shaddock_rollout::{Order, Prepared, Summary, Switched};
use tokio::sync::watch;

use super::over_budget::release;
use super::plan::Plan;
use super::reconcile::reconcile_all;
use super::servers::{self, COMMIT_TIMEOUT, PREPARE_TIMEOUT, REVERT_TIMEOUT, SWITCH_TIMEOUT, named};
use super::slot::Slot;
use crate::control::Action;
use crate::master::Hub;

/// Carries out a deployment; however it ends, the cluster is on one version then, or is brought to it.
pub(super) async fn run(hub: &Arc<Hub>, plan: Plan, slot: Slot) {
    let compiled = tokio::select! {
        compiled = compile(hub, &plan, &slot) => compiled,
        () = hub.stopping.cancelled() => Err(STOPPING.to_owned()),
    };
    let orders = hub.deploys.orders.write().await;
    // What does not compile is no server's business.
    let mut ids = if compiled.is_ok() { servers::ready(hub) } else { Vec::new() };
    servers::lead(hub, &plan.plugin, &mut ids);
    let skipped = servers::not_ready(hub);
    let switched = match compiled {
        Ok(()) => tokio::select! {
            switched = switch(hub, &plan, &slot, &ids) => switched,
            () = hub.stopping.cancelled() => Err(STOPPING.to_owned()),
        },
        Err(error) => Err(error),
    };
    let kept = switched.and_then(|()| {
        let entry = plan.entry(plan.action, Ok(()), skipped.clone());
        match plan.canary {
            Some(_) => hub.deploys.keep_canary(&plan, entry.clone())?,
            None => hub.deploys.commit(&plan, entry.clone())?,
        }
        Ok(entry)
    });
    let entry = match kept {
        Ok(entry) => {
            if plan.canary.is_none() {
                commit(hub, &plan, &slot, &ids).await;
            }
            entry
        }
        Err(error) => {
            slot.step(format!("failed: {error}"));
            let error = match revert(hub, &plan, &slot, &ids).await {
                Ok(()) => error,
                Err(left) => format!("{error}; not back yet, and brought back as soon as can be: {left}"),
            };
            let entry = plan.entry(plan.action, Err(error), skipped);
            if let Err(error) = hub.deploys.give_up(entry.clone()) {
                tracing::error!(error, "the end of a deployment is not on disk");
            }
            entry
        }
    };
    drop(orders);
    finish(hub, &slot, entry);
    release(hub, &plan, slot);
}

/// Why a deployment ends when the cluster does.
const STOPPING: &str = "the cluster is stopping";

/// Tells of the end, and looks after servers that came or failed meanwhile.
pub(super) fn finish(hub: &Arc<Hub>, slot: &Slot, entry: crate::control::HistoryEntry) {
    let (plugin, version, action) = (&*entry.plugin, entry.digest.short(), entry.action.name());
    match (entry.done, &entry.reason) {
        (true, None) => {
            tracing::info!(deployment = entry.number, plugin, version, by = entry.by, "{action} done");
        }
        (true, Some(reason)) => {
            tracing::warn!(
                deployment = entry.number,
                plugin,
                version,
                by = entry.by,
                reason,
                "{action} done"
            );
        }
        (false, reason) => {
            let reason = reason.as_deref().unwrap_or_default();
            tracing::error!(
                deployment = entry.number,
                plugin,
                version,
                by = entry.by,
                reason,
                "{action} failed"
            );
        }
    }
    hub.metrics.deployment(entry.done);
    slot.end(entry);
    hub.deploys.prune();
    reconcile_all(hub);
}

async fn compile(hub: &Hub, plan: &Plan, slot: &Slot) -> Result<(), String> {
    slot.step(format!("compiling {}", plan.digest.short()));
    hub.deploys.compile(&plan.digest).await
}

/// Everything up to the point where it could be committed.
async fn switch(hub: &Hub, plan: &Plan, slot: &Slot, ids: &[String]) -> Result<(), String> {
    let Some((first, rest)) = ids.split_first() else {
        return Err("no server is ready; see `shaddock list`".to_owned());
    };
    let mut over_budget = slot.over_budget();
    let running = running_summary(hub, plan, first).await.map_err(|error| named(first, &error))?;
    let summary = prepare(hub, plan, first).await.map_err(|error| named(first, &error))?;
    slot.step(format!("prepared on {first}"));
    if let Err(error) = hub.deploys.store.save_summary(&plan.digest, &summary) {
        tracing::warn!(%error, "what a version offers is not kept");
    }
    let vanished = running.vanished(&summary);
    if !plan.force && !vanished.is_empty() {
        return Err(format!(
            "the new version lacks what the running one offers: {}; deploy it anyway with --force",
            vanished.join(", ")
        ));
    }
    prepare_all(hub, plan, rest).await?;
    if !rest.is_empty() {
        slot.step(format!("prepared on {}", rest.join(", ")));
    }
    switch_one(hub, plan, slot, first).await?;
    settle(hub, plan, slot, first, &mut over_budget).await?;
    let switched = join_all(rest.iter().map(|id| switch_one(hub, plan, slot, id))).await;
    switched.into_iter().collect::<Result<(), _>>()?;
    let over = over_budget.borrow().clone();
    over.map_or(Ok(()), Err)
}

/// What the running version offers, as the server that is to leave it says.
async fn running_summary(hub: &Hub, plan: &Plan, id: &str) -> Result<Summary, String> {
    let state = servers::version_of(hub, id, &plan.plugin).await?;
    if state.digest != plan.from {
        return Err(format!(
            "it runs {} and not {}; it is being brought there, try again then",
            state.digest.short(),
            plan.from.short()
        ));
    }
    Ok(state.summary)
}

/// Prepares on one server.
pub(super) async fn prepare(hub: &Hub, plan: &Plan, id: &str) -> Result<Summary, String> {
    let order = Order::PluginPrepare {
        deployment: plan.number,
        plugin: plan.plugin.clone(),
        digest: plan.digest.clone(),
    };
    let prepared: Prepared = servers::order(hub, id, &order, PREPARE_TIMEOUT).await?;
    tracing::debug!(id, deployment = plan.number, load_us = prepared.load_us, "version prepared");
    Ok(prepared.summary)
}

/// Prepares on several servers at once.
pub(super) async fn prepare_all(hub: &Hub, plan: &Plan, ids: &[String]) -> Result<(), String> {
    let prepared = join_all(ids.iter().map(|id| prepare(hub, plan, id))).await;
    for (id, result) in ids.iter().zip(prepared) {
        result.map_err(|error| named(id, &error))?;
    }
    Ok(())
}

/// Switches on one server.
pub(super) async fn switch_one(hub: &Hub, plan: &Plan, slot: &Slot, id: &str) -> Result<(), String> {
    let order = Order::PluginSwitch { deployment: plan.number, canary_bp: plan.canary };
    let switched: Switched =
        servers::order(hub, id, &order, SWITCH_TIMEOUT).await.map_err(|error| named(id, &error))?;
    slot.step(match switched.held_us {
        Some(held_us) => {
            format!("switched on {id}; calls were held for {held_us} us while state was handed over")
        }
        None => format!("switched on {id}"),
    });
    Ok(())
}

/// Leaves the first server alone with the new version for a while.
async fn settle(
    hub: &Hub,
    plan: &Plan,
    slot: &Slot,
    first: &str,
    over_budget: &mut watch::Receiver<Option<String>>,
) -> Result<(), String> {
    if !plan.settle.is_zero() {
        slot.step(format!("settling for {} ms", plan.settle.as_millis()));
    }
    tokio::select! {
        biased;
        over = over_budget.wait_for(Option::is_some) => {
            let reason = over.ok().and_then(|reason| reason.clone());
            return Err(reason.unwrap_or_else(|| "over its budget".to_owned()));
        }
        () = servers::lost(hub, first) => return Err(format!("{first}: it was lost while it settled")),
        () = tokio::time::sleep(plan.settle) => {}
    }
    // It may have been lost and be back, with the old version.
    let state = servers::version_of(hub, first, &plan.plugin).await.map_err(|error| named(first, &error))?;
    let digest = match plan.canary {
        Some(_) => state.canary.map(|canary| canary.digest),
        None => Some(state.digest),
    };
    if digest.as_ref() == Some(&plan.digest) {
        Ok(())
    } else {
        Err(format!("{first}: it has left the new version while it settled"))
    }
}

/// Tells servers that what is in the record now is final. One that cannot be told is brought there later.
pub(super) async fn commit(hub: &Hub, plan: &Plan, slot: &Slot, ids: &[String]) {
    slot.step(match plan.action {
        Action::Deploy => format!("committed: {} runs {}", plan.plugin, plan.digest.short()),
        action => format!("committed: {}, {} runs {}", action.name(), plan.plugin, plan.digest.short()),
    });
    let order = Order::PluginCommit { deployment: plan.number };
    let telling = servers::failed(hub, ids, &order, COMMIT_TIMEOUT);
    let failed = tokio::select! {
        failed = telling => failed,
        () = hub.stopping.cancelled() => Vec::new(),
    };
    for (id, error) in failed {
        slot.step(format!("not told that it is final, and told again: {}", named(&id, &error)));
    }
}

/// Brings servers back, and makes sure of it.
///
/// # Errors
/// Which ones are not back, and why.
pub(super) async fn revert(hub: &Hub, plan: &Plan, slot: &Slot, ids: &[String]) -> Result<(), String> {
    if hub.stopping.is_cancelled() {
        // Nobody serves any more, and the next start knows nothing of this deployment.
        return Ok(());
    }
    let order = Order::PluginRevert { deployment: plan.number };
    let mut left = servers::failed(hub, ids, &order, REVERT_TIMEOUT).await;
    let reverted = ids.iter().filter(|id| !left.iter().any(|(failed, _)| failed == *id));
    let states =
        join_all(reverted.map(async |id| (id, servers::version_of(hub, id, &plan.plugin).await))).await;
    for (id, state) in states {
        match state {
            Ok(state) if state.digest == plan.from && state.canary.is_none() => {}
            Ok(state) => left.push((id.clone(), format!("it runs {}", state.digest.short()))),
            Err(error) => left.push((id.clone(), error)),
        }
    }
    slot.step(format!("{} runs {} as before", plan.plugin, plan.from.short()));
    if left.is_empty() {
        return Ok(());
    }
    let left: Vec<_> = left.iter().map(|(id, error)| named(id, error)).collect();
    Err(left.join(", "))
}

/// How long the first server is left alone if nobody says.
pub(super) fn settle_time(hub: &Hub, settle_ms: Option<u64>) -> Duration {
    settle_ms.map_or(hub.deploys.settle, Duration::from_millis)
}
