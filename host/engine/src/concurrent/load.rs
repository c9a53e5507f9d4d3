//! From compiled code to a plugin with many calls in flight, known to work.

use std::pin::pin;
use std::sync::Arc;

use tokio::time::Instant;
use wasmtime::component::types::ComponentItem;

use super::driver::{Maker, Places};
use super::{Crowd, imports};
use crate::cache::Compiled;
use crate::deadline;
use crate::engine::Engine;
use crate::error::{CallError, EngineError};
use crate::host::Host;
use crate::load::{Offer, check_spec, component, first_failed, first_trapped, names, shared, three_parts};
use crate::plugin::Plugin;
use crate::roles::{ConcurrentRoles, LIFECYCLE, Roles, check_imports, export_names};
use crate::settings::{PluginSpec, PoolPolicy};
use crate::summary::Summary;

pub(super) const HANDLER: &str = "shaddock:plugin/async-handler@0.1.0";
pub(super) const REMOTE: &str = "shaddock:plugin/async-remote@0.1.0";
pub(super) const TIMER: &str = "shaddock:plugin/async-timer@0.1.0";

/// Loads a plugin and tries it out.
pub(crate) async fn load(
    engine: &Engine,
    mut spec: PluginSpec,
    compiled: &Compiled,
    host: Arc<dyn Host>,
) -> Result<Plugin, EngineError> {
    check_spec(&spec)?;
    match spec.pool {
        PoolPolicy::Warm => {}
        PoolPolicy::Single => spec.limits.instances_max = 1,
        PoolPolicy::Fresh => {
            let reason =
                "the policy \"fresh\" has one call in an instance, but the plugin exports interfaces \
                          async-…, which are for many: use \"warm\" or \"single\""
                    .to_owned();
            return Err(EngineError::Spec { plugin: spec.name, reason });
        }
    }
    let runtime = engine.concurrent()?;
    let component = component(&runtime.wasm, &spec.name, compiled)?;
    check_imports(&spec.name, &component, &runtime.wasm, spec.grants)?;
    let roles = roles(&spec.name, &component)?;
    let wrong = |item: &str| {
        let (plugin, item) = (spec.name.clone(), item.to_owned());
        move |error: wasmtime::Error| EngineError::WrongType { plugin, item, reason: format!("{error:#}") }
    };
    let places = Places::find(&component).map_err(wrong("an export"))?;
    let pre = imports::linker(&runtime.wasm, spec.grants)
        .and_then(|linker| linker.instantiate_pre(&component))
        .map_err(wrong("an import"))?;
    let shared = Arc::new(shared(&spec, compiled, host, Roles::concurrent(roles)));
    let maker = Arc::new(Maker { pre, places, ticker: runtime.ticker.clone(), shared });
    let until = Instant::now() + spec.limits.deadline();
    let first = pin!(first_instance(&maker, &spec));
    let late = |error: CallError| first_failed(&spec.name, "the first instance")(error.to_string());
    let (crowd, offer) = deadline::until(until, &runtime.ticker, None, first).await.map_err(late)??;
    let summary = Summary::new(compiled.component_bytes(), &component, &offer, &crowd.shared().roles);
    Ok(Plugin::concurrent(runtime.ticker.clone(), crowd, offer, summary))
}

/// What it plays; refuses what cannot be played with many calls in flight.
fn roles(plugin: &str, component: &wasmtime::component::Component) -> Result<ConcurrentRoles, EngineError> {
    let has = |interface: &str| component.get_export_index(None, interface).is_some();
    let kind = component.component_type();
    let alien = kind.exports(component.engine()).find_map(|(name, item)| {
        let is_alien = matches!(item.ty, ComponentItem::ComponentInstance(_))
            && name.starts_with("shaddock:plugin/")
            && ![HANDLER, REMOTE, TIMER, LIFECYCLE].contains(&name);
        is_alien.then(|| name.to_owned())
    });
    if let Some(export) = alien {
        let reason = format!(
            "it exports {export} beside interfaces async-…: beside these only lifecycle is possible; put it \
             into a plugin of its own"
        );
        return Err(EngineError::Spec { plugin: plugin.to_owned(), reason });
    }
    if ![HANDLER, REMOTE, TIMER].into_iter().any(has) {
        return Err(EngineError::NoRole { plugin: plugin.to_owned(), found: export_names(component) });
    }
    Ok(ConcurrentRoles { lifecycle: has(LIFECYCLE), timer: has(TIMER) })
}

/// Makes the first instance, which checks the types of the exports, runs `init` in it and asks what it serves.
async fn first_instance(maker: &Arc<Maker>, spec: &PluginSpec) -> Result<(Crowd, Offer), EngineError> {
    let failed = |action| first_trapped(spec, action);
    let mut made = maker.make(maker.shared.next_instance()).await.map_err(failed("the first instance"))?;
    let not_ready =
        |error: CallError| first_failed(&spec.name, "init in the first instance")(error.to_string());
    maker.init(&mut made).await.map_err(not_ready)?;
    let mut offer = Offer::default();
    if let Some((routes, _)) = made.exports.handler {
        let (routes,) =
            routes.call_async(&mut made.store, ()).await.map_err(failed("async-handler.routes"))?;
        offer.routes = names(spec, "async-handler.routes", routes, three_parts)?;
    }
    if let Some((methods, _)) = made.exports.remote {
        let (methods,) =
            methods.call_async(&mut made.store, ()).await.map_err(failed("async-remote.methods"))?;
        offer.methods = names(spec, "async-remote.methods", methods, three_parts)?;
    }
    let first = maker.clone().adopt(made);
    Ok((Crowd::new(maker.clone(), first), offer))
}
