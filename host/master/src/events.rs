//! What the links say, entered into the table.

use std::sync::{Arc, Weak};

use serde_json::Value;
use shaddock_cluster::master_link::{Answer, LostReason, MasterEvent, MasterService};

use crate::master::Hub;
use crate::table::{Entry, Phase};
use crate::{deploy, logins, tools};

/// The receiver of the link port's events. It does not keep the hub alive, which holds the link port.
pub(crate) struct Service {
    hub: Weak<Hub>,
}

impl Service {
    pub(crate) fn new(hub: &Arc<Hub>) -> Service {
        Service { hub: Arc::downgrade(hub) }
    }
}

impl MasterService for Service {
    fn event(&self, event: MasterEvent) {
        let Some(hub) = self.hub.upgrade() else { return };
        let id = match &event {
            MasterEvent::Registered { member, .. } => member.id.clone(),
            MasterEvent::Ready { id }
            | MasterEvent::Leaving { id }
            | MasterEvent::Failed { id, .. }
            | MasterEvent::Lost { id, .. } => id.clone(),
        };
        if matches!(event, MasterEvent::Lost { .. }) {
            hub.logins.release_all(&id);
        }
        let is_ready = matches!(event, MasterEvent::Ready { .. });
        if hub.table.change(&id, |entry| apply(entry, event)).is_none() {
            tracing::warn!(%id, "a server that servers.json of the master does not have");
        }
        hub.table.forget_stopped(&id);
        if is_ready {
            deploy::reconcile(&hub, &id);
        }
    }

    fn server(&self, id: &Arc<str>, request: Value) -> Answer {
        match self.hub.upgrade() {
            Some(hub) => deploy::answer(&hub, &request).unwrap_or_else(|| logins::answer(&hub, id, request)),
            None => Box::pin(async { Err("the master is stopping".to_owned()) }),
        }
    }

    fn note(&self, id: &Arc<str>, note: Value) {
        if let Some(hub) = self.hub.upgrade()
            && !deploy::note(&hub, id, &note)
        {
            logins::note(&hub, id, note);
        }
    }

    fn tool(&self, request: Value) -> Answer {
        let hub = self.hub.upgrade();
        Box::pin(async move {
            match hub {
                Some(hub) => tools::answer(&hub, request).await,
                None => Err("the master is stopping".to_owned()),
            }
        })
    }
}

fn apply(entry: &mut Entry, event: MasterEvent) {
    match event {
        MasterEvent::Registered { process, .. } => {
            entry.linked = true;
            if entry.phase == Phase::Down {
                tracing::info!(id = %entry.id, pid = process.pid, "server is back");
            }
            if entry.phase != Phase::Stopping {
                entry.phase = Phase::Starting;
                entry.error = None;
                entry.own_words = false;
            }
        }
        MasterEvent::Ready { .. } => {
            if entry.phase != Phase::Stopping {
                entry.phase = Phase::Ready;
            }
            // The server itself logs that it is ready.
            tracing::debug!(id = %entry.id, "server ready");
        }
        MasterEvent::Leaving { .. } => entry.phase = Phase::Stopping,
        MasterEvent::Failed { message, .. } => {
            tracing::error!(id = %entry.id, error = message, "server cannot start");
            entry.phase = Phase::Down;
            entry.error = Some(message);
            entry.own_words = true;
        }
        MasterEvent::Lost { reason, .. } => lost(entry, reason),
    }
}

fn lost(entry: &mut Entry, reason: LostReason) {
    entry.linked = false;
    match reason {
        // A process of this master: its end will tell more than the end of its link.
        LostReason::Left | LostReason::Broken(_) if entry.phase == Phase::Stopping => {
            if entry.process.is_none() {
                entry.phase = Phase::Stopped;
            }
        }
        LostReason::Left => {}
        LostReason::Broken(how) => {
            tracing::warn!(id = %entry.id, error = how, "link to server lost");
            if !entry.phase.is_ending() {
                entry.phase = Phase::Down;
                entry.error = Some(format!("its link to the master broke: {how}"));
            }
        }
    }
}
