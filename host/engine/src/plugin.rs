//! A loaded plugin: what the server calls.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashSet;
use tokio::time::Instant;

use crate::concurrent::Crowd;
use crate::context::Shared;
use crate::deadline;
use crate::engine::Engine;
use crate::error::CallError;
use crate::host::{Call, Chain, PluginName};
use crate::instance::{Begun, Blueprint, Instance};
use crate::load::Offer;
use crate::pool::Pool;
use crate::retire::Ending;
use crate::router::Router;
use crate::settings::PoolPolicy;
use crate::single::{self, Line};
use crate::stats::PluginStats;
use crate::summary::Summary;
use crate::ticker::Ticker;
use crate::track::Track;
use crate::trap::classify;
use crate::types::{Client, Failure, RouteKey, ServerInfo, Session, Verdict, Welcome};
use crate::work::{
    After, AfterRpc, Before, BeforeRpc, Event, Handle, HandleError, Handshake, Remote, Select, ServerNews,
    SessionNews,
};

/// A loaded plugin. Clones share its instances.
///
/// Failures that come from the guest's code are logged here, once, with the plugin's name and version; the
/// caller has only to answer.
#[derive(Clone)]
pub struct Plugin(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) shared: Arc<Shared>,
    /// None with many calls in flight in an instance: these are made elsewhere.
    pub(crate) blueprint: Option<Blueprint>,
    pub(crate) places: Places,
    pub(crate) ending: Ending,
    pub(crate) ticker: Arc<Ticker>,
    pub(crate) routes: Names,
    pub(crate) methods: Names,
    router: Option<Arc<Router>>,
    offer: Offer,
    summary: Summary,
}

/// Where calls find instances.
pub(crate) enum Places {
    /// With policy `warm` or `fresh`.
    Many(Pool),
    /// With policy `single`.
    One(Line),
    /// Of a plugin that has many calls in flight in an instance.
    Crowd(Crowd),
}

/// Names in the order in which the plugin listed them, and to be found quickly.
pub(crate) struct Names {
    list: Vec<Arc<str>>,
    set: HashSet<Arc<str>>,
}

impl Names {
    fn new(list: Vec<Arc<str>>) -> Self {
        Self { set: list.iter().cloned().collect(), list }
    }

    pub(crate) fn find(&self, name: &str) -> Result<&Arc<str>, CallError> {
        self.set.get(name).ok_or_else(|| CallError::UnknownRoute(name.chars().take(255).collect()))
    }
}

impl Plugin {
    pub(crate) fn new(
        engine: &Engine,
        policy: PoolPolicy,
        blueprint: Blueprint,
        first: Box<Instance>,
        offer: Offer,
        router: Option<Arc<Router>>,
        summary: Summary,
    ) -> Self {
        let places = match policy {
            PoolPolicy::Single => Places::One(single::line(first)),
            PoolPolicy::Warm | PoolPolicy::Fresh => {
                Places::Many(Pool::new(policy, blueprint.shared.clone(), first))
            }
        };
        let shared = blueprint.shared.clone();
        let ticker = engine.plain().ticker.clone();
        Self::of(shared, places, Some(blueprint), ticker, offer, router, summary)
    }

    pub(crate) fn concurrent(ticker: Arc<Ticker>, crowd: Crowd, offer: Offer, summary: Summary) -> Self {
        Self::of(crowd.shared().clone(), Places::Crowd(crowd), None, ticker, offer, None, summary)
    }

    fn of(
        shared: Arc<Shared>,
        places: Places,
        blueprint: Option<Blueprint>,
        ticker: Arc<Ticker>,
        mut offer: Offer,
        router: Option<Arc<Router>>,
        summary: Summary,
    ) -> Self {
        let ending = Ending::default();
        let routes = Names::new(std::mem::take(&mut offer.routes));
        let methods = Names::new(std::mem::take(&mut offer.methods));
        Self(Arc::new(Inner {
            shared,
            blueprint,
            places,
            ending,
            ticker,
            routes,
            methods,
            router,
            offer,
            summary,
        }))
    }

    /// Name, version and digest.
    pub fn name(&self) -> &Arc<PluginName> {
        &self.0.shared.name
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
        self.0.shared.roles.has_lifecycle()
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
        self.handle_by(call, route, body, session).await.1
    }

    /// As [`Plugin::handle`], and the [`PluginName::tag`] of the version in which it ran: another one than this if that
    /// has taken over meanwhile.
    pub async fn handle_by(
        &self,
        call: Call,
        route: &str,
        body: &[u8],
        session: Arc<Session>,
    ) -> (u64, Result<Vec<u8>, CallError>) {
        let own = self.name().tag();
        let route = match self.0.check_body(body).and_then(|()| self.0.routes.find(route)) {
            Ok(route) => route,
            Err(error) => return (own, Err(error)),
        };
        let (successor, result) = self.0.call_by(call, route, &Handle { body, session }).await;
        (successor.map_or(own, |plugin| plugin.name().tag()), result)
    }

    /// Answers an RPC. `method` is the whole `serverType.service.method`, as in [`Plugin::methods`].
    ///
    /// # Errors
    /// The plugin's own failure, or what became of the call.
    pub async fn remote(&self, call: Call, method: &str, args: &[u8]) -> Result<Vec<u8>, CallError> {
        self.0.check_body(args)?;
        let method = self.0.methods.find(method)?;
        self.0.call(call, method, &Remote { args }).await
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

    /// The filters that app.json may name.
    pub fn filters(&self) -> &[Arc<str>] {
        &self.0.offer.filters
    }

    /// The error handlers that app.json may name.
    pub fn error_handlers(&self) -> &[Arc<str>] {
        &self.0.offer.error_handlers
    }

    /// The filters of calls to other servers that app.json may name.
    pub fn rpc_filters(&self) -> &[Arc<str>] {
        &self.0.offer.rpc_filters
    }

    /// The filters that broadcasts may name.
    pub fn broadcast_filters(&self) -> &[Arc<str>] {
        &self.0.offer.broadcast_filters
    }

    /// The actions that crons.json may name.
    pub fn cron_actions(&self) -> &[Arc<str>] {
        &self.0.offer.cron_actions
    }

    /// Whether it checks handshakes.
    pub fn has_handshake(&self) -> bool {
        self.0.shared.roles.rarer.handshake.is_some()
    }

    /// Whether it listens to what happens to servers.
    pub fn has_server_events(&self) -> bool {
        self.0.shared.roles.rarer.server_events.is_some()
    }

    /// Whether it listens to what happens to sessions.
    pub fn has_session_events(&self) -> bool {
        self.0.shared.roles.rarer.session_events.is_some()
    }

    /// Whether it has a game loop.
    pub fn has_tick(&self) -> bool {
        self.0.shared.roles.rarer.tick.is_some()
    }

    /// `handshake.check`.
    ///
    /// # Errors
    /// The plugin's refusal, or what became of the call: the client is refused.
    pub async fn check_handshake(&self, client: &Client) -> Result<Welcome, CallError> {
        self.0.call(self.own_call(), &"handshake".into(), &Handshake(client)).await
    }

    /// `filter.before`; `name` is one of [`Plugin::filters`].
    ///
    /// # Errors
    /// What became of the call: the request goes no further.
    pub async fn filter_before(
        &self,
        call: Call,
        name: &Arc<str>,
        route: &str,
        body: &[u8],
        session: Arc<Session>,
    ) -> Result<Verdict, CallError> {
        self.0.check_body(body)?;
        self.0.call(call, name, &Before { route, body, session }).await
    }

    /// `filter.after`: an answer that is to take the place of the outcome.
    ///
    /// # Errors
    /// What became of the call: the outcome stays.
    pub async fn filter_after(
        &self,
        call: Call,
        name: &Arc<str>,
        route: &str,
        body: &[u8],
        session: Arc<Session>,
        outcome: Result<&[u8], &Failure>,
    ) -> Result<Option<Vec<u8>>, CallError> {
        self.0.call(call, name, &After { route, body, session, outcome }).await
    }

    /// `error-handler.handle`; `name` is one of [`Plugin::error_handlers`].
    ///
    /// # Errors
    /// The failure that stays, or what became of the call.
    #[expect(clippy::too_many_arguments, reason = "those of the exported function, and the call's")]
    pub async fn handle_error(
        &self,
        call: Call,
        name: &Arc<str>,
        route: &str,
        body: &[u8],
        session: Arc<Session>,
        failure: &Failure,
        answer: Option<&[u8]>,
    ) -> Result<Vec<u8>, CallError> {
        self.0.call(call, name, &HandleError { route, body, session, failure, answer }).await
    }

    /// `rpc-filter.before`: arguments in place of those that the call had.
    ///
    /// # Errors
    /// The plugin's refusal, or what became of the call: the RPC is not made.
    pub async fn rpc_before(
        &self,
        call: Call,
        name: &Arc<str>,
        server_id: &str,
        method: &str,
        args: &[u8],
    ) -> Result<Option<Vec<u8>>, CallError> {
        self.0.call(call, name, &BeforeRpc { server_id, method, args }).await
    }

    /// `rpc-filter.after`.
    ///
    /// # Errors
    /// What became of the call; the RPC's outcome stays.
    pub async fn rpc_after(
        &self,
        call: Call,
        name: &Arc<str>,
        server_id: &str,
        method: &str,
        outcome: Result<&[u8], &Failure>,
    ) -> Result<(), CallError> {
        self.0.call(call, name, &AfterRpc { server_id, method, outcome }).await
    }

    /// `broadcast-filter.select`; `name` is one of [`Plugin::broadcast_filters`].
    ///
    /// # Errors
    /// What became of the call: nobody is selected.
    pub async fn select(
        &self,
        name: &Arc<str>,
        param: &str,
        sessions: &[Session],
    ) -> Result<Vec<bool>, CallError> {
        self.0.call(self.own_call(), name, &Select { param, sessions }).await
    }

    /// `lifecycle.start`, in any instance.
    ///
    /// # Errors
    /// Any should stop the server's start.
    pub async fn start(&self) -> Result<(), CallError> {
        self.lifecycle("start", &Event::Start).await
    }

    /// `lifecycle.session-closed`, in any instance.
    ///
    /// # Errors
    /// What became of the call; there is nobody to answer.
    pub async fn session_closed(&self, session: Arc<Session>, reason: &str) -> Result<(), CallError> {
        self.lifecycle("session-closed", &Event::SessionClosed { session, reason }).await
    }

    /// `lifecycle.stop`, in any instance.
    ///
    /// # Errors
    /// What became of the call; the server stops all the same.
    pub async fn stop(&self) -> Result<(), CallError> {
        self.lifecycle("stop", &Event::Stop).await
    }

    /// An event of `server-events`; nothing happens if the plugin does not listen.
    ///
    /// # Errors
    /// What became of the call; there is nobody to answer.
    pub async fn tell_of_servers(&self, news: ServerNews<'_>) -> Result<(), CallError> {
        if !self.has_server_events() {
            return Ok(());
        }
        self.0.call(self.own_call(), &news.name().into(), &Event::Server(news)).await
    }

    /// An event of `session-events`; nothing happens if the plugin does not listen.
    ///
    /// # Errors
    /// What became of the call; there is nobody to answer.
    pub async fn tell_of_session(&self, news: SessionNews<'_>) -> Result<(), CallError> {
        if !self.has_session_events() {
            return Ok(());
        }
        self.0.call(self.own_call(), &news.name().into(), &Event::Session(news)).await
    }

    /// `cron.run`; `action` is one of [`Plugin::cron_actions`].
    ///
    /// # Errors
    /// The plugin's failure, or what became of the call.
    pub async fn run_cron(&self, action: &Arc<str>, id: &str) -> Result<(), CallError> {
        self.0.call(self.own_call(), action, &Event::Cron { id }).await
    }

    /// `timer.fired`; `track` is that of the call that set it.
    ///
    /// # Errors
    /// The plugin's failure, or what became of the call.
    pub async fn fire_timer(
        &self,
        track: Track,
        name: &Arc<str>,
        id: u64,
        payload: &[u8],
    ) -> Result<(), CallError> {
        self.0.call(Call { track, ..self.own_call() }, name, &Event::Timer { id, payload }).await
    }

    /// `tick.tick`.
    ///
    /// # Errors
    /// The plugin's failure, or what became of the call.
    pub async fn tick(&self, number: u64, late: Duration, missed: u32) -> Result<(), CallError> {
        let late_ns = u64::try_from(late.as_nanos()).unwrap_or(u64::MAX);
        self.0.call(self.own_call(), &"tick".into(), &Event::Tick { number, late_ns, missed }).await
    }

    async fn lifecycle(&self, name: &str, event: &Event<'_>) -> Result<(), CallError> {
        if self.has_lifecycle() { self.0.call(self.own_call(), &name.into(), event).await } else { Ok(()) }
    }

    /// A call that nobody waits for: it may take as long as any call of the plugin.
    fn own_call(&self) -> Call {
        Call::new(Instant::now() + self.0.shared.limits.deadline())
    }

    /// Drops instances that have been idle for longer, but for the few that are always kept. Calls do this too,
    /// one instance at a time; this is for a server that has become quiet after a burst.
    pub fn trim(&self, idle: Duration) {
        if let Places::Many(pool) = &self.0.places {
            pool.trim(idle, Instant::now());
        }
    }

    /// What this version offers and asks for.
    pub fn summary(&self) -> &Summary {
        &self.0.summary
    }

    /// Runs the plugin's own test of itself (`self-test.run`) in an instance that is thrown away afterwards, within the
    /// deadline and the CPU budget of a call. Ok if the plugin has none.
    ///
    /// # Errors
    /// The plugin's verdict, or what became of the call.
    pub async fn self_test(&self) -> Result<(), CallError> {
        let shared = &self.0.shared;
        if shared.roles.rarer.self_test.is_none() {
            return Ok(());
        }
        let deadline = Instant::now() + shared.limits.deadline();
        let route = "self-test".into();
        let begun = Begun { route: &route, depth: 0, track: Track::UNDECIDED, deadline, tape: None };
        let test = pin!(async {
            let mut instance = self.0.new_instance(begun, &Chain::default()).await?;
            match instance.run_self_test().await {
                Ok(verdict) => verdict.map_err(CallError::Failure),
                Err(error) => Err(classify(&error, &shared.limits, instance.was_refused_memory())),
            }
        });
        deadline::until(deadline, &self.0.ticker, None, test).await?
    }

    /// Whether these are the same loaded plugin.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// The line in front of its only instance, with policy `single`.
    pub(crate) fn line(&self) -> Option<&Line> {
        match &self.0.places {
            Places::Many(_) | Places::Crowd(_) => None,
            Places::One(line) => Some(line),
        }
    }

    /// Counters since it was loaded.
    pub fn stats(&self) -> PluginStats {
        let idle = match &self.0.places {
            Places::Many(pool) => pool.idle_count(),
            Places::One(line) => usize::from(line.look(Option::is_some).unwrap_or_default()),
            Places::Crowd(crowd) => crowd.idle_count(),
        };
        self.0.shared.counters.snapshot(idle as u64)
    }
}

impl std::fmt::Debug for Plugin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Plugin").field(self.name()).finish()
    }
}
