//! The end of something whose time is over, for everybody who still uses it.

use std::task::{Context, Poll, Waker};

use crate::sync::{Mutex, lock};

/// Tells everybody who watches it that the time is over, once and for good.
#[derive(Debug, Default)]
pub struct Cutoff(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    is_over: bool,
    /// Of those who watch.
    wakers: Vec<Option<Waker>>,
    /// Places in `wakers` that nobody has.
    free: Vec<usize>,
}

/// One who watches a [`Cutoff`]. Costs nothing until it is polled first.
#[derive(Debug)]
pub struct Watch<'c> {
    of: &'c Cutoff,
    place: Option<usize>,
}

impl Cutoff {
    /// Begins to watch.
    pub fn watch(&self) -> Watch<'_> {
        Watch { of: self, place: None }
    }

    /// The time is over: wakes everybody who watches.
    pub fn cut(&self) {
        let wakers = {
            let mut state = lock(&self.0);
            state.is_over = true;
            std::mem::take(&mut state.wakers)
        };
        wakers.into_iter().flatten().for_each(Waker::wake);
    }
}

impl Watch<'_> {
    /// Ready when the time is over; else the task is woken when it is.
    pub fn poll_over(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let mut state = lock(&self.of.0);
        if state.is_over {
            self.place = None;
            return Poll::Ready(());
        }
        let place = match self.place {
            Some(place) => place,
            None => state.free.pop().unwrap_or(state.wakers.len()),
        };
        self.place = Some(place);
        if place == state.wakers.len() {
            state.wakers.push(None);
        }
        if let Some(waker) = state.wakers.get_mut(place) {
            match waker {
                Some(waker) => waker.clone_from(context.waker()),
                None => *waker = Some(context.waker().clone()),
            }
        }
        Poll::Pending
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        let Some(place) = self.place else { return };
        let mut state = lock(&self.of.0);
        // After the cut nobody has a place.
        let waker = state.wakers.get_mut(place).map(Option::take);
        if waker.is_some() {
            state.free.push(place);
        }
        drop(state);
        drop(waker);
    }
}
