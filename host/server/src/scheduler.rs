//! How far the scheduler lags: what pomelo's `toobusy` asks of the event loop.
//!
//! Measured only while requests come: a server without any must not wake up.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use shaddock_cluster::Instant;

/// How often the lag is measured.
const INTERVAL: Duration = Duration::from_millis(20);
/// Intervals without a request after which measuring ends.
const QUIET_INTERVALS_MAX: u32 = 50;

/// The lag of this process's scheduler.
#[derive(Debug, Default)]
pub(crate) struct Scheduler(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    is_measuring: AtomicBool,
    was_asked: AtomicBool,
    lag_ms: AtomicU32,
    lag_ms_max: u32,
}

impl Scheduler {
    /// With the lag from which it counts as lagging.
    pub(crate) fn new(lag_ms_max: u64) -> Self {
        let lag_ms_max = u32::try_from(lag_ms_max).unwrap_or(u32::MAX);
        Self(Arc::new(Inner { lag_ms_max, ..Inner::default() }))
    }

    /// Whether what is due runs late. The first to ask after a pause begins the measuring.
    pub(crate) fn is_lagging(&self) -> bool {
        let inner = &self.0;
        inner.was_asked.store(true, Ordering::Relaxed);
        if !inner.is_measuring.load(Ordering::Relaxed) && !inner.is_measuring.swap(true, Ordering::Relaxed) {
            tokio::spawn(measure(Arc::clone(inner)));
        }
        inner.lag_ms.load(Ordering::Relaxed) > inner.lag_ms_max
    }
}

/// How late this task runs that asked to be woken after an interval.
pub(crate) async fn lag_after(interval: Duration) -> Duration {
    let due = Instant::now() + interval;
    tokio::time::sleep_until(due).await;
    due.elapsed()
}

async fn measure(inner: Arc<Inner>) {
    let mut quiet = 0;
    while quiet < QUIET_INTERVALS_MAX {
        quiet = if inner.was_asked.swap(false, Ordering::Relaxed) { 0 } else { quiet + 1 };
        let lag_ms = u32::try_from(lag_after(INTERVAL).await.as_millis()).unwrap_or(u32::MAX);
        // One slow moment is not enough, and one quick one does not undo a bad time: as pomelo's, it is smoothed.
        let smoothed = (inner.lag_ms.load(Ordering::Relaxed).saturating_add(lag_ms)).div_ceil(2);
        inner.lag_ms.store(if lag_ms == 0 && smoothed <= 1 { 0 } else { smoothed }, Ordering::Relaxed);
    }
    inner.lag_ms.store(0, Ordering::Relaxed);
    inner.is_measuring.store(false, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_blocked_thread_is_noticed_and_forgotten() {
        let scheduler = Scheduler::new(30);
        assert!(!scheduler.is_lagging());
        tokio::time::sleep(Duration::from_millis(5)).await;
        // this runtime has one thread, which stands still
        std::thread::sleep(Duration::from_millis(400));
        tokio::time::sleep(Duration::from_millis(5)).await;
        assert!(scheduler.is_lagging());
        let mut lagging = true;
        for _ in 0..500 {
            tokio::time::sleep(INTERVAL).await;
            lagging = scheduler.is_lagging();
            if !lagging {
                break;
            }
        }
        assert!(!lagging);
    }
}
