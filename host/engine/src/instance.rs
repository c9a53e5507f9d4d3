//! One running copy of a plugin, for calls that may wait.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::time::Instant;
use wasmtime::component::InstancePre;
use wasmtime::{Store, UpdateDeadline};

use crate::bindings::exports::shaddock::plugin as exports;
use crate::bindings::exports::shaddock::plugin::state::Saved;
use crate::context::{Context, Shared, store};
use crate::copy::Answer;
use crate::host::{Call, CallScope, Chain};
use crate::job::Job;
use crate::limits::HOSTCALL_SLACK_BYTES;
use crate::recording::Tape;
use crate::roles::{
    BROADCAST_FILTER, CRON, ERROR_HANDLER, FILTER, HANDLER, LIFECYCLE, REMOTE, ROUTER, RPC_FILTER,
    for_rarer_roles,
};
use crate::track::Track;
use crate::types::{Failure, Session};
use crate::wear::Wear;
use crate::work::Work;

/// Used by one call at a time. Thrown away after anything but a regular return: wasmtime refuses a store that
/// trapped, but not one whose result could not be read.
pub(crate) struct Instance {
    store: Store<Context>,
    instance: wasmtime::component::Instance,
    handler: Option<exports::handler::Guest>,
    remote: Option<exports::remote::Guest>,
    lifecycle: Option<exports::lifecycle::Guest>,
    rarer: Rarer,
    pub(crate) idle_since: Instant,
    /// In recordings.
    pub(crate) number: u64,
    wear: Wear,
    _live: Live,
}

/// Counts the instance as long as it lives, however it ends.
pub(crate) struct Live(Arc<Shared>);

impl Live {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        shared.counters.live.fetch_add(1, Ordering::Relaxed);
        shared.counters.created.fetch_add(1, Ordering::Relaxed);
        Self(shared)
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.0.counters.live.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A call that has its place, beside the chain that the place knows.
#[derive(Clone, Copy)]
pub(crate) struct Begun<'a> {
    pub(crate) route: &'a Arc<str>,
    pub(crate) depth: u32,
    pub(crate) track: Track,
    pub(crate) deadline: Instant,
    pub(crate) tape: Option<&'a Arc<Tape>>,
}

impl Begun<'_> {
    /// What host functions see of it.
    pub(crate) fn scope(&self, shared: &Shared, chain: &Chain) -> CallScope {
        let Self { route, depth, track, deadline, .. } = *self;
        let call = Call { deadline, depth, chain: chain.clone(), track };
        CallScope::new(shared.name.clone(), route.clone(), call)
    }
}

/// What is needed to make instances.
pub(crate) struct Blueprint {
    pub(crate) pre: InstancePre<Context>,
    pub(crate) shared: Arc<Shared>,
}

impl Blueprint {
    /// Makes an instance, within the CPU budget of one call. `init` is still to come.
    pub(crate) async fn instantiate(&self, mut scope: CallScope) -> wasmtime::Result<Box<Instance>> {
        let shared = &self.shared;
        let number = shared.next_instance();
        scope.set_tape(shared.tape(number, &"init".into(), || Job::Init));
        let live = Live::new(shared.clone());
        let mut store = store(self.pre.engine(), Context::new(shared.clone(), scope), &shared.limits);
        store.epoch_deadline_callback(|mut store| {
            let context = store.data_mut();
            let Some(left) = context.ticks_left.checked_sub(1) else {
                return Ok(UpdateDeadline::Interrupt);
            };
            context.ticks_left = left;
            // Others on this thread get their turn.
            Ok(UpdateDeadline::Yield(1))
        });
        store.data_mut().ticks_left = shared.limits.cpu_ms_max;
        // Before instantiation: start functions run too.
        store.set_epoch_deadline(1);
        let instance = self.pre.instantiate_async(&mut store).await?;
        let roles = &shared.roles;
        // Checks the types of the functions, too.
        let handler = roles.handler.as_ref().map(|role| role.load(&mut store, &instance));
        let remote = roles.remote.as_ref().map(|role| role.load(&mut store, &instance));
        let lifecycle = roles.lifecycle.as_ref().map(|role| role.load(&mut store, &instance));
        Ok(Box::new(Instance {
            handler: handler.transpose().map_err(|error| wrong_type(HANDLER, error))?,
            remote: remote.transpose().map_err(|error| wrong_type(REMOTE, error))?,
            lifecycle: lifecycle.transpose().map_err(|error| wrong_type(LIFECYCLE, error))?,
            store,
            instance,
            rarer: Rarer::default(),
            idle_since: Instant::now(),
            number,
            wear: Wear::default(),
            _live: live,
        }))
    }
}

fn wrong_type(interface: &str, error: wasmtime::Error) -> wasmtime::Error {
    error.context(format!(
        "{interface} does not fit the contract, build the plugin with the wit/ of this version"
    ))
}

impl Instance {
    /// `init`, which comes before every other call.
    pub(crate) async fn init(&mut self) -> wasmtime::Result<Result<(), Failure>> {
        let ready = match &self.lifecycle {
            Some(lifecycle) => {
                let settings = self.store.data().shared.settings.clone();
                lifecycle.call_init(&mut self.store, &settings).await?
            }
            None => Ok(()),
        };
        if let Some(tape) = self.set_tape(None) {
            tape.end_init(&ready);
        }
        Ok(ready)
    }

    /// Of the calls that follow. Answers the one of the call before.
    pub(crate) fn set_tape(&mut self, tape: Option<Arc<Tape>>) -> Option<Arc<Tape>> {
        self.store.data_mut().scope.set_tape(tape)
    }

    /// Runs one call with a fresh CPU budget.
    pub(crate) async fn run<W: Work>(
        &mut self,
        call: Begun<'_>,
        chain: &Chain,
        work: &W,
    ) -> wasmtime::Result<W::Output> {
        let context = self.store.data_mut();
        let scope = &mut context.scope;
        // Mostly these are as the call before left them, and then nothing is counted that other threads count too.
        if !Arc::ptr_eq(&scope.route, call.route) {
            scope.route = call.route.clone();
        }
        if scope.chain != *chain {
            scope.chain = chain.clone();
        }
        (scope.depth, scope.deadline, scope.track) = (call.depth, call.deadline, call.track);
        scope.set_tape(call.tape.cloned());
        context.copies.reset(work.session());
        context.ticks_left = context.shared.limits.cpu_ms_max;
        context.memory.refused = false;
        self.wear.begin_call();
        self.store.set_epoch_deadline(1);
        let result = work.call(self, call.route).await;
        let context = self.store.data_mut();
        context.copies.reset(None);
        context.scope.set_tape(None);
        result
    }

    /// The session that came with the running call, with what the call has set in it.
    pub(crate) fn own_copy(&self) -> Option<Arc<Session>> {
        self.store.data().copies.own().cloned()
    }

    pub(crate) fn handler(&mut self) -> (&mut Store<Context>, Option<&exports::handler::Guest>) {
        (&mut self.store, self.handler.as_ref())
    }

    pub(crate) fn remote(&mut self) -> (&mut Store<Context>, Option<&exports::remote::Guest>) {
        (&mut self.store, self.remote.as_ref())
    }

    pub(crate) fn lifecycle(&mut self) -> (&mut Store<Context>, Option<&exports::lifecycle::Guest>) {
        (&mut self.store, self.lifecycle.as_ref())
    }

    /// The routes of the handler; asked at load.
    pub(crate) async fn routes(&mut self) -> wasmtime::Result<Vec<String>> {
        match &self.handler {
            Some(handler) => handler.call_routes(&mut self.store).await,
            None => Ok(Vec::new()),
        }
    }

    /// The methods of the remote; asked at load.
    pub(crate) async fn methods(&mut self) -> wasmtime::Result<Vec<String>> {
        match &self.remote {
            Some(remote) => remote.call_methods(&mut self.store).await,
            None => Ok(Vec::new()),
        }
    }

    /// The server types of the route function; asked at load. The bindings have this role for synchronous stores.
    pub(crate) async fn router_types(&mut self) -> wasmtime::Result<Vec<String>> {
        let store = &mut self.store;
        let Some(router) = self.instance.get_export_index(&mut *store, None, ROUTER) else {
            return Ok(Vec::new());
        };
        let Some(types) = self.instance.get_export_index(&mut *store, Some(&router), "server-types") else {
            wasmtime::bail!("the interface router has no function server-types");
        };
        let types = self.instance.get_typed_func::<(), (Vec<String>,)>(&mut *store, types)?;
        Ok(types.call_async(store, ()).await?.0)
    }

    /// What it offers by name in a role; asked at load.
    pub(crate) async fn offered(&mut self, role: &str) -> wasmtime::Result<Vec<String>> {
        let roles = &self.store.data().shared.roles.rarer;
        match role {
            FILTER if roles.filter.is_some() => {
                let (store, role) = self.filter()?;
                role.call_names(store).await
            }
            ERROR_HANDLER if roles.error_handler.is_some() => {
                let (store, role) = self.error_handler()?;
                role.call_names(store).await
            }
            RPC_FILTER if roles.rpc_filter.is_some() => {
                let (store, role) = self.rpc_filter()?;
                role.call_names(store).await
            }
            BROADCAST_FILTER if roles.broadcast_filter.is_some() => {
                let (store, role) = self.broadcast_filter()?;
                role.call_names(store).await
            }
            CRON if roles.cron.is_some() => {
                let (store, role) = self.cron()?;
                role.call_actions(store).await
            }
            _ => Ok(Vec::new()),
        }
    }

    /// Whether it has had a call, and so may have a state of its own.
    pub(crate) fn has_served(&self) -> bool {
        self.wear.has_served()
    }

    /// `self-test.run`, which comes instead of calls.
    pub(crate) async fn run_self_test(&mut self) -> wasmtime::Result<Result<(), Failure>> {
        let (store, role) = self.self_test()?;
        role.call_run(store).await
    }

    /// Makes ready for [`Instance::save_state`], so that this needs nothing that other threads may have locked.
    pub(crate) fn prepare_to_save(&mut self) -> wasmtime::Result<()> {
        self.state().map(drop)
    }

    /// `state.save-state`, in a copy of the process, which answers to `answer`.
    pub(crate) async fn save_state(
        &mut self,
        answer: Answer,
        bytes_max: usize,
    ) -> wasmtime::Result<Result<Saved, Failure>> {
        let context = self.store.data_mut();
        context.copy = Some(answer);
        context.memory.refused = false;
        // The clock of the CPU budgets stands still there: the parent watches the time.
        context.ticks_left = u32::MAX;
        self.store.set_epoch_deadline(1);
        let (store, role) = self.state()?;
        store.set_hostcall_fuel(bytes_max.saturating_add(HOSTCALL_SLACK_BYTES));
        role.call_save_state(store).await
    }

    /// `state.load-state`, instead of a first call, within so many milliseconds of CPU time.
    pub(crate) async fn load_state(
        &mut self,
        saved: &Saved,
        cpu_ms_max: u32,
    ) -> wasmtime::Result<Result<(), Failure>> {
        self.store.data_mut().ticks_left = cpu_ms_max;
        self.store.set_epoch_deadline(1);
        let (store, role) = self.state()?;
        role.call_load_state(store, saved).await
    }

    /// Whether another instance should serve the next call, now that one has ended.
    pub(crate) fn wears_out(&mut self) -> bool {
        let context = self.store.data();
        self.wear.wears_out(context.memory.bytes, &context.shared)
    }

    /// Whether the guest was refused memory in the running call.
    pub(crate) fn was_refused_memory(&self) -> bool {
        self.store.data().memory.refused
    }
}

macro_rules! rarer {
    ($($role:ident $constant:ident $interface:literal,)*) => {
        /// Roles that few plugins have: looked up in the instance when they are needed first.
        #[derive(Default)]
        struct Rarer {
            $($role: Option<exports::$role::Guest>,)*
        }

        impl Instance {
            $(pub(crate) fn $role(
                &mut self,
            ) -> wasmtime::Result<(&mut Store<Context>, &exports::$role::Guest)> {
                if self.rarer.$role.is_none() {
                    let shared = self.store.data().shared.clone();
                    let Some(role) = &shared.roles.rarer.$role else {
                        wasmtime::bail!("the plugin does not export {}", $interface);
                    };
                    let guest = role.load(&mut self.store, &self.instance);
                    self.rarer.$role = Some(guest.map_err(|error| wrong_type($interface, error))?);
                }
                match &self.rarer.$role {
                    Some(guest) => Ok((&mut self.store, guest)),
                    None => wasmtime::bail!("the plugin does not export {}", $interface),
                }
            })*

            /// Looks all of them up, which checks the types of their functions.
            pub(crate) fn look_up_all(&mut self) -> wasmtime::Result<()> {
                let shared = self.store.data().shared.clone();
                $(if shared.roles.rarer.$role.is_some() {
                    self.$role()?;
                })*
                Ok(())
            }
        }
    };
}

for_rarer_roles!(rarer);
