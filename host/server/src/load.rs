//! Loading the plugins of a configuration into an engine.

use std::sync::Arc;

use shaddock_config::{Config, Filter, PluginEntry, Pool};
use shaddock_engine::{Cache, Engine, EngineSettings, Grants, Host, PluginLimits, PluginSpec, PoolPolicy};

use crate::error::ServerError;
use crate::plugins::{Order, Plugins};

/// Loads every plugin from the compiled code in the cache, and finds out who serves what.
pub(crate) async fn plugins(
    config: &Config,
    own_type: &str,
    cache: &Cache,
    host: Arc<dyn Host>,
) -> Result<Plugins, ServerError> {
    let engine = Engine::new(&engine_settings(config))?;
    let mut plugins = Plugins::default();
    let has_serial = |filters: &[Filter]| filters.contains(&Filter::Serial);
    let own = &config.app_for(own_type).filters;
    let order = Order {
        is_serial: has_serial(&own.global) || has_serial(&own.own),
        is_type_serial: &|server_type| has_serial(&config.app_for(server_type).filters.own),
    };
    for entry in &config.plugins {
        let compiled = cache.require(&entry.component)?;
        let plugin = engine.load(spec(entry), &compiled, Arc::clone(&host)).await?;
        plugins.add(&plugin, entry, own_type, order)?;
    }
    Ok(plugins)
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
