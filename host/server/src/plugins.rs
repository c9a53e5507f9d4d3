//! Which plugin serves what on this server.

use std::sync::Arc;

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use shaddock_config::PluginEntry;
use shaddock_engine::Plugin;

use crate::error::ServerError;
use crate::filters::Offered;
use crate::lanes::LaneKey;
use crate::trace::ROUTES;

/// All plugins of the cluster and what each of them serves.
///
/// Every server loads every plugin: for the routes of the dictionary, for the route functions, and to find
/// two plugins that claim one thing. It runs handlers, remotes and lifecycle only of those that serve its own
/// type.
#[derive(Default)]
pub(crate) struct Plugins {
    /// In the order of plugins.json.
    all: Vec<Plugin>,
    own: Vec<Plugin>,
    routes: HashMap<Arc<str>, Arc<Route>>,
    /// The server types of the routes; their order gives the lanes their numbers.
    routed_to: Vec<Arc<str>>,
    remotes: HashMap<Arc<str>, Plugin>,
    routers: HashMap<Arc<str>, Plugin>,
    offered: Offers,
    /// Those that check handshakes.
    handshakes: Vec<Plugin>,
}

/// What the plugins of this server's own type offer by name.
#[derive(Default)]
struct Offers {
    filters: HashMap<Arc<str>, Offered>,
    error_handlers: HashMap<Arc<str>, Offered>,
    rpc_filters: HashMap<Arc<str>, Offered>,
    broadcast_filters: HashMap<Arc<str>, Offered>,
    cron_actions: HashMap<Arc<str>, Offered>,
}

/// A route of client messages, `serverType.handler.method`, with all that is known of it beforehand.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) name: Arc<str>,
    /// The number of its name, see [`ROUTES`]; none if no plugin serves it.
    pub(crate) number: Option<u32>,
    pub(crate) server_type: Arc<str>,
    /// Whose order it has its place in; none if the plugin does not ask for order.
    pub(crate) lane: Option<LaneKey>,
    /// None: a route that no plugin serves.
    pub(crate) plugin: Option<Plugin>,
}

impl Route {
    /// One that no plugin serves, as far as this server knows. All of them share an order of their own.
    pub(crate) fn unserved(name: &str, server_type: Arc<str>) -> Self {
        Self { name: name.into(), number: None, server_type, lane: Some(LaneKey(u32::MAX)), plugin: None }
    }
}

/// In which order the requests of one session run, beyond what their plugins ask for.
#[derive(Clone, Copy)]
pub(crate) struct Order<'a> {
    /// All of them one at a time: the filter `serial` on this server.
    pub(crate) is_serial: bool,
    /// Whether those for a server type run one at a time: the filter `serial` of that type.
    pub(crate) is_type_serial: &'a dyn Fn(&str) -> bool,
}

impl Default for Order<'_> {
    fn default() -> Self {
        Self { is_serial: false, is_type_serial: &|_| false }
    }
}

impl Order<'_> {
    fn lane(self, server_type: &str, number: u32, is_ordered: bool) -> Option<LaneKey> {
        if self.is_serial {
            return Some(LaneKey(0));
        }
        (is_ordered || (self.is_type_serial)(server_type)).then_some(LaneKey(number))
    }
}

/// Names of filters that app.json takes for the built-in ones.
const BUILT_IN: [&str; 5] = ["serial", "time", "timeout", "toobusy", "rpcLog"];

impl Plugins {
    /// None yet. The lanes of server types are numbered on from those of `before`: sessions have requests in them.
    pub(crate) fn after(before: &Self) -> Self {
        Self { routed_to: before.routed_to.clone(), ..Self::default() }
    }

    /// Takes a plugin in, with its entry of plugins.json. `order` is that of the server's own clients.
    pub(crate) fn add(
        &mut self,
        plugin: &Plugin,
        entry: &PluginEntry,
        own_type: &str,
        order: Order<'_>,
    ) -> Result<(), ServerError> {
        for name in plugin.routes() {
            let server_type = name.split('.').next().unwrap_or_default();
            let number = self.routed_to.iter().position(|known| **known == *server_type);
            let number = number.unwrap_or_else(|| {
                self.routed_to.push(server_type.into());
                self.routed_to.len() - 1
            });
            let route = Route {
                name: Arc::clone(name),
                number: Some(ROUTES.number(name)),
                server_type: self.routed_to.get(number).map_or_else(|| server_type.into(), Arc::clone),
                lane: order.lane(server_type, number as u32, entry.ordered),
                plugin: Some(plugin.clone()),
            };
            match self.routes.entry(Arc::clone(name)) {
                Entry::Vacant(place) => drop(place.insert(Arc::new(route))),
                Entry::Occupied(place) => {
                    return Err(claimed("route", name, place.get().plugin.as_ref(), plugin));
                }
            }
        }
        for method in plugin.methods() {
            claim(&mut self.remotes, "method", method, plugin)?;
        }
        for server_type in plugin.router_types() {
            claim(&mut self.routers, "route function for", server_type, plugin)?;
        }
        if entry.tick_hz.is_some() && !plugin.has_tick() {
            return Err(ServerError::NoTick { plugin: entry.name.clone() });
        }
        if entry.server_types.iter().any(|server_type| server_type == own_type) {
            self.add_own(plugin)?;
        }
        self.all.push(plugin.clone());
        Ok(())
    }

    /// Takes in what a plugin of the server's own type offers by name.
    pub(crate) fn add_own(&mut self, plugin: &Plugin) -> Result<(), ServerError> {
        let mut names = plugin.filters().iter().chain(plugin.rpc_filters());
        if let Some(name) = names.find(|name| BUILT_IN.contains(&&***name)) {
            let (plugin, name) = (plugin.name().name.to_string(), name.to_string());
            return Err(ServerError::BuiltIn { plugin, name });
        }
        let offered = &mut self.offered;
        offer(&mut offered.filters, "filter", plugin.filters(), plugin)?;
        offer(&mut offered.error_handlers, "error handler", plugin.error_handlers(), plugin)?;
        offer(&mut offered.rpc_filters, "filter of calls", plugin.rpc_filters(), plugin)?;
        offer(&mut offered.broadcast_filters, "filter of broadcasts", plugin.broadcast_filters(), plugin)?;
        offer(&mut offered.cron_actions, "action of crons", plugin.cron_actions(), plugin)?;
        if plugin.has_handshake() {
            self.handshakes.push(plugin.clone());
        }
        self.own.push(plugin.clone());
        Ok(())
    }

    /// Every plugin, in the order of plugins.json.
    pub(crate) fn all(&self) -> &[Plugin] {
        &self.all
    }

    /// Those that serve this server's type.
    pub(crate) fn own(&self) -> &[Plugin] {
        &self.own
    }

    /// All routes of all server types, for the dictionary.
    pub(crate) fn routes(&self) -> impl Iterator<Item = &str> {
        self.routes.keys().map(|route| &**route)
    }

    /// A route that a plugin serves.
    pub(crate) fn route(&self, name: &str) -> Option<&Arc<Route>> {
        self.routes.get(name)
    }

    /// The plugin that serves a remote's method, `serverType.service.method`.
    pub(crate) fn remote(&self, method: &str) -> Option<&Plugin> {
        self.remotes.get(method)
    }

    /// The plugin that routes to a server type.
    pub(crate) fn router(&self, server_type: &str) -> Option<&Plugin> {
        self.routers.get(server_type)
    }

    /// The plugin that checks handshakes.
    pub(crate) fn handshake(&self) -> Option<&Plugin> {
        self.handshakes.first()
    }

    /// A frontend has one plugin at most that checks handshakes.
    pub(crate) fn check_handshakes(&self) -> Result<(), ServerError> {
        match self.handshakes.as_slice() {
            [first, second, ..] => Err(claimed("check of", "handshakes", Some(first), second)),
            _ => Ok(()),
        }
    }

    /// The filter of that name.
    pub(crate) fn filter(&self, name: &str) -> Option<&Offered> {
        self.offered.filters.get(name)
    }

    /// The error handler of that name.
    pub(crate) fn error_handler(&self, name: &str) -> Option<&Offered> {
        self.offered.error_handlers.get(name)
    }

    /// The filter of calls of that name.
    pub(crate) fn rpc_filter(&self, name: &str) -> Option<&Offered> {
        self.offered.rpc_filters.get(name)
    }

    /// The filter of broadcasts of that name.
    pub(crate) fn broadcast_filter(&self, name: &str) -> Option<&Offered> {
        self.offered.broadcast_filters.get(name)
    }

    /// The action of crons of that name.
    pub(crate) fn cron_action(&self, name: &str) -> Option<&Offered> {
        self.offered.cron_actions.get(name)
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
        Entry::Occupied(entry) => Err(claimed(what, name, Some(entry.get()), plugin)),
    }
}

fn offer(
    map: &mut HashMap<Arc<str>, Offered>,
    what: &'static str,
    names: &[Arc<str>],
    plugin: &Plugin,
) -> Result<(), ServerError> {
    for name in names {
        match map.entry(Arc::clone(name)) {
            Entry::Vacant(entry) => drop(entry.insert((plugin.clone(), Arc::clone(name)))),
            Entry::Occupied(entry) => return Err(claimed(what, name, Some(&entry.get().0), plugin)),
        }
    }
    Ok(())
}

fn claimed(what: &'static str, name: &str, first: Option<&Plugin>, second: &Plugin) -> ServerError {
    ServerError::Claimed {
        what,
        name: name.to_owned(),
        first: first.map(|plugin| plugin.name().name.to_string()).unwrap_or_default(),
        second: second.name().name.to_string(),
    }
}
