//! What a store carries: the plugin it belongs to, the call that runs, and what limits it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use wasmtime::{ResourceLimiter, Store};

use crate::copies::Copies;
use crate::copy::Answer;
use crate::host::{CallScope, Host, PluginName};
use crate::job::Job;
use crate::limits::{HANDLES_MAX, HOSTCALL_SLACK_BYTES, TABLE_ELEMENTS_MAX};
use crate::recording::{Recorder, Tape, Taping};
use crate::roles::Roles;
use crate::settings::PluginLimits;
use crate::stats::Counters;

/// What all instances of a plugin share.
pub(crate) struct Shared {
    pub(crate) name: Arc<PluginName>,
    pub(crate) host: Arc<dyn Host>,
    pub(crate) settings: Arc<str>,
    pub(crate) limits: PluginLimits,
    pub(crate) roles: Roles,
    pub(crate) counters: Counters,
    pub(crate) recorder: Option<Arc<Recorder>>,
}

impl Shared {
    /// The number of a new instance: 0 if nobody records.
    pub(crate) fn next_instance(&self) -> u64 {
        self.recorder.as_ref().map(|recorder| recorder.next_instance()).unwrap_or_default()
    }

    /// Takes down a call as long as the answer lives, if somebody records.
    pub(crate) fn taping(&self, instance: u64, name: &Arc<str>, job: impl FnOnce() -> Job) -> Option<Taping> {
        self.tape(instance, name, job).map(Taping::new)
    }

    /// Takes down a call, if somebody records.
    pub(crate) fn tape(
        &self,
        instance: u64,
        name: &Arc<str>,
        job: impl FnOnce() -> Job,
    ) -> Option<Arc<Tape>> {
        self.recorder.as_ref()?.tape(instance, name, &job())
    }
}

/// The store data of an instance for calls.
pub(crate) struct Context {
    pub(crate) shared: Arc<Shared>,
    pub(crate) scope: CallScope,
    pub(crate) copies: Copies,
    pub(crate) memory: MemoryLimiter,
    /// Of the CPU budget of the running call.
    pub(crate) ticks_left: u32,
    /// Only in a copy of the process: where the one call there answers to.
    pub(crate) copy: Option<Answer>,
}

impl Context {
    pub(crate) fn new(shared: Arc<Shared>, scope: CallScope) -> Self {
        let memory = MemoryLimiter::new(shared.clone());
        Self { shared, scope, copies: Copies::default(), memory, ticks_left: 0, copy: None }
    }

    /// The server. Of a copy of the process there is none, and it ends here.
    pub(crate) fn host(&self) -> &Arc<dyn Host> {
        if let Some(answer) = &self.copy {
            answer.has_no_host();
        }
        &self.shared.host
    }
}

/// A store data that has a memory limiter.
pub(crate) trait Limited: 'static {
    fn limiter(&mut self) -> &mut MemoryLimiter;
}

impl Limited for Context {
    fn limiter(&mut self) -> &mut MemoryLimiter {
        &mut self.memory
    }
}

/// Makes a store with every limit that stays the same from call to call.
pub(crate) fn store<T: Limited>(engine: &wasmtime::Engine, data: T, limits: &PluginLimits) -> Store<T> {
    let mut store = Store::new(engine, data);
    store.limiter(|data| data.limiter());
    store.set_hostcall_fuel(limits.value_bytes_max.saturating_add(HOSTCALL_SLACK_BYTES));
    store.set_max_component_handles(HANDLES_MAX);
    store
}

/// Limits the sum over all memories of an instance, which wasmtime's own limiter does not.
pub(crate) struct MemoryLimiter {
    shared: Arc<Shared>,
    /// Of all memories.
    pub(crate) bytes: u64,
    last_growth: u64,
    table_elements: usize,
    /// The guest was refused memory. If it then traps, that is why.
    pub(crate) refused: bool,
}

impl MemoryLimiter {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, bytes: 0, last_growth: 0, table_elements: 0, refused: false }
    }
}

impl ResourceLimiter for MemoryLimiter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _max: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let growth = desired.saturating_sub(current) as u64;
        let bytes = self.bytes.saturating_add(growth);
        if bytes > self.shared.limits.memory_bytes_max {
            self.refused = true;
            self.last_growth = 0;
            return Ok(false);
        }
        self.bytes = bytes;
        self.last_growth = growth;
        self.shared.counters.memory_bytes_peak.fetch_max(bytes, Ordering::Relaxed);
        Ok(true)
    }

    fn memory_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        // Always follows `memory_growing`: either that permitted it and the memory's own maximum or the system
        // stood against it, or it was refused, and then there is nothing to take back.
        self.refused = true;
        self.bytes = self.bytes.saturating_sub(std::mem::take(&mut self.last_growth));
        Ok(())
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _max: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let elements = self.table_elements.saturating_add(desired.saturating_sub(current));
        if elements > TABLE_ELEMENTS_MAX {
            return Ok(false);
        }
        self.table_elements = elements;
        Ok(true)
    }
}
