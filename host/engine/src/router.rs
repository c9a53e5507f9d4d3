//! Route functions: synchronous, on an instance of the calling thread.
//!
//! A request waits for its route before anything else happens, so this has to cost next to nothing. The
//! component is linked a second time for it: no import waits, so no fiber is needed, and an instance belongs to
//! a thread, so no lock and no pool.

use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use arc_swap::ArcSwap;
use tokio::time::Instant;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, Func, Instance, InstancePre, Linker, TypedFunc};
use wasmtime::{Store, UpdateDeadline};

use crate::bindings::exports::shaddock::plugin::router::{Guest, GuestIndices, Target};
use crate::bindings::shaddock::plugin::app;
use crate::context::{Limited, MemoryLimiter, Shared, store};
use crate::error::CallError;
use crate::host::{Call, CallScope};
use crate::job::Job;
use crate::recording::ToValue;
use crate::throttle::Throttle;
use crate::ticker::Ticker;
use crate::trap::{classify, message};
use crate::types::{Failure, RouteKey, ServerInfo};
use crate::wear::Wear;

/// CPU budget of a route function, in ticks: it blocks a thread that serves others.
const ROUTE_TICKS: u32 = 3;
/// `init` and being told long server lists may take longer.
const SETUP_TICKS: u32 = 200;

thread_local! {
    /// This thread's instances. A handful: a thread serves few plugins with route functions.
    static INSTANCES: RefCell<Vec<RouterInstance>> = const { RefCell::new(Vec::new()) };
}

/// The route function of one plugin.
pub(crate) struct Router {
    pre: InstancePre<RouterContext>,
    role: GuestIndices,
    shared: Arc<Shared>,
    ticker: Arc<Ticker>,
    types: Vec<Arc<str>>,
    servers: ArcSwap<Vec<Servers>>,
    /// Of `servers`; a thread's instance that has seen an older one is told the news first.
    generation: AtomicU64,
    telling: Mutex<()>,
    failing: Failing,
}

/// Whether the log says of a route function that it fails. One that fails and works by turns could fill the log.
struct Failing {
    is_said: AtomicBool,
    lines: Throttle,
}

impl Failing {
    fn new() -> Self {
        Self { is_said: AtomicBool::new(false), lines: Throttle::with_lines_max(1) }
    }

    /// It has failed. If that is to be said: how many such lines were left out.
    fn begins(&self) -> Option<u32> {
        if self.is_said.load(Ordering::Relaxed) {
            return None;
        }
        let left_out = self.lines.admit()?;
        self.is_said.store(true, Ordering::Relaxed);
        Some(left_out)
    }

    /// It works. Whether that is to be said.
    fn ends(&self) -> bool {
        self.is_said.load(Ordering::Relaxed) && self.is_said.swap(false, Ordering::Relaxed)
    }
}

/// What instances are to be told of one server type.
#[derive(Clone)]
struct Servers {
    server_type: Arc<str>,
    servers: Arc<[Arc<ServerInfo>]>,
    generation: u64,
}

struct RouterContext {
    shared: Arc<Shared>,
    scope: CallScope,
    memory: MemoryLimiter,
    ticks_left: u32,
}

impl Limited for RouterContext {
    fn limiter(&mut self) -> &mut MemoryLimiter {
        &mut self.memory
    }
}

struct RouterInstance {
    of: Weak<Router>,
    store: Store<RouterContext>,
    guest: Guest,
    /// The generated binding wants a copy of the key for each call; this takes the host's own type.
    route: Func,
    generation: u64,
    /// The lists as the guest knows them.
    told: Arc<Vec<Servers>>,
    /// In recordings.
    number: u64,
    wear: Wear,
}

impl Router {
    /// Links the component for this role. `types` are the server types that it said it routes for.
    pub(crate) fn new(
        component: &Component,
        shared: Arc<Shared>,
        ticker: Arc<Ticker>,
        types: Vec<Arc<str>>,
    ) -> wasmtime::Result<Arc<Self>> {
        let pre = linker(component)?.instantiate_pre(component)?;
        let role = GuestIndices::new(&pre)?;
        let servers = types.iter().map(|server_type| Servers {
            server_type: server_type.clone(),
            servers: Arc::new([]),
            generation: 0,
        });
        let servers = ArcSwap::from_pointee(servers.collect());
        let (generation, telling, failing) = (AtomicU64::new(0), Mutex::new(()), Failing::new());
        Ok(Arc::new(Self { pre, role, shared, ticker, types, servers, generation, telling, failing }))
    }

    pub(crate) fn types(&self) -> &[Arc<str>] {
        &self.types
    }

    /// Makes an instance and throws it away, to see at load whether that works.
    pub(crate) fn try_out(self: &Arc<Self>) -> Result<(), CallError> {
        self.instantiate().map(drop)
    }

    pub(crate) fn set_servers(&self, server_type: &str, servers: Arc<[Arc<ServerInfo>]>) {
        let _one_at_a_time = self.telling.lock().unwrap_or_else(PoisonError::into_inner);
        let mut lists = (**self.servers.load()).clone();
        let Some(list) = lists.iter_mut().find(|list| *list.server_type == *server_type) else { return };
        let generation = self.generation.load(Ordering::Relaxed) + 1;
        list.servers = servers;
        list.generation = generation;
        self.servers.store(Arc::new(lists));
        self.generation.store(generation, Ordering::Release);
    }

    /// Asks the route function, with this thread's instance.
    pub(crate) fn route(
        self: &Arc<Self>,
        server_type: &str,
        key: &RouteKey,
        method: &str,
    ) -> Result<Arc<str>, CallError> {
        self.shared.counters.routings.increment();
        let result = INSTANCES.with_borrow_mut(|instances| {
            let place =
                instances.iter().position(|instance| std::ptr::eq(instance.of.as_ptr(), Arc::as_ptr(self)));
            let place = match place {
                Some(place) => place,
                None => {
                    // The instances of plugins that are gone go when a new one comes.
                    instances.retain(|instance| instance.of.strong_count() > 0);
                    instances.push(self.instantiate()?);
                    instances.len() - 1
                }
            };
            let Some(instance) = instances.get_mut(place) else { return Err(CallError::Init("lost".into())) };
            let answer = self.ask(instance, server_type, key, method);
            let tape = self.shared.tape(instance.number, &"route".into(), || Job::Route {
                server_type: server_type.to_owned(),
                key: key.clone(),
                method: method.to_owned(),
            });
            if let Some(tape) = tape {
                let outcome = answer.clone().and_then(|answer| answer.map_err(CallError::Failure));
                tape.end(outcome.as_ref().map(ToValue::to_value));
            }
            let bytes = instance.store.data().memory.bytes;
            let is_worn_out = instance.wear.wears_out(bytes, &self.shared);
            if is_worn_out || answer.is_err() {
                instances.swap_remove(place);
            }
            answer?.map_err(CallError::Failure)
        });
        self.report(server_type, &result);
        result
    }

    /// An outer error means that the instance must go; the inner one is the guest's own.
    fn ask(
        &self,
        instance: &mut RouterInstance,
        server_type: &str,
        key: &RouteKey,
        method: &str,
    ) -> Result<Result<Arc<str>, Failure>, CallError> {
        let _running = self.ticker.enter();
        instance.wear.begin_call();
        instance.store.data_mut().memory.refused = false;
        let answer = self
            .ask_guest(instance, server_type, key, method)
            .map_err(|error| classify(&error, &self.shared.limits, instance.store.data().memory.refused))?;
        let target = match answer {
            Ok(target) => target,
            Err(failure) => return Ok(Err(failure)),
        };
        let list = instance.told.iter().find(|list| *list.server_type == *server_type);
        let servers = list.map(|list| &*list.servers).unwrap_or_default();
        let server = match &target {
            Target::Index(index) => servers.get(*index as usize),
            Target::Id(id) => servers.iter().find(|server| *server.id == **id),
        };
        match (server, target) {
            (Some(server), _) => Ok(Ok(server.id.clone())),
            (None, Target::Index(index)) => {
                Err(CallError::UnknownTarget(format!("number {index} of {} servers", servers.len())))
            }
            (None, Target::Id(id)) => Err(CallError::UnknownTarget(id.chars().take(64).collect())),
        }
    }

    fn ask_guest(
        &self,
        instance: &mut RouterInstance,
        server_type: &str,
        key: &RouteKey,
        method: &str,
    ) -> wasmtime::Result<Result<Target, Failure>> {
        if instance.generation != self.generation.load(Ordering::Acquire) {
            self.tell(instance)?;
        }
        budget(&mut instance.store, ROUTE_TICKS);
        // SAFETY: `instantiate` has checked that the function has these types.
        let route = unsafe {
            TypedFunc::<(&str, &RouteKey, &str), (Result<Target, Failure>,)>::new_unchecked(instance.route)
        };
        let (answer,) = route.call(&mut instance.store, (server_type, key, method))?;
        Ok(answer)
    }

    fn tell(&self, instance: &mut RouterInstance) -> wasmtime::Result<()> {
        let generation = self.generation.load(Ordering::Acquire);
        let lists = self.servers.load_full();
        budget(&mut instance.store, SETUP_TICKS);
        for list in lists.iter().filter(|list| list.generation > instance.generation) {
            let servers: Vec<ServerInfo> = list.servers.iter().map(|server| (**server).clone()).collect();
            instance.guest.call_set_servers(&mut instance.store, &list.server_type, &servers)?;
            let job = || Job::SetServers { server_type: list.server_type.to_string(), servers };
            if let Some(tape) = self.shared.tape(instance.number, &"set-servers".into(), job) {
                tape.end(Ok(serde_json::Value::Null));
            }
        }
        instance.told = lists;
        instance.generation = generation;
        Ok(())
    }

    fn instantiate(self: &Arc<Self>) -> Result<RouterInstance, CallError> {
        let _running = self.ticker.enter();
        let shared = &self.shared;
        let scope = CallScope::new(shared.name.clone(), "router".into(), Call::new(Instant::now()));
        let context = RouterContext {
            shared: shared.clone(),
            scope,
            memory: MemoryLimiter::new(shared.clone()),
            ticks_left: 0,
        };
        let mut store = store(self.pre.engine(), context, &shared.limits);
        store.epoch_deadline_callback(|mut store| {
            let context = store.data_mut();
            let Some(left) = context.ticks_left.checked_sub(1) else {
                return Ok(UpdateDeadline::Interrupt);
            };
            context.ticks_left = left;
            Ok(UpdateDeadline::Continue(1))
        });
        budget(&mut store, SETUP_TICKS);
        let failed = |error: wasmtime::Error| CallError::Init(message(&error));
        let instance = self.pre.instantiate(&mut store).map_err(failed)?;
        let guest = self.role.load(&mut store, &instance).map_err(failed)?;
        if let Some(lifecycle) = instance.get_export_index(&mut store, None, crate::roles::LIFECYCLE) {
            let init = instance.get_export_index(&mut store, Some(&lifecycle), "init");
            let init = init.ok_or_else(|| CallError::Init("lifecycle has no init".into()))?;
            let init = instance
                .get_typed_func::<(&str,), (Result<(), Failure>,)>(&mut store, init)
                .map_err(failed)?;
            let (result,) = init.call(&mut store, (&shared.settings,)).map_err(failed)?;
            result.map_err(|failure| CallError::Init(format!("init failed: {failure}")))?;
        }
        let route = route_function(&mut store, &instance).map_err(failed)?;
        let told = Arc::new(Vec::new());
        Ok(RouterInstance {
            of: Arc::downgrade(self),
            store,
            guest,
            route,
            generation: 0,
            told,
            number: shared.next_instance(),
            wear: Wear::default(),
        })
    }

    /// Counts failures, and logs when they begin and when they end, not more often than once a second.
    fn report(&self, server_type: &str, result: &Result<Arc<str>, CallError>) {
        let name = &self.shared.name;
        match result {
            Ok(_) => {
                if self.failing.ends() {
                    tracing::info!(plugin = %name.name, version = %name.version, digest = %name.digest, server_type, "route function works again");
                }
            }
            Err(error) => {
                self.shared.counters.error(error);
                if let Some(left_out) = self.failing.begins() {
                    let backtrace = error.backtrace();
                    tracing::warn!(
                        plugin = %name.name, version = %name.version, digest = %name.digest, server_type, error = %error,
                        backtrace, left_out,
                        "route function fails, the built-in route is taken"
                    );
                }
            }
        }
    }
}

/// The function `route`, checked to have the types that it is called with.
fn route_function(store: &mut Store<RouterContext>, instance: &Instance) -> wasmtime::Result<Func> {
    let router = instance.get_export_index(&mut *store, None, crate::roles::ROUTER);
    let route = router.and_then(|router| instance.get_export_index(&mut *store, Some(&router), "route"));
    let Some(function) = route.and_then(|route| instance.get_func(&mut *store, route)) else {
        wasmtime::bail!("the interface router has no function route");
    };
    function.typed::<(&str, &RouteKey, &str), (Result<Target, Failure>,)>(&*store)?;
    Ok(function)
}

/// Counts ticks that the guest sees, not ticks that pass: on a busy machine a thread can be off its processor for
/// many of them, and that is one.
fn budget(store: &mut Store<RouterContext>, ticks: u32) {
    store.data_mut().ticks_left = ticks;
    store.set_epoch_deadline(1);
}

/// Every import is there, but all except `app.log` end the call with a message.
fn linker(component: &Component) -> wasmtime::Result<Linker<RouterContext>> {
    let engine = component.engine();
    let mut linker = Linker::new(engine);
    for (interface, item) in component.component_type().imports(engine) {
        let ComponentItem::ComponentInstance(instance) = item.ty else { continue };
        let mut linked = linker.instance(interface)?;
        for (function, item) in instance.exports(engine) {
            if !matches!(item.ty, ComponentItem::ComponentFunc(_)) {
                continue;
            }
            if interface.starts_with("shaddock:plugin/app@") && function == "log" {
                linked.func_wrap("log", |store, (level, message): (app::Level, String)| {
                    let context: &RouterContext = store.data();
                    crate::imports::log(&context.shared, &context.scope, level, &message);
                    Ok(())
                })?;
                continue;
            }
            let message = format!(
                "route functions have no imports: {interface} {function} was called (only app.log is there; decide by \
                 the key, the method and what set-servers told)"
            );
            linked.func_new(function, move |_, _, _, _| wasmtime::bail!("{message}"))?;
        }
    }
    Ok(linker)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_route_function_that_fails_by_turns_is_said_once_a_second() {
        let failing = Failing::new();
        let flips = || (0..100).map(|_| (failing.begins(), failing.ends())).collect::<Vec<_>>();
        let said = |flips: &[(Option<u32>, bool)]| {
            flips.iter().filter(|(fails, _)| fails.is_some()).count()
                + flips.iter().filter(|(_, works)| *works).count()
        };
        assert_eq!(said(&flips()), 2, "that it fails, and that it works again");
        tokio::time::advance(Duration::from_secs(1)).await;
        let next = flips();
        assert_eq!((next[0], said(&next)), ((Some(99), true), 2));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(failing.begins().is_some());
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!((failing.begins(), failing.ends()), (None, true), "it has been said");
    }
}
