//! Plugins with many calls in flight in one instance.
//!
//! Each instance has a task of its own (`driver.rs`) that runs all of its calls; callers send them there and wait for
//! the answers. [`Crowd`] picks the instance.

mod data;
mod driver;
mod imports;
mod load;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::{Instant, timeout_at};

use crate::context::Shared;
use crate::error::CallError;
use crate::host::CallScope;
use crate::job::Job;
use crate::recording::ToValue;
use crate::types::Failure;
use driver::{Member, Reply, Request};

pub(crate) use driver::Maker;
pub(crate) use load::load;

/// What the guest answered.
pub(crate) enum Done {
    Answer(Result<Vec<u8>, Failure>),
    Event(Result<(), Failure>),
}

impl Done {
    /// As recordings have it.
    fn written(&self) -> Result<Value, CallError> {
        match self {
            Done::Answer(answer) => answer.as_ref().map(ToValue::to_value).map_err(Clone::clone),
            Done::Event(outcome) => outcome.as_ref().map(ToValue::to_value).map_err(Clone::clone),
        }
        .map_err(CallError::Failure)
    }
}

/// The instances of one plugin.
pub(crate) struct Crowd {
    maker: Arc<Maker>,
    members: Mutex<Vec<Member>>,
    /// One for each call that may be in flight.
    places: Semaphore,
    is_closed: AtomicBool,
}

impl Crowd {
    /// The first instance is there already.
    fn new(maker: Arc<Maker>, first: Member) -> Self {
        let limits = &maker.shared.limits;
        let places = limits.instances_max.max(1) as usize * limits.calls_per_instance_max as usize;
        let places = Semaphore::new(places.min(Semaphore::MAX_PERMITS));
        Self { maker, members: Mutex::new(vec![first]), places, is_closed: AtomicBool::new(false) }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.maker.shared
    }

    /// Runs a call and waits for it. If the returned future is dropped, the guest may go on with the call, in an
    /// instance that gets no further ones.
    pub(crate) async fn run(&self, scope: CallScope, mut job: Job, now: Instant) -> Result<Done, CallError> {
        let _place = self.place(&scope, now).await?;
        loop {
            if self.is_closed.load(Ordering::Relaxed) {
                return Err(CallError::Replaced { begun: false });
            }
            match self.ask(&self.pick(), scope.clone(), job).await {
                Reply::Ended(outcome) => return outcome,
                Reply::NotBegun(again) => job = again,
            }
        }
    }

    /// Has an instance run a call, which is taken down if somebody records.
    async fn ask(&self, member: &Member, mut scope: CallScope, job: Job) -> Reply {
        let taping = self.shared().taping(member.number, &scope.route, || job.clone());
        scope.set_tape(taping.as_ref().map(|taping| taping.tape().clone()));
        let (sender, answer) = oneshot::channel();
        let reply = match member.send(Request { scope, job: Box::new(job), reply: sender }) {
            Ok(()) => match answer.await {
                Ok(reply) => reply,
                Err(_gone) => Reply::Ended(Err(member.end().await)),
            },
            Err(request) => Reply::NotBegun(*request.job),
        };
        if let Some(taping) = taping {
            match &reply {
                Reply::NotBegun(_) => taping.tape().discard(),
                Reply::Ended(Err(error)) => taping.tape().end(Err(error)),
                Reply::Ended(Ok(done)) => match done.written() {
                    Ok(value) => taping.tape().end(Ok(value)),
                    Err(failure) => taping.tape().end(Err(&failure)),
                },
            }
        }
        reply
    }

    /// Refuses new calls.
    pub(crate) fn close(&self) {
        self.is_closed.store(true, Ordering::Relaxed);
        self.places.close();
        self.members().clear();
    }

    pub(crate) fn idle_count(&self) -> usize {
        self.members().iter().filter(|member| member.in_flight() == 0).count()
    }

    /// A right to be in flight. Calls nested in calls never wait: what they would wait for may be waiting for them.
    async fn place(
        &self,
        scope: &CallScope,
        now: Instant,
    ) -> Result<tokio::sync::SemaphorePermit<'_>, CallError> {
        if let Ok(place) = self.places.try_acquire() {
            return Ok(place);
        }
        if scope.depth > 0 {
            return Err(CallError::Overloaded("no instance has room for a nested call"));
        }
        let until = scope.deadline.min(now + Duration::from_millis(self.shared().limits.queue_ms_max));
        match timeout_at(until, self.places.acquire()).await {
            Ok(Ok(place)) => Ok(place),
            Ok(Err(_closed)) => Err(CallError::Replaced { begun: false }),
            Err(_late) => Err(CallError::Overloaded("no instance had room in time")),
        }
    }

    /// The instance with the fewest calls, or a new one if all are full.
    fn pick(&self) -> Member {
        let limits = &self.shared().limits;
        let mut members = self.members();
        members.retain(Member::is_open);
        let has_room = |member: &&Member| member.in_flight() < limits.calls_per_instance_max;
        if let Some(member) = members.iter().filter(has_room).min_by_key(|member| member.in_flight()).cloned()
        {
            return member;
        }
        let member = self.maker.clone().spawn();
        members.push(member.clone());
        member
    }

    fn members(&self) -> MutexGuard<'_, Vec<Member>> {
        // Nothing that can panic happens under this lock.
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
