//! Timers of this server that call functions of this plugin, those in `timers { … }` of [`plugin!`](crate::plugin).
//! Grant: `timers`.
//!
//! The host keeps them: they outlive the instance that set them, and end with the server.

use std::time::Duration;

use serde::Serialize;

use crate::Result;
use crate::host::timers as host;

/// Names a timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, serde::Deserialize)]
pub struct Timer(u64);

impl Timer {
    /// Stops it. False if there is no such timer any more.
    pub fn cancel(self) -> bool {
        host::cancel(self.0)
    }
}

/// Calls the function of that name once, after a delay of at most 100 days.
pub fn after(delay: Duration, name: &str, payload: &(impl Serialize + ?Sized)) -> Result<Timer> {
    Ok(Timer(host::after(milliseconds(delay), name, &serde_json::to_vec(payload)?)?))
}

/// Calls it again and again, at least 10 milliseconds apart. A time at which the call before still runs is skipped.
pub fn every(period: Duration, name: &str, payload: &(impl Serialize + ?Sized)) -> Result<Timer> {
    Ok(Timer(host::every(milliseconds(period), name, &serde_json::to_vec(payload)?)?))
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
