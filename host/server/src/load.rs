//! Loading plugins into an engine, and what a server makes of them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use shaddock_cluster::Member;
use shaddock_config::{Config, Filter, PluginEntry, Pool, ServerTypeSettings};
use shaddock_engine::{
    Compiled, Engine, EngineSettings, Grants, Host, Plugin, PluginLimits, PluginSpec, PoolPolicy, Recorder,
};
use shaddock_wire::dictionary::Dictionary;
use shaddock_wire::protobuf::Protos;
use shaddock_wire::protocol::{Limits, Protocol};

use crate::crons;
use crate::edition::{Edition, Loaded};
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

    /// What plugins.json says, in its order.
    pub(crate) fn entries(&self) -> &[PluginEntry] {
        &self.config.plugins
    }

    /// Loads a plugin, with its entry of plugins.json, from compiled code.
    pub(crate) async fn load(&self, entry: &PluginEntry, compiled: &Compiled) -> Result<Plugin, ServerError> {
        self.load_recorded(entry, compiled, None).await
    }

    /// The same, with its calls taken down.
    pub(crate) async fn load_recorded(
        &self,
        entry: &PluginEntry,
        compiled: &Compiled,
        recorder: Option<Arc<Recorder>>,
    ) -> Result<Plugin, ServerError> {
        let spec = PluginSpec { recorder, ..spec(entry) };
        Ok(self.engine.load(spec, compiled, Arc::clone(&self.host)).await?)
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

    /// What new clients speak when these plugins run, and `before` did. Who speaks the same shares it.
    pub(crate) fn protocol<'a>(
        &self,
        settings: &ServerTypeSettings,
        plugins: impl IntoIterator<Item = &'a Plugins>,
        before: Option<&Loaded>,
    ) -> Result<Arc<Protocol>, ServerError> {
        let next = protocol(&self.config, settings, plugins.into_iter().flat_map(Plugins::routes))?;
        Ok(match before {
            Some(before) if speaks_the_same(&before.protocol, &next) => Arc::clone(&before.protocol),
            _ => Arc::new(next),
        })
    }
}

/// What the clients of a server speak when plugins serve these routes.
pub(crate) fn protocol<'a>(
    config: &Config,
    settings: &ServerTypeSettings,
    routes: impl Iterator<Item = &'a str>,
) -> Result<Protocol, ServerError> {
    let connector = &settings.connector;
    let broken = |error: shaddock_wire::WireError| ServerError::Protocol(error.to_string());
    let routes: BTreeSet<String> = routes.map(str::to_owned).collect();
    let dictionary = connector.use_dict.then(|| Dictionary::new(routes, &config.dictionary).map_err(broken));
    let protos = connector
        .use_protobuf
        .then(|| Protos::parse(&config.client_protos, &config.server_protos).map_err(broken));
    Ok(Protocol {
        heartbeat: connector.heartbeat_s.map(Duration::from_secs),
        heartbeat_timeout: connector.heartbeat_timeout_s.map(Duration::from_secs),
        dictionary: dictionary.transpose()?,
        protos: protos.transpose()?,
        limits: Limits {
            handshake_body_bytes_max: connector.handshake_body_bytes_max,
            body_bytes_max: connector.body_bytes_max,
        },
    })
}

/// The engine's settings for all plugins of a configuration; compiled code depends on them.
pub(crate) fn engine_settings(config: &Config) -> EngineSettings {
    let limits = || config.plugins.iter().map(|entry| &entry.limits);
    // Twice: a new version has room beside the one that runs.
    let instances: usize =
        limits().map(|limits| 2 * (limits.instances_max + limits.nested_instances_max)).sum();
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
            calls_per_instance_max: count(limits.calls_per_instance_max),
            recycle_calls: limits.recycle_calls,
            recycle_bytes: limits.recycle_bytes,
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
        recorder: None,
    }
}

/// The schemas come from files that do not change while a server runs.
fn speaks_the_same(before: &Protocol, next: &Protocol) -> bool {
    let version =
        |protocol: &Protocol| protocol.dictionary.as_ref().map(|dictionary| dictionary.version().to_owned());
    version(before) == version(next)
}
