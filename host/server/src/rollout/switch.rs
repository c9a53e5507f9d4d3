//! How what runs is changed: by one pointer, after the state of a stateful plugin has been handed over.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use shaddock_config::Pool;
use shaddock_engine::{HandOverLimits, Plugin, SavedState};
use shaddock_rollout::{Share, Switched};

use super::{Before, Candidate, Pending, Probation, Rollout, Running, Watched, log_step, micros};
use crate::edition::{Canary, Loaded};
use crate::server::Server;

/// What a version has left to the one that took over.
pub(super) struct Replaced {
    old: Plugin,
    /// For how long calls were held.
    held: Option<Duration>,
    state: Option<SavedState>,
}

impl Rollout {
    /// Lets what is prepared serve: a share of the calls, or all of them.
    pub(super) async fn switch(
        &self,
        server: &Server,
        deployment: u64,
        share: Option<Share>,
    ) -> Result<Switched, String> {
        let mut pending = self.pending.lock().await;
        match share {
            Some(share) => self.begin_canary(server, &mut pending, deployment, share),
            None => self.take_over(server, &mut pending, deployment).await,
        }
    }

    fn begin_canary(
        &self,
        server: &Server,
        pending: &mut Pending,
        deployment: u64,
        share: Share,
    ) -> Result<Switched, String> {
        if let Some(canary) = &pending.canary
            && canary.deployment != deployment
        {
            return Err(format!("the canary of deployment {} runs here", canary.deployment));
        }
        let candidate = pending.take(deployment).ok_or_else(|| not_prepared(deployment))?;
        let name = &candidate.plugin.name().name;
        let (index, entry) = self.entry(name)?;
        if entry.pool == Pool::Single {
            return Err(format!("{name} has one instance (pool policy single): its calls cannot be shared"));
        }
        let loaded = server.loaded().map_err(|failure| failure.message)?;
        let text = |error: crate::ServerError| error.to_string();
        let beside = self.edition_with(&loaded, index, &candidate.plugin).map_err(text)?;
        let both = [&loaded.edition.plugins, &beside.plugins];
        let protocol = self.loader.protocol(&server.settings, both, Some(&loaded)).map_err(text)?;
        let canary = Some(Canary { deployment, share, edition: Arc::new(beside) });
        server.run(Loaded { edition: Arc::clone(&loaded.edition), canary, protocol });
        log_step(&candidate.plugin, deployment, "a canary begins");
        let baseline = self.plugin(&loaded, index).map(Plugin::stats);
        pending.canary = Some(candidate);
        pending.watched = baseline.map(|baseline| Watched { baseline, is_reported: false });
        self.something_new.notify_one();
        Ok(Switched { held_us: None })
    }

    async fn take_over(
        &self,
        server: &Server,
        pending: &mut Pending,
        deployment: u64,
    ) -> Result<Switched, String> {
        let Some(Candidate { plugin, .. }) = pending.take(deployment) else {
            let runs = self.running().values().any(|running| running.deployment == Some(deployment));
            return if runs { Ok(Switched { held_us: None }) } else { Err(not_prepared(deployment)) };
        };
        let name = Arc::clone(&plugin.name().name);
        let is_return =
            self.before(&name, |before| before.name.digest == plugin.name().digest).unwrap_or(false);
        let Replaced { old, held, state } = self.replace(server, &plugin, is_return).await?;
        if let Some(canary) = pending.canary.take() {
            // The master has forgotten about it.
            retire(server, &canary.plugin);
        }
        let probation_s = server.settings.update.probation_s;
        let probation =
            Probation { until: Instant::now() + Duration::from_secs(probation_s), is_reported: false };
        let mut running = self.running();
        if let Some(running) = running.get_mut(&*name) {
            let before = Before {
                name: Arc::clone(old.name()),
                deployment: running.deployment,
                stats: old.stats(),
                state,
            };
            *running = Running {
                since: SystemTime::now(),
                deployment: Some(deployment),
                is_committed: false,
                before: Some(before),
                probation: (probation_s > 0).then_some(probation),
            };
        }
        drop(running);
        self.something_new.notify_one();
        log_step(&plugin, deployment, "a version has taken over");
        Ok(Switched { held_us: held.map(micros) })
    }

    /// Changes what runs to a version of one plugin, beside which no canary runs then. Of a stateful plugin the state
    /// goes along. If it cannot be had and the version is one that `is_return`s, that goes on with the last state of
    /// its own.
    pub(super) async fn replace(
        &self,
        server: &Server,
        plugin: &Plugin,
        is_return: bool,
    ) -> Result<Replaced, String> {
        let name = &plugin.name().name;
        let (index, entry) = self.entry(name)?;
        let text = |error: crate::ServerError| error.to_string();
        let loaded = server.loaded().map_err(|failure| failure.message)?;
        let old = self.plugin(&loaded, index).ok_or_else(|| format!("{name} does not run here"))?.clone();
        let edition = self.edition_with(&loaded, index, plugin).map_err(text)?;
        let protocol =
            self.loader.protocol(&server.settings, [&edition.plugins], Some(&loaded)).map_err(text)?;
        let next = Loaded { edition: Arc::new(edition), canary: None, protocol };
        let update = &server.settings.update;
        let limits = HandOverLimits {
            hold: Duration::from_millis(update.state_hold_ms),
            state_bytes_max: update.state_bytes_max,
        };
        let handed = match old.hand_over(plugin, limits).await {
            Err(error) if is_return => {
                tracing::warn!(plugin = &**name, %error, "a version that is left gives no state; the one before goes on with its own last one");
                let state = self.before(name, |before| before.state.clone()).flatten();
                plugin.load_saved(&old, state, limits).await
            }
            handed => handed,
        };
        let handed = handed.map_err(|error| format!("{name} was not handed over: {error}"))?;
        server.run(next);
        retire(server, &old);
        let held = (entry.pool == Pool::Single).then_some(handed.held);
        Ok(Replaced { old, held, state: handed.state })
    }

    /// Makes a switch final.
    pub(super) fn commit(&self, deployment: u64) -> Result<(), String> {
        let mut running = self.running();
        let switched = running.values_mut().find(|running| running.deployment == Some(deployment));
        let switched =
            switched.ok_or_else(|| format!("deployment {deployment} has not been switched to here"))?;
        switched.is_committed = true;
        Ok(())
    }

    /// Drops what is prepared, ends a canary, or goes back from a switch that is not committed.
    pub(super) async fn revert(&self, server: &Server, deployment: u64) -> Result<(), String> {
        let mut pending = self.pending.lock().await;
        if pending.prepared.as_ref().is_some_and(|prepared| prepared.deployment == deployment) {
            pending.prepared = None;
        }
        if pending.canary.as_ref().is_some_and(|canary| canary.deployment == deployment) {
            self.end_canary(server, &mut pending)?;
        }
        let switched = self.running().iter().find_map(|(name, running)| {
            let before = running.before.as_ref()?;
            let is_it = running.deployment == Some(deployment) && !running.is_committed;
            is_it.then(|| (name.clone(), Arc::clone(&before.name), before.deployment))
        });
        let Some((name, before, deployment_before)) = switched else { return Ok(()) };
        let plugin = self.load_again(&before, None).await?;
        self.replace(server, &plugin, true).await?;
        let first = Running {
            since: SystemTime::now(),
            deployment: deployment_before,
            is_committed: true,
            before: None,
            probation: None,
        };
        self.running().insert(name, first);
        log_step(&plugin, deployment, "a version is back");
        Ok(())
    }

    fn end_canary(&self, server: &Server, pending: &mut Pending) -> Result<(), String> {
        let Some(Candidate { deployment, plugin }) = pending.canary.take() else { return Ok(()) };
        let loaded = server.loaded().map_err(|failure| failure.message)?;
        let edition = Arc::clone(&loaded.edition);
        let protocol = self.loader.protocol(&server.settings, [&edition.plugins], Some(&loaded));
        let protocol = protocol.map_err(|error| error.to_string())?;
        server.run(Loaded { edition, canary: None, protocol });
        retire(server, &plugin);
        log_step(&plugin, deployment, "a canary ends");
        Ok(())
    }

    /// Reads what is known of the version before the one that runs.
    fn before<T>(&self, plugin: &str, read: impl FnOnce(&Before) -> T) -> Option<T> {
        self.running().get(plugin)?.before.as_ref().map(read)
    }
}

impl Pending {
    /// The version of a deployment, wherever it is.
    fn take(&mut self, deployment: u64) -> Option<Candidate> {
        let is_it = |candidate: &mut Candidate| candidate.deployment == deployment;
        self.prepared.take_if(is_it).or_else(|| self.canary.take_if(is_it))
    }
}

/// Lets the calls of a version end.
fn retire(server: &Server, plugin: &Plugin) {
    // Not among the server's tasks: a stop does not wait for it.
    tokio::spawn(plugin.clone().retire(Duration::from_millis(server.settings.update.grace_ms)));
}

fn not_prepared(deployment: u64) -> String {
    format!("deployment {deployment} has not been prepared here")
}
