//! What the store of an instance with many calls in flight carries, and whose call a host function is called in.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hashbrown::HashMap;
use wasmtime::StoreContextMut;
use wasmtime::component::GuestTaskId;

use crate::context::{Context, Limited, MemoryLimiter, Shared};
use crate::copies::Copies;
use crate::host::CallScope;
use crate::types::Failure;

pub(crate) struct Data {
    pub(super) memory: MemoryLimiter,
    /// Of the CPU budget of the calls in flight.
    pub(super) ticks_left: u32,
    /// By the task of the guest.
    pub(super) calls: HashMap<GuestTaskId, InFlight>,
    /// What runs while there is no call: `init`.
    pub(super) otherwise: InFlight,
}

impl Data {
    pub(super) fn new(shared: Arc<Shared>, scope: CallScope) -> Self {
        let memory = MemoryLimiter::new(shared.clone());
        let otherwise = InFlight::new(shared, scope, Copies::default());
        Self { memory, ticks_left: 0, calls: HashMap::new(), otherwise }
    }
}

impl Data {
    /// Ends the recording of `init`.
    pub(super) fn end_init(&mut self, ready: &Result<(), Failure>) {
        if let Some(tape) = self.otherwise.scope.set_tape(None) {
            tape.end_init(ready);
        }
    }
}

impl Limited for Data {
    fn limiter(&mut self) -> &mut MemoryLimiter {
        &mut self.memory
    }
}

/// One call, as host functions see it.
#[derive(Clone)]
pub(super) struct InFlight {
    shared: Arc<Shared>,
    scope: CallScope,
    copies: Arc<Mutex<Copies>>,
}

impl InFlight {
    pub(super) fn new(shared: Arc<Shared>, scope: CallScope, copies: Copies) -> Self {
        Self { shared, scope, copies: Arc::new(Mutex::new(copies)) }
    }

    /// The call in whose name the guest calls the host now.
    pub(super) fn current(mut store: StoreContextMut<'_, Data>) -> wasmtime::Result<Self> {
        let outermost = store.async_call_stack()?.last();
        let data = store.data();
        let call = outermost.and_then(|task| data.calls.get(&task));
        Ok(call.unwrap_or(&data.otherwise).clone())
    }

    /// What the host functions of the plain contract work on, without the call's copies of sessions.
    pub(super) fn context(&self) -> Context {
        Context::new(self.shared.clone(), self.scope.clone())
    }

    /// The same with them. What is changed in these copies is to be repeated in [`InFlight::copies`]: others of this
    /// call may work on them at the same time.
    pub(super) fn context_with_copies(&self) -> Context {
        let mut context = self.context();
        context.copies = self.copies().clone();
        context
    }

    pub(super) fn copies(&self) -> MutexGuard<'_, Copies> {
        // Nothing that can panic happens under this lock.
        self.copies.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
