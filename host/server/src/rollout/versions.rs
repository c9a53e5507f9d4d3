//! What is told of the versions here.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use shaddock_engine::{Plugin, PluginName, PluginStats};
use shaddock_rollout::{Before, Canary, Digest, Figures, Summary, VersionState, Versions};

use super::{Rollout, micros};
use crate::server::Server;

impl Rollout {
    /// The state of every plugin.
    pub(super) fn versions(&self, server: &Server) -> Result<Versions, String> {
        let loaded = server.loaded().map_err(|failure| failure.message)?;
        let mut plugins = Vec::new();
        for (index, plugin) in loaded.edition.plugins.all().iter().enumerate() {
            let PluginName { name, version, .. } = &**plugin.name();
            let canary = loaded.canary.as_ref().and_then(|canary| {
                let beside = canary.edition.plugins.all().get(index)?;
                (beside.name().digest != plugin.name().digest).then_some((canary, beside))
            });
            let canary = canary.map(|(canary, plugin)| {
                Ok::<_, String>(Canary {
                    version: plugin.name().version.to_string(),
                    digest: digest(plugin.name())?,
                    deployment: canary.deployment,
                    share_bp: canary.share,
                    figures: figures(&plugin.stats()),
                })
            });
            let running = self.running();
            let Some(running) = running.get(&**name) else { continue };
            let before = running.before.as_ref().map(|before| {
                Ok::<_, String>(Before {
                    version: before.name.version.to_string(),
                    digest: digest(&before.name)?,
                    figures: figures(&before.stats),
                })
            });
            plugins.push(VersionState {
                plugin: name.to_string(),
                version: version.to_string(),
                digest: digest(plugin.name())?,
                since_ms: since_ms(running.since),
                deployment: running.deployment,
                committed: running.is_committed,
                on_probation: running
                    .probation
                    .as_ref()
                    .is_some_and(|probation| probation.until > Instant::now()),
                is_own: loaded.edition.plugins.own().iter().any(|own| own.name() == plugin.name()),
                summary: summary(plugin),
                figures: figures(&plugin.stats()),
                before: before.transpose()?,
                canary: canary.transpose()?,
            });
        }
        plugins.sort_by(|a, b| a.plugin.cmp(&b.plugin));
        Ok(Versions { plugins })
    }
}

fn digest(name: &PluginName) -> Result<Digest, String> {
    name.digest.parse().map_err(|error: shaddock_rollout::DigestError| error.to_string())
}

fn since_ms(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

fn figures(stats: &PluginStats) -> Figures {
    Figures {
        calls: stats.calls,
        errors: stats.errors.iter().map(|(kind, count)| ((*kind).to_owned(), *count)).collect(),
        p50_us: stats.p50.map(micros),
        p99_us: stats.p99.map(micros),
        instances: stats.instances_live,
    }
}

/// What a version offers, as the master wants to know it.
pub(super) fn summary(plugin: &Plugin) -> Summary {
    let shaddock_engine::Summary {
        bytes,
        routes,
        methods,
        router_types,
        filters,
        error_handlers,
        rpc_filters,
        broadcast_filters,
        cron_actions,
        exports,
        imports,
        self_test,
        state,
    } = plugin.summary().clone();
    Summary {
        bytes,
        routes,
        methods,
        router_types,
        filters,
        error_handlers,
        rpc_filters,
        broadcast_filters,
        cron_actions,
        exports,
        imports,
        self_test,
        state,
    }
}
