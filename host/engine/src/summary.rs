//! What a version of a plugin offers and asks for, to be compared with another version.

use serde::{Deserialize, Serialize};
use wasmtime::component::Component;
use wasmtime::component::types::ComponentItem;

use crate::load::Offer;
use crate::roles::Roles;

/// What one version of a plugin offers and asks for. All lists are sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// The size of the component file.
    pub bytes: u64,
    /// The routes of its handler.
    pub routes: Vec<String>,
    /// The methods of its remote.
    pub methods: Vec<String>,
    /// The server types that its route function serves.
    pub router_types: Vec<String>,
    /// The filters that app.json may name.
    pub filters: Vec<String>,
    /// The error handlers that app.json may name.
    pub error_handlers: Vec<String>,
    /// The filters of calls that app.json may name.
    pub rpc_filters: Vec<String>,
    /// The filters that broadcasts may name.
    pub broadcast_filters: Vec<String>,
    /// The actions that crons.json may name.
    pub cron_actions: Vec<String>,
    /// The interfaces that the component exports, with their versions.
    pub exports: Vec<String>,
    /// The interfaces that the component imports, with their versions; `types` is not among them.
    pub imports: Vec<String>,
    /// Whether it can test itself.
    pub self_test: bool,
    /// Whether it can hand over its state.
    pub state: bool,
}

impl Summary {
    pub(crate) fn new(bytes: u64, component: &Component, offer: &Offer, roles: &Roles) -> Self {
        let engine = component.engine();
        let kind = component.component_type();
        let interface = |(name, item): (&str, ComponentItem)| {
            matches!(item, ComponentItem::ComponentInstance(_)).then(|| name.to_owned())
        };
        let exports = kind.exports(engine).filter_map(|(name, item)| interface((name, item.ty)));
        let imports = kind.imports(engine).filter_map(|(name, item)| interface((name, item.ty)));
        Self {
            bytes,
            routes: sorted(offer.routes.iter()),
            methods: sorted(offer.methods.iter()),
            router_types: sorted(offer.router_types.iter()),
            filters: sorted(offer.filters.iter()),
            error_handlers: sorted(offer.error_handlers.iter()),
            rpc_filters: sorted(offer.rpc_filters.iter()),
            broadcast_filters: sorted(offer.broadcast_filters.iter()),
            cron_actions: sorted(offer.cron_actions.iter()),
            exports: sorted(exports),
            imports: sorted(imports.filter(|name| !name.starts_with("shaddock:plugin/types@"))),
            self_test: roles.rarer.self_test.is_some(),
            state: roles.rarer.state.is_some(),
        }
    }
}

fn sorted(names: impl Iterator<Item = impl ToString>) -> Vec<String> {
    let mut names: Vec<String> = names.map(|name| name.to_string()).collect();
    names.sort();
    names
}
