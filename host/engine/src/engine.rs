//! The engines of a process: code, instance slots and the clock of the CPU budgets.

use std::sync::{Arc, OnceLock};

use crate::cache::Compiled;
use crate::concurrent;
use crate::error::EngineError;
use crate::host::Host;
use crate::kind::Kind;
use crate::load;
use crate::plugin::Plugin;
use crate::settings::{EngineSettings, PluginSpec};
use crate::ticker::Ticker;
use crate::wasm;

/// What runs the plugins of one server process. Clones are the same engine.
#[derive(Clone)]
pub struct Engine(Arc<Inner>);

struct Inner {
    plain: Runtime,
    /// Made when the first plugin of this kind is loaded.
    concurrent: OnceLock<Result<Runtime, String>>,
    settings: EngineSettings,
}

/// wasmtime with the settings that one kind of components needs.
pub(crate) struct Runtime {
    pub(crate) wasm: wasmtime::Engine,
    pub(crate) ticker: Arc<Ticker>,
}

impl Runtime {
    fn new(kind: Kind, settings: &EngineSettings) -> Result<Self, EngineError> {
        let wasm = wasm::running(kind, settings)?;
        let ticker = Arc::new(Ticker::start(&wasm)?);
        Ok(Self { wasm, ticker })
    }
}

impl Engine {
    /// Reserves address space for instances and starts the thread of the CPU budgets, which sleeps while no
    /// guest runs.
    ///
    /// # Errors
    /// [`EngineError::Setup`] if this machine cannot run WebAssembly.
    pub fn new(settings: &EngineSettings) -> Result<Self, EngineError> {
        Ok(Self(Arc::new(Inner {
            plain: Runtime::new(Kind::Plain, settings)?,
            concurrent: OnceLock::new(),
            settings: settings.clone(),
        })))
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
        match compiled.kind() {
            Kind::Plain => load::load(self, spec, compiled, host).await,
            Kind::Concurrent => concurrent::load(self, spec, compiled, host).await,
        }
    }

    pub(crate) fn plain(&self) -> &Runtime {
        &self.0.plain
    }

    pub(crate) fn concurrent(&self) -> Result<&Runtime, EngineError> {
        let made = self.0.concurrent.get_or_init(|| {
            Runtime::new(Kind::Concurrent, &self.0.settings).map_err(|error| error.to_string())
        });
        made.as_ref().map_err(|error| EngineError::Setup(error.clone()))
    }
}
