//! A loaded plugin: what the server calls.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashSet;
use tokio::time::Instant;

use crate::deadline;
use crate::engine::Engine;
use crate::error::CallError;
use crate::host::{Call, CallScope, Chain, PluginName};
use crate::instance::{Begun, Blueprint, Instance, Work};
use crate::limits::{CALL_DEPTH_MAX, LOG_BYTES_MAX};
use crate::pool::{Place, Pool};
use crate::report;
use crate::router::Router;
use crate::settings::PoolPolicy;
use crate::stats::PluginStats;
use crate::ticker::Ticker;
use crate::trap::classify;
use crate::types::{RouteKey, ServerInfo, Session};

/// A loaded plugin. Clones share its instances.
///
/// Failures that come from the guest's code are logged here, once, with the plugin's name and version; the
/// caller has only to answer.
#[derive(Clone)]
pub struct Plugin(Arc<Inner>);

struct Inner {
    blueprint: Blueprint,
    pool: Pool,
    ticker: Arc<Ticker>,
    routes: Names,
    methods: Names,
    router: Option<Arc<Router>>,
    lifecycle: [Arc<str>; 3],
}

/// Names in the order in which the plugin listed them, and to be found quickly.
struct Names {
    list: Vec<Arc<str>>,
    set: HashSet<Arc<str>>,
}

impl Names {
    fn new(list: Vec<Arc<str>>) -> Self {
        Self { set: list.iter().cloned().collect(), list }
    }

    fn find(&self, name: &str) -> Result<&Arc<str>, CallError> {
        self.set.get(name).ok_or_else(|| CallError::UnknownRoute(name.chars().take(255).collect()))
    }
}

impl Plugin {
    pub(crate) fn new(
        engine: &Engine,
        policy: PoolPolicy,
        blueprint: Blueprint,
        first: Box<Instance>,
        routes: Vec<Arc<str>>,
        methods: Vec<Arc<str>>,
        router: Option<Arc<Router>>,
    ) -> Self {
        let pool = Pool::new(policy, blueprint.shared.clone(), first);
        let lifecycle = ["start".into(), "session-closed".into(), "stop".into()];
        let (routes, methods) = (Names::new(routes), Names::new(methods));
        let ticker = engine.ticker().clone();
        Self(Arc::new(Inner { blueprint, pool, ticker, routes, methods, router, lifecycle }))
    }

    /// Name, version and digest.
    pub fn name(&self) -> &Arc<PluginName> {
        &self.0.blueprint.shared.name
    }

    /// The routes of its handler, `serverType.handler.method`.
    pub fn routes(&self) -> &[Arc<str>] {
        &self.0.routes.list
    }

    /// The methods of its remote, `serverType.service.method`.
    pub fn methods(&self) -> &[Arc<str>] {
        &self.0.methods.list
    }

    /// The server types that its route function serves.
    pub fn router_types(&self) -> &[Arc<str>] {
        self.0.router.as_ref().map(|router| router.types()).unwrap_or_default()
    }

    /// Whether it has the role `lifecycle`: else start, session-closed and stop have nobody to go to.
    pub fn has_lifecycle(&self) -> bool {
        self.0.blueprint.roles.lifecycle.is_some()
    }

    /// Handles a client's message. `route` is the whole route. An empty answer means `{}`.
    ///
    /// If the returned future is dropped the call ends there and its instance is thrown away.
    ///
    /// # Errors
    /// The plugin's own failure, or what became of the call.
    pub async fn handle(
        &self,
        call: Call,
        route: &str,
        body: &[u8],
        session: Arc<Session>,
    ) -> Result<Vec<u8>, CallError> {
        self.0.check_body(body)?;
        let route = self.0.routes.find(route)?;
        self.0.call(call, route, &Work::Handle { body, session }).await
    }

    /// Answers an RPC. `method` is the whole `serverType.service.method`, as in [`Plugin::methods`].
    ///
    /// # Errors
    /// The plugin's own failure, or what became of the call.
    pub async fn remote(&self, call: Call, method: &str, args: &[u8]) -> Result<Vec<u8>, CallError> {
        self.0.check_body(args)?;
        let method = self.0.methods.find(method)?;
        self.0.call(call, method, &Work::Remote { args }).await
    }

    /// Picks a server, synchronously: the id of one of those last told by [`Plugin::set_servers`]. An index that
    /// the guest answers is looked up in the list that the guest knew.
    ///
    /// # Errors
    /// On any, take the built-in route. They are counted here, and logged when they begin and end.
    pub fn route(&self, server_type: &str, key: &RouteKey, method: &str) -> Result<Arc<str>, CallError> {
        match &self.0.router {
            Some(router) => router.route(server_type, key, method),
            None => Err(CallError::UnknownRoute(server_type.to_owned())),
        }
    }

    /// Tells the servers of one of [`Plugin::router_types`], sorted by id; those of other types are ignored.
    pub fn set_servers(&self, server_type: &str, servers: Arc<[Arc<ServerInfo>]>) {
        if let Some(router) = &self.0.router {
            router.set_servers(server_type, servers);
        }
    }

    /// `lifecycle.start`, in any instance.
    ///
    /// # Errors
    /// Any should stop the server's start.
    pub async fn start(&self) -> Result<(), CallError> {
        self.notify(0, &Work::Start).await
    }

    /// `lifecycle.session-closed`, in any instance.
    ///
    /// # Errors
    /// What became of the call; there is nobody to answer.
    pub async fn session_closed(&self, session: Arc<Session>, reason: &str) -> Result<(), CallError> {
        self.notify(1, &Work::SessionClosed { session, reason }).await
    }

    /// `lifecycle.stop`, in any instance.
    ///
    /// # Errors
    /// What became of the call; the server stops all the same.
    pub async fn stop(&self) -> Result<(), CallError> {
        self.notify(2, &Work::Stop).await
    }

    async fn notify(&self, name: usize, work: &Work<'_>) -> Result<(), CallError> {
        match self.0.lifecycle.get(name) {
            Some(name) if self.has_lifecycle() => {
                let call = Call::new(Instant::now() + self.0.blueprint.shared.limits.deadline());
                self.0.call(call, name, work).await.map(drop)
            }
            _ => Ok(()),
        }
    }

    /// Drops instances that have been idle for longer, but for the few that are always kept. Calls do this too,
    /// one instance at a time; this is for a server that has become quiet after a burst.
    pub fn trim(&self, idle: Duration) {
        self.0.pool.trim(idle, Instant::now());
    }

    /// Counters since it was loaded.
    pub fn stats(&self) -> PluginStats {
        self.0.blueprint.shared.counters.snapshot(self.0.pool.idle_count() as u64)
    }
}

impl std::fmt::Debug for Plugin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Plugin").field(self.name()).finish()
    }
}

impl Inner {
    fn check_body(&self, body: &[u8]) -> Result<(), CallError> {
        let bytes_max = self.blueprint.shared.limits.value_bytes_max;
        if body.len() <= bytes_max {
            return Ok(());
        }
        let error = CallError::ValueTooLarge { what: "body", bytes_max };
        self.blueprint.shared.counters.error(&error);
        Err(error)
    }

    async fn call(&self, call: Call, route: &Arc<str>, work: &Work<'_>) -> Result<Vec<u8>, CallError> {
        let shared = &self.blueprint.shared;
        shared.counters.calls.increment();
        let result = self.admit_and_run(call, route, work).await;
        if let Err(error) = &result {
            shared.counters.error(error);
            report::failed_call(&shared.name, route, error);
        }
        result
    }

    async fn admit_and_run(
        &self,
        call: Call,
        route: &Arc<str>,
        work: &Work<'_>,
    ) -> Result<Vec<u8>, CallError> {
        if call.depth > CALL_DEPTH_MAX {
            return Err(CallError::TooDeep);
        }
        let now = Instant::now();
        let deadline = call.deadline.min(now + self.blueprint.shared.limits.deadline());
        if deadline <= now {
            return Err(CallError::Deadline);
        }
        let mut place = self.pool.place(&call, now, deadline).await?;
        let run = pin!(self.run(&mut place, Begun { route, depth: call.depth, deadline }, work, now));
        deadline::until(deadline, &self.ticker, run).await.unwrap_or(Err(CallError::Deadline))
    }

    /// If this future is dropped, the instance is dropped with it.
    async fn run(
        &self,
        place: &mut Place<'_>,
        call: Begun<'_>,
        work: &Work<'_>,
        now: Instant,
    ) -> Result<Vec<u8>, CallError> {
        let mut instance = match place.take_idle() {
            Some(instance) => instance,
            None => self.new_instance(call, place.chain()).await?,
        };
        match instance.run(call, place.chain(), work).await {
            Ok(result) => {
                place.give_back(instance, now);
                self.check_result(result)
            }
            Err(error) => Err(classify(&error, &self.blueprint.shared.limits, instance.was_refused_memory())),
        }
    }

    async fn new_instance(&self, call: Begun<'_>, chain: &Chain) -> Result<Box<Instance>, CallError> {
        let scope = CallScope {
            plugin: self.blueprint.shared.name.clone(),
            route: call.route.clone(),
            depth: call.depth,
            deadline: call.deadline,
            chain: chain.clone(),
        };
        let limits = &self.blueprint.shared.limits;
        let failed = |error: wasmtime::Error| match classify(&error, limits, false) {
            CallError::Trap { message, .. } => CallError::Init(message),
            other => other,
        };
        let mut instance = self.blueprint.instantiate(scope).await.map_err(failed)?;
        match instance.init().await.map_err(failed)? {
            Ok(()) => Ok(instance),
            Err(failure) => Err(CallError::Init(format!("init failed: {failure}"))),
        }
    }

    fn check_result(&self, result: Result<Vec<u8>, crate::types::Failure>) -> Result<Vec<u8>, CallError> {
        let bytes_max = self.blueprint.shared.limits.value_bytes_max;
        match result {
            Ok(value) if value.len() > bytes_max => {
                Err(CallError::ValueTooLarge { what: "result", bytes_max })
            }
            Ok(value) => Ok(value),
            Err(mut failure) => {
                let end = failure.message.floor_char_boundary(LOG_BYTES_MAX);
                failure.message.truncate(end);
                Err(CallError::Failure(failure))
            }
        }
    }
}
