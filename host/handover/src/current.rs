//! The pointer to what is current, which a switch changes.

#[cfg(not(loom))]
use std::sync::atomic::{AtomicU64, Ordering};

#[cfg(loom)]
use loom::sync::atomic::{AtomicU64, Ordering};

use crate::sync::Arc;

/// What is current; nothing at first. Whoever holds the value of before keeps it, and the last one drops it.
pub struct Current<T> {
    slot: Slot<T>,
    serial: AtomicU64,
}

#[cfg(not(loom))]
type Slot<T> = arc_swap::ArcSwapOption<T>;

/// The library is not made for loom; a lock that is held for each access means the same.
#[cfg(loom)]
type Slot<T> = loom::sync::Mutex<Option<Arc<T>>>;

impl<T> Default for Current<T> {
    fn default() -> Self {
        #[cfg(not(loom))]
        let slot = Slot::empty();
        #[cfg(loom)]
        let slot = Slot::new(None);
        Self { slot, serial: AtomicU64::new(0) }
    }
}

impl<T> Current<T> {
    /// Takes a short look; nothing is counted for it.
    pub fn look<R>(&self, look: impl FnOnce(Option<&Arc<T>>) -> R) -> R {
        #[cfg(not(loom))]
        let slot = self.slot.load();
        #[cfg(loom)]
        let slot = crate::sync::lock(&self.slot);
        look(slot.as_ref())
    }

    /// To be kept.
    pub fn get(&self) -> Option<Arc<T>> {
        self.look(|current| current.map(Arc::clone))
    }

    /// How often it was changed. Who reads this first and takes a look afterwards sees what came with that change, or
    /// with a later one; as long as the number stays the same, what was found is current.
    pub fn serial(&self) -> u64 {
        self.serial.load(Ordering::Acquire)
    }

    /// Changes it; not to be called by two threads at once.
    pub fn set(&self, value: T) {
        let value = Some(Arc::new(value));
        #[cfg(not(loom))]
        self.slot.store(value);
        #[cfg(loom)]
        let _before = std::mem::replace(&mut *crate::sync::lock(&self.slot), value);
        self.serial.fetch_add(1, Ordering::Release);
    }
}

impl<T> std::fmt::Debug for Current<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Current").field("serial", &self.serial()).finish_non_exhaustive()
    }
}
