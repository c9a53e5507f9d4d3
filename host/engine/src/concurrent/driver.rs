//! One instance with many calls in flight: a task that owns it and runs them all.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use wasmtime::component::{
    Accessor, Component, ComponentExportIndex, ComponentNamedList, Instance, InstancePre, Lift, Lower,
    TypedFunc,
};
use wasmtime::{AsContextMut as _, Store, UpdateDeadline};

use super::Done;
use super::data::{Data, InFlight};
use crate::context::{Shared, store};
use crate::copies::Copies;
use crate::error::CallError;
use crate::host::{Call, CallScope};
use crate::instance::Live;
use crate::job::Job;
use crate::ticker::Ticker;
use crate::trap::classify;
use crate::types::{Failure, Session};
use crate::wear::Wear;

/// A call on its way to an instance.
pub(super) struct Request {
    pub(super) scope: CallScope,
    pub(super) job: Box<Job>,
    pub(super) reply: oneshot::Sender<Reply>,
}

pub(super) enum Reply {
    Ended(Result<Done, CallError>),
    /// The instance takes no further calls.
    NotBegun(Job),
}

/// What callers know of an instance.
#[derive(Clone)]
pub(super) struct Member {
    /// In recordings.
    pub(super) number: u64,
    requests: mpsc::Sender<Request>,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    in_flight: AtomicU32,
    /// It takes no further calls.
    is_closing: AtomicBool,
    /// Why it ended, if that was not regular.
    end: OnceLock<CallError>,
}

impl Member {
    /// Hands the request back if the instance takes none.
    pub(super) fn send(&self, request: Request) -> Result<(), Request> {
        self.state.in_flight.fetch_add(1, Ordering::Relaxed);
        self.requests.try_send(request).map_err(|error| {
            self.state.in_flight.fetch_sub(1, Ordering::Relaxed);
            error.into_inner()
        })
    }

    pub(super) fn is_open(&self) -> bool {
        !self.state.is_closing.load(Ordering::Relaxed) && !self.requests.is_closed()
    }

    pub(super) fn in_flight(&self) -> u32 {
        self.state.in_flight.load(Ordering::Relaxed)
    }

    /// Waits for the end of the instance: what became of the calls that it did not answer.
    pub(super) async fn end(&self) -> CallError {
        // Callers may notice that nobody answers before the cause is known, but not before it closes its inbox.
        self.requests.closed().await;
        let lost = || CallError::Trap { message: "the instance was lost".into(), backtrace: String::new() };
        self.state.end.get().cloned().unwrap_or_else(lost)
    }
}

type Names = TypedFunc<(), (Vec<String>,)>;
type Handle = TypedFunc<(Arc<str>, Vec<u8>, Session), (Result<Vec<u8>, Failure>,)>;
type Remote = TypedFunc<(Arc<str>, Vec<u8>), (Result<Vec<u8>, Failure>,)>;
type Fired = TypedFunc<(Arc<str>, u64, Vec<u8>), (Result<(), Failure>,)>;
type Init = TypedFunc<(Arc<str>,), (Result<(), Failure>,)>;
type SessionClosed = TypedFunc<(Session, String), ()>;
type Stop = TypedFunc<(), ()>;

/// Where a component has the functions that the host calls.
pub(super) struct Places {
    pub(super) handler: Option<[ComponentExportIndex; 2]>,
    pub(super) remote: Option<[ComponentExportIndex; 2]>,
    pub(super) timer: Option<[ComponentExportIndex; 1]>,
    pub(super) lifecycle: Option<[ComponentExportIndex; 4]>,
}

impl Places {
    pub(super) fn find(component: &Component) -> wasmtime::Result<Self> {
        Ok(Self {
            handler: functions(component, super::load::HANDLER, ["routes", "handle"])?,
            remote: functions(component, super::load::REMOTE, ["methods", "call"])?,
            timer: functions(component, super::load::TIMER, ["fired"])?,
            lifecycle: functions(
                component,
                crate::roles::LIFECYCLE,
                ["init", "start", "session-closed", "stop"],
            )?,
        })
    }
}

fn functions<const N: usize>(
    component: &Component,
    interface: &str,
    names: [&str; N],
) -> wasmtime::Result<Option<[ComponentExportIndex; N]>> {
    let Some(instance) = component.get_export_index(None, interface) else { return Ok(None) };
    let mut found = Vec::with_capacity(N);
    for name in names {
        let Some(function) = component.get_export_index(Some(&instance), name) else {
            wasmtime::bail!("{interface} has no function {name}");
        };
        found.push(function);
    }
    Ok(<[ComponentExportIndex; N]>::try_from(found).ok())
}

/// The functions of one instance, whose types have been checked.
pub(super) struct Exports {
    pub(super) handler: Option<(Names, Handle)>,
    pub(super) remote: Option<(Names, Remote)>,
    timer: Option<Fired>,
    lifecycle: Option<(Init, Init, SessionClosed, Stop)>,
}

impl Exports {
    fn load(places: &Places, store: &mut Store<Data>, instance: &Instance) -> wasmtime::Result<Self> {
        Ok(Self {
            handler: match &places.handler {
                Some([routes, handle]) => Some((
                    instance.get_typed_func(&mut *store, routes)?,
                    instance.get_typed_func(&mut *store, handle)?,
                )),
                None => None,
            },
            remote: match &places.remote {
                Some([methods, call]) => Some((
                    instance.get_typed_func(&mut *store, methods)?,
                    instance.get_typed_func(&mut *store, call)?,
                )),
                None => None,
            },
            timer: match &places.timer {
                Some([fired]) => Some(instance.get_typed_func(&mut *store, fired)?),
                None => None,
            },
            lifecycle: match &places.lifecycle {
                Some([init, start, session_closed, stop]) => Some((
                    instance.get_typed_func(&mut *store, init)?,
                    instance.get_typed_func(&mut *store, start)?,
                    instance.get_typed_func(&mut *store, session_closed)?,
                    instance.get_typed_func(&mut *store, stop)?,
                )),
                None => None,
            },
        })
    }
}

/// What is needed to make instances.
pub(crate) struct Maker {
    pub(super) pre: InstancePre<Data>,
    pub(super) places: Places,
    pub(super) ticker: Arc<Ticker>,
    pub(crate) shared: Arc<Shared>,
}

/// An instance that no task has yet.
pub(super) struct Made {
    number: u64,
    pub(super) store: Store<Data>,
    pub(super) exports: Exports,
    live: Live,
}

impl Maker {
    /// Makes an instance, within the CPU budget of one call. `init` is still to come.
    pub(super) async fn make(&self, number: u64) -> wasmtime::Result<Made> {
        let shared = &self.shared;
        let live = Live::new(shared.clone());
        let call = Call::new(Instant::now() + shared.limits.deadline());
        let mut scope = CallScope::new(shared.name.clone(), "init".into(), call);
        scope.set_tape(shared.tape(number, &"init".into(), || Job::Init));
        let mut store = store(self.pre.engine(), Data::new(shared.clone(), scope), &shared.limits);
        store.epoch_deadline_callback(|mut store| {
            let data = store.data_mut();
            let Some(left) = data.ticks_left.checked_sub(1) else { return Ok(UpdateDeadline::Interrupt) };
            data.ticks_left = left;
            // Others on this thread get their turn.
            Ok(UpdateDeadline::Yield(1))
        });
        store.data_mut().ticks_left = shared.limits.cpu_ms_max;
        store.set_epoch_deadline(1);
        let instance = self.pre.instantiate_async(&mut store).await?;
        let exports = Exports::load(&self.places, &mut store, &instance).map_err(|error| {
            error.context("the plugin does not fit the contract, build it with the wit/ of this version")
        })?;
        Ok(Made { number, store, exports, live })
    }

    /// An instance that is made by its own task; calls wait there meanwhile.
    pub(super) fn spawn(self: Arc<Self>) -> Member {
        let number = self.shared.next_instance();
        let (member, inbox) = self.member(number);
        let state = member.state.clone();
        tokio::spawn(async move {
            let made = async {
                let mut made = self.make(number).await.map_err(|error| self.failed(&error, false))?;
                self.init(&mut made).await?;
                Ok::<_, CallError>(made)
            };
            match self.ticked(made).await {
                Ok(made) => self.drive(made, inbox, state).await,
                Err(error) => state.close(error),
            }
        });
        member
    }

    /// A task for an instance that is there already.
    pub(super) fn adopt(self: Arc<Self>, made: Made) -> Member {
        let (member, inbox) = self.member(made.number);
        let state = member.state.clone();
        tokio::spawn(async move { self.drive(made, inbox, state).await });
        member
    }

    fn member(&self, number: u64) -> (Member, mpsc::Receiver<Request>) {
        let (requests, inbox) = mpsc::channel(self.shared.limits.calls_per_instance_max.max(1) as usize);
        (Member { number, requests, state: Arc::default() }, inbox)
    }

    /// `init`, which comes before every other call.
    pub(super) async fn init(&self, made: &mut Made) -> Result<(), CallError> {
        let ready = match made.exports.lifecycle {
            Some((init, ..)) => {
                let ready = init.call_async(&mut made.store, (self.shared.settings.clone(),)).await;
                ready.map_err(|error| self.failed(&error, made.store.data().memory.refused))?.0
            }
            None => Ok(()),
        };
        made.store.data_mut().end_init(&ready);
        ready.map_err(|failure| CallError::Init(format!("init failed: {failure}")))
    }

    fn failed(&self, error: &wasmtime::Error, refused_memory: bool) -> CallError {
        match classify(error, &self.shared.limits, refused_memory) {
            CallError::Trap { message, .. } => CallError::Init(message),
            other => other,
        }
    }

    async fn drive(&self, made: Made, mut inbox: mpsc::Receiver<Request>, state: Arc<State>) {
        let Made { mut store, exports, live, .. } = made;
        let served = store.run_concurrent(async |accessor| {
            Service { accessor, exports: &exports, shared: &self.shared, state: &state }
                .run(&mut inbox)
                .await;
        });
        if let Err(error) = self.ticked(served).await {
            let refused_memory = store.data().memory.refused;
            let _ = state.end.set(classify(&error, &self.shared.limits, refused_memory));
        }
        state.is_closing.store(true, Ordering::Relaxed);
        inbox.close();
        while let Some(request) = inbox.recv().await {
            state.in_flight.fetch_sub(1, Ordering::Relaxed);
            let _ = request.reply.send(Reply::NotBegun(*request.job));
        }
        drop(store);
        drop(live);
    }

    /// With the clock of the CPU budgets running while something is polled.
    async fn ticked<F: Future>(&self, future: F) -> F::Output {
        let mut future = pin!(future);
        poll_fn(|context| {
            let _running = self.ticker.enter();
            future.as_mut().poll(context)
        })
        .await
    }
}

impl State {
    fn close(&self, error: CallError) {
        let _ = self.end.set(error);
        self.is_closing.store(true, Ordering::Relaxed);
    }
}

/// What runs the calls of one instance.
struct Service<'a> {
    accessor: &'a Accessor<Data>,
    exports: &'a Exports,
    shared: &'a Arc<Shared>,
    state: &'a State,
}

/// Whether an instance may go on after a call.
#[derive(PartialEq, Eq)]
enum After {
    GoesOn,
    Closes,
}

impl Service<'_> {
    async fn run(&self, inbox: &mut mpsc::Receiver<Request>) {
        let mut calls = FuturesUnordered::new();
        let mut wear = Wear::default();
        let mut is_open = true;
        while is_open || !calls.is_empty() {
            tokio::select! {
                request = inbox.recv(), if is_open => match request {
                    Some(request) => {
                        wear.begin_call();
                        calls.push(self.serve(request));
                    }
                    None => is_open = false,
                },
                Some(after) = calls.next() => {
                    self.state.in_flight.fetch_sub(1, Ordering::Relaxed);
                    let bytes = self.accessor.with(|mut store| store.data_mut().memory.bytes);
                    // Counted once: one that is closed stays so.
                    let is_worn_out = is_open && wear.wears_out(bytes, self.shared);
                    if is_worn_out || after == After::Closes {
                        is_open = false;
                        self.state.is_closing.store(true, Ordering::Relaxed);
                    }
                },
            }
        }
    }

    async fn serve(&self, request: Request) -> After {
        let Request { scope, job, mut reply } = request;
        let copies = {
            let mut copies = Copies::default();
            copies.reset(job.session());
            copies
        };
        let call = InFlight::new(self.shared.clone(), scope.clone(), copies);
        tokio::select! {
            biased;
            outcome = self.perform(call, &scope.route, *job) => {
                let after = if outcome.is_ok() { After::GoesOn } else { After::Closes };
                let refused_memory = self.accessor.with(|mut store| store.data_mut().memory.refused);
                let outcome = outcome.map_err(|error| classify(&error, &self.shared.limits, refused_memory));
                let _ = reply.send(Reply::Ended(outcome));
                after
            }
            // Nobody waits for it any more, but there is no way to end one task of a guest: it goes with the instance.
            () = reply.closed() => After::Closes,
        }
    }

    async fn perform(&self, call: InFlight, name: &Arc<str>, job: Job) -> wasmtime::Result<Done> {
        let nothing = Done::Event(Ok(()));
        let Exports { handler, remote, timer, lifecycle } = self.exports;
        Ok(match job {
            Job::Handle { body, session } => {
                let Some((_, handle)) = handler else { return Ok(Done::Answer(Ok(Vec::new()))) };
                Done::Answer(self.invoke(handle, (name.clone(), body.0, (*session).clone()), call).await?.0)
            }
            Job::Remote { args } => {
                let Some((_, remote)) = remote else { return Ok(Done::Answer(Ok(Vec::new()))) };
                Done::Answer(self.invoke(remote, (name.clone(), args.0), call).await?.0)
            }
            Job::Timer { id, payload } => {
                let Some(fired) = timer else { return Ok(nothing) };
                Done::Event(self.invoke(fired, (name.clone(), id, payload.0), call).await?.0)
            }
            Job::Start => {
                let Some((_, start, ..)) = lifecycle else { return Ok(nothing) };
                Done::Event(self.invoke(start, (self.shared.settings.clone(),), call).await?.0)
            }
            Job::SessionClosed { session, reason } => {
                let Some((_, _, session_closed, _)) = lifecycle else { return Ok(nothing) };
                self.invoke(session_closed, ((*session).clone(), reason), call).await?;
                nothing
            }
            Job::Stop => {
                let Some((.., stop)) = lifecycle else { return Ok(nothing) };
                self.invoke(stop, (), call).await?;
                nothing
            }
            // Roles that such plugins do not play: nobody asks.
            _ => nothing,
        })
    }

    async fn invoke<P, R>(&self, function: &TypedFunc<P, R>, params: P, call: InFlight) -> wasmtime::Result<R>
    where
        P: ComponentNamedList + Lower + Send + Sync + 'static,
        R: ComponentNamedList + Lift + Send + Sync + 'static,
    {
        let begun = self.accessor.with(|mut store| {
            let data = store.data_mut();
            data.ticks_left = self.shared.limits.cpu_ms_max;
            data.memory.refused = false;
            let mut store = store.as_context_mut();
            store.set_epoch_deadline(1);
            let begun = function.start_call_concurrent(&mut store, params)?;
            store.data_mut().calls.insert(begun.task(), call);
            Ok::<_, wasmtime::Error>(begun)
        })?;
        let task = begun.task();
        let result = function.finish_call_concurrent(self.accessor, begun).await;
        self.accessor.with(|mut store| store.data_mut().calls.remove(&task));
        result
    }
}
