//! Callers who take turns with one thing, and what becomes of them when another thing takes its place.

use std::collections::VecDeque;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use crate::sync::{Arc, Mutex, lock};

/// A line of callers in front of one thing of type `T`, which one of them has at a time, in the order in which they
/// came.
///
/// A line can be succeeded by another one ([`Turn::hand_over`]): those who wait are put before those who wait there,
/// and those who come later are told the successor, of type `S`, in front of which they find it. So every caller gets
/// exactly one turn, with the first thing or with the second one, and nobody gets a turn with the first one after that.
pub struct Line<T: Default, S>(Arc<Core<T, S>>);

struct Core<T: Default, S>(Mutex<State<T, S>>);

struct State<T: Default, S> {
    turn: Holder<T>,
    /// Empty if the turn is free, or if there is a successor.
    waiting: VecDeque<Arc<Waiter<T, S>>>,
    successor: Option<S>,
    is_closed: bool,
    last_turn: u64,
}

enum Holder<T> {
    Nobody(T),
    Turn(u64),
}

/// Locked after the line that it is in, if both are.
struct Waiter<T: Default, S>(Mutex<Place<T, S>>);

enum Place<T: Default, S> {
    /// In this line.
    In(Arc<Core<T, S>>, Option<Waker>),
    Granted(Turn<T, S>),
    /// The line has been closed.
    Closed,
    /// It has had its turn, or does not want it any more.
    Left,
}

/// What somebody who comes gets.
pub enum Entry<T: Default, S> {
    /// It is free.
    Turn(Turn<T, S>),
    /// Others are before him.
    Wait(Waiting<T, S>),
    /// Somewhere else: to be tried there.
    Successor(S),
}

/// Why somebody does not even wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The thing is gone, without a successor.
    Closed,
    /// Too many wait.
    Full,
    /// The caller is called by the one whose turn it is, and so would wait for himself.
    Reentered,
}

/// The line was closed before its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IsClosed;

/// The right to use the thing, alone. The next one's turn begins when it is dropped.
pub struct Turn<T: Default, S> {
    line: Arc<Core<T, S>>,
    id: u64,
    thing: T,
}

/// Somebody who waits. If this is dropped, he has left the line.
pub struct Waiting<T: Default, S>(Arc<Waiter<T, S>>);

impl<T: Default, S: Clone> Line<T, S> {
    /// A line without anybody. Turns are counted from `first_turn`: by their numbers a caller knows turns that he is
    /// called from, so lines that can meet in one call should count from different numbers.
    pub fn new(thing: T, first_turn: u64) -> Self {
        Self(Arc::new(Core(Mutex::new(State {
            turn: Holder::Nobody(thing),
            waiting: VecDeque::new(),
            successor: None,
            is_closed: false,
            last_turn: first_turn,
        }))))
    }

    /// Comes for a turn. `called_by` are the numbers of the turns that this call is made from; `waiting_max`: how many
    /// may wait before him.
    ///
    /// # Errors
    /// If he need not wait, for he would get none.
    pub fn enter(&self, called_by: &[u64], waiting_max: usize) -> Result<Entry<T, S>, Refused> {
        let mut state = lock(&self.0.0);
        match &state.successor {
            Some(successor) => Ok(Entry::Successor(successor.clone())),
            None => self.join(&mut state, called_by, waiting_max),
        }
    }

    /// Comes for a turn in this very line, even if it has a successor: to have it succeed that one again.
    ///
    /// # Errors
    /// If it is closed.
    pub fn enter_here(&self) -> Result<Entry<T, S>, Refused> {
        self.join(&mut lock(&self.0.0), &[], usize::MAX)
    }

    fn join(
        &self,
        state: &mut State<T, S>,
        called_by: &[u64],
        waiting_max: usize,
    ) -> Result<Entry<T, S>, Refused> {
        if state.is_closed {
            return Err(Refused::Closed);
        }
        match state.turn {
            Holder::Nobody(_) => Ok(Entry::Turn(state.begin(&self.0))),
            Holder::Turn(id) if called_by.contains(&id) => Err(Refused::Reentered),
            Holder::Turn(_) if state.waiting.len() >= waiting_max => Err(Refused::Full),
            Holder::Turn(_) => {
                let waiter = Arc::new(Waiter(Mutex::new(Place::In(self.0.clone(), None))));
                state.waiting.push_back(waiter.clone());
                Ok(Entry::Wait(Waiting(waiter)))
            }
        }
    }

    /// The line that has taken the place of this one. Whoever has a turn that he waited for here finds the line that
    /// gave it by following these, and nothing changes on that way until his turn is over.
    pub fn successor(&self) -> Option<S> {
        lock(&self.0.0).successor.clone()
    }

    /// Nobody gets a turn any more: those who wait are told so, and a thing that nobody has is dropped. A turn that has
    /// begun goes on. Whoever comes to a line with a successor is still told that one.
    pub fn close(&self) {
        let mut state = lock(&self.0.0);
        state.is_closed = true;
        let thing = match &mut state.turn {
            Holder::Nobody(thing) => Some(mem::take(thing)),
            Holder::Turn(_) => None,
        };
        let waiting = mem::take(&mut state.waiting);
        drop(state);
        drop(thing);
        for waiter in waiting {
            let before = mem::replace(&mut *lock(&waiter.0), Place::Closed);
            before.wake();
        }
    }

    /// Looks at the thing, if nobody has it.
    pub fn look<R>(&self, look: impl FnOnce(&T) -> R) -> Option<R> {
        match &lock(&self.0.0).turn {
            Holder::Nobody(thing) => Some(look(thing)),
            Holder::Turn(_) => None,
        }
    }
}

impl<T: Default, S> State<T, S> {
    /// Begins a turn, which nobody has.
    fn begin(&mut self, line: &Arc<Core<T, S>>) -> Turn<T, S> {
        self.last_turn = self.last_turn.wrapping_add(1);
        let before = mem::replace(&mut self.turn, Holder::Turn(self.last_turn));
        let thing = match before {
            Holder::Nobody(thing) => thing,
            Holder::Turn(_) => T::default(),
        };
        Turn { line: line.clone(), id: self.last_turn, thing }
    }
}

impl<T: Default, S> Place<T, S> {
    fn wake(self) {
        if let Self::In(_, Some(waker)) = self {
            waker.wake();
        }
    }
}

impl<T: Default, S> Turn<T, S> {
    /// The thing.
    pub fn thing(&mut self) -> &mut T {
        &mut self.thing
    }

    /// The number of this turn, to be told those who are called from it.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Whether it is a turn of this line, and not of one that has succeeded it.
    pub fn is_of(&self, line: &Line<T, S>) -> bool {
        Arc::ptr_eq(&self.line, &line.0)
    }

    /// Makes the line of `to` the successor of this one, in front of `successor`, and drops this one's thing.
    ///
    /// # Errors
    /// If the line of `to` has been closed: then both turns are just over.
    pub fn hand_over(mut self, to: Self, successor: S) -> Result<(), IsClosed> {
        let before = {
            // In this order; nobody locks two lines the other way round, since that takes both turns.
            let mut from = lock(&self.line.0);
            let mut new = lock(&to.line.0);
            if new.is_closed || Arc::ptr_eq(&self.line, &to.line) {
                return Err(IsClosed);
            }
            let mut waiting = mem::take(&mut from.waiting);
            for waiter in &waiting {
                if let Place::In(line, _) = &mut *lock(&waiter.0) {
                    *line = to.line.clone();
                }
            }
            waiting.append(&mut new.waiting);
            new.waiting = waiting;
            (from.successor.replace(successor), new.successor.take())
        };
        drop(before);
        let thing = mem::take(&mut self.thing);
        drop(self);
        drop(to);
        drop(thing);
        Ok(())
    }

    /// The next one's turn. What is to be dropped is dropped without a lock.
    fn end(line: &Arc<Core<T, S>>, thing: T) {
        let mut state = lock(&line.0);
        let (thing, dropped) = if state.is_closed { (T::default(), Some(thing)) } else { (thing, None) };
        state.turn = Holder::Nobody(thing);
        let next = state.waiting.pop_front().map(|next| (state.begin(line), next));
        drop(state);
        drop(dropped);
        if let Some((turn, waiter)) = next {
            let mut place = lock(&waiter.0);
            // If it is leaving just now, the turn is dropped with it, and so is the next one's.
            let before = mem::replace(&mut *place, Place::Granted(turn));
            drop(place);
            before.wake();
        }
    }
}

impl<T: Default, S> Drop for Turn<T, S> {
    fn drop(&mut self) {
        Self::end(&self.line, mem::take(&mut self.thing));
    }
}

impl<T: Default, S> Future for Waiting<T, S> {
    type Output = Result<Turn<T, S>, IsClosed>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut place = lock(&self.0.0);
        match &mut *place {
            Place::In(_, Some(waker)) => waker.clone_from(context.waker()),
            Place::In(_, waker) => *waker = Some(context.waker().clone()),
            Place::Closed => return Poll::Ready(Err(IsClosed)),
            Place::Granted(_) | Place::Left => {
                if let Place::Granted(turn) = mem::replace(&mut *place, Place::Left) {
                    return Poll::Ready(Ok(turn));
                }
            }
        }
        Poll::Pending
    }
}

impl<T: Default, S> Waiting<T, S> {
    /// Takes the waiter out of the line that it is in now, unless that has changed since `line` was read.
    fn leave(&self, line: &Arc<Core<T, S>>) -> Option<Place<T, S>> {
        let mut state = lock(&line.0);
        let mut place = lock(&self.0.0);
        match &*place {
            Place::In(now, _) if Arc::ptr_eq(now, line) => {
                state.waiting.retain(|waiter| !Arc::ptr_eq(waiter, &self.0));
                Some(mem::replace(&mut *place, Place::Left))
            }
            _ => None,
        }
    }
}

impl<T: Default, S> Drop for Waiting<T, S> {
    fn drop(&mut self) {
        loop {
            let mut place = lock(&self.0.0);
            let Place::In(line, _) = &*place else {
                // A turn that was granted and never taken is the next one's.
                let before = mem::replace(&mut *place, Place::Left);
                drop(place);
                drop(before);
                return;
            };
            let line = line.clone();
            drop(place);
            if self.leave(&line).is_some() {
                return;
            }
        }
    }
}
