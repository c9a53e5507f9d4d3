//! (skeleton)
use std::sync::Arc;

use crate::cache::Compiled;
use crate::error::EngineError;
use crate::host::Host;
use crate::plugin::Plugin;
use crate::settings::{EngineSettings, PluginSpec};

/// The engine of one server process.
#[derive(Clone)]
pub struct Engine {}

impl Engine {
    /// Sets the engine up.
    pub fn new(settings: &EngineSettings) -> Result<Self, EngineError> {
        let _ = settings;
        Ok(Self {})
    }

    /// Loads a plugin: checks imports against grants, detects roles, makes a first instance and asks it what it serves.
    pub async fn load(
        &self,
        spec: PluginSpec,
        compiled: Compiled,
        host: Arc<dyn Host>,
    ) -> Result<Plugin, EngineError> {
        let _ = (compiled, host);
        Err(EngineError::Spec { plugin: spec.name, reason: "skeleton".into() })
    }
}
