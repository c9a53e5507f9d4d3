//! Which instance a call gets, and how long it waits for one.
//!
//! An instance occupies a place as long as it lives: there are `instances_max` places for calls from outside
//! and `nested_instances_max` for calls nested in calls. A call takes an idle instance, else a free place to make
//! one in, else it waits. Nested calls never wait, because what they would wait for may be waiting for them: they
//! may take from either kind of place, or fail at once. So no circle of plugins can block itself. Plugins with
//! policy `single` have a line instead (`single.rs`).
//!
//! Idle instances are kept by thread, so that calls on different threads share nothing that is written.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering, fence};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use crate::context::Shared;
use crate::error::CallError;
use crate::host::Call;
use crate::instance::Instance;
use crate::per_thread::PerThread;
use crate::settings::PoolPolicy;

pub(crate) struct Pool {
    is_fresh: bool,
    shared: Arc<Shared>,
    /// Those that calls from outside may take.
    idle: PerThread<Idle>,
    /// Those in places for nested calls.
    idle_nested: Idle,
    /// Places without an instance.
    free: AtomicU32,
    free_nested: AtomicU32,
    /// Calls that wait. Every call reads this, only those that wait write it.
    waiting: AtomicU32,
    /// What they wait for: a permit for each instance or place that has become free since somebody waits.
    turns: Semaphore,
    idle_instances_min: u64,
    /// Instances without a call are not kept: the version has been replaced.
    is_ending: AtomicBool,
    is_closed: AtomicBool,
}

/// Instances without a call, the most recently used at the back: that one's memory is in the processor's caches.
#[derive(Default)]
struct Idle(Mutex<VecDeque<Box<Instance>>>);

impl Idle {
    fn lock(&self) -> MutexGuard<'_, VecDeque<Box<Instance>>> {
        // Nothing that can panic happens under this lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whom a place is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Outside,
    Nested,
}

/// A call's place in the pool, free again when this is dropped.
pub(crate) struct Place<'p> {
    pool: &'p Pool,
    kind: Kind,
    instance: Option<Box<Instance>>,
    /// The instance went back with the place.
    is_over: bool,
}

impl Pool {
    /// The first instance gets the first place.
    pub(crate) fn new(policy: PoolPolicy, shared: Arc<Shared>, first: Box<Instance>) -> Self {
        let limits = &shared.limits;
        let (outside, nested) = (limits.instances_max.max(1), limits.nested_instances_max);
        let idle_instances_min = limits.idle_instances_min.into();
        let pool = Self {
            is_fresh: policy == PoolPolicy::Fresh,
            shared,
            idle: PerThread::default(),
            idle_nested: Idle::default(),
            free: AtomicU32::new(outside),
            free_nested: AtomicU32::new(nested),
            waiting: AtomicU32::new(0),
            turns: Semaphore::new(0),
            idle_instances_min,
            is_ending: AtomicBool::new(false),
            is_closed: AtomicBool::new(false),
        };
        if !pool.is_fresh {
            take_one(&pool.free);
            pool.idle.own().lock().push_back(first);
        }
        pool
    }

    /// Waits for a place, at most until `deadline`.
    pub(crate) async fn place(
        &self,
        call: &Call,
        now: Instant,
        deadline: Instant,
    ) -> Result<Place<'_>, CallError> {
        if self.is_closed.load(Ordering::Relaxed) {
            return Err(CallError::Replaced { begun: false });
        }
        if call.depth > 0 {
            let place = self.nested().or_else(|| self.outside());
            return place.ok_or(CallError::Overloaded("no instance is free for a nested call"));
        }
        match self.at_once() {
            Some(place) => Ok(place),
            None => self.wait(now, deadline).await,
        }
    }

    /// Keeps no instance from now on.
    pub(crate) fn begin_to_end(&self) {
        // Read under the lock of a list: what goes back after `drop_idle` was there sees it.
        self.is_ending.store(true, Ordering::Relaxed);
        self.drop_idle();
    }

    /// Refuses new calls and those that wait.
    pub(crate) fn close(&self) {
        self.is_closed.store(true, Ordering::Relaxed);
        self.turns.close();
        self.drop_idle();
    }

    fn drop_idle(&self) {
        for (list, kind) in self.all_idle() {
            let gone = std::mem::take(&mut *list.lock());
            gone.into_iter().for_each(|instance| self.discard(instance, kind));
        }
    }

    /// A place for a call from outside, unless others wait already.
    fn at_once(&self) -> Option<Place<'_>> {
        if self.waiting.load(Ordering::Relaxed) > 0 { None } else { self.outside() }
    }

    fn outside(&self) -> Option<Place<'_>> {
        let idle = self.idle.own_first().find_map(|idle| idle.lock().pop_back());
        (idle.is_some() || take_one(&self.free)).then(|| self.occupied(Kind::Outside, idle))
    }

    fn nested(&self) -> Option<Place<'_>> {
        let idle = self.idle_nested.lock().pop_back();
        (idle.is_some() || take_one(&self.free_nested)).then(|| self.occupied(Kind::Nested, idle))
    }

    fn occupied(&self, kind: Kind, instance: Option<Box<Instance>>) -> Place<'_> {
        Place { pool: self, kind, instance, is_over: false }
    }

    async fn wait(&self, now: Instant, deadline: Instant) -> Result<Place<'_>, CallError> {
        let limits = &self.shared.limits;
        let waiting = Waiting::begin(self, limits.queued_calls_max)?;
        // What became free before there was anybody to be told of it.
        if waiting.is_first
            && let Some(place) = self.outside()
        {
            return Ok(place);
        }
        let until = deadline.min(now + Duration::from_millis(limits.queue_ms_max));
        loop {
            match timeout_at(until, self.turns.acquire()).await {
                Ok(Ok(turn)) => turn.forget(),
                Ok(Err(_closed)) => return Err(CallError::Replaced { begun: false }),
                _ if Instant::now() >= deadline => return Err(CallError::Deadline),
                _ => return Err(CallError::Overloaded("no instance became free in time")),
            }
            // A turn may be left over from a call that found an instance without it.
            if let Some(place) = self.outside() {
                return Ok(place);
            }
        }
    }

    fn has_free(&self) -> bool {
        self.free.load(Ordering::Relaxed) > 0 || self.idle.iter().any(|idle| !idle.lock().is_empty())
    }

    pub(crate) fn idle_count(&self) -> usize {
        self.all_idle().map(|(list, _)| list.lock().len()).sum()
    }

    /// Drops what has been idle for longer than `idle` at `now`, but for the few that are always kept.
    pub(crate) fn trim(&self, idle: Duration, now: Instant) {
        for (list, kind) in self.all_idle() {
            loop {
                let stale = self.take_stale(&mut list.lock(), idle, now);
                let Some(stale) = stale else { break };
                self.discard(stale, kind);
            }
        }
    }

    fn all_idle(&self) -> impl Iterator<Item = (&Idle, Kind)> {
        let outside = self.idle.iter().map(|list| (list, Kind::Outside));
        outside.chain([(&self.idle_nested, Kind::Nested)])
    }

    /// The one that was idle longest, if that was too long and it can be spared.
    fn take_stale(
        &self,
        list: &mut VecDeque<Box<Instance>>,
        idle: Duration,
        now: Instant,
    ) -> Option<Box<Instance>> {
        let stale = |instance: &Instance| now.saturating_duration_since(instance.idle_since) > idle;
        let spare = self.shared.counters.live.load(Ordering::Relaxed) > self.idle_instances_min;
        if spare && list.front().is_some_and(|instance| stale(instance)) { list.pop_front() } else { None }
    }

    fn discard(&self, instance: Box<Instance>, kind: Kind) {
        drop(instance);
        self.release(kind);
    }

    /// A place has no instance any more.
    fn release(&self, kind: Kind) {
        match kind {
            Kind::Outside => {
                self.free.fetch_add(1, Ordering::Release);
                self.tell_waiting();
            }
            Kind::Nested => {
                self.free_nested.fetch_add(1, Ordering::Release);
            }
        }
    }

    /// Something has become free.
    fn tell_waiting(&self) {
        // Either this sees who waits, or who begins to wait sees what has become free.
        fence(Ordering::SeqCst);
        if self.waiting.load(Ordering::Relaxed) > 0 {
            self.turns.add_permits(1);
        }
    }
}

/// Takes one off a count that may be at zero.
fn take_one(count: &AtomicU32) -> bool {
    count.fetch_update(Ordering::AcqRel, Ordering::Relaxed, |free| free.checked_sub(1)).is_ok()
}

impl Place<'_> {
    /// The instance that waited for a call, if there was one.
    pub(crate) fn take_idle(&mut self) -> Option<Box<Instance>> {
        self.instance.take()
    }

    /// Takes back an instance after a regular return, and with it the place.
    pub(crate) fn give_back(&mut self, mut instance: Box<Instance>, now: Instant) {
        let pool = self.pool;
        if pool.is_fresh {
            return;
        }
        if instance.wears_out() {
            return;
        }
        self.is_over = true;
        instance.idle_since = now;
        let list = match self.kind {
            Kind::Outside => pool.idle.own(),
            Kind::Nested => &pool.idle_nested,
        };
        let idle_max = Duration::from_millis(pool.shared.limits.idle_ms_max);
        let gone = {
            let mut list = list.lock();
            if pool.is_ending.load(Ordering::Relaxed) {
                Some(instance)
            } else {
                list.push_back(instance);
                // One at a time, so that no call pays for a burst that has passed.
                pool.take_stale(&mut list, idle_max, now)
            }
        };
        if self.kind == Kind::Outside {
            pool.tell_waiting();
        }
        if let Some(gone) = gone {
            pool.discard(gone, self.kind);
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            self.instance = None;
            self.pool.release(self.kind);
        }
    }
}

/// Counts a waiting call, also if it gives up.
struct Waiting<'p> {
    pool: &'p Pool,
    /// Nobody waited before it.
    is_first: bool,
}

impl<'p> Waiting<'p> {
    fn begin(pool: &'p Pool, max: u32) -> Result<Self, CallError> {
        let before = pool.waiting.fetch_add(1, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        let waiting = Self { pool, is_first: before == 0 };
        if before >= max {
            return Err(CallError::Overloaded("too many calls wait for an instance"));
        }
        Ok(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let others_wait = self.pool.waiting.fetch_sub(1, Ordering::AcqRel) > 1;
        // More may have become free before there was anybody to be told of it than this one has taken.
        if self.is_first && others_wait && self.pool.has_free() {
            self.pool.turns.add_permits(1);
        }
    }
}
