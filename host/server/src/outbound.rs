//! What waits to be written to one client: a queue of finished frames, bounded by bytes.
//!
//! Anybody may queue; the connection's own task writes. A client that reads too slowly reaches the
//! bound and is closed with the reason `too slow`, so it costs the server a fixed amount of memory.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use futures_util::task::AtomicWaker;
use tokio::io::AsyncWrite;

use crate::reason::CloseReason;

/// Frames handed to one `writev` at the most.
const SLICES_MAX: usize = 64;

#[derive(Debug, Default)]
struct Queue {
    frames: VecDeque<Bytes>,
    closing: Option<CloseReason>,
}

/// What one write takes from the queue; nearly always one frame, so that case allocates nothing.
enum Batch {
    One(Bytes),
    Many(Vec<Bytes>),
}

/// The queue of one connection.
#[derive(Debug)]
pub(crate) struct Outbound {
    queue: Mutex<Queue>,
    /// Bytes queued; read without the lock for back-pressure.
    bytes: AtomicUsize,
    bytes_max: usize,
    task: AtomicWaker,
}

impl Outbound {
    /// An empty queue that holds at most `bytes_max` bytes.
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { queue: Mutex::default(), bytes: AtomicUsize::new(0), bytes_max, task: AtomicWaker::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a frame. False if the connection is closing, or is closed now because the bound is reached.
    pub(crate) fn send(&self, frame: Bytes) -> bool {
        let mut queue = self.lock();
        if queue.closing.is_some() {
            return false;
        }
        let bytes = self.bytes.load(Ordering::Relaxed) + frame.len();
        if bytes > self.bytes_max {
            queue.closing = Some(CloseReason::TooSlow);
            drop(queue);
            self.task.wake();
            return false;
        }
        self.bytes.store(bytes, Ordering::Relaxed);
        let was_empty = queue.frames.is_empty();
        queue.frames.push_back(frame);
        drop(queue);
        if was_empty {
            self.task.wake();
        }
        true
    }

    /// Asks the connection to end once the queue, with `last` behind it, is written. The first reason stays.
    pub(crate) fn close(&self, reason: CloseReason, last: Option<Bytes>) {
        let mut queue = self.lock();
        if queue.closing.is_none() {
            queue.closing = Some(reason);
            if let Some(frame) = last {
                self.bytes.fetch_add(frame.len(), Ordering::Relaxed);
                queue.frames.push_back(frame);
            }
            drop(queue);
            self.task.wake();
        }
    }

    /// Queues a frame behind everything else, closing or not and whatever the bound: the close frame.
    pub(crate) fn send_last(&self, frame: Bytes) {
        self.bytes.fetch_add(frame.len(), Ordering::Relaxed);
        self.lock().frames.push_back(frame);
    }

    /// Why the connection is to end, once somebody said so.
    pub(crate) fn closing(&self) -> Option<CloseReason> {
        self.lock().closing.clone()
    }

    /// Bytes waiting.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Whether so much waits that the client should not be asked for more work.
    pub(crate) fn is_crowded(&self) -> bool {
        self.bytes() > self.bytes_max / 2
    }

    /// Registers the connection's task to be woken by the next frame or close.
    pub(crate) fn register(&self, cx: &Context<'_>) {
        self.task.register(cx.waker());
    }

    /// The connection's task is awake and will flush before it sleeps.
    pub(crate) fn unregister(&self) {
        self.task.take();
    }

    /// Writes until the queue is empty (ready) or the socket takes no more (pending).
    pub(crate) fn poll_flush<W: AsyncWrite + Unpin>(
        &self,
        cx: &mut Context<'_>,
        socket: &mut W,
    ) -> Poll<io::Result<()>> {
        loop {
            let batch = {
                let queue = self.lock();
                match (queue.frames.len(), queue.frames.front()) {
                    (_, None) => return Poll::Ready(Ok(())),
                    (1, Some(only)) => Batch::One(only.clone()),
                    _ => Batch::Many(queue.frames.iter().take(SLICES_MAX).cloned().collect()),
                }
            };
            let written = match &batch {
                Batch::One(frame) => ready!(Pin::new(&mut *socket).poll_write(cx, frame))?,
                Batch::Many(frames) => {
                    let slices: Vec<IoSlice<'_>> = frames.iter().map(|frame| IoSlice::new(frame)).collect();
                    ready!(Pin::new(&mut *socket).poll_write_vectored(cx, &slices))?
                }
            };
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.consume(written);
        }
    }

    /// Forgets the first `written` bytes of the queue.
    fn consume(&self, mut written: usize) {
        self.bytes.fetch_sub(written, Ordering::Relaxed);
        let mut queue = self.lock();
        while written > 0 {
            let Some(first) = queue.frames.front_mut() else { return };
            if first.len() > written {
                first.advance(written);
                return;
            }
            written -= first.len();
            queue.frames.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use tokio::io::AsyncReadExt;

    fn bytes(len: usize) -> Bytes {
        vec![7; len].into()
    }

    #[tokio::test]
    async fn everything_queued_is_written_in_order() {
        let outbound = Outbound::new(1 << 20);
        let (mut ours, mut theirs) = tokio::io::duplex(16);
        let mut expected = Vec::new();
        for i in 0..200u8 {
            let frame = vec![i; usize::from(i % 7) + 1];
            expected.extend_from_slice(&frame);
            assert!(outbound.send(frame.into()));
        }
        let read = tokio::spawn(async move {
            let mut got = Vec::new();
            theirs.read_to_end(&mut got).await.unwrap();
            got
        });
        poll_fn(|cx| outbound.poll_flush(cx, &mut ours)).await.unwrap();
        assert_eq!(outbound.bytes(), 0);
        drop(ours);
        assert_eq!(read.await.unwrap(), expected);
    }

    #[test]
    fn a_slow_client_is_closed_at_its_byte_limit() {
        let outbound = Outbound::new(100);
        assert!(outbound.send(bytes(60)));
        assert!(outbound.send(bytes(40)));
        assert!(outbound.closing().is_none());
        assert!(!outbound.send(bytes(1)));
        assert_eq!(outbound.closing(), Some(CloseReason::TooSlow));
        assert_eq!(outbound.bytes(), 100);
    }

    #[test]
    fn nothing_is_queued_behind_the_last_frame() {
        let outbound = Outbound::new(100);
        outbound.close(CloseReason::Kicked("bye".into()), Some(bytes(5)));
        assert!(!outbound.send(bytes(1)));
        outbound.close(CloseReason::ServerStopping, Some(bytes(9)));
        assert_eq!(outbound.closing(), Some(CloseReason::Kicked("bye".into())));
        assert_eq!(outbound.bytes(), 5);
    }
}
