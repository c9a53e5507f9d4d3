//! What plugins.json says about a plugin.

use std::path::PathBuf;

use serde_json::{Map, Value};

/// One plugin, as plugins.json describes it.
#[derive(Clone, Debug, PartialEq)]
pub struct PluginEntry {
    /// Its key in plugins.json: 1 to 64 letters, digits, `-` and `_`.
    pub name: String,
    /// The component file: an absolute path; it existed when the configuration was loaded.
    pub component: PathBuf,
    /// The server types it is loaded in; never empty, all known to servers.json.
    pub server_types: Vec<String>,
    /// How instances are made and kept.
    pub pool: Pool,
    /// What one call and one server may use.
    pub limits: PluginLimits,
    /// The contract's imports that are linked.
    pub grants: Grants,
    /// Whether the requests of one session run one at a time, in the order they came.
    pub ordered: bool,
    /// Ticks a second of the game loop; only with [`Pool::Single`].
    pub tick_hz: Option<u32>,
    /// The free settings passed to the plugin: a JSON object.
    pub settings: Value,
}

/// How instances of a plugin are made and kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pool {
    /// Many instances, reused; guest memory is only a cache.
    #[default]
    Warm,
    /// A new instance for every call.
    Fresh,
    /// One instance per server, which may hold state.
    Single,
}

/// What one call and one server may use of a plugin. All defaults are documented in
/// `docs/configuration.md`.
#[derive(Clone, Debug, PartialEq)]
pub struct PluginLimits {
    /// Linear memory of one instance.
    pub memory_bytes_max: usize,
    /// Wall-clock milliseconds of one call, waiting for other servers included.
    pub deadline_ms: u64,
    /// Milliseconds that one call may compute.
    pub cpu_ms_max: u64,
    /// Largest value that crosses between host and plugin.
    pub value_bytes_max: usize,
    /// Instances per server for calls from outside.
    pub instances_max: usize,
    /// Instances per server kept apart for calls made within calls, which never wait.
    pub nested_instances_max: usize,
    /// Calls in flight in one instance, where the plugin can have many.
    pub calls_per_instance_max: usize,
    /// Calls after which an instance is replaced; 0: as many as come. Without effect but for [`Pool::Warm`].
    pub recycle_calls: u64,
    /// Memory above which an instance is replaced after a call; none: by what its first call has left. Without effect
    /// but for [`Pool::Warm`].
    pub recycle_bytes: Option<u64>,
    /// Milliseconds a call from outside may wait for an instance.
    pub queue_ms_max: u64,
    /// Calls from outside that may wait for an instance; more fail at once.
    pub queued_calls_max: usize,
}

impl Default for PluginLimits {
    fn default() -> Self {
        Self {
            memory_bytes_max: 64 << 20,
            deadline_ms: 5_000,
            cpu_ms_max: 1_000,
            value_bytes_max: 1 << 20,
            instances_max: 64,
            nested_instances_max: 64,
            calls_per_instance_max: 128,
            recycle_calls: 0,
            recycle_bytes: None,
            queue_ms_max: 1_000,
            queued_calls_max: 1_024,
        }
    }
}

/// The contract's imports that a plugin may use. `app` needs no grant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Grants {
    /// `sessions`: read, bind, write and kick sessions.
    pub sessions: bool,
    /// `channels`: keep channels and push to clients.
    pub channels: bool,
    /// `rpc`: call the remotes of other servers.
    pub rpc: bool,
    /// `timers`: be called later.
    pub timers: bool,
}

/// A plugin without anything but its name: what the fields of its entry change.
pub(crate) fn blank(name: &str) -> PluginEntry {
    PluginEntry {
        name: name.to_owned(),
        component: PathBuf::new(),
        server_types: Vec::new(),
        pool: Pool::default(),
        limits: PluginLimits::default(),
        grants: Grants::default(),
        ordered: true,
        tick_hz: None,
        settings: Value::Object(Map::new()),
    }
}
