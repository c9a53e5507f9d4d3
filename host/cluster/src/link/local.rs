//! The link of a server to itself: the same order, deadlines and limits, without a socket.

use std::{
    collections::VecDeque,
    future::poll_fn,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Poll, Waker},
};

use bytes::Bytes;
use tokio::time::Instant;

use super::{DeadlineTimer, fail, pending::Pending};
use crate::{Completion, Reply, RpcError, Service, Settings, frame::HEADER_LEN_MAX};

/// Calls of a server to itself. A task of its own hands them to the service, so that a call never runs
/// inside the caller, just as over a socket.
pub(crate) struct LocalLink {
    message_bytes_max: usize,
    outbound_bytes_max: usize,
    pending_calls_max: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Item>,
    queue_bytes: usize,
    pending: Pending,
    waker: Option<Waker>,
    is_closed: bool,
}

enum Item {
    Request { call: u64, deadline: Instant, body: Bytes },
    Notify { body: Bytes },
    Answer { call: u64, result: Result<Bytes, RpcError> },
}

impl Item {
    fn len(&self) -> usize {
        let body = match self {
            Self::Request { body, .. } | Self::Notify { body } | Self::Answer { result: Ok(body), .. } => {
                body.len()
            }
            Self::Answer { .. } => 0,
        };
        body.saturating_add(HEADER_LEN_MAX)
    }
}

impl LocalLink {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self {
            message_bytes_max: settings.message_bytes_max,
            outbound_bytes_max: settings.outbound_bytes_max,
            pending_calls_max: settings.pending_calls_max,
            state: Mutex::default(),
        }
    }

    pub(crate) fn request(&self, body: Bytes, deadline: Instant, done: Completion) {
        if deadline <= Instant::now() {
            return done(Err(RpcError::TimedOut));
        }
        let mut state = self.lock();
        let admitted = if state.pending.len() >= self.pending_calls_max {
            Err(RpcError::Overloaded)
        } else {
            self.admit(&state, body.len())
        };
        if let Err(error) = admitted {
            drop(state);
            return done(Err(error));
        }
        let call = state.pending.insert(deadline, done);
        push(state, Item::Request { call, deadline, body });
    }

    pub(crate) fn notify(&self, body: Bytes) -> Result<(), RpcError> {
        let state = self.lock();
        self.admit(&state, body.len())?;
        push(state, Item::Notify { body });
        Ok(())
    }

    fn answer(&self, call: u64, result: Result<Bytes, RpcError>) {
        let state = self.lock();
        if state.is_closed {
            return;
        }
        let result = result.and_then(|body| self.admit(&state, body.len()).map(|()| body));
        push(state, Item::Answer { call, result });
    }

    fn admit(&self, state: &State, body_len: usize) -> Result<(), RpcError> {
        let len = body_len.saturating_add(HEADER_LEN_MAX);
        if state.is_closed {
            Err(RpcError::LinkLost)
        } else if len > self.message_bytes_max {
            Err(RpcError::TooLarge)
        } else if state.queue_bytes.saturating_add(len) > self.outbound_bytes_max {
            Err(RpcError::Overloaded)
        } else {
            Ok(())
        }
    }

    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.is_closed = true;
        state.queue = VecDeque::new();
        let calls = state.pending.drain();
        wake(state);
        fail(calls, &RpcError::LinkLost);
    }

    /// Delivers until the link is closed.
    pub(crate) async fn run(self: Arc<Self>, own: Arc<str>, service: Arc<dyn Service>) {
        let _guard = CloseOnDrop(&self);
        let mut timer = DeadlineTimer::default();
        poll_fn(|cx| {
            // Yields after a bounded number of items, as a socket would.
            for _ in 0..128 {
                let (item, check_at) = {
                    let mut state = self.lock();
                    if state.is_closed {
                        return Poll::Ready(());
                    }
                    let item = state.queue.pop_front();
                    if let Some(item) = &item {
                        state.queue_bytes -= item.len();
                    } else {
                        state.waker = Some(cx.waker().clone());
                    }
                    (item, state.pending.check_at())
                };
                if timer.poll(cx, check_at) {
                    let expired = self.lock().pending.expire(Instant::now());
                    fail(expired, &RpcError::TimedOut);
                    cx.waker().wake_by_ref();
                }
                match item {
                    Some(item) => self.deliver(item, &own, &*service),
                    None => return Poll::Pending,
                }
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }

    fn deliver(self: &Arc<Self>, item: Item, own: &Arc<str>, service: &dyn Service) {
        match item {
            Item::Request { call, deadline, body } => {
                if deadline <= Instant::now() {
                    return self.answer(call, Err(RpcError::TimedOut));
                }
                let link = Arc::clone(self);
                let reply = Reply::new(Box::new(move |result| link.answer(call, result)));
                service.request(own, body, deadline, reply);
            }
            Item::Notify { body } => service.notify(own, body),
            Item::Answer { call, result } => {
                let done = self.lock().pending.take(call);
                if let Some(done) = done {
                    done(result);
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Also when the service panics: no call waits for a link that is gone.
struct CloseOnDrop<'a>(&'a LocalLink);

impl Drop for CloseOnDrop<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}

fn push(mut state: MutexGuard<'_, State>, item: Item) {
    state.queue_bytes += item.len();
    state.queue.push_back(item);
    wake(state);
}

fn wake(mut state: MutexGuard<'_, State>) {
    let waker = state.waker.take();
    drop(state);
    if let Some(waker) = waker {
        waker.wake();
    }
}
