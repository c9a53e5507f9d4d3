//! What runs before and after handlers: the filters and error handlers that app.json names.
//!
//! pomelo's order: global filters on the frontend, then the filters of the server that handles the request, then
//! the handler; the after parts in reverse. A filter that fails by itself (a trap, a deadline) refuses: nothing
//! passes that was not let through.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Map, Value};
use shaddock_cluster::Instant;
use shaddock_config::{Filter, FilterSettings, Filters as Named, RpcFilter, ServerTypeSettings};
use shaddock_engine::types::{Failure, Session as Snapshot, Verdict};
use shaddock_engine::{Call, CallError, Plugin};
use shaddock_wire::json;
use tokio::sync::oneshot;

use crate::error::ServerError;
use crate::plugins::Plugins;
use crate::server::{ClientRequest, Handled, Server};
use crate::session::Session;

/// How long an error handler or an after part may take.
const AFTER_TIMEOUT: Duration = Duration::from_secs(1);

/// A function that a plugin offers by name.
pub(crate) type Offered = (Plugin, Arc<str>);

/// The filters of one place (the frontend's own, or the global ones), in order.
#[derive(Default)]
pub(crate) struct Filters {
    chain: Vec<Offered>,
    error_handler: Option<Offered>,
    /// Requests are refused while the scheduler lags.
    is_toobusy: bool,
    /// From when on a request is logged as slow.
    slow: Option<Duration>,
}

/// The filters of calls to other servers, in order.
#[derive(Default)]
pub(crate) struct RpcFilters {
    chain: Vec<Offered>,
    is_toobusy: bool,
    slow: Option<Duration>,
}

/// All filters of a server.
#[derive(Default)]
pub(crate) struct AllFilters {
    pub(crate) own: Filters,
    pub(crate) global: Filters,
    pub(crate) rpc: RpcFilters,
}

impl AllFilters {
    /// Finds what app.json names among what the server's plugins offer.
    pub(crate) fn new(named: &Named, plugins: &Plugins) -> Result<Self, ServerError> {
        let own = Filters::new("app.json: filters", &named.own, &named.settings, plugins)?;
        let global = Filters::new("app.json: globalFilters", &named.global, &named.settings, plugins)?;
        let handler = |field, name: &Option<String>| match name {
            Some(name) => match plugins.error_handler(name) {
                Some(handler) => Ok(Some(handler.clone())),
                None => Err(ServerError::not_offered(field, "error handler", name)),
            },
            None => Ok(None),
        };
        Ok(Self {
            own: Filters { error_handler: handler("app.json: errorHandler", &named.error_handler)?, ..own },
            global: Filters {
                error_handler: handler("app.json: globalErrorHandler", &named.global_error_handler)?,
                ..global
            },
            rpc: RpcFilters::new(&named.rpc, &named.settings, plugins)?,
        })
    }
}

impl Filters {
    fn new(
        field: &'static str,
        named: &[Filter],
        settings: &FilterSettings,
        plugins: &Plugins,
    ) -> Result<Self, ServerError> {
        let mut filters = Self::default();
        for filter in named {
            match filter {
                // Orders and deadlines are not a matter of what runs before a request.
                Filter::Serial | Filter::Timeout => {}
                Filter::Time => filters.slow = Some(Duration::from_millis(settings.slow_ms)),
                Filter::Toobusy => filters.is_toobusy = true,
                Filter::Plugin(name) => match plugins.filter(name) {
                    Some(filter) => filters.chain.push(filter.clone()),
                    None => return Err(ServerError::not_offered(field, "filter", name)),
                },
            }
        }
        Ok(filters)
    }

    /// Whether requests can go past without a look at it.
    pub(crate) fn is_idle(&self) -> bool {
        self.chain.is_empty() && self.error_handler.is_none() && !self.is_toobusy && self.slow.is_none()
    }
}

impl RpcFilters {
    fn new(named: &[RpcFilter], settings: &FilterSettings, plugins: &Plugins) -> Result<Self, ServerError> {
        let mut filters = Self::default();
        for filter in named {
            match filter {
                RpcFilter::RpcLog => filters.slow = Some(Duration::from_millis(settings.slow_ms)),
                RpcFilter::Toobusy => filters.is_toobusy = true,
                RpcFilter::Plugin(name) => match plugins.rpc_filter(name) {
                    Some(filter) => filters.chain.push(filter.clone()),
                    None => {
                        return Err(ServerError::not_offered(
                            "app.json: rpcFilters",
                            "filter of calls",
                            name,
                        ));
                    }
                },
            }
        }
        Ok(filters)
    }

    /// Whether calls can go past without a look at it.
    pub(crate) fn is_idle(&self) -> bool {
        self.chain.is_empty() && !self.is_toobusy && self.slow.is_none()
    }
}

/// How long a client's request may take on a server with these settings: the filter `timeout` shortens it.
pub(crate) fn request_timeout(settings: &ServerTypeSettings) -> Duration {
    let named = &settings.filters;
    let has_timeout = named.own.iter().chain(&named.global).any(|filter| *filter == Filter::Timeout);
    let rpc_ms = settings.rpc.timeout_ms;
    Duration::from_millis(if has_timeout { rpc_ms.min(named.settings.timeout_ms) } else { rpc_ms })
}

/// A request as the filters see it.
pub(crate) struct Filtered<'a> {
    pub(crate) route: &'a str,
    pub(crate) body: Vec<u8>,
    pub(crate) session: Arc<Snapshot>,
    pub(crate) call: Call,
    /// When it was received here.
    pub(crate) received: Instant,
}

impl Filtered<'_> {
    /// The call of an error handler or an after part: it has time of its own, since the request's may be over.
    fn afterwards(&self) -> Call {
        Call { deadline: Instant::now() + AFTER_TIMEOUT, ..self.call.clone() }
    }
}

/// Why a request has no answer of its handler, and what the client gets in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) failure: Failure,
    /// JSON; none: `{"code": <code>}`.
    answer: Option<Vec<u8>>,
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        Self { failure, answer: None }
    }
}

impl Refused {
    /// The answer for the client: pomelo puts a code into one that has none.
    pub(crate) fn into_answer(self) -> Result<Vec<u8>, Failure> {
        let Some(answer) = self.answer else { return Err(self.failure) };
        match serde_json::from_slice::<Map<String, Value>>(&answer) {
            Ok(mut object) if !object.contains_key("code") => {
                object.insert("code".to_owned(), self.failure.code.into());
                Ok(Value::Object(object).to_string().into_bytes())
            }
            _ => Ok(answer),
        }
    }
}

impl Server {
    /// The filter `toobusy`, if it is one of them.
    fn refuse_if_toobusy(&self, is_toobusy: bool) -> Result<(), Failure> {
        if !is_toobusy || !self.scheduler.is_lagging() {
            return Ok(());
        }
        self.metrics.refused_toobusy.inc();
        Err(Failure::retryable(503, "the server is too busy"))
    }

    /// The before parts. `Err` if the request goes no further.
    pub(crate) async fn filter_before(
        &self,
        filters: &Filters,
        request: &mut Filtered<'_>,
    ) -> Result<(), Refused> {
        self.refuse_if_toobusy(filters.is_toobusy)?;
        for (plugin, name) in &filters.chain {
            let session = Arc::clone(&request.session);
            let call = request.call.clone();
            match plugin.filter_before(call, name, request.route, &request.body, session).await {
                Ok(Verdict::Pass { body, session }) => {
                    if let Some(body) = body {
                        request.body = checked(name, request.route, body)?;
                    }
                    if let Some(session) = session {
                        request.session = session;
                    }
                }
                Ok(Verdict::Refuse { failure, answer }) => {
                    self.metrics.refused_by_filter.inc();
                    self.log_failure(plugin, request.route, &failure);
                    let answer = answer.filter(|answer| !answer.is_empty());
                    let answer = answer.map(|answer| checked(name, request.route, answer)).transpose()?;
                    return Err(Refused { failure, answer });
                }
                // logged and counted by the engine
                Err(error) => {
                    self.metrics.refused_by_filter.inc();
                    return Err(error.into_failure().into());
                }
            }
        }
        Ok(())
    }

    /// The error handler: it may make an answer of a failure.
    pub(crate) async fn handle_error(
        &self,
        filters: &Filters,
        request: &Filtered<'_>,
        refused: Refused,
    ) -> Result<Vec<u8>, Refused> {
        let Some((plugin, name)) = &filters.error_handler else { return Err(refused) };
        let Filtered { route, body, session, .. } = request;
        let (session, call) = (Arc::clone(session), request.afterwards());
        let answer = refused.answer.as_deref();
        match plugin.handle_error(call, name, route, body, session, &refused.failure, answer).await {
            Ok(answer) => match checked(name, route, answer) {
                Ok(answer) => Ok(answer),
                Err(_) => Err(refused),
            },
            Err(CallError::Failure(failure)) => Err(Refused { failure, ..refused }),
            // logged and counted by the engine
            Err(_) => Err(refused),
        }
    }

    /// The after parts, in reverse; each may give another answer.
    pub(crate) async fn filter_after(
        &self,
        filters: &Filters,
        request: &Filtered<'_>,
        mut outcome: Result<Vec<u8>, Refused>,
    ) -> Result<Vec<u8>, Refused> {
        let Filtered { route, body, session, .. } = request;
        for (plugin, name) in filters.chain.iter().rev() {
            let seen = outcome.as_deref().map_err(|refused| &refused.failure);
            let (session, call) = (Arc::clone(session), request.afterwards());
            if let Ok(Some(answer)) = plugin.filter_after(call, name, route, body, session, seen).await
                && let Ok(answer) = checked(name, route, answer)
            {
                outcome = match outcome {
                    Ok(_) => Ok(answer),
                    Err(refused) => {
                        Err(Refused { answer: Some(answer).filter(|answer| !answer.is_empty()), ..refused })
                    }
                };
            }
        }
        if let Some(slow) = filters.slow {
            self.log_if_slow(slow, request);
        }
        outcome
    }

    fn log_if_slow(&self, slow: Duration, request: &Filtered<'_>) {
        let took = request.received.elapsed();
        if took < slow {
            return;
        }
        self.metrics.slow_requests.inc();
        if let Some(left_out) = self.slow_lines.admit() {
            let (route, uid) = (request.route, request.session.uid.as_deref());
            let took_ms = took.as_secs_f64() * 1000.0;
            tracing::warn!(route, uid, took_ms, left_out, "a slow request");
        }
    }

    /// Serves a client's request with global filters in front.
    pub(crate) async fn serve_filtered(
        self: &Arc<Self>,
        session: &Arc<Session>,
        request: &ClientRequest,
        received: Instant,
    ) {
        let Ok(edition) = self.edition(request.track) else { return };
        let filters = &edition.filters.global;
        let mut filtered = Filtered {
            route: &request.route.name,
            body: request.body.to_vec(),
            session: session.snapshot(),
            call: Call { track: request.track, ..Call::new(self.request_deadline(received)) },
            received,
        };
        let outcome = match self.filter_before(filters, &mut filtered).await {
            Err(refused) => {
                let outcome = self.handle_error(filters, &filtered, refused).await;
                let answer = outcome.clone().or_else(Refused::into_answer);
                self.finish(session, request, received, 0, answer.as_deref());
                outcome
            }
            Ok(()) if self.is_own(&request.route) => {
                let Filtered { body, session: copy, call, .. } = &filtered;
                let (copy, call) = (Arc::clone(copy), call.clone());
                let Handled { by, answer } = self.handle(&request.route, body, copy, call, received).await;
                self.finish(session, request, received, by, answer.as_deref());
                answer.map_err(Refused::from)
            }
            Ok(()) => {
                let (done, outcome) = oneshot::channel();
                let request = ClientRequest { body: filtered.body.clone().into(), ..request.clone() };
                let copy = Arc::clone(&filtered.session);
                self.forward_as(session, copy, request, received, move |answer| {
                    let _ = done.send(answer.cloned().map_err(Clone::clone));
                });
                let stopping = || Failure::retryable(503, "the server is stopping");
                let outcome = outcome.await.unwrap_or_else(|_| Err(stopping()));
                outcome.map(Vec::from).map_err(Refused::from)
            }
        };
        // The answer is sent: what these give out changes nothing.
        let _ = self.filter_after(filters, &filtered, outcome).await;
    }

    /// Runs a call to another server through its filters.
    pub(crate) async fn filter_rpc(
        &self,
        filters: &RpcFilters,
        call: Call,
        server_id: &str,
        method: &str,
        args: Bytes,
        ask: impl AsyncFnOnce(Bytes) -> Result<Bytes, Failure>,
    ) -> Result<Bytes, Failure> {
        self.refuse_if_toobusy(filters.is_toobusy)?;
        let since = Instant::now();
        let passed = self.filter_rpc_before(filters, &call, server_id, method, args).await;
        let outcome = match passed {
            Ok(args) => ask(args).await,
            Err(failure) => Err(failure),
        };
        for (plugin, name) in filters.chain.iter().rev() {
            // Its failures are logged and counted by the engine; the outcome stays.
            let call = Call { deadline: Instant::now() + AFTER_TIMEOUT, ..call.clone() };
            let _ = plugin.rpc_after(call, name, server_id, method, outcome.as_deref()).await;
        }
        let took = since.elapsed();
        if filters.slow.is_some_and(|slow| took >= slow)
            && let Some(left_out) = self.slow_lines.admit()
        {
            let took_ms = took.as_secs_f64() * 1000.0;
            tracing::warn!(target_server = server_id, method, took_ms, left_out, "a slow call");
        }
        outcome
    }

    async fn filter_rpc_before(
        &self,
        filters: &RpcFilters,
        call: &Call,
        server_id: &str,
        method: &str,
        mut args: Bytes,
    ) -> Result<Bytes, Failure> {
        for (plugin, name) in &filters.chain {
            match plugin.rpc_before(call.clone(), name, server_id, method, &args).await {
                Ok(None) => {}
                Ok(Some(others)) => args = others.into(),
                Err(error) => {
                    self.metrics.refused_by_filter.inc();
                    return Err(error.into_failure());
                }
            }
        }
        Ok(args)
    }
}

/// What filters give out for clients or handlers must be JSON.
fn checked(filter: &str, route: &str, body: Vec<u8>) -> Result<Vec<u8>, Refused> {
    if body.is_empty() || json::is_json(&body) {
        return Ok(body);
    }
    let message = format!("what {filter} gave out for {route} is not JSON");
    tracing::warn!(filter, route, "a filter gave out what is not JSON");
    Err(Failure::new(500, message).into())
}
