//! Timers that plugins set, owned by the host: one task, which sleeps until the next one is due.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use shaddock_cluster::Instant;
use shaddock_engine::types::Failure;
use shaddock_engine::{CallError, CallScope, Track};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::server::Server;

/// Timers of one server at a time.
pub(crate) const TIMERS_MAX: usize = 100_000;

/// Payloads of all timers together.
const PAYLOAD_BYTES_MAX: usize = 64 << 20;

/// How long a timer that finds no free instance waits before it tries again; twice as long each time, up to
/// [`PUT_OFF_MAX`].
const PUT_OFF_MIN: Duration = Duration::from_millis(20);
/// The longest such wait.
const PUT_OFF_MAX: Duration = Duration::from_secs(1);

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
    /// How often it was put off.
    put_off: u32,
}

impl Shot {
    fn new(name: Arc<str>, payload: Bytes, track: Track) -> Self {
        Self { name, payload, track, is_running: Arc::default(), put_off: 0 }
    }
}

#[derive(Debug, Default)]
struct State {
    next_id: u64,
    by_id: HashMap<u64, Timer>,
    by_time: BTreeSet<(Instant, u64)>,
    /// Timers for once whose calls are under way: they may come back, and so keep their places.
    under_way: usize,
    /// Of all of these.
    payload_bytes: usize,
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
    is_repeating: bool,
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
        if state.by_id.len() + state.under_way >= TIMERS_MAX {
            return Err(Failure::new(507, format!("the server has its maximum of {TIMERS_MAX} timers")));
        }
        if state.payload_bytes + timer.shot.payload.len() > PAYLOAD_BYTES_MAX {
            let message = format!("the payloads of all timers have more than {PAYLOAD_BYTES_MAX} bytes");
            return Err(Failure::new(507, message));
        }
        state.payload_bytes += timer.shot.payload.len();
        state.next_id += 1;
        let id = state.next_id;
        self.insert(state, id, timer);
        Ok(id)
    }

    fn insert(&self, mut state: MutexGuard<'_, State>, id: u64, timer: Timer) {
        let is_first = state.by_time.first().is_none_or(|(first, _)| timer.due < *first);
        state.by_time.insert((timer.due, id));
        state.by_id.insert(id, timer);
        drop(state);
        if is_first {
            self.earlier.notify_one();
        }
    }

    /// The call of a timer for once has ended.
    fn ended(&self, shot: &Shot) {
        let mut state = self.lock();
        state.under_way -= 1;
        state.payload_bytes -= shot.payload.len();
    }

    /// The call of a timer for once was not begun: it is set again, for a little later.
    fn put_off(&self, id: u64, plugin: Arc<str>, shot: Shot, now: Instant) {
        let wait = PUT_OFF_MIN.saturating_mul(1_u32.checked_shl(shot.put_off).unwrap_or(u32::MAX));
        let shot = Shot { put_off: shot.put_off.saturating_add(1), ..shot };
        let timer = Timer { plugin, due: now + wait.min(PUT_OFF_MAX), period: None, shot };
        let mut state = self.lock();
        state.under_way -= 1;
        self.insert(state, id, timer);
    }

    /// Takes one away; false if that plugin has none of that number.
    pub(crate) fn cancel(&self, id: u64, plugin: &str) -> bool {
        let mut state = self.lock();
        let Some(timer) = state.by_id.get(&id).filter(|timer| &*timer.plugin == plugin) else { return false };
        let (due, bytes) = (timer.due, timer.shot.payload.len());
        state.by_id.remove(&id);
        state.payload_bytes -= bytes;
        state.by_time.remove(&(due, id));
        true
    }

    /// When the next one is due.
    fn next(&self) -> Option<Instant> {
        self.lock().by_time.first().map(|(due, _)| *due)
    }

    /// Takes out those that are due; repeating ones are set again, for times that are still to come. Of the others it
    /// must be said what becomes of them: [`Timers::ended`] or [`Timers::put_off`].
    fn take_due(&self, now: Instant) -> Vec<Due> {
        let mut state = self.lock();
        let mut due = Vec::new();
        while let Some(&(time, id)) = state.by_time.first().filter(|(time, _)| *time <= now) {
            state.by_time.remove(&(time, id));
            let Some(timer) = state.by_id.get_mut(&id) else { continue };
            due.push(Due {
                id,
                plugin: Arc::clone(&timer.plugin),
                shot: timer.shot.clone(),
                is_repeating: timer.period.is_some(),
            });
            match timer.period {
                Some(period) => {
                    let late = now.duration_since(time).as_nanos();
                    let periods = late.checked_div(period.as_nanos()).unwrap_or(0) + 1;
                    timer.due = time + period * u32::try_from(periods).unwrap_or(u32::MAX);
                    let again = (timer.due, id);
                    state.by_time.insert(again);
                }
                None => {
                    state.by_id.remove(&id);
                    state.under_way += 1;
                }
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
        let shot = Shot::new(name.into(), payload.into(), call.track);
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

    fn fire(self: &Arc<Self>, due: Due) {
        let Due { id, plugin, shot, is_repeating } = due;
        let Some(plugin) = self.own_plugin(&plugin, shot.track) else {
            if !is_repeating {
                self.timers.ended(&shot);
            }
            return;
        };
        if shot.is_running.swap(true, Ordering::AcqRel) {
            self.metrics.timers_skipped.inc();
            let of = plugin.name();
            tracing::debug!(plugin = %of.name, version = %of.version, digest = %of.digest, timer = %shot.name, "a timer is due while it still runs; skipped");
            return;
        }
        let server = Arc::clone(self);
        self.tasks.spawn(async move {
            let outcome = plugin.fire_timer(shot.track, &shot.name, id, &shot.payload).await;
            shot.is_running.store(false, Ordering::Release);
            let is_refused = matches!(outcome, Err(CallError::Overloaded(_)));
            let metrics = &server.metrics;
            let counter = match (is_refused, is_repeating) {
                (false, _) => &metrics.timers_fired,
                (true, false) => &metrics.timers_put_off,
                // it is due again soon enough
                (true, true) => &metrics.timers_skipped,
            };
            counter.inc();
            if let Err(error) = outcome
                && let Some(left_out) = server.failures.admit()
            {
                let (of, timer) = (plugin.name(), &shot.name);
                if is_refused && !is_repeating {
                    tracing::warn!(plugin = %of.name, version = %of.version, digest = %of.digest, %timer, %error, left_out, "no instance is free for a timer; it is put off");
                } else {
                    tracing::warn!(plugin = %of.name, version = %of.version, digest = %of.digest, %timer, %error, left_out, "a timer's call failed");
                }
            }
            match (is_repeating, is_refused) {
                (true, _) => {}
                (false, true) => {
                    server.timers.put_off(id, Arc::clone(&plugin.name().name), shot, Instant::now());
                }
                (false, false) => server.timers.ended(&shot),
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timer(due: Instant, period_ms: Option<u64>) -> Timer {
        let shot = Shot::new("t".into(), Bytes::from_static(b"1"), Track::UNDECIDED);
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
        // those whose calls are under way may come back
        let fired = timers.take_due(due);
        assert_eq!((timers.len(), fired.len()), (0, TIMERS_MAX));
        assert_eq!(timers.set(timer(due, None)).unwrap_err().code, 507);
        for fired in fired {
            timers.ended(&fired.shot);
        }
        assert!(timers.set(timer(due, None)).is_ok());
    }

    #[test]
    fn one_that_is_put_off_keeps_its_number_and_waits_longer_each_time() {
        let timers = Timers::default();
        let mut now = Instant::now();
        let id = timers.set(timer(now, None)).unwrap();
        let mut waits = Vec::new();
        for _ in 0..40 {
            let due = timers.take_due(now).remove(0);
            assert!(!due.is_repeating && !timers.cancel(id, "p"), "its call is under way");
            timers.put_off(due.id, due.plugin, due.shot, now);
            let next = timers.next().unwrap();
            waits.push(next.duration_since(now).as_millis());
            now = next;
        }
        assert_eq!(waits[..7], [20, 40, 80, 160, 320, 640, 1000]);
        assert_eq!(waits[39], 1000);
        assert!(timers.cancel(id, "p"));
        let state = timers.lock();
        assert_eq!((state.by_id.len(), state.by_time.len()), (0, 0));
        assert_eq!((state.under_way, state.payload_bytes), (0, 0));
    }
}
