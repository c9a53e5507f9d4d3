//! From compiled code to a plugin that is known to work.

use std::pin::pin;
use std::sync::Arc;

use tokio::time::Instant;
use wasmtime::component::Component;

use crate::cache::Compiled;
use crate::context::Shared;
use crate::deadline;
use crate::engine::Engine;
use crate::error::{CallError, EngineError};
use crate::host::{Call, CallScope, Host, PluginName};
use crate::imports;
use crate::instance::{Blueprint, Instance};
use crate::limits::{ROUTE_BYTES_MAX, ROUTES_MAX};
use crate::plugin::Plugin;
use crate::recording::{Header, RecordingHost};
use crate::roles::{BROADCAST_FILTER, CRON, ERROR_HANDLER, FILTER, RPC_FILTER, Roles, check_imports};
use crate::router::Router;
use crate::settings::PluginSpec;
use crate::stats::Counters;
use crate::summary::Summary;
use crate::trap::classify;

/// Loads a plugin and tries it out.
pub(crate) async fn load(
    engine: &Engine,
    spec: PluginSpec,
    compiled: &Compiled,
    host: Arc<dyn Host>,
) -> Result<Plugin, EngineError> {
    check_spec(&spec)?;
    let component = component(&engine.plain().wasm, &spec.name, compiled)?;
    check_imports(&spec.name, &component, &engine.plain().wasm, spec.grants)?;
    let wrong = |error: wasmtime::Error| EngineError::WrongType {
        plugin: spec.name.clone(),
        item: "an import".into(),
        reason: format!("{error:#}"),
    };
    let pre = imports::linker(&engine.plain().wasm, spec.grants)
        .and_then(|linker| linker.instantiate_pre(&component))
        .map_err(wrong)?;
    let roles = Roles::detect(&spec.name, &pre)?;
    let shared = Arc::new(shared(&spec, compiled, host, roles));
    let blueprint = Blueprint { pre, shared: shared.clone() };
    let (first, offer) = first_instance(engine, &blueprint, &spec).await?;
    let router = if offer.router_types.is_empty() {
        None
    } else {
        let failed = first_failed(&spec.name, "the instance for route functions");
        let ticker = engine.plain().ticker.clone();
        let router = Router::new(&component, shared, ticker, offer.router_types.clone())
            .map_err(|error| failed(format!("{error:#}")))?;
        router.try_out().map_err(|error| failed(error.to_string()))?;
        Some(router)
    };
    let summary = Summary::new(compiled.component_bytes(), &component, &offer, &blueprint.shared.roles);
    Ok(Plugin::new(engine, spec.pool, blueprint, first, offer, router, summary))
}

/// What its instances share. If its calls are recorded, the recording begins.
pub(crate) fn shared(spec: &PluginSpec, compiled: &Compiled, host: Arc<dyn Host>, roles: Roles) -> Shared {
    let name = Arc::new(PluginName::of(&spec.name, compiled.digest()));
    let host = match &spec.recorder {
        Some(recorder) => {
            recorder.begin(&Header::new(spec, &name, (*host.own_server()).clone()));
            Arc::new(RecordingHost(host))
        }
        None => host,
    };
    Shared {
        name,
        host,
        settings: spec.settings.as_str().into(),
        limits: spec.limits.clone(),
        roles,
        counters: Counters::default(),
        recorder: spec.recorder.clone(),
    }
}

/// What a plugin says that it serves.
#[derive(Default)]
pub(crate) struct Offer {
    pub(crate) routes: Vec<Arc<str>>,
    pub(crate) methods: Vec<Arc<str>>,
    pub(crate) router_types: Vec<Arc<str>>,
    pub(crate) filters: Vec<Arc<str>>,
    pub(crate) error_handlers: Vec<Arc<str>>,
    pub(crate) rpc_filters: Vec<Arc<str>>,
    pub(crate) broadcast_filters: Vec<Arc<str>>,
    pub(crate) cron_actions: Vec<Arc<str>>,
}

pub(crate) fn check_spec(spec: &PluginSpec) -> Result<(), EngineError> {
    let bad = |reason: &str| EngineError::Spec { plugin: spec.name.clone(), reason: reason.to_owned() };
    let limits = &spec.limits;
    if limits.memory_bytes_max == 0
        || limits.deadline_ms == 0
        || limits.cpu_ms_max == 0
        || limits.value_bytes_max == 0
    {
        return Err(bad("a limit of 0 for memory, deadline, CPU time or value size: nothing could run"));
    }
    match serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(&spec.settings) {
        Ok(_) => Ok(()),
        Err(error) => Err(bad(&format!("its settings are not a JSON object: {error}"))),
    }
}

/// Maps the compiled code into memory.
pub(crate) fn component(
    engine: &wasmtime::Engine,
    plugin: &str,
    compiled: &Compiled,
) -> Result<Component, EngineError> {
    compiled.verify()?;
    let unloadable =
        |error| EngineError::Unloadable { plugin: plugin.to_owned(), reason: format!("{error:#}") };
    // SAFETY: the file is what `compile` wrote: its checksum, which is part of its name, was compared just now.
    // It stays so while it is mapped: the directory belongs to this user and nobody else can write there, and
    // the cache never changes a file in place, it only renames whole files into place.
    unsafe { Component::deserialize_file(engine, compiled.code()) }.map_err(unloadable)
}

pub(crate) fn first_failed(plugin: &str, action: &'static str) -> impl Fn(String) -> EngineError {
    let plugin = plugin.to_owned();
    move |reason| EngineError::FirstInstance { plugin: plugin.clone(), action, reason }
}

/// The same for what a call into the first instance came to.
pub(crate) fn first_trapped<'a>(
    spec: &'a PluginSpec,
    action: &'static str,
) -> impl Fn(wasmtime::Error) -> EngineError + 'a {
    move |error| {
        let reason = match classify(&error, &spec.limits, false) {
            CallError::Trap { message, backtrace } if !backtrace.is_empty() => {
                format!("{message}\n{backtrace}")
            }
            other => other.to_string(),
        };
        first_failed(&spec.name, action)(reason)
    }
}

/// Makes the first instance, which checks the types of the exports, runs `init` in it and asks what it serves.
async fn first_instance(
    engine: &Engine,
    blueprint: &Blueprint,
    spec: &PluginSpec,
) -> Result<(Box<Instance>, Offer), EngineError> {
    let deadline = Instant::now() + spec.limits.deadline();
    let scope = CallScope::new(blueprint.shared.name.clone(), "init".into(), Call::new(deadline));
    let ask = pin!(async {
        let failed = |action| first_trapped(spec, action);
        let mut instance = blueprint.instantiate(scope).await.map_err(failed("the first instance"))?;
        let ready = instance.init().await.map_err(failed("init in the first instance"))?;
        ready
            .map_err(|failure| first_failed(&spec.name, "init in the first instance")(failure.to_string()))?;
        let routes = instance.routes().await.map_err(failed("handler.routes"))?;
        let methods = instance.methods().await.map_err(failed("remote.methods"))?;
        let types = instance.router_types().await.map_err(failed("router.server-types"))?;
        instance.look_up_all().map_err(failed("the first instance"))?;
        let mut offered = async |role, list: &'static str| {
            let all = instance.offered(role).await.map_err(failed(list))?;
            names(spec, list, all, any_name)
        };
        let offer = Offer {
            filters: offered(FILTER, "filter.names").await?,
            error_handlers: offered(ERROR_HANDLER, "error-handler.names").await?,
            rpc_filters: offered(RPC_FILTER, "rpc-filter.names").await?,
            broadcast_filters: offered(BROADCAST_FILTER, "broadcast-filter.names").await?,
            cron_actions: offered(CRON, "cron.actions").await?,
            routes: names(spec, "handler.routes", routes, three_parts)?,
            methods: names(spec, "remote.methods", methods, three_parts)?,
            router_types: names(spec, "router.server-types", types, server_type)?,
        };
        Ok((instance, offer))
    });
    let asked = deadline::until(deadline, &engine.plain().ticker, None, ask);
    let late = |error: CallError| first_failed(&spec.name, "the first instance")(error.to_string());
    asked.await.map_err(late)?
}

type Check = fn(&PluginSpec, &str) -> Result<(), String>;

pub(crate) fn names(
    spec: &PluginSpec,
    list: &'static str,
    names: Vec<String>,
    check: Check,
) -> Result<Vec<Arc<str>>, EngineError> {
    let bad = |name: &str, reason: String| EngineError::BadRoute {
        plugin: spec.name.clone(),
        list,
        name: name.chars().take(ROUTE_BYTES_MAX).collect(),
        reason,
    };
    if let Some(name) = names.get(ROUTES_MAX) {
        return Err(bad(name, format!("at most {ROUTES_MAX} entries are allowed")));
    }
    let mut seen = std::collections::HashSet::new();
    for name in &names {
        if name.len() > ROUTE_BYTES_MAX {
            return Err(bad(name, format!("at most {ROUTE_BYTES_MAX} bytes are allowed")));
        }
        if name.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(bad(name, "spaces and control characters are not allowed".into()));
        }
        check(spec, name).map_err(|reason| bad(name, reason))?;
        if !seen.insert(name) {
            return Err(bad(name, "it is listed twice".into()));
        }
    }
    Ok(names.into_iter().map(Into::into).collect())
}

pub(crate) fn three_parts(spec: &PluginSpec, name: &str) -> Result<(), String> {
    let parts: Vec<&str> = name.split('.').collect();
    match parts.as_slice() {
        [server_type, service, method] if !service.is_empty() && !method.is_empty() => {
            if spec.server_types.iter().any(|served| served == server_type) {
                return Ok(());
            }
            Err(format!(
                "the plugin serves the types {} only, see serverTypes in plugins.json",
                spec.server_types.join(", ")
            ))
        }
        _ => Err("three parts separated by dots are needed, as in chat.chatHandler.send".into()),
    }
}

/// The names of filters and the like are the plugin's own choice.
fn any_name(_: &PluginSpec, name: &str) -> Result<(), String> {
    if name.is_empty() { Err("a name has at least one character".into()) } else { Ok(()) }
}

/// Route functions run at the callers, so the types need not be among those that the plugin serves.
fn server_type(_: &PluginSpec, name: &str) -> Result<(), String> {
    if name.is_empty() || name.contains('.') { Err("this is no server type".into()) } else { Ok(()) }
}
