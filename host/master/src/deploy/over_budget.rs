//! Versions that do worse than their budget allows are left, without anybody asking for it.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;

use super::canary;
use super::plan::Plan;
use super::record::Deployed;
use super::rollout::finish;
use super::slot::{For, Run, Slot, canary_of};
use super::{BUDGET, Deploys, reconcile, servers};
use crate::control::{Action, Started};
use crate::master::Hub;

/// Longest kind of a reason as a metric's label.
const KIND_MAX: usize = 40;

/// Takes note that a deployment's version has gone over its budget on a server.
pub(super) fn over_budget(hub: &Arc<Hub>, id: &str, deployment: u64, plugin: &str, reason: &str) {
    tracing::warn!(id, deployment, plugin, reason, "version over its budget");
    undo(hub, deployment, plugin, format!("{reason} (on {id})"));
}

/// Brings back what went over its budget, or has whoever deploys it do so.
fn undo(hub: &Arc<Hub>, deployment: u64, plugin: &str, told: String) {
    let undone = {
        let mut state = hub.deploys.state();
        if let Some(run) = state.run.as_ref().filter(|run| run.number == deployment) {
            // Who carries it out brings it back. Where it has been committed by now, what follows does.
            run.set_over_budget(&told);
        }
        let is_canary = canary_of(&state, plugin).is_some_and(|canary| canary.number == deployment);
        let target = state.record.targets.get(plugin).filter(|target| target.deployment == deployment);
        match target.cloned() {
            _ if is_canary && state.run.is_none() => Undone::Canary,
            // It was chosen because what ran before was worse: figures that compare the two say nothing, and there
            // is nothing better to go to.
            Some(target) if target.action.is_rollback() => {
                tracing::warn!(plugin, deployment, "it was rolled back to, and stays");
                return;
            }
            Some(target) if state.undoing.insert(deployment) => Undone::Target(target),
            _ => return,
        }
    };
    match undone {
        Undone::Canary => {
            hub.metrics.rollback(plugin, &kind(&told));
            canary::abort(hub, plugin, BUDGET, Some(told));
        }
        Undone::Target(target) => {
            hub.metrics.rollback(plugin, &kind(&told));
            let (of_task, plugin) = (Arc::clone(hub), plugin.to_owned());
            hub.tasks.spawn(async move {
                roll_back(&of_task, &plugin, &target, told).await;
                of_task.deploys.state().undoing.remove(&deployment);
            });
        }
    }
}

/// Gives up the slot of what has been carried out. What went over its budget in the last moment is undone now.
pub(super) fn release(hub: &Arc<Hub>, plan: &Plan, slot: Slot) {
    let late = slot.over_budget().borrow().clone();
    drop(slot);
    if let Some(reason) = late {
        undo(hub, plan.number, &plan.plugin, reason);
    }
}

enum Undone {
    Canary,
    Target(Deployed),
}

/// Brings a plugin back to the version before, as soon as nothing else is under way.
async fn roll_back(hub: &Arc<Hub>, plugin: &str, bad: &Deployed, reason: String) {
    let Some(slot) = take_slot(hub, plugin, bad).await else { return };
    let plan = Plan {
        number: slot.number(),
        plugin: plugin.to_owned(),
        digest: bad.previous.clone(),
        from: bad.digest.clone(),
        action: Action::AutomaticRollback,
        reason: Some(reason),
        by: BUDGET.to_owned(),
        canary: None,
        force: true,
        settle: Duration::ZERO,
    };
    let orders = hub.deploys.orders.write().await;
    let entry = plan.entry(Action::AutomaticRollback, Ok(()), servers::not_ready(hub));
    // Before any order: it is better that some servers come back later than that all stay.
    if let Err(error) = hub.deploys.commit(&plan, entry.clone()) {
        drop(orders);
        return finish(hub, &slot, plan.entry(Action::AutomaticRollback, Err(error), Vec::new()));
    }
    slot.step(format!("{plugin} is to run {} again", plan.digest.short()));
    let ids = servers::ready(hub);
    let back = tokio::select! {
        back = join_all(ids.iter().map(|id| reconcile::bring(hub, id))) => back,
        () = hub.stopping.cancelled() => Vec::new(),
    };
    for (id, back) in ids.iter().zip(back) {
        match back {
            Ok(()) => slot.step(format!("brought back {id}")),
            Err(error) => slot.step(format!("not brought back yet: {}", servers::named(id, &error))),
        }
    }
    drop(orders);
    finish(hub, &slot, entry);
}

/// Takes the slot when it is free; a canary, which may run for hours, is ended for it. None if the bad version has
/// been left meanwhile, or the cluster stops.
async fn take_slot(hub: &Arc<Hub>, plugin: &str, bad: &Deployed) -> Option<Slot> {
    let mut news = hub.deploys.news.subscribe();
    loop {
        news.mark_unchanged();
        if hub.stopping.is_cancelled() || !hub.deploys.still_runs(plugin, bad) {
            return None;
        }
        let run = Run::new(plugin, Action::AutomaticRollback, Some(bad.previous.clone()));
        match Slot::take(hub, For::New, run) {
            Ok(slot) => return Some(slot),
            Err(_) => end_canary(hub, plugin),
        }
        tokio::select! {
            _ = news.changed() => {}
            () = hub.stopping.cancelled() => return None,
        }
    }
}

/// Ends the canary that is in the way, if it is one that is.
fn end_canary(hub: &Arc<Hub>, plugin: &str) {
    let canary = hub.deploys.state().record.under_way.clone();
    if let Some(canary) = canary.filter(|canary| canary.canary.is_some()) {
        let reason = format!("{plugin} has to be rolled back");
        if let Started::Refused { error, .. } = canary::abort(hub, &canary.plugin, BUDGET, Some(reason)) {
            tracing::debug!(error, "the canary is not ended yet");
        }
    }
}

impl Deploys {
    fn still_runs(&self, plugin: &str, target: &Deployed) -> bool {
        self.state().record.targets.get(plugin) == Some(target)
    }
}

/// The kind of a reason: what stands before its first colon, as a label.
fn kind(reason: &str) -> String {
    let kind = reason.split(':').next().unwrap_or_default().trim();
    let word = |letter: char| if letter.is_ascii_alphanumeric() { letter.to_ascii_lowercase() } else { '_' };
    kind.chars().take(KIND_MAX).map(word).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_of_a_reason_is_a_short_label() {
        for (reason, expected) in [
            ("deadline misses: 12 of 300 calls", "deadline_misses"),
            ("p99", "p99"),
            ("", ""),
            (&"x".repeat(99), &"x".repeat(KIND_MAX)),
        ] {
            assert_eq!(kind(reason), expected);
        }
    }
}
