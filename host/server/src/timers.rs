//! Timers that plugins set, owned by the host: one task, which sleeps until the next one is due.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use shaddock_cluster::Instant;
use shaddock_engine::types::Failure;
use shaddock_engine::{CallScope, Track};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::server::Server;

/// Timers of one server at a time.
pub(crate) const TIMERS_MAX: usize = 100_000;

/// Payloads of all timers together.
const PAYLOAD_BYTES_MAX: usize = 64 << 20;

/// One timer.
#[derive(Debug)]
struct Timer {
    plugin: Arc<str>,
    due: Instant,
    period: Option<Duration>,
    shot: Shot,
}

/// What is called when a timer fires.
#[derive(Debug, Clone)]
struct Shot {
    name: Arc<str>,
    payload: Bytes,
    /// What was decided about versions for the call that set it.
    track: Track,
    /// Set while the call runs; a repeating timer that is due then is skipped.
    is_running: Arc<AtomicBool>,
}

#[derive(Debug, Default)]
struct State {
    next_id: u64,
    by_id: HashMap<u64, Timer>,
    by_time: BTreeSet<(Instant, u64)>,
    payload_bytes: usize,
}

impl State {
    fn remove(&mut self, id: u64) {
        if let Some(timer) = self.by_id.remove(&id) {
            self.payload_bytes -= timer.shot.payload.len();
        }
    }
}

/// The timers of this server.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    state: Mutex<State>,
    earlier: Notify,
}

/// A timer that is due.
struct Due {
    id: u64,
    plugin: Arc<str>,
    shot: Shot,
}

impl Timers {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.lock().by_id.len()
    }

    /// Sets one; its number.
    fn set(&self, timer: Timer) -> Result<u64, Failure> {
        let mut state = self.lock();
        if state.by_id.len() >= TIMERS_MAX {
            return Err(Failure::new(507, format!("the server has its maximum of {TIMERS_MAX} timers")));
        }
        if state.payload_bytes + timer.shot.payload.len() > PAYLOAD_BYTES_MAX {
            let message = format!("the payloads of all timers have more than {PAYLOAD_BYTES_MAX} bytes");
            return Err(Failure::new(507, message));
        }
        state.payload_bytes += timer.shot.payload.len();
        state.next_id += 1;
        let id = state.next_id;
        let is_first = state.by_time.first().is_none_or(|(first, _)| timer.due < *first);
        state.by_time.insert((timer.due, id));
        state.by_id.insert(id, timer);
        drop(state);
        if is_first {
            self.earlier.notify_one();
        }
        Ok(id)
    }

    /// Takes one away; false if that plugin has none of that number.
    pub(crate) fn cancel(&self, id: u64, plugin: &str) -> bool {
        let mut state = self.lock();
        let Some(timer) = state.by_id.get(&id).filter(|timer| &*timer.plugin == plugin) else { return false };
        let due = timer.due;
        state.remove(id);
        state.by_time.remove(&(due, id));
        true
    }

    /// When the next one is due.
    fn next(&self) -> Option<Instant> {
        self.lock().by_time.first().map(|(due, _)| *due)
    }

    /// Takes out those that are due; repeating ones are set again, for times that are still to come.
    fn take_due(&self, now: Instant) -> Vec<Due> {
        let mut state = self.lock();
        let mut due = Vec::new();
        while let Some(&(time, id)) = state.by_time.first().filter(|(time, _)| *time <= now) {
            state.by_time.remove(&(time, id));
            let Some(timer) = state.by_id.get_mut(&id) else { continue };
            due.push(Due { id, plugin: Arc::clone(&timer.plugin), shot: timer.shot.clone() });
            match timer.period {
                Some(period) => {
                    let late = now.duration_since(time).as_nanos();
                    let periods = late.checked_div(period.as_nanos()).unwrap_or(0) + 1;
                    timer.due = time + period * u32::try_from(periods).unwrap_or(u32::MAX);
                    let again = (timer.due, id);
                    state.by_time.insert(again);
                }
                None => state.remove(id),
            }
        }
        due
    }
}

impl Server {
    /// Sets a timer of a plugin.
    pub(crate) fn set_timer(
        &self,
        call: &CallScope,
        delay_ms: u64,
        period_ms: Option<u64>,
        name: &str,
        payload: Vec<u8>,
    ) -> Result<u64, Failure> {
        let shot = Shot {
            name: name.into(),
            payload: payload.into(),
            track: call.track,
            is_running: Arc::default(),
        };
        self.timers.set(Timer {
            plugin: Arc::clone(&call.plugin.name),
            due: Instant::now() + Duration::from_millis(delay_ms),
            period: period_ms.map(Duration::from_millis),
            shot,
        })
    }

    /// Fires timers until `stop`.
    pub(crate) async fn run_timers(self: Arc<Self>, stop: CancellationToken) {
        loop {
            let next = self.timers.next();
            let due = async {
                match next {
                    Some(next) => tokio::time::sleep_until(next).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.timers.earlier.notified() => {}
                () = due => {
                    for due in self.timers.take_due(Instant::now()) {
                        self.fire(due);
                    }
                }
            }
        }
    }

    fn fire(&self, due: Due) {
        let Due { id, plugin, shot } = due;
        let Some(plugin) = self.own_plugin(&plugin, shot.track) else { return };
        if shot.is_running.swap(true, Ordering::AcqRel) {
            self.metrics.timers_skipped.inc();
            tracing::debug!(plugin = %plugin.name().name, timer = %shot.name, "a timer is due while it still runs; skipped");
            return;
        }
        self.metrics.timers_fired.inc();
        self.tasks.spawn(async move {
            let Shot { name, payload, is_running, .. } = shot;
            if let Err(error) = plugin.fire_timer(&name, id, &payload).await {
                tracing::warn!(plugin = %plugin.name().name, timer = %name, %error, "a timer's call failed");
            }
            is_running.store(false, Ordering::Release);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timer(due: Instant, period_ms: Option<u64>) -> Timer {
        let (name, payload) = ("t".into(), Bytes::new());
        let shot = Shot { name, payload, track: Track::UNDECIDED, is_running: Arc::default() };
        Timer { plugin: "p".into(), due, period: period_ms.map(Duration::from_millis), shot }
    }

    #[test]
    fn timers_fire_in_order_and_only_their_plugin_cancels_them() {
        let timers = Timers::default();
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let late = timers.set(timer(at(20), None)).unwrap();
        let early = timers.set(timer(at(10), None)).unwrap();
        let gone = timers.set(timer(at(5), None)).unwrap();
        assert!(!timers.cancel(gone, "other"));
        assert!(timers.cancel(gone, "p"));
        assert!(!timers.cancel(gone, "p"));
        assert_eq!(timers.next(), Some(at(10)));
        assert!(timers.take_due(at(9)).is_empty());
        let due: Vec<u64> = timers.take_due(at(30)).iter().map(|due| due.id).collect();
        assert_eq!(due, [early, late]);
        assert_eq!((timers.len(), timers.next()), (0, None));
    }

    #[test]
    fn a_repeating_timer_keeps_its_beat_and_leaves_out_what_is_past() {
        let timers = Timers::default();
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        timers.set(timer(at(10), Some(10))).unwrap();
        assert_eq!(timers.take_due(at(12)).len(), 1);
        assert_eq!(timers.next(), Some(at(20)));
        assert_eq!(timers.take_due(at(55)).len(), 1);
        assert_eq!(timers.next(), Some(at(60)));
        assert_eq!(timers.len(), 1);
    }

    #[test]
    fn their_number_is_bounded() {
        let timers = Timers::default();
        let due = Instant::now();
        for _ in 0..TIMERS_MAX {
            timers.set(timer(due, None)).unwrap();
        }
        assert_eq!(timers.set(timer(due, None)).unwrap_err().code, 507);
    }
}
