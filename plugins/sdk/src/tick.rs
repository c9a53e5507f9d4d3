use std::time::Duration;

/// One turn of a game loop (`tick { … }` of [`plugin!`](crate::plugin); `tickHz` in plugins.json says how many a second).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tick {
    /// Counts from 1, those that were missed included.
    pub number: u64,
    /// How long after its time it begins.
    pub late: Duration,
    /// How many were left out since the one before, because that took too long.
    pub missed: u32,
}
