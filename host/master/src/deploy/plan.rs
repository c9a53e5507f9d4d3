//! What a deployment is to do, and how it gets into the record.

use std::time::Duration;

use shaddock_rollout::{Digest, Share};

use super::record::{Deployed, UnderWay};
use super::{Deploys, now_ms};
use crate::control::{Action, HistoryEntry};

/// A deployment to carry out.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) number: u64,
    pub(super) plugin: String,
    pub(super) digest: Digest,
    pub(super) from: Digest,
    pub(super) action: Action,
    /// Why, if nobody asked for it.
    pub(super) reason: Option<String>,
    pub(super) by: String,
    pub(super) canary: Option<Share>,
    /// Whether what vanishes is no question.
    pub(super) force: bool,
    pub(super) settle: Duration,
}

impl Plan {
    /// The line of the history, now that it is over.
    pub(super) fn entry(
        &self,
        action: Action,
        result: Result<(), String>,
        skipped: Vec<String>,
    ) -> HistoryEntry {
        HistoryEntry {
            number: self.number,
            at_ms: now_ms(),
            plugin: self.plugin.clone(),
            action,
            digest: self.digest.clone(),
            from: Some(self.from.clone()),
            done: result.is_ok(),
            reason: result.err().or_else(|| self.reason.clone()),
            by: self.by.clone(),
            skipped,
        }
    }

    /// The same plan, of a canary that runs.
    pub(super) fn of_canary(canary: &UnderWay, by: &str, reason: Option<String>) -> Plan {
        Plan {
            number: canary.number,
            plugin: canary.plugin.clone(),
            digest: canary.digest.clone(),
            from: canary.from.clone(),
            action: Action::Canary,
            reason,
            by: by.to_owned(),
            canary: canary.canary,
            force: true,
            settle: Duration::ZERO,
        }
    }
}

impl Deploys {
    /// Enters a deployment that begins into the record.
    pub(super) fn begin(&self, plan: &Plan) -> Result<(), String> {
        self.change(|record| {
            record.under_way = Some(UnderWay {
                number: plan.number,
                plugin: plan.plugin.clone(),
                digest: plan.digest.clone(),
                from: plan.from.clone(),
                action: plan.action,
                by: plan.by.clone(),
                since_ms: now_ms(),
                canary: None,
            });
        })
    }

    /// Notes that a canary runs.
    pub(super) fn keep_canary(&self, plan: &Plan, entry: HistoryEntry) -> Result<(), String> {
        self.change(|record| {
            if let Some(under_way) = &mut record.under_way {
                under_way.canary = plan.canary;
            }
            record.remember(&plan.plugin, &plan.digest);
            record.note(entry);
        })
    }

    /// Makes the deployment's version the one that counts, from now on and after a crash.
    pub(super) fn commit(&self, plan: &Plan, entry: HistoryEntry) -> Result<(), String> {
        let file = self.files.get(&plan.plugin).unwrap_or(&plan.from).clone();
        self.change(|record| {
            let target = Deployed {
                digest: plan.digest.clone(),
                deployment: plan.number,
                since_ms: now_ms(),
                previous: plan.from.clone(),
                file,
                action: entry.action,
                reason: plan.reason.clone(),
            };
            record.targets.insert(plan.plugin.clone(), target);
            record.under_way = None;
            record.remember(&plan.plugin, &plan.digest);
            record.note(entry);
        })
    }

    /// Notes that a deployment is over without having become what counts.
    pub(super) fn give_up(&self, entry: HistoryEntry) -> Result<(), String> {
        self.change(|record| {
            record.under_way = None;
            record.note(entry);
        })
    }
}
