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

/// The roles that a component plays, ready to be found in its instances.
pub(crate) struct Roles {
    pub(crate) handler: Option<exports::handler::GuestIndices>,
    pub(crate) remote: Option<exports::remote::GuestIndices>,
    pub(crate) lifecycle: Option<exports::lifecycle::GuestIndices>,
    pub(crate) router: bool,
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
        };
        if roles.handler.is_none() && roles.remote.is_none() && roles.lifecycle.is_none() && !roles.router {
            return Err(EngineError::NoRole { plugin: plugin.to_owned(), found: export_names(component) });
        }
        Ok(roles)
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
        "it offers shaddock:plugin/app, sessions, channels and rpc only"
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
