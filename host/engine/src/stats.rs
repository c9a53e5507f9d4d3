//! Counters of one plugin.

/// A snapshot of one plugin's counters since it was loaded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PluginStats {
    /// Calls begun, of every kind but route functions.
    pub calls: u64,
    /// Calls of the route function.
    pub routings: u64,
    /// Failed calls and routings by [`CallError::kind`](crate::CallError::kind), without zeroes.
    pub errors: Vec<(&'static str, u64)>,
    /// Instances that exist now, those of route functions not counted.
    pub instances_live: u64,
    /// Of these, how many wait for a call.
    pub instances_idle: u64,
    /// Instances made so far.
    pub instances_created: u64,
    /// The most memory that one instance ever had, in bytes.
    pub memory_bytes_peak: u64,
}
