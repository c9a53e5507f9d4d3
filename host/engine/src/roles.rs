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

/// Calls a macro with the roles that few plugins have: module of the bindings, name of the constant, interface.
macro_rules! for_rarer_roles {
    ($action:ident) => {
        $action! {
            handshake HANDSHAKE "shaddock:plugin/handshake@0.1.0",
            filter FILTER "shaddock:plugin/filter@0.1.0",
            error_handler ERROR_HANDLER "shaddock:plugin/error-handler@0.1.0",
            rpc_filter RPC_FILTER "shaddock:plugin/rpc-filter@0.1.0",
            broadcast_filter BROADCAST_FILTER "shaddock:plugin/broadcast-filter@0.1.0",
            server_events SERVER_EVENTS "shaddock:plugin/server-events@0.1.0",
            session_events SESSION_EVENTS "shaddock:plugin/session-events@0.1.0",
            cron CRON "shaddock:plugin/cron@0.1.0",
            timer TIMER "shaddock:plugin/timer@0.1.0",
            tick TICK "shaddock:plugin/tick@0.1.0",
            self_test SELF_TEST "shaddock:plugin/self-test@0.1.0",
            state STATE "shaddock:plugin/state@0.1.0",
        }
    };
}
pub(crate) use for_rarer_roles;

macro_rules! rarer_roles {
    ($($role:ident $constant:ident $interface:literal,)*) => {
        $(pub(crate) const $constant: &str = $interface;)*

        /// The part of [`Roles`] that few plugins have.
        pub(crate) struct RarerRoles {
            $(pub(crate) $role: Option<exports::$role::GuestIndices>,)*
        }

        impl RarerRoles {
            fn detect(plugin: &str, pre: &InstancePre<Context>) -> Result<Self, EngineError> {
                Ok(Self { $($role: find(plugin, pre, $constant, exports::$role::GuestIndices::new)?,)* })
            }

            fn none() -> Self {
                Self { $($role: None,)* }
            }

            fn any(&self) -> bool {
                [$(self.$role.is_some()),*].contains(&true)
            }
        }
    };
}

for_rarer_roles!(rarer_roles);

/// The roles that a component plays, ready to be found in its instances.
pub(crate) struct Roles {
    pub(crate) handler: Option<exports::handler::GuestIndices>,
    pub(crate) remote: Option<exports::remote::GuestIndices>,
    pub(crate) lifecycle: Option<exports::lifecycle::GuestIndices>,
    pub(crate) router: bool,
    pub(crate) rarer: RarerRoles,
    /// Those of a plugin with many calls in flight, which has none of the others.
    pub(crate) concurrent: Option<ConcurrentRoles>,
}

/// What a plugin with many calls in flight in an instance may export beside its handler and remote.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ConcurrentRoles {
    pub(crate) lifecycle: bool,
    pub(crate) timer: bool,
}

impl Roles {
    pub(crate) fn concurrent(roles: ConcurrentRoles) -> Self {
        Self {
            handler: None,
            remote: None,
            lifecycle: None,
            router: false,
            rarer: RarerRoles::none(),
            concurrent: Some(roles),
        }
    }

    pub(crate) fn has_lifecycle(&self) -> bool {
        self.lifecycle.is_some() || self.concurrent.is_some_and(|roles| roles.lifecycle)
    }

    pub(crate) fn has_timer(&self) -> bool {
        self.rarer.timer.is_some() || self.concurrent.is_some_and(|roles| roles.timer)
    }

    pub(crate) fn detect(plugin: &str, pre: &InstancePre<Context>) -> Result<Self, EngineError> {
        let roles = Self {
            handler: find(plugin, pre, HANDLER, exports::handler::GuestIndices::new)?,
            remote: find(plugin, pre, REMOTE, exports::remote::GuestIndices::new)?,
            lifecycle: find(plugin, pre, LIFECYCLE, exports::lifecycle::GuestIndices::new)?,
            router: exports_interface(pre, ROUTER),
            rarer: RarerRoles::detect(plugin, pre)?,
            concurrent: None,
        };
        let common =
            [roles.handler.is_some(), roles.remote.is_some(), roles.lifecycle.is_some(), roles.router];
        if !common.contains(&true) && !roles.rarer.any() {
            let found = export_names(pre.component());
            return Err(EngineError::NoRole { plugin: plugin.to_owned(), found });
        }
        Ok(roles)
    }
}

fn exports_interface(pre: &InstancePre<Context>, interface: &str) -> bool {
    pre.component().get_export_index(None, interface).is_some()
}

/// A role, if the component exports its interface.
fn find<T>(
    plugin: &str,
    pre: &InstancePre<Context>,
    interface: &str,
    find: impl FnOnce(&InstancePre<Context>) -> wasmtime::Result<T>,
) -> Result<Option<T>, EngineError> {
    if !exports_interface(pre, interface) {
        return Ok(None);
    }
    find(pre).map(Some).map_err(|error| EngineError::WrongType {
        plugin: plugin.to_owned(),
        item: interface.to_owned(),
        reason: format!("{error:#}"),
    })
}

pub(crate) fn export_names(component: &Component) -> String {
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
            Some("sessions" | "async-sessions") => (!grants.sessions).then_some("sessions"),
            Some("channels") => (!grants.channels).then_some("channels"),
            Some("rpc" | "async-rpc") => (!grants.rpc).then_some("rpc"),
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
