//! The calls in flight on a link.

use tokio::time::Instant;

use crate::Completion;

/// Calls by id, with their deadlines.
///
/// An id is a slot's index and how often the slot was used, so a late answer never meets another call.
/// Deadlines are not sorted: [`Pending::expire`] looks at all calls, but runs only when the earliest
/// deadline known may have passed. Under a steady load of calls that are answered that is once per
/// timeout, whatever the rate.
#[derive(Default)]
pub(crate) struct Pending {
    slots: Vec<Slot>,
    free: Vec<u32>,
    count: usize,
    /// No call has an earlier deadline.
    check_at: Option<Instant>,
}

struct Slot {
    uses: u32,
    call: Option<Call>,
}

struct Call {
    deadline: Instant,
    done: Completion,
}

impl Pending {
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// When to run [`Pending::expire`] next, if ever.
    pub(crate) fn check_at(&self) -> Option<Instant> {
        if self.count == 0 { None } else { self.check_at }
    }

    pub(crate) fn insert(&mut self, deadline: Instant, done: Completion) -> u64 {
        if self.count == 0 || self.check_at.is_none_or(|at| deadline < at) {
            self.check_at = Some(deadline);
        }
        self.count += 1;
        let call = Some(Call { deadline, done });
        if let Some(index) = self.free.pop()
            && let Some(slot) = self.slots.get_mut(index as usize)
        {
            slot.call = call;
            return id(index, slot.uses);
        }
        // `pending_calls_max` keeps the length far below what an index can say.
        let index = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
        self.slots.push(Slot { uses: 0, call });
        id(index, 0)
    }

    /// Takes the call with that id; none if it was answered, has expired or never was.
    pub(crate) fn take(&mut self, id: u64) -> Option<Completion> {
        let index = u32::try_from(id >> 32).ok()?;
        let slot = self.slots.get_mut(index as usize)?;
        if u64::from(slot.uses) != id & u64::from(u32::MAX) {
            return None;
        }
        let call = slot.call.take()?;
        slot.uses = slot.uses.wrapping_add(1);
        self.free.push(index);
        self.count -= 1;
        Some(call.done)
    }

    /// The deadline of a call that is in flight.
    pub(crate) fn deadline(&self, id: u64) -> Option<Instant> {
        let slot = self.slots.get(usize::try_from(id >> 32).ok()?)?;
        let is_this = u64::from(slot.uses) == id & u64::from(u32::MAX);
        slot.call.as_ref().filter(|_| is_this).map(|call| call.deadline)
    }

    /// Takes the calls whose deadline has passed.
    pub(crate) fn expire(&mut self, now: Instant) -> Vec<Completion> {
        let mut expired = Vec::new();
        let mut earliest: Option<Instant> = None;
        for (index, slot) in (0_u32..).zip(self.slots.iter_mut()) {
            let Some(call) = &slot.call else { continue };
            if call.deadline <= now {
                expired.extend(slot.call.take().map(|call| call.done));
                slot.uses = slot.uses.wrapping_add(1);
                self.free.push(index);
                self.count -= 1;
            } else if earliest.is_none_or(|at| call.deadline < at) {
                earliest = Some(call.deadline);
            }
        }
        self.check_at = earliest;
        expired
    }

    /// Takes all calls.
    pub(crate) fn drain(&mut self) -> Vec<Completion> {
        let mut calls = Vec::with_capacity(self.count);
        for (index, slot) in (0_u32..).zip(self.slots.iter_mut()) {
            let Some(call) = slot.call.take() else { continue };
            calls.push(call.done);
            slot.uses = slot.uses.wrapping_add(1);
            self.free.push(index);
        }
        self.count = 0;
        self.check_at = None;
        calls
    }
}

fn id(index: u32, uses: u32) -> u64 {
    u64::from(index) << 32 | u64::from(uses)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn nothing() -> Completion {
        Box::new(|_| ())
    }

    fn in_ms(ms: u64) -> Instant {
        static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
        *START.get_or_init(Instant::now) + Duration::from_millis(ms)
    }

    #[test]
    fn a_late_answer_never_meets_another_call() {
        let mut pending = Pending::default();
        let first = pending.insert(in_ms(10), nothing());
        assert!(pending.take(first).is_some());
        let second = pending.insert(in_ms(10), nothing());
        assert_eq!(first >> 32, second >> 32, "the slot is used again");
        assert!(pending.take(first).is_none());
        assert_eq!((pending.deadline(first), pending.deadline(second)), (None, Some(in_ms(10))));
        assert!(pending.take(second).is_some());
        assert!(pending.take(u64::MAX).is_none());
        assert_eq!(pending.len(), 0);
    }

    #[test]
    fn expiry_takes_what_is_due_and_knows_what_comes_next() {
        let mut pending = Pending::default();
        assert_eq!(pending.check_at(), None);
        let late = pending.insert(in_ms(30), nothing());
        let soon = pending.insert(in_ms(10), nothing());
        assert_eq!(pending.check_at(), Some(in_ms(10)));
        assert_eq!(pending.expire(in_ms(9)).len(), 0);
        assert_eq!(pending.expire(in_ms(10)).len(), 1);
        assert!(pending.take(soon).is_none());
        assert_eq!(pending.check_at(), Some(in_ms(30)));
        assert!(pending.take(late).is_some());
        assert_eq!(pending.check_at(), None);
    }

    #[test]
    fn the_first_call_after_a_quiet_time_sets_the_clock_anew() {
        let mut pending = Pending::default();
        let early = pending.insert(in_ms(5), nothing());
        pending.take(early);
        pending.insert(in_ms(50), nothing());
        assert_eq!(pending.check_at(), Some(in_ms(50)));
    }

    #[test]
    fn drain_takes_everything_once_and_its_ids_stay_used() {
        let mut pending = Pending::default();
        let ids: Vec<u64> = (0..3).map(|_| pending.insert(in_ms(10), nothing())).collect();
        assert_eq!((pending.drain().len(), pending.len(), pending.drain().len()), (3, 0, 0));
        for _ in 0..3 {
            assert!(!ids.contains(&pending.insert(in_ms(10), nothing())));
        }
    }
}
