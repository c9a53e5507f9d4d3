//! One engine per process: code, instance slots and the clock of the CPU budgets.

use std::sync::Arc;
use std::time::Instant;

use crate::cache::Compiled;
use crate::error::EngineError;
use crate::host::Host;
use crate::load;
use crate::plugin::Plugin;
use crate::settings::{EngineSettings, PluginSpec};
use crate::ticker::Ticker;
use crate::wasm;

/// The engine of one server process. Clones are the same engine.
#[derive(Clone)]
pub struct Engine {
    wasm: wasmtime::Engine,
    ticker: Arc<Ticker>,
    clock_start: Instant,
}

impl Engine {
    /// Reserves address space for instances and starts the thread of the CPU budgets, which sleeps while no
    /// guest runs.
    ///
    /// # Errors
    /// [`EngineError::Setup`] if this machine cannot run WebAssembly.
    pub fn new(settings: &EngineSettings) -> Result<Self, EngineError> {
        let wasm = wasm::running(settings)?;
        let ticker = Arc::new(Ticker::start(&wasm)?);
        Ok(Self { wasm, ticker, clock_start: Instant::now() })
    }

    /// Loads a plugin from compiled code: checks its imports against the grants, finds its roles, makes a first
    /// instance, runs `init` there and asks it what it serves. To be called within a tokio runtime.
    ///
    /// # Errors
    /// Everything that makes the plugin unusable, in words for whoever wrote plugins.json or the plugin.
    pub async fn load(
        &self,
        spec: PluginSpec,
        compiled: &Compiled,
        host: Arc<dyn Host>,
    ) -> Result<Plugin, EngineError> {
        load::load(self, spec, compiled, host).await
    }

    pub(crate) fn wasm(&self) -> &wasmtime::Engine {
        &self.wasm
    }

    pub(crate) fn ticker(&self) -> &Arc<Ticker> {
        &self.ticker
    }

    pub(crate) fn clock_start(&self) -> Instant {
        self.clock_start
    }
}
