//! Loading every plugin once, without a server around it: what `shaddock check` does.

use std::sync::Arc;

use serde::Serialize;
use shaddock_config::Config;
use shaddock_engine::{Cache, Engine, Host, Plugin};

use crate::crons;
use crate::error::ServerError;
use crate::filters::AllFilters;
use crate::host::PluginHost;
use crate::load::{engine_settings, spec};
use crate::plugins::{Order, Plugins};
use crate::run::{member, new_server};

/// What the plugins of a configuration serve, and what is wrong with them.
#[derive(Debug, Default)]
pub struct Checked {
    /// The plugins that load.
    pub plugins: Vec<CheckedPlugin>,
    /// Why others do not, or which ones claim one thing.
    pub problems: Vec<ServerError>,
}

/// A plugin that loads.
#[derive(Debug, Clone, Serialize)]
pub struct CheckedPlugin {
    /// Its name in plugins.json.
    pub name: String,
    /// The version that would run: the first digits of the digest.
    pub version: String,
    /// The routes it serves.
    pub routes: Vec<String>,
    /// The remote methods it serves.
    pub methods: Vec<String>,
    /// The server types it routes for.
    pub router_types: Vec<String>,
}

/// Loads every plugin as a server would (an instance is made and its `init` runs, seeing the first server of
/// servers.json as its own and no other), and finds all problems at once.
///
/// # Errors
/// What concerns no single plugin: the engine cannot be set up, or servers.json is empty.
pub async fn check(config: &Config, cache: &Cache) -> Result<Checked, ServerError> {
    let entry = config.servers.first().ok_or_else(|| ServerError::UnknownServer(String::new()))?;
    let server = new_server(config, entry, &member(entry))?;
    let host: Arc<dyn Host> = Arc::new(PluginHost(Arc::new(server)));
    let engine = Engine::new(&engine_settings(config))?;
    let mut checked = Checked::default();
    let mut plugins = Plugins::default();
    let mut loaded_plugins = Vec::new();
    for entry in &config.plugins {
        let loaded = async {
            let compiled = cache.require(&entry.component)?;
            engine.load(spec(entry), &compiled, Arc::clone(&host)).await
        };
        match loaded.await {
            Ok(plugin) => {
                if let Err(claimed) = plugins.add(&plugin, entry, "", Order::default()) {
                    checked.problems.push(claimed);
                }
                loaded_plugins.push((plugin.clone(), entry));
                checked.plugins.push(summary(&plugin));
            }
            Err(error) => checked.problems.push(error.into()),
        }
    }
    if loaded_plugins.len() == config.plugins.len() {
        for server_type in config.types() {
            let mut own = Plugins::default();
            for (plugin, entry) in &loaded_plugins {
                if entry.server_types.iter().any(|served| served == server_type)
                    && let Err(claimed) = own.add_own(plugin)
                {
                    checked.problems.push(claimed);
                }
            }
            if config.servers_of(server_type).any(|server| server.frontend) {
                checked.problems.extend(own.check_handshakes().err());
            }
            let crons = config.crons.iter().filter(|cron| cron.server_type == server_type);
            checked.problems.extend(crons.filter_map(|cron| crons::action_of(cron, &own).err()));
            if let Err(missing) = AllFilters::new(&config.app_for(server_type).filters, &own) {
                checked.problems.push(missing);
            }
        }
    }
    Ok(checked)
}

fn summary(plugin: &Plugin) -> CheckedPlugin {
    let names = |list: &[Arc<str>]| list.iter().map(ToString::to_string).collect();
    CheckedPlugin {
        name: plugin.name().name.to_string(),
        version: plugin.name().version.to_string(),
        routes: names(plugin.routes()),
        methods: names(plugin.methods()),
        router_types: names(plugin.router_types()),
    }
}
