//! Which instance a call gets, and how long it waits for one.
//!
//! Calls from outside wait for one of `instances_max` places. Calls nested in calls never wait, because what
//! they would wait for may be waiting for them: they take one of `nested_instances_max` further places, or a
//! free one of the others, or fail at once. So no circle of plugins can block itself. With policy `single`
//! there is one place and everyone waits for it in order; a call that waits for itself is told by its chain.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout_at};

use crate::error::CallError;
use crate::host::{Call, Chain};
use crate::instance::Instance;
use crate::settings::{PluginLimits, PoolPolicy};

pub(crate) struct Pool {
    policy: PoolPolicy,
    /// The most recently used at the back: that one's memory is in the processor's caches.
    idle: Mutex<VecDeque<Box<Instance>>>,
    outside: Semaphore,
    nested: Semaphore,
    waiting: AtomicU32,
    /// The id of the call that runs in a `single` plugin, 0 if there is none.
    running: AtomicU64,
    next_call: AtomicU64,
    queue: Duration,
    queued_calls_max: u32,
    idle_instances_min: usize,
    idle_max: Duration,
}

/// A call's place in the pool.
pub(crate) struct Place<'p> {
    pool: &'p Pool,
    chain: Chain,
    _permit: SemaphorePermit<'p>,
}

impl Pool {
    pub(crate) fn new(policy: PoolPolicy, limits: &PluginLimits) -> Self {
        let single = policy == PoolPolicy::Single;
        let outside = if single { 1 } else { limits.instances_max.max(1) };
        let nested = if single { 0 } else { limits.nested_instances_max };
        Self {
            policy,
            idle: Mutex::default(),
            outside: Semaphore::new(outside as usize),
            nested: Semaphore::new(nested as usize),
            waiting: AtomicU32::new(0),
            running: AtomicU64::new(0),
            next_call: AtomicU64::new(first_call_id()),
            queue: Duration::from_millis(limits.queue_ms_max),
            queued_calls_max: limits.queued_calls_max,
            idle_instances_min: limits.idle_instances_min.max(u32::from(single)) as usize,
            idle_max: Duration::from_millis(limits.idle_ms_max),
        }
    }

    /// Waits for a place, at most until `deadline`.
    pub(crate) async fn place(
        &self,
        call: &Call,
        now: Instant,
        deadline: Instant,
    ) -> Result<Place<'_>, CallError> {
        let permit = if self.policy == PoolPolicy::Single {
            let running = self.running.load(Ordering::Acquire);
            if running != 0 && call.chain.ids().contains(&running) {
                return Err(CallError::Reentered);
            }
            self.wait(now, deadline).await?
        } else if call.depth > 0 {
            let permit = self.nested.try_acquire().or_else(|_| self.outside.try_acquire());
            permit.map_err(|_| CallError::Overloaded("no instance is free for a nested call"))?
        } else {
            self.wait(now, deadline).await?
        };
        let chain = if self.policy == PoolPolicy::Single {
            let id = self.next_call.fetch_add(1, Ordering::Relaxed).max(1);
            self.running.store(id, Ordering::Release);
            call.chain.with(id)
        } else {
            call.chain.clone()
        };
        Ok(Place { pool: self, chain, _permit: permit })
    }

    async fn wait(&self, now: Instant, deadline: Instant) -> Result<SemaphorePermit<'_>, CallError> {
        if let Ok(permit) = self.outside.try_acquire() {
            return Ok(permit);
        }
        let _waiting = Waiting::begin(&self.waiting, self.queued_calls_max)?;
        match timeout_at(deadline.min(now + self.queue), self.outside.acquire()).await {
            Ok(Ok(permit)) => Ok(permit),
            _ if Instant::now() >= deadline => Err(CallError::Deadline),
            _ => Err(CallError::Overloaded("no instance became free in time")),
        }
    }

    /// Adds an instance that waits for a call; with policy `fresh` there are none.
    pub(crate) fn add(&self, mut instance: Box<Instance>, now: Instant) {
        if self.policy == PoolPolicy::Fresh {
            return;
        }
        instance.idle_since = now;
        self.idle().push_back(instance);
        // One at a time, so that no call pays for a burst that has passed.
        drop(self.take_stale(self.idle_max, now));
    }

    pub(crate) fn idle_count(&self) -> usize {
        self.idle().len()
    }

    /// Drops what has been idle for longer than `idle` at `now`, but for the few that are always kept.
    pub(crate) fn trim(&self, idle: Duration, now: Instant) {
        while let Some(instance) = self.take_stale(idle, now) {
            drop(instance);
        }
    }

    fn take_stale(&self, idle: Duration, now: Instant) -> Option<Box<Instance>> {
        let mut instances = self.idle();
        let stale = |instance: &Instance| now.saturating_duration_since(instance.idle_since) > idle;
        if instances.len() > self.idle_instances_min
            && instances.front().is_some_and(|instance| stale(instance))
        {
            return instances.pop_front();
        }
        None
    }

    fn idle(&self) -> MutexGuard<'_, VecDeque<Box<Instance>>> {
        // Nothing that can panic happens under this lock.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place<'_> {
    /// The call's chain, with the call itself if others must know it.
    pub(crate) fn chain(&self) -> Chain {
        self.chain.clone()
    }

    /// An instance that waits for a call, if there is one.
    pub(crate) fn take_idle(&self) -> Option<Box<Instance>> {
        self.pool.idle().pop_back()
    }

    /// Takes back an instance after a regular return.
    pub(crate) fn give_back(&self, instance: Box<Instance>, now: Instant) {
        self.pool.add(instance, now);
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if self.pool.policy == PoolPolicy::Single {
            self.pool.running.store(0, Ordering::Release);
        }
    }
}

/// Counts a waiting call, also if it gives up.
struct Waiting<'p>(&'p AtomicU32);

impl<'p> Waiting<'p> {
    fn begin(count: &'p AtomicU32, max: u32) -> Result<Self, CallError> {
        let waiting = Self(count);
        if count.fetch_add(1, Ordering::Relaxed) >= max {
            return Err(CallError::Overloaded("too many calls wait for an instance"));
        }
        Ok(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Ids are compared with ids from other servers, so each process counts from a place of its own.
fn first_call_id() -> u64 {
    let mut bytes = [0; 8];
    match getrandom::fill(&mut bytes) {
        Ok(()) => u64::from_le_bytes(bytes) >> 1,
        Err(_) => u64::from(std::process::id()) << 32,
    }
}
