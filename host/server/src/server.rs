//! The state of one server process, and the calls that everything goes through.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use shaddock_cluster::{Cluster, Instant, Members, RpcError};
use shaddock_config::ServerTypeSettings;
use shaddock_engine::types::{Failure, RouteKey, ServerInfo, Session as Snapshot};
use shaddock_engine::{Call, CallError, Plugin, Throttle, Track};
use shaddock_handover::Current;
use shaddock_wire::json;
use shaddock_wire::protocol::Encoded;
use tokio_util::task::TaskTracker;

use crate::call_failure;
use crate::channel::Channels;
use crate::edition::{Edition, Key, Loaded};
use crate::error::ServerError;
use crate::filters::{self, Filtered, Filters, Refused};
use crate::frame;
use crate::lanes::LaneKey;
use crate::logins::Logins;
use crate::metrics::{Levels, Metrics};
use crate::peer::{self, Request};
use crate::plugins::Route;
use crate::rollout::Rollout;
use crate::roster::Roster;
use crate::routing::{self, Complaints, Target};
use crate::scheduler::Scheduler;
use crate::session::{Session, Sessions};
use crate::timers::Timers;
use crate::trace::{self, Served, Traces};

/// One server process.
pub(crate) struct Server {
    pub(crate) info: Arc<ServerInfo>,
    pub(crate) settings: ServerTypeSettings,
    pub(crate) sessions: Sessions,
    pub(crate) logins: Logins,
    pub(crate) channels: Channels,
    pub(crate) roster: Roster,
    pub(crate) metrics: Metrics,
    /// Connections are to end. Beside it a token wakes them; this is what they look at all the time.
    pub(crate) is_hanging_up: AtomicBool,
    /// For the lines about failed requests, which clients can cause at will.
    pub(crate) failures: Throttle,
    /// For the lines about slow requests.
    pub(crate) slow_lines: Throttle,
    pub(crate) scheduler: Scheduler,
    pub(crate) timers: Timers,
    /// For the lines about calls to other servers that break on their way.
    pub(crate) broken_calls: Throttle,
    /// For the lines about route functions that name no server.
    pub(crate) broken_routes: Throttle,
    /// Calls for other servers and notices of plugins that are under way.
    pub(crate) tasks: TaskTracker,
    /// Set when all plugins are loaded; loading needs the server.
    pub(crate) current: Current<Loaded>,
    /// Changes of `current`; set with it for the first time.
    pub(crate) rollout: OnceLock<Rollout>,
    /// What is remembered of who served whom.
    pub(crate) traces: Traces,
    /// Held while route functions are told of servers, and when others take their place.
    telling_routers: Mutex<()>,
    /// When a client's request is given up.
    request_timeout: Duration,
    /// Set when the cluster has started.
    pub(crate) cluster: OnceLock<Arc<dyn Cluster>>,
    /// When the process came up.
    pub(crate) started: Instant,
}

/// A message of a client that asks for a handler.
#[derive(Debug, Clone)]
pub(crate) struct ClientRequest {
    /// 0 for a notify, which has no answer.
    pub(crate) id: u32,
    pub(crate) route: Arc<Route>,
    /// The order that it has its place in, whatever becomes of the route while it waits there.
    pub(crate) lane: Option<LaneKey>,
    /// Of what ran when the route was looked up; see [`Current::serial`].
    pub(crate) serial: u64,
    /// Which versions it gets.
    pub(crate) track: Track,
    pub(crate) body: Bytes,
}

/// What became of a client's request.
pub(crate) struct Handled {
    /// The tag of the version that gave the answer; 0: no plugin was asked.
    pub(crate) by: u64,
    pub(crate) answer: Result<Vec<u8>, Failure>,
}

impl From<Failure> for Handled {
    fn from(failure: Failure) -> Self {
        Self { by: 0, answer: Err(failure) }
    }
}

/// The answer for a handler that has nothing to say.
const EMPTY_ANSWER: &[u8] = b"{}";

impl Server {
    /// A server with these settings that has no plugins yet and knows no other servers.
    pub(crate) fn new(info: Arc<ServerInfo>, settings: ServerTypeSettings) -> Result<Self, ServerError> {
        Ok(Self {
            sessions: Sessions::new(Arc::clone(&info.id)),
            info,
            logins: Logins::default(),
            channels: Channels::new(settings.channel.clone()),
            roster: Roster::new(settings.routers.clone()),
            metrics: Metrics::new()?,
            is_hanging_up: AtomicBool::new(false),
            failures: Throttle::default(),
            slow_lines: Throttle::default(),
            scheduler: Scheduler::new(settings.filters.settings.lag_ms_max),
            timers: Timers::default(),
            broken_calls: Throttle::with_lines_max(1),
            broken_routes: Throttle::with_lines_max(1),
            tasks: TaskTracker::new(),
            current: Current::default(),
            rollout: OnceLock::new(),
            traces: Traces::default(),
            telling_routers: Mutex::default(),
            request_timeout: filters::request_timeout(&settings),
            cluster: OnceLock::new(),
            started: Instant::now(),
            settings,
        })
    }

    /// What runs, once all plugins are loaded.
    pub(crate) fn loaded(&self) -> Result<Arc<Loaded>, Failure> {
        self.current.get().ok_or_else(starting)
    }

    /// Changes what runs. Its route functions know the servers by then.
    pub(crate) fn run(&self, loaded: Loaded) {
        let _one_at_a_time = self.lock_routers();
        self.tell_routers(&loaded);
        for edition in loaded.editions() {
            edition.plugins.all().iter().for_each(|plugin| self.traces.know(plugin));
        }
        self.current.set(loaded);
    }

    /// The roster first: a route function may only choose from what it was told.
    pub(crate) fn tell_members(&self, members: &Members) {
        let _one_at_a_time = self.lock_routers();
        self.roster.update(members);
        if let Some(loaded) = self.current.get() {
            self.tell_routers(&loaded);
        }
    }

    fn lock_routers(&self) -> MutexGuard<'_, ()> {
        self.telling_routers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell_routers(&self, loaded: &Loaded) {
        for edition in loaded.editions() {
            for (server_type, plugin) in edition.plugins.routed_types() {
                plugin.set_servers(server_type, self.roster.of_type(server_type));
            }
        }
    }

    /// The plugins that run for calls that were decided about so, to be kept for a call.
    pub(crate) fn edition(&self, track: Track) -> Result<Arc<Edition>, Failure> {
        self.look(track, |edition| Ok(Arc::clone(edition)))
    }

    /// Takes a look at them.
    pub(crate) fn look<T>(
        &self,
        track: Track,
        look: impl FnOnce(&Arc<Edition>) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        self.current.look(|loaded| look(loaded.ok_or_else(starting)?.edition_for(track)))
    }

    /// Decides which versions a call gets, unless that has been decided before.
    pub(crate) fn decide(&self, track: Track, key: Key<'_>) -> Track {
        self.current.look(|loaded| loaded.map_or(track, |loaded| loaded.decide(track, key)))
    }

    /// The version that runs of a plugin that serves this server's type.
    pub(crate) fn own_plugin(&self, name: &str, track: Track) -> Option<Plugin> {
        let find = |edition: &Arc<Edition>| {
            Ok(edition.plugins.own().iter().find(|plugin| *plugin.name().name == *name).cloned())
        };
        self.look(track, find).ok().flatten()
    }

    /// All versions that run of the plugins that serve this server's type.
    pub(crate) fn own_versions(&self) -> Vec<Plugin> {
        let mut versions = Vec::<Plugin>::new();
        for edition in self.current.get().iter().flat_map(|loaded| loaded.editions()) {
            let is_new = |plugin: &&Plugin| versions.iter().all(|known| known.name() != plugin.name());
            let new: Vec<Plugin> = edition.plugins.own().iter().filter(is_new).cloned().collect();
            versions.extend(new);
        }
        versions
    }

    /// The plugins that serve this server's type.
    pub(crate) fn own_plugins(&self) -> Vec<Plugin> {
        self.look(Track::UNDECIDED, |edition| Ok(edition.plugins.own().to_vec())).unwrap_or_default()
    }

    /// The other servers, once the cluster has started.
    pub(crate) fn cluster(&self) -> Result<&Arc<dyn Cluster>, Failure> {
        self.cluster.get().ok_or_else(starting)
    }

    /// When a call that starts now without a deadline of its own is given up.
    pub(crate) fn deadline(&self) -> Instant {
        self.deadline_from(Instant::now())
    }

    /// When a call of a plugin that starts then is given up.
    pub(crate) fn deadline_from(&self, start: Instant) -> Instant {
        start + Duration::from_millis(self.settings.rpc.timeout_ms)
    }

    /// When a client's request that was received then is given up.
    pub(crate) fn request_deadline(&self, received: Instant) -> Instant {
        received + self.request_timeout
    }

    /// Numbers for the metrics that are not counted along the way.
    pub(crate) fn levels(&self) -> Levels {
        Levels { sessions: self.sessions.len(), channels: self.channels.len(), timers: self.timers.len() }
    }

    /// Finds a route; pomelo answers 500 to one that has not three parts.
    pub(crate) fn route(&self, name: &str, track: Track) -> Result<Arc<Route>, Failure> {
        self.look(track, |edition| self.route_of(edition, name))
    }

    /// Finds the route of a client's request, and decides which versions it gets.
    pub(crate) fn route_for(&self, session: &Session, name: &str) -> Result<(Arc<Route>, Track), Failure> {
        self.current.look(|loaded| {
            let loaded = loaded.ok_or_else(starting)?;
            // A look at the session has its price.
            let track = match &loaded.canary {
                Some(_) => loaded.decide(Track::UNDECIDED, Key::Session(&session.snapshot())),
                None => Track::UNDECIDED,
            };
            Ok((self.route_of(loaded.edition_for(track), name)?, track))
        })
    }

    fn route_of(&self, edition: &Edition, name: &str) -> Result<Arc<Route>, Failure> {
        let served = edition.plugins.route(name);
        let server_type = match served {
            Some(route) if self.is_own(route) => return Ok(Arc::clone(route)),
            Some(route) => &*route.server_type,
            None => {
                let mut parts = name.split('.');
                match (parts.next(), parts.next(), parts.next(), parts.next()) {
                    (Some(server_type), Some(_), Some(_), None) => server_type,
                    _ => {
                        let message = format!("route {name:?} is not serverType.handler.method");
                        return Err(Failure::new(500, message));
                    }
                }
            }
        };
        let unserved = || Arc::new(Route::unserved(name, server_type.into()));
        if server_type == &*self.info.server_type {
            return Ok(unserved());
        }
        match self.roster.has_frontends(server_type) {
            Some(false) => Ok(served.map_or_else(unserved, Arc::clone)),
            Some(true) => Err(Failure::new(500, format!("route {name:?} leads to another frontend type"))),
            None => Err(Failure::new(500, format!("no server for route {name:?} is up"))),
        }
    }

    /// Whether the requests of a route are handled by this server.
    pub(crate) fn is_own(&self, route: &Route) -> bool {
        route.server_type == self.info.server_type
    }

    /// Runs a handler of this server, with the filters in front of it.
    pub(crate) async fn handle(
        &self,
        route: &Route,
        body: &[u8],
        session: Arc<Snapshot>,
        call: Call,
        received: Instant,
    ) -> Handled {
        let filtered =
            |edition: &Arc<Edition>| Ok((!edition.filters.own.is_idle()).then(|| Arc::clone(edition)));
        match self.look(call.track, filtered) {
            Ok(Some(edition)) => {
                let body = body.to_vec();
                let request = Filtered { route: &route.name, body, session, call, received };
                // In a box, so that requests without filters carry nothing of it.
                Box::pin(self.handle_filtered(&edition.filters.own, route, request)).await
            }
            Ok(None) => self.run_handler(route, body, session, call).await,
            Err(failure) => failure.into(),
        }
    }

    async fn handle_filtered(&self, filters: &Filters, route: &Route, mut request: Filtered<'_>) -> Handled {
        let mut by = 0;
        let outcome = match self.filter_before(filters, &mut request).await {
            Ok(()) => {
                let (session, call) = (Arc::clone(&request.session), request.call.clone());
                let handled = self.run_handler(route, &request.body, session, call).await;
                by = handled.by;
                handled.answer.map_err(Refused::from)
            }
            Err(refused) => Err(refused),
        };
        let outcome = match outcome {
            Err(refused) => self.handle_error(filters, &request, refused).await,
            answered => answered,
        };
        let outcome = self.filter_after(filters, &request, outcome).await;
        Handled { by, answer: outcome.or_else(Refused::into_answer) }
    }

    async fn run_handler(&self, route: &Route, body: &[u8], session: Arc<Snapshot>, call: Call) -> Handled {
        let name = &*route.name;
        let Some(plugin) = &route.plugin else {
            return Failure::new(500, format!("no plugin serves route {name:?}")).into();
        };
        let (by, answer) = plugin.handle_by(call, name, body, session).await;
        let answer = match answer {
            Ok(answer) => checked(name, answer),
            Err(CallError::Failure(failure)) => Err(failure),
            // logged by the engine, with what the guest left behind
            Err(error) => return Handled { by, answer: Err(error.into_failure()) },
        };
        Handled { by, answer: answer.inspect_err(|failure| self.log_failure(plugin, name, failure)) }
    }

    /// What a client did wrong is for whoever debugs it; what the plugin did wrong is for the operator.
    pub(crate) fn log_failure(&self, plugin: &Plugin, route: &str, failure: &Failure) {
        let (of, code, reason) = (plugin.name(), failure.code, &failure.message);
        if code < 500 {
            tracing::debug!(plugin = %of.name, version = %of.version, digest = %of.digest, route, code, reason, "a request was refused");
        } else if let Some(left_out) = self.failures.admit() {
            tracing::warn!(plugin = %of.name, version = %of.version, digest = %of.digest, route, code, reason, left_out, "a request failed");
        }
    }

    /// Sends a client's request to the server that its route function picks, and the answer to the client.
    ///
    /// The answer is queued by the task that reads the link, so it keeps its place among the pushes of that
    /// server; then the connection is told that the request has ended.
    pub(crate) fn forward(
        self: &Arc<Self>,
        session: &Arc<Session>,
        request: ClientRequest,
        received: Instant,
    ) {
        let snapshot = session.snapshot();
        let lane = request.lane;
        let of_session = Arc::clone(session);
        let ended = move |_: Result<&Bytes, &Failure>| of_session.outbound.request_ended(lane);
        self.forward_as(session, snapshot, request, received, ended);
    }

    /// The same with a copy of the session that filters may have changed. `ended` is told the answer when that is
    /// queued.
    pub(crate) fn forward_as(
        self: &Arc<Self>,
        session: &Arc<Session>,
        snapshot: Arc<Snapshot>,
        request: ClientRequest,
        received: Instant,
        ended: impl FnOnce(Result<&Bytes, &Failure>) + Send + 'static,
    ) {
        let route = &request.route;
        let key = RouteKey::Session(Arc::clone(&snapshot));
        let target = self.target(&route.server_type, &key, &route.name, request.track);
        let message = Request::Forward {
            session: snapshot,
            track: request.track,
            route: Arc::clone(&route.name),
            body: request.body.clone(),
        };
        let (server, session) = (Arc::clone(self), Arc::clone(session));
        let finish = move |by: u64, answer: Result<Bytes, Failure>| {
            server.finish(&session, &request, received, by, answer.as_deref());
            ended(answer.as_ref());
        };
        let (target, cluster) = match (target, self.cluster()) {
            (Ok(target), Ok(cluster)) => (target, cluster),
            (Err(failure), _) | (_, Err(failure)) => return finish(0, Err(failure)),
        };
        let Target { id, active } = target;
        let to = Arc::clone(&id);
        let completion = Box::new(move |answer: Result<Bytes, RpcError>| {
            drop(active);
            let (by, answer) = match answer {
                Ok(answer) => peer::decode_forwarded(answer),
                Err(error) => (0, Err(call_failure::of_forward(&to, &error))),
            };
            finish(by, answer);
        });
        cluster.request(&id, message.encode(), self.request_deadline(received), completion);
    }

    /// Picks the server of a type for a call.
    pub(crate) fn target(
        &self,
        server_type: &str,
        key: &RouteKey,
        method: &str,
        track: Track,
    ) -> Result<Target, Failure> {
        let complaints = Complaints { metrics: &self.metrics, throttle: &self.broken_routes };
        self.look(track, |edition| {
            routing::pick(&self.roster, &edition.plugins, server_type, key, method, &complaints)
        })
    }

    /// Ends a client's request: it is counted, remembered, and answered.
    pub(crate) fn finish(
        &self,
        session: &Session,
        request: &ClientRequest,
        received: Instant,
        by: u64,
        answer: Result<&[u8], &Failure>,
    ) {
        let route = &request.route;
        let served =
            if self.is_own(route) { &self.metrics.requests_local } else { &self.metrics.requests_forwarded };
        let took = served.count(answer.is_ok(), received);
        if let Some(number) = route.number.filter(|_| by != 0) {
            let at = received.saturating_duration_since(self.started);
            let code = answer.err().map(|failure| failure.code);
            session.last_requests.add(Served { by, route: number, code, at, took });
        }
        if self.settings.update.version_in_answers
            && let Some(version) = self.traces.version(by)
        {
            let named = trace::name_version(answer, &version);
            return self.answer(session, request.id, &route.name, Ok(&named));
        }
        self.answer(session, request.id, &route.name, answer);
    }

    /// Queues the answer of a request for its client; a notify, whose id is 0, has none.
    pub(crate) fn answer(&self, session: &Session, id: u32, route: &str, answer: Result<&[u8], &Failure>) {
        let failed;
        let json = match answer {
            Ok([]) => EMPTY_ANSWER,
            Ok(json) => json,
            Err(failure) => {
                let session = session.number();
                tracing::debug!(route, session, %failure, "answering with an error");
                failed = format!("{{\"code\":{}}}", failure.code);
                failed.as_bytes()
            }
        };
        if id == 0 {
            return;
        }
        let len_guess = json.len() + 8;
        session.outbound.write(|out| {
            let encoded = frame::append(out, session.transport, len_guess, |out| {
                session.protocol.encode_response(id, route, json, session.text_form, out)
            });
            match encoded {
                Ok(Encoded::Whole) => {}
                Ok(Encoded::Empty(mismatch)) => {
                    tracing::warn!(route, %mismatch, "an answer does not fit its schema; sent with an empty body");
                }
                Err(error) => tracing::warn!(route, %error, "an answer cannot be encoded"),
            }
        });
    }
}

fn starting() -> Failure {
    Failure::retryable(503, "the server is starting")
}

/// An answer goes to clients as it is, so it must be JSON.
fn checked(route: &str, answer: Vec<u8>) -> Result<Vec<u8>, Failure> {
    if answer.is_empty() || json::is_json(&answer) {
        return Ok(answer);
    }
    Err(Failure::new(
        500,
        format!("the answer of {route} is not JSON: {:.100}", String::from_utf8_lossy(&answer)),
    ))
}
