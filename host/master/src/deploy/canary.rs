//! The end of a canary: it serves all calls, or none.

use std::sync::Arc;

use futures_util::future::join_all;

use super::over_budget::release;
use super::plan::Plan;
use super::rollout::{STOPPING, commit, finish, prepare, revert, switch_one};
use super::servers::{self, named};
use super::slot::{For, Run, Slot, canary_of, refused};
use crate::control::{Action, Refusal, Started};
use crate::master::Hub;

/// Lets a plugin's canary serve all calls, in a task.
pub(super) fn promote(hub: &Arc<Hub>, plugin: &str, by: &str) -> Started {
    start(hub, plugin, by, None, Action::Promote)
}

/// Ends a plugin's canary, in a task.
pub(super) fn abort(hub: &Arc<Hub>, plugin: &str, by: &str, reason: Option<String>) -> Started {
    start(hub, plugin, by, reason, Action::Abort)
}

fn start(hub: &Arc<Hub>, plugin: &str, by: &str, reason: Option<String>, action: Action) -> Started {
    if hub.deploys.stable(plugin).is_none() {
        return refused(Refusal::Unknown, format!("plugins.json has no plugin {plugin:?}"));
    }
    let Some(canary) = canary_of(&hub.deploys.state(), plugin) else {
        return refused(Refusal::Usage, format!("{plugin} has no canary; see `shaddock plugin list`"));
    };
    let run = Run::new(plugin, action, Some(canary.digest.clone()));
    let slot = match Slot::take(hub, For::Canary(canary.number), run) {
        Ok(slot) => slot,
        Err(refused) => return refused,
    };
    let plan = Plan { action, ..Plan::of_canary(&canary, by, reason) };
    let number = plan.number;
    let of_task = Arc::clone(hub);
    hub.tasks.spawn(async move {
        match action {
            Action::Promote => run_promotion(&of_task, Plan { canary: None, ..plan }, slot).await,
            _ => end(&of_task, &plan, &slot).await,
        }
    });
    Started::Started { number }
}

async fn run_promotion(hub: &Arc<Hub>, plan: Plan, slot: Slot) {
    let orders = hub.deploys.orders.write().await;
    let mut ids = servers::ready(hub);
    servers::lead(hub, &plan.plugin, &mut ids);
    let skipped = servers::not_ready(hub);
    let promoted = tokio::select! {
        biased;
        () = hub.stopping.cancelled() => Err(STOPPING.to_owned()),
        promoted = switch_all(hub, &plan, &slot, &ids) => promoted,
    };
    let kept = promoted.and_then(|()| {
        let entry = plan.entry(Action::Promote, Ok(()), skipped.clone());
        hub.deploys.commit(&plan, entry.clone())?;
        Ok(entry)
    });
    let entry = match kept {
        Ok(entry) => {
            commit(hub, &plan, &slot, &ids).await;
            entry
        }
        Err(error) => {
            let error = match revert(hub, &plan, &slot, &ids).await {
                Ok(()) => format!("{error}; the canary has ended"),
                Err(left) => format!("{error}; the canary has ended, but not yet on {left}"),
            };
            let entry = plan.entry(Action::Promote, Err(error), skipped);
            if let Err(error) = hub.deploys.give_up(entry.clone()) {
                tracing::error!(error, "the end of a canary is not on disk");
            }
            entry
        }
    };
    drop(orders);
    finish(hub, &slot, entry);
    release(hub, &plan, slot);
}

/// On one server first: what can fail shows there.
async fn switch_all(hub: &Hub, plan: &Plan, slot: &Slot, ids: &[String]) -> Result<(), String> {
    let Some((first, rest)) = ids.split_first() else {
        return Err("no server is ready; see `shaddock list`".to_owned());
    };
    let mut over_budget = slot.over_budget();
    switch_to_all_calls(hub, plan, slot, first).await?;
    let switched = join_all(rest.iter().map(|id| switch_to_all_calls(hub, plan, slot, id))).await;
    switched.into_iter().collect::<Result<(), _>>()?;
    let over = over_budget.borrow_and_update().clone();
    over.map_or(Ok(()), Err)
}

/// A server that came while the canary ran may not have it.
async fn switch_to_all_calls(hub: &Hub, plan: &Plan, slot: &Slot, id: &str) -> Result<(), String> {
    let state = servers::version_of(hub, id, &plan.plugin).await.map_err(|error| named(id, &error))?;
    if state.canary.is_none_or(|canary| canary.deployment != plan.number) {
        prepare(hub, plan, id).await.map_err(|error| named(id, &error))?;
    }
    switch_one(hub, plan, slot, id).await
}

/// Ends a canary. It is out of the record first: whatever happens now, no server is brought to it again.
pub(super) async fn end(hub: &Arc<Hub>, plan: &Plan, slot: &Slot) {
    let orders = hub.deploys.orders.write().await;
    let skipped = servers::not_ready(hub);
    let entry = plan.entry(Action::Abort, Ok(()), skipped);
    if let Err(error) = hub.deploys.give_up(entry.clone()) {
        // It is ended all the same: after a restart there would be no canary either.
        tracing::error!(error, "the end of a canary is not on disk");
        hub.deploys.state().record.under_way = None;
    }
    slot.step(format!("ending the canary {}", plan.digest.short()));
    if let Err(left) = revert(hub, plan, slot, &servers::ready(hub)).await {
        slot.step(format!("not back yet, and brought back as soon as can be: {left}"));
    }
    drop(orders);
    finish(hub, slot, entry);
}
