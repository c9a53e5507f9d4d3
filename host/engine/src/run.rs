//! How one call of a plugin runs: from its admission to its outcome.

use std::pin::pin;
use std::sync::Arc;

use tokio::time::Instant;
use tracing::Instrument;

use crate::concurrent::Crowd;
use crate::deadline;
use crate::error::CallError;
use crate::host::{Call, CallScope, Chain, PluginName};
use crate::instance::{Begun, Instance};
use crate::latency;
use crate::limits::CALL_DEPTH_MAX;
use crate::plugin::{Inner, Places, Plugin};
use crate::pool::Place;
use crate::recording::{Taping, ToValue};
use crate::report;
use crate::single::{self, Turn};
use crate::trap::classify;
use crate::work::{Served, Work};

/// A call's right to an instance.
enum Seat<'p> {
    OfPool(Place<'p>),
    OfLine(Turn),
}

impl Seat<'_> {
    fn take_idle(&mut self) -> Option<Box<Instance>> {
        match self {
            Self::OfPool(place) => place.take_idle(),
            Self::OfLine(turn) => turn.thing().take(),
        }
    }

    fn give_back(&mut self, instance: Box<Instance>, now: Instant) {
        match self {
            Self::OfPool(place) => place.give_back(instance, now),
            Self::OfLine(turn) => *turn.thing() = Some(instance),
        }
    }
}

impl Inner {
    pub(crate) fn check_body(&self, body: &[u8]) -> Result<(), CallError> {
        let bytes_max = self.shared.limits.value_bytes_max;
        if body.len() <= bytes_max {
            return Ok(());
        }
        let error = CallError::ValueTooLarge { what: "body", bytes_max };
        self.shared.counters.error(&error);
        Err(error)
    }

    pub(crate) async fn call<W: Work>(
        &self,
        call: Call,
        route: &Arc<str>,
        work: &W,
    ) -> Result<W::Value, CallError> {
        self.call_by(call, route, work).await.1
    }

    /// The version in which it ran comes first, if that is not this one.
    pub(crate) async fn call_by<W: Work>(
        &self,
        call: Call,
        route: &Arc<str>,
        work: &W,
    ) -> (Option<Plugin>, Result<W::Value, CallError>) {
        let now = Instant::now();
        let nth = self.shared.counters.calls.increment();
        let mut successor = None;
        let result = self.admit_and_run(call, route, work, now, &mut successor).await;
        let shared = &successor.as_ref().map_or(self, |plugin: &Plugin| &*plugin.0).shared;
        if W::IS_TIMED
            && let Some(weight) = latency::weight(nth)
        {
            shared.counters.latency.record(now.elapsed(), weight);
        }
        if let Err(error) = &result {
            shared.counters.error(error);
            report::failed_call(&shared.name, route, error);
        }
        (successor, result)
    }

    /// Keeps in `successor` the version in which it ran, if that is not this one.
    async fn admit_and_run<W: Work>(
        &self,
        call: Call,
        route: &Arc<str>,
        work: &W,
        now: Instant,
        successor: &mut Option<Plugin>,
    ) -> Result<W::Value, CallError> {
        let shared = &self.shared;
        if call.depth > CALL_DEPTH_MAX {
            return Err(CallError::TooDeep);
        }
        let deadline = call.deadline.min(now + shared.limits.deadline());
        if deadline <= now {
            return Err(CallError::Deadline);
        }
        let own_chain;
        let (mut seat, chain) = match &self.places {
            Places::Many(pool) => (Seat::OfPool(pool.place(&call, now, deadline).await?), &call.chain),
            Places::Crowd(crowd) => return self.run_in_crowd(crowd, call, deadline, route, work, now).await,
            Places::One(line) => {
                let (turn, at) = single::turn(line, &shared.limits, &call, now, deadline).await?;
                *successor = at;
                own_chain = call.chain.with(turn.id());
                (Seat::OfLine(turn), &own_chain)
            }
        };
        let version = match successor {
            Some(plugin) => plugin.0.take_over::<W>(route)?,
            None => self,
        };
        let begun = Begun { route, depth: call.depth, track: call.track, deadline, tape: None };
        let run = pin!(version.run(&mut seat, chain, begun, work, now));
        let PluginName { name, version: number, digest } = &*version.shared.name;
        let span = tracing::debug_span!("call", plugin = %name, version = %number, %digest, route = %route);
        deadline::until(deadline, &version.ticker, Some(&version.ending), run).instrument(span).await?
    }

    async fn run_in_crowd<W: Work>(
        &self,
        crowd: &Crowd,
        call: Call,
        deadline: Instant,
        route: &Arc<str>,
        work: &W,
        now: Instant,
    ) -> Result<W::Value, CallError> {
        let scope = CallScope::new(self.shared.name.clone(), route.clone(), Call { deadline, ..call });
        let run = pin!(crowd.run(scope, work.job(), now));
        let done = deadline::until(deadline, &self.ticker, Some(&self.ending), run).await??;
        match W::output(done) {
            Some(output) => W::finish(output, self.shared.limits.value_bytes_max),
            None => Err(CallError::UnknownRoute(route.to_string())),
        }
    }

    /// A call that came to the version before this one, where it was counted, too. What that one has served this one
    /// may not.
    fn take_over<W: Work>(&self, route: &str) -> Result<&Self, CallError> {
        self.shared.counters.calls.increment();
        match W::SERVED {
            Served::Route => self.routes.find(route).map(|_| self),
            Served::Method => self.methods.find(route).map(|_| self),
            Served::Other => Ok(self),
        }
    }

    /// If this future is dropped, the instance is dropped with it.
    async fn run<W: Work>(
        &self,
        seat: &mut Seat<'_>,
        chain: &Chain,
        call: Begun<'_>,
        work: &W,
        now: Instant,
    ) -> Result<W::Value, CallError> {
        let mut instance = match seat.take_idle() {
            Some(instance) => instance,
            None => self.new_instance(call, chain).await?,
        };
        let taping = self.shared.taping(instance.number, call.route, || work.job());
        let call = Begun { tape: taping.as_ref().map(Taping::tape), ..call };
        let outcome = match instance.run(call, chain, work).await {
            Ok(result) => {
                seat.give_back(instance, now);
                W::finish(result, self.shared.limits.value_bytes_max)
            }
            Err(error) => Err(classify(&error, &self.shared.limits, instance.was_refused_memory())),
        };
        if let Some(taping) = taping {
            taping.tape().end(outcome.as_ref().map(ToValue::to_value));
        }
        outcome
    }

    pub(crate) async fn new_instance(
        &self,
        call: Begun<'_>,
        chain: &Chain,
    ) -> Result<Box<Instance>, CallError> {
        let limits = &self.shared.limits;
        let failed = |error: wasmtime::Error| match classify(&error, limits, false) {
            CallError::Trap { message, .. } => CallError::Init(message),
            other => other,
        };
        let Some(blueprint) = &self.blueprint else {
            return Err(CallError::Init("the plugin makes its instances itself".into()));
        };
        let mut instance = blueprint.instantiate(call.scope(&self.shared, chain)).await.map_err(failed)?;
        match instance.init().await.map_err(failed)? {
            Ok(()) => Ok(instance),
            Err(failure) => Err(CallError::Init(format!("init failed: {failure}"))),
        }
    }
}
