//! What a component wants and offers, checked against what the host has and grants.

use wasmtime::Engine;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, InstancePre};

use crate::bindings::exports::shaddock::plugin as exports;
use crate::context::Context;
use crate::error::EngineError;
use crate::settings::Grants;

/// The interfaces by their versioned names; wasmtime takes later 0.1 versions of a component for these.
pub(crate) const HANDLER: &str = "shaddock:plugin/handler@0.1.0";
pub(crate) const REMOTE: &str = "shaddock:plugin/remote@0.1.0";
pub(crate) const LIFECYCLE: &str = "shaddock:plugin/lifecycle@0.1.0";
pub(crate) const ROUTER: &str = "shaddock:plugin/router@0.1.0";
pub(crate) const HANDSHAKE: &str = "shaddock:plugin/handshake@0.1.0";
pub(crate) const FILTER: &str = "shaddock:plugin/filter@0.1.0";
pub(crate) const ERROR_HANDLER: &str = "shaddock:plugin/error-handler@0.1.0";
pub(crate) const RPC_FILTER: &str = "shaddock:plugin/rpc-filter@0.1.0";
pub(crate) const BROADCAST_FILTER: &str = "shaddock:plugin/broadcast-filter@0.1.0";
pub(crate) const SERVER_EVENTS: &str = "shaddock:plugin/server-events@0.1.0";
pub(crate) const SESSION_EVENTS: &str = "shaddock:plugin/session-events@0.1.0";
pub(crate) const CRON: &str = "shaddock:plugin/cron@0.1.0";
pub(crate) const TIMER: &str = "shaddock:plugin/timer@0.1.0";
pub(crate) const TICK: &str = "shaddock:plugin/tick@0.1.0";

/// The roles that a component plays, ready to be found in its instances.
pub(crate) struct Roles {
    pub(crate) handler: Option<exports::handler::GuestIndices>,
    pub(crate) remote: Option<exports::remote::GuestIndices>,
    pub(crate) lifecycle: Option<exports::lifecycle::GuestIndices>,
    pub(crate) router: bool,
    pub(crate) handshake: Option<exports::handshake::GuestIndices>,
    pub(crate) filter: Option<exports::filter::GuestIndices>,
    pub(crate) error_handler: Option<exports::error_handler::GuestIndices>,
    pub(crate) rpc_filter: Option<exports::rpc_filter::GuestIndices>,
    pub(crate) broadcast_filter: Option<exports::broadcast_filter::GuestIndices>,
    pub(crate) server_events: Option<exports::server_events::GuestIndices>,
    pub(crate) session_events: Option<exports::session_events::GuestIndices>,
    pub(crate) cron: Option<exports::cron::GuestIndices>,
    pub(crate) timer: Option<exports::timer::GuestIndices>,
    pub(crate) tick: Option<exports::tick::GuestIndices>,
}

impl Roles {
    pub(crate) fn detect(plugin: &str, pre: &InstancePre<Context>) -> Result<Self, EngineError> {
        let component = pre.component();
        let has = |name: &str| component.get_export_index(None, name).is_some();
        let wrong = |item: &str, error: wasmtime::Error| EngineError::WrongType {
            plugin: plugin.to_owned(),
            item: item.to_owned(),
            reason: format!("{error:#}"),
        };
        macro_rules! role {
            ($name:expr, $module:ident) => {
                if has($name) {
                    Some(exports::$module::GuestIndices::new(pre).map_err(|error| wrong($name, error))?)
                } else {
                    None
                }
            };
        }
        let roles = Self {
            handler: role!(HANDLER, handler),
            remote: role!(REMOTE, remote),
            lifecycle: role!(LIFECYCLE, lifecycle),
            router: has(ROUTER),
            handshake: role!(HANDSHAKE, handshake),
            filter: role!(FILTER, filter),
            error_handler: role!(ERROR_HANDLER, error_handler),
            rpc_filter: role!(RPC_FILTER, rpc_filter),
            broadcast_filter: role!(BROADCAST_FILTER, broadcast_filter),
            server_events: role!(SERVER_EVENTS, server_events),
            session_events: role!(SESSION_EVENTS, session_events),
            cron: role!(CRON, cron),
            timer: role!(TIMER, timer),
            tick: role!(TICK, tick),
        };
        if !roles.any() {
            return Err(EngineError::NoRole { plugin: plugin.to_owned(), found: export_names(component) });
        }
        Ok(roles)
    }

    fn any(&self) -> bool {
        self.handler.is_some()
            || self.remote.is_some()
            || self.lifecycle.is_some()
            || self.router
            || self.handshake.is_some()
            || self.filter.is_some()
            || self.error_handler.is_some()
            || self.rpc_filter.is_some()
            || self.broadcast_filter.is_some()
            || self.server_events.is_some()
            || self.session_events.is_some()
            || self.cron.is_some()
            || self.timer.is_some()
            || self.tick.is_some()
    }
}

fn export_names(component: &Component) -> String {
    let names: Vec<_> =
        component.component_type().exports(component.engine()).map(|(name, _)| name.to_owned()).collect();
    if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
}

/// Refuses imports that the host does not offer or plugins.json does not grant, by name.
pub(crate) fn check_imports(
    plugin: &str,
    component: &Component,
    engine: &Engine,
    grants: Grants,
) -> Result<(), EngineError> {
    for (import, item) in component.component_type().imports(engine) {
        if matches!(item.ty, ComponentItem::Type(_)) {
            continue;
        }
        let grant = match interface(import) {
            Some("app" | "types") => None,
            Some("sessions") => (!grants.sessions).then_some("sessions"),
            Some("channels") => (!grants.channels).then_some("channels"),
            Some("rpc") => (!grants.rpc).then_some("rpc"),
            Some("timers") => (!grants.timers).then_some("timers"),
            _ => {
                let (plugin, import) = (plugin.to_owned(), import.to_owned());
                return Err(EngineError::UnknownImport { plugin, hint: hint(&import).to_owned(), import });
            }
        };
        if let Some(grant) = grant {
            return Err(EngineError::NotGranted {
                plugin: plugin.to_owned(),
                import: import.to_owned(),
                grant,
            });
        }
    }
    Ok(())
}

/// The interface of an import of this contract, in a version that is compatible with the host's.
fn interface(import: &str) -> Option<&str> {
    let (name, version) = import.strip_prefix("shaddock:plugin/")?.split_once('@')?;
    version.starts_with("0.1.").then_some(name)
}

fn hint(import: &str) -> &'static str {
    if import.starts_with("wasi:") {
        "built for wasm32-wasip2? build for wasm32-unknown-unknown with the linker wasm-component-ld"
    } else if import.starts_with("shaddock:plugin/") {
        "this host has shaddock:plugin@0.1; build the plugin with the wit/ of this version"
    } else {
        "it offers shaddock:plugin/app, sessions, channels, rpc and timers only"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_compatible_versions_of_the_contract_are_known() {
        for (import, expected) in [
            ("shaddock:plugin/app@0.1.0", Some("app")),
            ("shaddock:plugin/rpc@0.1.7", Some("rpc")),
            ("shaddock:plugin/rpc@0.2.0", None),
            ("shaddock:plugin/rpc@1.0.0", None),
            ("shaddock:plugin/rpc", None),
            ("wasi:clocks/wall-clock@0.2.0", None),
        ] {
            assert_eq!(interface(import), expected, "{import}");
        }
    }
}
