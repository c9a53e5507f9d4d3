//! Which plugin serves what on this server.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use shaddock_config::PluginEntry;
use shaddock_engine::Plugin;

use crate::error::ServerError;

/// All plugins of the cluster and what each of them serves.
///
/// Every server loads every plugin: for the routes of the dictionary, for the route functions, and to find
/// two plugins that claim one thing. It runs handlers, remotes and lifecycle only of those that serve its own
/// type.
#[derive(Default)]
pub(crate) struct Plugins {
    own: Vec<Plugin>,
    handlers: HashMap<Arc<str>, Plugin>,
    remotes: HashMap<Arc<str>, Plugin>,
    routers: HashMap<Arc<str>, Plugin>,
    /// Routes of plugins with `"ordered": false`.
    unordered: HashSet<Arc<str>>,
}

impl Plugins {
    /// Takes a plugin in, with its entry of plugins.json.
    pub(crate) fn add(
        &mut self,
        plugin: &Plugin,
        entry: &PluginEntry,
        own_type: &str,
    ) -> Result<(), ServerError> {
        for route in plugin.routes() {
            claim(&mut self.handlers, "route", route, plugin)?;
            if !entry.ordered {
                self.unordered.insert(Arc::from(&**route));
            }
        }
        for method in plugin.methods() {
            claim(&mut self.remotes, "method", method, plugin)?;
        }
        for server_type in plugin.router_types() {
            claim(&mut self.routers, "route function for", server_type, plugin)?;
        }
        if entry.server_types.iter().any(|server_type| server_type == own_type) {
            self.own.push(plugin.clone());
        }
        Ok(())
    }

    /// Those that serve this server's type.
    pub(crate) fn own(&self) -> &[Plugin] {
        &self.own
    }

    /// All routes of all server types, for the dictionary.
    pub(crate) fn routes(&self) -> impl Iterator<Item = &str> {
        self.handlers.keys().map(|route| &**route)
    }

    /// Whether the requests of one session for this route wait for each other.
    pub(crate) fn is_ordered(&self, route: &str) -> bool {
        !self.unordered.contains(route)
    }

    /// The plugin that serves a route, `serverType.handler.method`.
    pub(crate) fn handler(&self, route: &str) -> Option<&Plugin> {
        self.handlers.get(route)
    }

    /// The plugin that serves a remote's method, `serverType.service.method`.
    pub(crate) fn remote(&self, method: &str) -> Option<&Plugin> {
        self.remotes.get(method)
    }

    /// The plugin that routes to a server type.
    pub(crate) fn router(&self, server_type: &str) -> Option<&Plugin> {
        self.routers.get(server_type)
    }

    /// The server types that have a route function.
    pub(crate) fn routed_types(&self) -> impl Iterator<Item = (&Arc<str>, &Plugin)> {
        self.routers.iter()
    }
}

fn claim(
    map: &mut HashMap<Arc<str>, Plugin>,
    what: &'static str,
    name: &str,
    plugin: &Plugin,
) -> Result<(), ServerError> {
    match map.entry(name.into()) {
        Entry::Vacant(entry) => {
            entry.insert(plugin.clone());
            Ok(())
        }
        Entry::Occupied(entry) => Err(ServerError::Claimed {
            what,
            name: name.to_owned(),
            first: entry.get().name().name.to_string(),
            second: plugin.name().name.to_string(),
        }),
    }
}
