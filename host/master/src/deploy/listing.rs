//! What runs where, gathered on demand.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use shaddock_rollout::{Digest, Figures, Order, Trace, VersionState};

use super::Deploys;
use super::record::{Deployed, UnderWay};
use super::servers::{self, ASK_TIMEOUT};
use crate::ServerFailure;
use crate::control::{
    Compared, HistoryEntry, KnownVersion, PluginListing, PluginOverview, PluginState, RunningVersion,
    ServedCall, Traced,
};
use crate::master::Hub;

/// Fewest digits that name a version.
const PREFIX_MIN: usize = 4;

/// All plugins, with the figures of all servers that answer.
pub(super) async fn listing(hub: &Hub) -> PluginListing {
    let ids = servers::ready(hub);
    let answers = join_all(ids.iter().map(|id| servers::versions(hub, id))).await;
    let mut states = BTreeMap::new();
    let mut unanswered = Vec::new();
    for (id, answer) in ids.into_iter().zip(answers) {
        match answer {
            Ok(answer) => drop(states.insert(id, answer)),
            Err(error) => unanswered.push(ServerFailure { id, error }),
        }
    }
    let plugins =
        hub.deploys.files.iter().map(|(plugin, file)| hub.deploys.overview(plugin, file, &states)).collect();
    PluginListing { plugins, unanswered }
}

/// A user's last calls on all servers.
pub(super) async fn trace(hub: &Hub, uid: &str) -> Traced {
    let ids = servers::ready(hub);
    let order = Order::PluginTrace { uid: uid.to_owned() };
    let answers = join_all(ids.iter().map(|id| servers::order::<Trace>(hub, id, &order, ASK_TIMEOUT))).await;
    let mut traced = Traced::default();
    for (id, answer) in ids.into_iter().zip(answers) {
        match answer {
            Ok(trace) => {
                let calls = trace.calls.into_iter().map(|call| ServedCall { server: id.clone(), call });
                traced.calls.extend(calls);
            }
            Err(error) => traced.unanswered.push(ServerFailure { id, error }),
        }
    }
    traced.calls.sort_by_key(|served| served.call.at_ms);
    traced
}

/// The plugins of every server that answered.
type States = BTreeMap<String, Vec<VersionState>>;

impl Deploys {
    fn overview(&self, plugin: &str, file: &Digest, states: &States) -> PluginOverview {
        let (target, under_way, problems, watch_error) = {
            let state = self.state();
            let target = state.record.targets.get(plugin).cloned();
            let under_way = state.record.under_way.clone().filter(|under_way| under_way.plugin == plugin);
            (target, under_way, state.problems.clone(), state.watch_errors.get(plugin).cloned())
        };
        let digest = target.as_ref().map_or(file, |target| &target.digest);
        let mut stable = RunningVersion::of(digest, target.as_ref().map(|target| target.deployment));
        stable.since_ms = target.as_ref().map(|target| target.since_ms);
        let mut canary = under_way.as_ref().filter(|under_way| under_way.canary.is_some()).map(|under_way| {
            let since_ms = Some(under_way.since_ms);
            RunningVersion { since_ms, ..RunningVersion::of(&under_way.digest, Some(under_way.number)) }
        });
        let (mut differing, mut on_probation) = (Vec::new(), false);
        for (id, all) in states {
            let Some(state) = all.iter().find(|state| state.plugin == plugin) else { continue };
            if state.digest == *digest {
                on_probation |= state.on_probation;
                stable.add(id, &state.version, state.since_ms, &state.figures);
            } else {
                let problem = problems.get(id).map_or_else(String::new, |problem| format!(": {problem}"));
                let error = format!("runs {}{problem}", state.digest.short());
                differing.push(ServerFailure { id: id.clone(), error });
            }
            if let (Some(canary), Some(found)) = (&mut canary, &state.canary)
                && found.digest == canary.digest
            {
                canary.add(id, &found.version, state.since_ms, &found.figures);
            }
        }
        if let Some(canary) = &canary {
            let without = stable.servers.iter().filter(|id| !canary.servers.contains(id));
            differing.extend(without.map(|id| {
                let problem = problems.get(id).map_or_else(String::new, |problem| format!(": {problem}"));
                ServerFailure { id: id.clone(), error: format!("runs without the canary{problem}") }
            }));
        }
        let state = state_of(target.as_ref(), under_way.as_ref(), on_probation);
        PluginOverview { plugin: plugin.to_owned(), stable, canary, state, differing, watch_error }
    }

    /// What has been deployed, oldest first.
    pub(super) fn history(&self, plugin: Option<&str>) -> Vec<HistoryEntry> {
        let state = self.state();
        let wanted = |entry: &&HistoryEntry| plugin.is_none_or(|plugin| entry.plugin == plugin);
        state.record.history().filter(wanted).cloned().collect()
    }

    /// The version whose digest begins so, of one plugin or of all.
    ///
    /// # Errors
    /// If there is none, or more than one.
    pub(super) fn find(&self, prefix: &str, plugin: Option<&str>) -> Result<(String, Digest), String> {
        if prefix.len() < PREFIX_MIN {
            return Err(format!(
                "{prefix:?} does not name a version: give at least {PREFIX_MIN} digits of its digest"
            ));
        }
        let state = self.state();
        let wanted = |(name, digest): &(&str, &Digest)| {
            plugin.is_none_or(|plugin| plugin == *name) && digest.as_str().starts_with(prefix)
        };
        let mut found: Vec<_> = state.record.versions().filter(wanted).collect();
        found.dedup_by(|a, b| a.1 == b.1);
        match found.as_slice() {
            [(name, digest)] => Ok(((*name).to_owned(), (*digest).clone())),
            [] => Err(format!("no version {prefix} is known; see `shaddock plugin history`")),
            more => Err(format!("{} versions begin with {prefix}; give more digits", more.len())),
        }
    }

    /// Two versions beside each other.
    ///
    /// # Errors
    /// If one is not known, or no server has told what it offers.
    pub(super) fn compare(&self, a: &str, b: &str) -> Result<Compared, String> {
        let known = |prefix| {
            let (plugin, digest) = self.find(prefix, None)?;
            let summary = self.store.summary(&digest);
            let summary = summary.ok_or_else(|| format!("no server has loaded {} yet", digest.short()))?;
            Ok::<_, String>(KnownVersion { plugin, digest, summary })
        };
        Ok(Compared { a: known(a)?, b: known(b)? })
    }
}

fn state_of(target: Option<&Deployed>, under_way: Option<&UnderWay>, on_probation: bool) -> PluginState {
    if let Some(under_way) = under_way {
        let (number, digest) = (under_way.number, under_way.digest.clone());
        return match under_way.canary {
            Some(share_bp) => PluginState::Canary { number, share_bp, digest },
            None => PluginState::Deploying { number, digest },
        };
    }
    let Some(target) = target else { return PluginState::Stable };
    match target.action {
        action if action.is_rollback() => {
            PluginState::RolledBack { from: target.previous.clone(), reason: target.reason.clone() }
        }
        _ if on_probation => PluginState::Probation,
        _ => PluginState::Stable,
    }
}

impl RunningVersion {
    fn of(digest: &Digest, deployment: Option<u64>) -> RunningVersion {
        RunningVersion {
            digest: digest.clone(),
            version: None,
            since_ms: None,
            deployment,
            servers: Vec::new(),
            figures: Figures::default(),
        }
    }

    /// Adds a server that runs it.
    fn add(&mut self, id: &str, version: &str, since_ms: u64, figures: &Figures) {
        self.version.get_or_insert_with(|| version.to_owned());
        self.since_ms.get_or_insert(since_ms);
        self.servers.push(id.to_owned());
        self.figures.add(figures);
    }
}
