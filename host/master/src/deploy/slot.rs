//! The one deployment at a time: who holds the slot may change what runs.

use std::sync::Arc;

use shaddock_rollout::Digest;
use tokio::sync::watch;

use super::record::UnderWay;
use super::rollout::STOPPING;
use super::{Deploys, State};
use crate::control::{Action, HistoryEntry, Progress, Refusal, Started};
use crate::master::Hub;

/// Steps of one deployment that are kept; more than any has.
const STEPS_MAX: usize = 10_000;

/// What is being done now, for those who look on.
pub(super) struct Run {
    pub(super) number: u64,
    pub(super) plugin: String,
    pub(super) action: Action,
    pub(super) digest: Option<Digest>,
    steps: Vec<String>,
    end: Option<HistoryEntry>,
    /// Why it went over its budget, if it has.
    over_budget: watch::Sender<Option<String>>,
}

/// Who may take the slot.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum For {
    /// Something new: not while a canary runs.
    New,
    /// Something about the canary of this number.
    Canary(u64),
}

/// The slot, held. It is free again when this is dropped.
pub(super) struct Slot {
    hub: Arc<Hub>,
    number: u64,
}

impl Slot {
    /// Takes the slot, and gives what is new a number.
    ///
    /// # Errors
    /// What is under way, in words.
    pub(super) fn take(hub: &Arc<Hub>, for_what: For, mut run: Run) -> Result<Slot, Started> {
        let mut state = hub.deploys.state();
        if hub.stopping.is_cancelled() {
            return Err(refused(Refusal::Failed, STOPPING));
        }
        if let Some(busy) = busy(&state, for_what) {
            return Err(refused(Refusal::Busy, busy));
        }
        let number = match for_what {
            // On disk with the deployment itself: before that no server hears of it.
            For::New => state.record.draw(),
            For::Canary(number) => number,
        };
        run.number = number;
        state.run = Some(run);
        drop(state);
        hub.deploys.ring();
        Ok(Slot { hub: Arc::clone(hub), number })
    }

    /// Number of the deployment.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Tells to which version; it is not known before the file has been read.
    pub(super) fn set_digest(&self, digest: &Digest) {
        self.change(|run| run.digest = Some(digest.clone()));
    }

    /// Tells what is being done.
    pub(super) fn step(&self, step: impl Into<String>) {
        let step = step.into();
        self.change(|run| {
            tracing::debug!(deployment = run.number, plugin = run.plugin, step, "deployment");
            if run.steps.len() < STEPS_MAX {
                run.steps.push(step);
            }
        });
    }

    /// Tells that it is over, and how.
    pub(super) fn end(&self, entry: HistoryEntry) {
        self.change(|run| run.end = Some(entry));
    }

    /// Tells when the version has gone over its budget, and why.
    pub(super) fn over_budget(&self) -> watch::Receiver<Option<String>> {
        let state = self.hub.deploys.state();
        match &state.run {
            Some(run) => run.over_budget.subscribe(),
            None => watch::channel(None).1,
        }
    }

    fn change(&self, change: impl FnOnce(&mut Run)) {
        if let Some(run) = &mut self.hub.deploys.state().run {
            change(run);
        }
        self.hub.deploys.ring();
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut state = self.hub.deploys.state();
        state.last = state.run.take();
        drop(state);
        self.hub.deploys.ring();
    }
}

impl Run {
    pub(super) fn new(plugin: &str, action: Action, digest: Option<Digest>) -> Run {
        Run {
            number: 0,
            plugin: plugin.to_owned(),
            action,
            digest,
            steps: Vec::new(),
            end: None,
            over_budget: watch::channel(None).0,
        }
    }

    /// Tells who carries it out that the version has gone over its budget.
    pub(super) fn set_over_budget(&self, reason: &str) {
        self.over_budget.send_if_modified(|known| {
            let is_news = known.is_none();
            known.get_or_insert_with(|| reason.to_owned());
            is_news
        });
    }
}

impl Deploys {
    /// How far a deployment is; `seen` steps are known.
    ///
    /// # Errors
    /// If there was none of this number.
    pub(super) fn progress(&self, number: u64, seen: usize) -> Result<Progress, String> {
        let state = self.state();
        if let Some(run) = [&state.run, &state.last].into_iter().flatten().find(|run| run.number == number) {
            let steps = run.steps.iter().skip(seen).cloned().collect();
            return Ok(Progress { steps, end: run.end.clone() });
        }
        let entry = state.record.history().rev().find(|entry| entry.number == number);
        let entry = entry.ok_or_else(|| format!("there is no deployment {number}"))?;
        Ok(Progress { steps: Vec::new(), end: Some(entry.clone()) })
    }
}

/// What keeps the slot from being taken.
fn busy(state: &State, for_what: For) -> Option<String> {
    if let Some(run) = &state.run {
        let version = run.digest.as_ref().map_or_else(String::new, |digest| format!(", {}", digest.short()));
        return Some(format!(
            "deployment {} is under way ({} of {}{version}); wait until it is over",
            run.number,
            run.action.name(),
            run.plugin,
        ));
    }
    let canary = state.record.under_way.as_ref().filter(|canary| for_what != For::Canary(canary.number))?;
    Some(format!(
        "deployment {} is under way: {} of {} runs as a canary; end it with `shaddock plugin promote {}` or \
         `shaddock plugin abort {}`",
        canary.number,
        canary.digest.short(),
        canary.plugin,
        canary.plugin,
        canary.plugin
    ))
}

/// The canary, if it is one of this plugin.
pub(super) fn canary_of(state: &State, plugin: &str) -> Option<UnderWay> {
    state.record.under_way.clone().filter(|canary| canary.plugin == plugin && canary.canary.is_some())
}

pub(super) fn refused(refusal: Refusal, error: impl Into<String>) -> Started {
    Started::Refused { refusal, error: error.into() }
}
