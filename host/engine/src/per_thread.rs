//! Values that each thread has a place of its own for, so that threads which count do not wait for each other.
//!
//! A counter that two processors increase in turn costs each of them the time to fetch its cache line from the
//! other, several times what the increment costs: with a dozen of such counters on the way of a request, more than
//! the request itself.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// More threads than this share places.
const PLACES_MAX: usize = 16;

/// Two cache lines, since processors fetch them in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Apart<T>(T);

/// One `T` for each thread, or for a few of them; any thread may look at all of them.
#[derive(Debug)]
pub struct PerThread<T>(Box<[Apart<T>]>);

impl<T: Default> Default for PerThread<T> {
    fn default() -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let places = threads.next_power_of_two().min(PLACES_MAX);
        Self((0..places).map(|_| Apart::default()).collect())
    }
}

impl<T> PerThread<T> {
    /// The calling thread's own.
    #[expect(clippy::indexing_slicing, reason = "taken modulo the length, which is a power of two")]
    pub fn own(&self) -> &T {
        &self.0[this_thread() & (self.0.len() - 1)].0
    }

    /// All of them, the calling thread's own first.
    pub(crate) fn own_first(&self) -> impl Iterator<Item = &T> {
        let own = this_thread() & (self.0.len() - 1);
        self.iter().skip(own).chain(self.iter().take(own))
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|place| &place.0)
    }
}

impl PerThread<AtomicU64> {
    /// Adds one to a counter; answers what the calling thread's own place had counted before.
    pub fn increment(&self) -> u64 {
        self.own().fetch_add(1, Ordering::Relaxed)
    }

    /// What all threads have counted.
    pub fn sum(&self) -> u64 {
        self.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }
}

/// The number of the calling thread, counted from 0 in the order in which threads first asked.
fn this_thread() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static NUMBER: usize = NEXT.fetch_add(1, Ordering::Relaxed);
    }
    NUMBER.with(|number| *number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_many_threads_count_adds_up() {
        let count = PerThread::<AtomicU64>::default();
        std::thread::scope(|scope| {
            for _ in 0..2 * PLACES_MAX {
                scope.spawn(|| {
                    for _ in 0..1_000 {
                        count.increment();
                    }
                });
            }
        });
        assert_eq!(count.sum(), 2_000 * PLACES_MAX as u64);
    }

    #[test]
    fn own_first_meets_all_and_the_own_first() {
        let places = PerThread::<AtomicU64>::default();
        let met: Vec<*const AtomicU64> = places.own_first().map(std::ptr::from_ref).collect();
        let mut all: Vec<*const AtomicU64> = places.iter().map(std::ptr::from_ref).collect();
        assert_eq!(met.first(), Some(&std::ptr::from_ref(places.own())));
        let mut met = met;
        met.sort();
        all.sort();
        assert_eq!(met, all);
    }
}
