//! Loading plugins into an engine, and what a server makes of them.

use std::sync::Arc;

use shaddock_cluster::Member;
use shaddock_config::{Config, Filter, PluginEntry, Pool};
use shaddock_engine::{
    Compiled, Engine, EngineSettings, Grants, Host, Plugin, PluginLimits, PluginSpec, PoolPolicy,
};

use crate::crons;
use crate::edition::Edition;
use crate::error::ServerError;
use crate::plugins::{Order, Plugins};

/// Loads the plugins of one server.
pub(crate) struct Loader {
    config: Arc<Config>,
    own: Arc<Member>,
    engine: Engine,
    host: Arc<dyn Host>,
}

impl Loader {
    /// For the server `own`, whose functions plugins call at `host`.
    pub(crate) fn new(
        config: Arc<Config>,
        own: Arc<Member>,
        host: Arc<dyn Host>,
    ) -> Result<Self, ServerError> {
        let engine = Engine::new(&engine_settings(&config))?;
        Ok(Self { config, own, engine, host })
    }

    /// Loads a plugin, with its entry of plugins.json, from compiled code.
    pub(crate) async fn load(&self, entry: &PluginEntry, compiled: &Compiled) -> Result<Plugin, ServerError> {
        Ok(self.engine.load(spec(entry), compiled, Arc::clone(&self.host)).await?)
    }

    /// What the server makes of one version of every plugin, in the order of plugins.json, after what it had before.
    ///
    /// # Errors
    /// Two plugins claim one thing, or what the configuration names is offered by none.
    pub(crate) fn edition(&self, plugins: &[Plugin], before: &Plugins) -> Result<Edition, ServerError> {
        let own_type = &self.own.server_type;
        let settings = self.config.app_for(own_type);
        let has_serial = |filters: &[Filter]| filters.contains(&Filter::Serial);
        let order = Order {
            is_serial: has_serial(&settings.filters.global) || has_serial(&settings.filters.own),
            is_type_serial: &|server_type| has_serial(&self.config.app_for(server_type).filters.own),
        };
        let mut found = Plugins::after(before);
        for (plugin, entry) in plugins.iter().zip(&self.config.plugins) {
            found.add(plugin, entry, own_type, order)?;
        }
        if self.own.frontend {
            found.check_handshakes()?;
        }
        crons::check(&self.config, own_type, &self.own.id, &found)?;
        Edition::new(settings, found)
    }
}

/// The engine's settings for all plugins of a configuration; compiled code depends on them.
pub(crate) fn engine_settings(config: &Config) -> EngineSettings {
    let limits = || config.plugins.iter().map(|entry| &entry.limits);
    let instances: usize = limits().map(|limits| limits.instances_max + limits.nested_instances_max).sum();
    let memory = limits().map(|limits| limits.memory_bytes_max).max().unwrap_or_default();
    EngineSettings {
        instances_max: u32::try_from(instances).unwrap_or(u32::MAX),
        memory_bytes_max: memory as u64,
    }
}

/// A plugin's entry in the engine's words.
pub(crate) fn spec(entry: &PluginEntry) -> PluginSpec {
    let limits = &entry.limits;
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    PluginSpec {
        name: entry.name.clone(),
        server_types: entry.server_types.clone(),
        pool: match entry.pool {
            Pool::Warm => PoolPolicy::Warm,
            Pool::Fresh => PoolPolicy::Fresh,
            Pool::Single => PoolPolicy::Single,
        },
        limits: PluginLimits {
            memory_bytes_max: limits.memory_bytes_max as u64,
            deadline_ms: limits.deadline_ms,
            cpu_ms_max: u32::try_from(limits.cpu_ms_max).unwrap_or(u32::MAX),
            instances_max: count(limits.instances_max),
            nested_instances_max: count(limits.nested_instances_max),
            queue_ms_max: limits.queue_ms_max,
            queued_calls_max: count(limits.queued_calls_max),
            value_bytes_max: limits.value_bytes_max,
            ..PluginLimits::default()
        },
        grants: Grants {
            sessions: entry.grants.sessions,
            channels: entry.grants.channels,
            rpc: entry.grants.rpc,
            timers: entry.grants.timers,
        },
        settings: entry.settings.to_string(),
    }
}
