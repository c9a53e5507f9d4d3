//! What an engine and a plugin are configured with.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::recording::Recorder;

/// Settings of one process's engine.
#[derive(Clone, Debug)]
pub struct EngineSettings {
    /// Instances of all plugins together for which address space is reserved (4 GiB each, reserved, not
    /// used). Sum up `instances_max + nested_instances_max` of the plugins, and for each plugin with a route
    /// function add the number of threads.
    pub instances_max: u32,
    /// The largest memory that any plugin may have, in bytes.
    pub memory_bytes_max: u64,
}

impl Default for EngineSettings {
    fn default() -> Self {
        Self { instances_max: 256, memory_bytes_max: 256 << 20 }
    }
}

/// How a plugin's instances are used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PoolPolicy {
    /// Many instances, each used by one call at a time and kept: guest memory is only a cache.
    #[default]
    Warm,
    /// A new instance for every call.
    Fresh,
    /// One instance per server; calls queue in order. For plugins that keep state.
    Single,
}

/// Limits of one plugin on one server. Reached limits are errors of the call, never growth.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PluginLimits {
    /// Linear memory of one instance, all of its memories together.
    pub memory_bytes_max: u64,
    /// How long a call may last by the clock.
    pub deadline_ms: u64,
    /// How long a call may compute, in steps of about a millisecond.
    pub cpu_ms_max: u32,
    /// Instances for calls from outside; further calls wait up to `queue_ms_max`. 1 with policy `single`.
    pub instances_max: u32,
    /// Further instances for calls nested in calls, which never wait. 0 with policy `single`.
    pub nested_instances_max: u32,
    /// Idle instances that are kept for longer than [`PluginLimits::idle_ms_max`].
    pub idle_instances_min: u32,
    /// How long further idle instances are kept.
    pub idle_ms_max: u64,
    /// Calls that may be in flight in one instance of a plugin that can have many.
    pub calls_per_instance_max: u32,
    /// Calls after which an instance is replaced; 0: as many as come. Only with policy `warm`, and route functions.
    pub recycle_calls: u64,
    /// Memory above which an instance is replaced after a call; none: twice of what its first call leaves it with
    /// (8 MiB more at the least), or three quarters of `memory_bytes_max`. Where `recycle_calls` holds.
    pub recycle_bytes: Option<u64>,
    /// How long a call waits for an instance.
    pub queue_ms_max: u64,
    /// How many calls may wait for an instance.
    pub queued_calls_max: u32,
    /// A body, an argument or a result.
    pub value_bytes_max: usize,
}

impl Default for PluginLimits {
    fn default() -> Self {
        Self {
            memory_bytes_max: 64 << 20,
            deadline_ms: 5_000,
            cpu_ms_max: 200,
            instances_max: 32,
            nested_instances_max: 32,
            idle_instances_min: 2,
            idle_ms_max: 30_000,
            calls_per_instance_max: 128,
            recycle_calls: 0,
            recycle_bytes: None,
            queue_ms_max: 1_000,
            queued_calls_max: 1_024,
            value_bytes_max: 1 << 20,
        }
    }
}

impl PluginLimits {
    pub(crate) fn deadline(&self) -> Duration {
        Duration::from_millis(self.deadline_ms)
    }
}

/// Imports that plugins.json grants. `app` needs no grant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Grants {
    /// `shaddock:plugin/sessions`.
    pub sessions: bool,
    /// `shaddock:plugin/channels`.
    pub channels: bool,
    /// `shaddock:plugin/rpc`.
    pub rpc: bool,
    /// `shaddock:plugin/timers`.
    pub timers: bool,
}

/// One plugin as plugins.json describes it.
#[derive(Clone, Debug)]
pub struct PluginSpec {
    /// Its name: letters, digits, `-` and `_`.
    pub name: String,
    /// The server types it serves: its routes and methods must begin with one of them.
    pub server_types: Vec<String>,
    /// How its instances are used.
    pub pool: PoolPolicy,
    /// Its limits.
    pub limits: PluginLimits,
    /// What it may import.
    pub grants: Grants,
    /// Its free settings, a JSON object.
    pub settings: String,
    /// Takes down its calls.
    pub recorder: Option<Arc<Recorder>>,
}
