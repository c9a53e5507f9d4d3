//! One multiplexed link: calls go into a queue that many may fill, one task owns the socket.
//!
//! A link is made when the first call needs it and collects calls until its socket is there; it carries
//! one socket, and when that breaks the link is over and its calls fail. A new one is made then, so an
//! answer never strays onto another connection.

mod deadlines;
mod driver;
mod holding;
mod local;
mod pending;

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    task::Waker,
    time::Duration,
};

use bytes::{Bytes, BytesMut};
pub(crate) use deadlines::DeadlineTimer;
pub(crate) use driver::{LinkEnd, drive, while_connecting};
use holding::HELD_BYTES_MAX;
pub(crate) use local::LocalLink;
use pending::Pending;
use tokio::time::Instant;

use crate::{
    Completion, RpcError, Settings,
    frame::{self, HEADER_LEN_MAX},
};

/// The shared end of a link: what callers and repliers see. [`drive`] moves its bytes.
pub(crate) struct Link {
    limits: Limits,
    /// How long frames wait for more.
    buffer: Duration,
    state: Mutex<State>,
}

struct Limits {
    message_bytes: usize,
    outbound_bytes: usize,
    pending_calls: usize,
    connecting_calls: usize,
    connecting_bytes: usize,
}

struct State {
    phase: Phase,
    /// Encoded frames, ready to be written.
    out: BytesMut,
    /// Since when the first request in `out` waits.
    out_since: Option<Instant>,
    /// Bytes that the driver took off `out` to write, until it has written them all.
    taken: usize,
    /// The driver lets what is in `out` wait for more; it wakes by itself.
    is_held: bool,
    /// Calls from before the socket was there; encoded then, with what is left of their time.
    waiting: VecDeque<Waiting>,
    waiting_bytes: usize,
    pending: Pending,
    /// Wakes the driver if it sleeps. Taken by whoever gives it something to do, so that a busy driver
    /// costs callers nothing.
    waker: Option<Waker>,
}

enum Waiting {
    Request { call: u64, deadline: Instant, body: Bytes },
    Notify { body: Bytes },
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Phase {
    /// There is no socket yet.
    Connecting,
    /// Frames flow.
    Open,
    /// What is queued is still written, nothing more is taken.
    Closing,
    /// Over.
    Closed,
}

impl Link {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self {
            limits: Limits {
                message_bytes: settings.message_bytes_max,
                outbound_bytes: settings.outbound_bytes_max,
                pending_calls: settings.pending_calls_max,
                connecting_calls: settings.connecting_calls_max,
                connecting_bytes: settings.connecting_bytes_max,
            },
            buffer: settings.buffer,
            state: Mutex::new(State {
                phase: Phase::Connecting,
                out: BytesMut::new(),
                out_since: None,
                taken: 0,
                is_held: false,
                waiting: VecDeque::new(),
                waiting_bytes: 0,
                pending: Pending::default(),
                waker: None,
            }),
        }
    }

    pub(crate) fn phase(&self) -> Phase {
        self.lock().phase
    }

    /// Whether frames flow.
    pub(crate) fn is_open(&self) -> bool {
        self.phase() == Phase::Open
    }

    /// Sends a request, or queues it until the socket is there. `done` runs exactly once.
    pub(crate) fn request(&self, body: Bytes, deadline: Instant, done: Completion) {
        let now = Instant::now();
        if deadline <= now {
            return done(Err(RpcError::TimedOut));
        }
        let mut state = self.lock();
        if let Err(error) = self.admit(&state, body.len(), true) {
            drop(state);
            return done(Err(error));
        }
        let call = state.pending.insert(deadline, done);
        // the driver's timer is set for a later one
        state.is_held &= state.pending.check_at() != Some(deadline);
        if state.phase == Phase::Open {
            frame::put_request(&mut state.out, call, left_us(deadline, now), &body);
            state.out_since.get_or_insert(now);
        } else {
            state.waiting_bytes += body.len();
            state.waiting.push_back(Waiting::Request { call, deadline, body });
        }
        wake(state);
    }

    /// Sends a notify, or queues it until the socket is there.
    pub(crate) fn notify(&self, body: Bytes) -> Result<(), RpcError> {
        let mut state = self.lock();
        self.admit(&state, body.len(), false)?;
        if state.phase == Phase::Open {
            frame::put_notify(&mut state.out, &body);
        } else {
            state.waiting_bytes += body.len();
            state.waiting.push_back(Waiting::Notify { body });
        }
        wake(state);
        Ok(())
    }

    /// Sends an answer. One that does not fit becomes an error, which always fits: it is small, and a
    /// caller has at most `pending_calls_max` of them coming.
    pub(crate) fn answer(&self, call: u64, result: Result<Bytes, RpcError>) {
        let mut state = self.lock();
        if state.phase != Phase::Open {
            return;
        }
        let result = result.and_then(|body| {
            let fits = self.admit(&state, body.len(), false);
            fits.map(|()| body)
        });
        match result {
            Ok(body) => frame::put_response(&mut state.out, call, &body),
            Err(error) => frame::put_failure(&mut state.out, call, &error),
        }
        wake(state);
    }

    fn admit(&self, state: &State, body_len: usize, is_call: bool) -> Result<(), RpcError> {
        let len = body_len.saturating_add(HEADER_LEN_MAX);
        if len > self.limits.message_bytes {
            return Err(RpcError::TooLarge);
        }
        let (bytes, calls, bytes_max, calls_max) = match state.phase {
            Phase::Closing | Phase::Closed => return Err(RpcError::LinkLost),
            Phase::Open => (
                state.out.len() + state.taken,
                if is_call { state.pending.len() } else { 0 },
                self.limits.outbound_bytes,
                self.limits.pending_calls,
            ),
            Phase::Connecting => (
                state.waiting_bytes,
                state.waiting.len(),
                self.limits.connecting_bytes,
                self.limits.connecting_calls,
            ),
        };
        if bytes.saturating_add(len) > bytes_max || calls >= calls_max {
            return Err(RpcError::Overloaded);
        }
        Ok(())
    }

    /// The socket is there: encodes what waited. False if the link has a socket already or is over.
    pub(crate) fn open(&self) -> bool {
        let mut state = self.lock();
        if state.phase != Phase::Connecting {
            return false;
        }
        state.phase = Phase::Open;
        state.waiting_bytes = 0;
        let now = Instant::now();
        let State { waiting, out, .. } = &mut *state;
        for item in waiting.drain(..) {
            match item {
                Waiting::Request { call, deadline, body } if deadline > now => {
                    frame::put_request(out, call, left_us(deadline, now), &body);
                }
                // Late work is not started; the driver expires the call.
                Waiting::Request { .. } => {}
                Waiting::Notify { body } => frame::put_notify(out, &body),
            }
        }
        state.waiting.shrink_to_fit();
        state.out_since = Some(now);
        wake(state);
        true
    }

    /// Ends the link at once; calls in flight fail with `error`. What is queued is not written.
    pub(crate) fn close(&self, error: &RpcError) {
        self.end(Phase::Closed, error);
    }

    /// Ends the link when what is queued is written; calls in flight fail now.
    pub(crate) fn finish(&self, error: &RpcError) {
        self.end(Phase::Closing, error);
    }

    fn end(&self, phase: Phase, error: &RpcError) {
        let mut state = self.lock();
        match state.phase {
            Phase::Closed => return,
            Phase::Connecting => state.phase = Phase::Closed,
            Phase::Open | Phase::Closing => state.phase = phase,
        }
        state.waiting = VecDeque::new();
        if state.phase == Phase::Closed {
            state.out = BytesMut::new();
        }
        let calls = state.pending.drain();
        wake(state);
        fail(calls, error);
    }

    /// Fails the calls in flight; the link stays.
    pub(crate) fn fail_pending(&self, error: &RpcError) {
        let calls = self.lock().pending.drain();
        fail(calls, error);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere leaves no half-made state here worth more than going on.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn fail(calls: Vec<Completion>, error: &RpcError) {
    for done in calls {
        done(Err(error.clone()));
    }
}

/// Wakes the driver after the lock is released, unless it waits for more to be queued.
fn wake(mut state: MutexGuard<'_, State>) {
    if state.is_held && state.phase == Phase::Open && state.out.len() < HELD_BYTES_MAX {
        return;
    }
    let waker = state.waker.take();
    drop(state);
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// What is left until the deadline, for the wire; at least 1, at most an hour and eleven minutes.
fn left_us(deadline: Instant, now: Instant) -> u32 {
    let left = deadline.saturating_duration_since(now).as_micros();
    u32::try_from(left).unwrap_or(u32::MAX).max(1)
}
