//! The task that owns a link's socket.
//!
//! One task reads and writes: what the frames of one read cause (answers, further calls) leaves in one
//! write right after, without waking another task. While the peer does not take bytes it keeps reading.

use std::{
    fmt,
    future::{Future as _, poll_fn},
    io,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Buf as _, BytesMut};
use tokio::{
    io::{AsyncReadExt as _, AsyncWrite as _},
    net::TcpStream,
    time::Instant,
};

use super::{
    DeadlineTimer, Link, Phase, State, fail,
    holding::{HELD_BYTES_MAX, Holding},
    left_us,
    pending::Pending,
};
use crate::{
    Reply, RpcError, Service,
    frame::{Frame, FrameError, decode, refresh_requests},
};

/// How much is read at once.
const READ_BYTES: usize = 64 * 1024;
/// The read buffer is renewed when less than this is free.
const READ_BYTES_MIN: usize = 4 * 1024;
/// A write buffer that grew beyond this is given back once it is written.
const WRITE_BYTES_KEPT: usize = 256 * 1024;
/// How long a request may wait to be written before its remaining time is computed anew.
const STALE_AFTER: Duration = Duration::from_millis(5);

/// How a link ended.
#[derive(Debug)]
pub(crate) enum LinkEnd {
    /// This side closed it.
    Local,
    /// The peer closed it.
    Peer,
    /// The connection broke.
    Io(io::Error),
    /// The peer sent what is no frame.
    Frame(FrameError),
}

impl fmt::Display for LinkEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local => f.write_str("closed by this side"),
            Self::Peer => f.write_str("closed by the other side"),
            Self::Io(error) => write!(f, "{error}"),
            Self::Frame(error) => write!(f, "the other side sent {error}"),
        }
    }
}

/// Moves the frames of an open link until it ends; then the link is closed, whatever happened.
pub(crate) async fn drive(
    link: Arc<Link>,
    stream: TcpStream,
    from: Arc<str>,
    service: Arc<dyn Service>,
) -> LinkEnd {
    let mut driver = Driver {
        holding: Holding::new(link.buffer),
        link,
        stream,
        from,
        service,
        read: BytesMut::new(),
        write: BytesMut::new(),
        timer: DeadlineTimer::default(),
    };
    poll_fn(|cx| driver.poll(cx)).await
}

/// Waits while a link has no socket, and fails the calls whose deadline passes meanwhile.
pub(crate) async fn while_connecting(link: &Link) {
    let mut timer = DeadlineTimer::default();
    poll_fn(|cx| {
        loop {
            let check_at = {
                let mut state = link.lock();
                if state.phase != Phase::Connecting {
                    return Poll::Ready(());
                }
                state.waker = Some(cx.waker().clone());
                state.pending.check_at()
            };
            if !timer.poll(cx, check_at) {
                return Poll::Pending;
            }
            link.expire();
        }
    })
    .await;
}

struct Driver {
    link: Arc<Link>,
    stream: TcpStream,
    from: Arc<str>,
    service: Arc<dyn Service>,
    read: BytesMut,
    write: BytesMut,
    timer: DeadlineTimer,
    holding: Holding,
}

/// What the driver learns when it fetches bytes to write.
struct Turn {
    phase: Phase,
    check_at: Option<Instant>,
}

impl Driver {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<LinkEnd> {
        self.link.unpark();
        loop {
            let has_read = match self.poll_read(cx) {
                Poll::Ready(Ok(())) => true,
                Poll::Ready(Err(end)) => return Poll::Ready(end),
                Poll::Pending => false,
            };
            let turn = match self.poll_write(cx) {
                Ok(turn) => turn,
                Err(error) => return Poll::Ready(LinkEnd::Io(error)),
            };
            let is_written = self.write.is_empty();
            match turn.phase {
                Phase::Closed => return Poll::Ready(LinkEnd::Local),
                Phase::Closing if is_written => return self.poll_shutdown(cx),
                _ => {}
            }
            if self.timer.poll(cx, turn.check_at) {
                self.link.expire();
                continue;
            }
            if !has_read && self.link.park(cx, is_written) {
                return Poll::Pending;
            }
        }
    }

    /// Reads once and handles all complete frames.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkEnd>> {
        if self.read.capacity() - self.read.len() < READ_BYTES_MIN {
            self.read.reserve(READ_BYTES);
        }
        // Made for one poll: it holds nothing but the borrows.
        let reading = pin!(self.stream.read_buf(&mut self.read));
        match reading.poll(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(0)) => Poll::Ready(Err(LinkEnd::Peer)),
            Poll::Ready(Err(error)) => Poll::Ready(Err(LinkEnd::Io(error))),
            Poll::Ready(Ok(_)) => Poll::Ready(self.handle_frames().map_err(LinkEnd::Frame)),
        }
    }

    fn handle_frames(&mut self) -> Result<(), FrameError> {
        let now = Instant::now();
        while let Some(frame) = decode(&mut self.read, self.link.limits.message_bytes)? {
            match frame {
                Frame::Request { call, left_us: 0, .. } => self.link.answer(call, Err(RpcError::TimedOut)),
                Frame::Request { call, left_us, body } => {
                    let deadline = now + Duration::from_micros(u64::from(left_us));
                    let reply = Reply::over(Arc::clone(&self.link), call);
                    self.service.request(&self.from, body, deadline, reply);
                }
                Frame::Notify { body } => self.service.notify(&self.from, body),
                Frame::Response { call, body } => self.link.complete(call, Ok(body)),
                Frame::Failure { call, error } => self.link.complete(call, Err(error)),
            }
        }
        Ok(())
    }

    /// Writes all that is queued, or until the socket is full.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> io::Result<Turn> {
        loop {
            if self.holding.is_on()
                && self.write.is_empty()
                && let Some(turn) = self.hold(cx)
            {
                return Ok(turn);
            }
            let turn = self.link.fetch(&mut self.write);
            while !self.write.is_empty() {
                match Pin::new(&mut self.stream).poll_write(cx, &self.write) {
                    Poll::Pending => return Ok(turn),
                    Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                    Poll::Ready(Ok(written)) => self.write.advance(written),
                    Poll::Ready(Err(error)) => return Err(error),
                }
            }
            if self.write.capacity() > WRITE_BYTES_KEPT {
                self.write = BytesMut::new();
            }
            if !self.link.has_output() {
                return Ok(turn);
            }
        }
    }

    /// Lets what is queued wait for more; none if it is to be written now. Nothing waits on a link that ends.
    fn hold(&mut self, cx: &mut Context<'_>) -> Option<Turn> {
        let is_little = self.link.has_little_output()?;
        if is_little && self.holding.poll(cx) {
            return self.link.hold();
        }
        self.holding.end();
        None
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<LinkEnd> {
        Pin::new(&mut self.stream).poll_shutdown(cx).map(|_| LinkEnd::Local)
    }
}

impl Drop for Driver {
    /// Also when a service panics or the task is aborted: no call waits for a link that is gone.
    fn drop(&mut self) {
        self.link.close(&RpcError::LinkLost);
    }
}

/// A peer that was slow to take bytes must not get more time for its work by that: requests that have
/// waited go out with what is left for them, those given up meanwhile with nothing.
fn refresh(out: &mut BytesMut, since: Instant, pending: &Pending) {
    let now = Instant::now();
    if now.saturating_duration_since(since) < STALE_AFTER {
        return;
    }
    refresh_requests(out, |call| {
        pending.deadline(call).filter(|deadline| *deadline > now).map_or(0, |deadline| left_us(deadline, now))
    });
}

impl Link {
    /// Gives the driver what is queued, once it has written what it took before.
    fn fetch(&self, write: &mut BytesMut) -> Turn {
        let mut state = self.lock();
        if write.is_empty() {
            let State { out, out_since, pending, .. } = &mut *state;
            if let Some(since) = out_since.take() {
                refresh(out, since, pending);
            }
            std::mem::swap(write, out);
            state.taken = write.len();
            state.is_held = false;
        }
        Turn { phase: state.phase, check_at: state.pending.check_at() }
    }

    /// Whether what is queued is little enough to wait for more; none if nothing is, or the link ends.
    fn has_little_output(&self) -> Option<bool> {
        let state = self.lock();
        let is_open = state.phase == Phase::Open && !state.out.is_empty();
        is_open.then(|| state.out.len() < HELD_BYTES_MAX)
    }

    /// As `fetch`, but leaves the queue alone, unless the link has begun to end.
    fn hold(&self) -> Option<Turn> {
        let mut state = self.lock();
        state.is_held = state.phase == Phase::Open;
        state.is_held.then(|| Turn { phase: state.phase, check_at: state.pending.check_at() })
    }

    fn has_output(&self) -> bool {
        !self.lock().out.is_empty()
    }

    /// While the driver runs nobody needs to wake it, the calls made inside it least of all.
    fn unpark(&self) {
        self.lock().waker = None;
    }

    /// Leaves the waker; false if there is something to do at once.
    fn park(&self, cx: &Context<'_>, is_written: bool) -> bool {
        let mut state = self.lock();
        let waits = state.is_held && state.out.len() < HELD_BYTES_MAX;
        let has_work = is_written && !state.out.is_empty() && !waits;
        let ends = state.phase == Phase::Closed || (state.phase == Phase::Closing && is_written);
        if has_work || ends {
            return false;
        }
        if is_written {
            state.taken = 0;
        }
        state.waker = Some(cx.waker().clone());
        true
    }

    fn complete(&self, call: u64, result: Result<bytes::Bytes, RpcError>) {
        let done = self.lock().pending.take(call);
        // None: it has expired, or was failed when its server left the member list.
        if let Some(done) = done {
            done(result);
        }
    }

    fn expire(&self) {
        let calls = self.lock().pending.expire(Instant::now());
        fail(calls, &RpcError::TimedOut);
    }
}
