//! What waits for one client's connection: bytes to write, and requests that have ended elsewhere.
//!
//! Anybody may queue; the connection's own task writes. A client that reads too slowly reaches the
//! bound and is closed with the reason `too slow`, so it costs the server a fixed amount of memory.
//! Pushes of channels with another delivery policy are parked while a client does not keep up, and queued when
//! everything before them is written.
//!
//! Answers are encoded where they will be written from, one behind the other, so that a burst of them costs one
//! write of one buffer. Frames that many clients share are copied there too while they are small: that is cheaper
//! than a reference count that all receivers' threads change.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use futures_util::task::AtomicWaker;
use shaddock_engine::types::Delivery;
use tokio::io::AsyncWrite;

use crate::delivery::Governed;
use crate::frame::{Frame, Transport};
use crate::lanes::LaneKey;
use crate::parked::{Outcome, Parked};
use crate::pieces::{COPIED_BYTES_MAX, Pieces, Writing};
use crate::reason::CloseReason;

/// A client for whom more waits to be written does not keep up.
const KEEPING_UP_BYTES_MAX: usize = 16 << 10;

/// What has become of a push message for one client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sent {
    /// It is queued, or parked.
    Queued,
    /// It is parked, and another one that waited is not sent.
    QueuedForAnother,
    /// It is not sent, since the client does not keep up.
    Dropped,
    /// The client is closed because of it, since it does not keep up.
    Disconnected,
    /// The connection is closing, or is closed now because its bound is reached.
    Closed,
}

#[derive(Debug, Default)]
struct Queue {
    pieces: Pieces,
    /// Set while messages are held back.
    parked: Option<Box<Parked>>,
    closing: Option<CloseReason>,
    ended: Vec<Option<LaneKey>>,
}

/// The queue of one connection.
#[derive(Debug)]
pub(crate) struct Outbound {
    queue: Mutex<Queue>,
    /// Bytes queued or being written; read without the lock for back-pressure.
    bytes: AtomicUsize,
    bytes_max: usize,
    is_closing: AtomicBool,
    has_ended: AtomicBool,
    /// Whether the connection's task sleeps, so that it has to be woken.
    is_asleep: AtomicBool,
    task: AtomicWaker,
}

impl Outbound {
    /// An empty queue that holds at most `bytes_max` bytes.
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self {
            queue: Mutex::default(),
            bytes: AtomicUsize::new(0),
            bytes_max,
            is_closing: AtomicBool::new(false),
            has_ended: AtomicBool::new(false),
            is_asleep: AtomicBool::new(false),
            task: AtomicWaker::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues what `write` appends. False if the connection is closing, or is closed now because the bound is
    /// reached; nothing is queued then.
    pub(crate) fn write(&self, write: impl FnOnce(&mut BytesMut)) -> bool {
        self.write_to(self.lock(), write)
    }

    fn write_to(&self, mut queue: MutexGuard<'_, Queue>, write: impl FnOnce(&mut BytesMut)) -> bool {
        if queue.closing.is_some() {
            return false;
        }
        let before = queue.pieces.tail.len();
        write(&mut queue.pieces.tail);
        let added = queue.pieces.tail.len() - before;
        if self.bytes() + added > self.bytes_max {
            queue.pieces.tail.truncate(before);
            self.end(queue, CloseReason::TooSlow);
            return false;
        }
        self.bytes.fetch_add(added, Ordering::Relaxed);
        self.wake(queue);
        true
    }

    /// Queues a frame that other clients get too. As [`Outbound::write`].
    pub(crate) fn send(&self, frame: &Frame, transport: Transport) -> bool {
        self.send_to(self.lock(), frame, transport)
    }

    fn send_to(&self, mut queue: MutexGuard<'_, Queue>, frame: &Frame, transport: Transport) -> bool {
        let bytes = frame.as_slice(transport);
        if bytes.len() <= COPIED_BYTES_MAX {
            return self.write_to(queue, |tail| tail.extend_from_slice(bytes));
        }
        if queue.closing.is_some() {
            return false;
        }
        if self.bytes() + bytes.len() > self.bytes_max {
            self.end(queue, CloseReason::TooSlow);
            return false;
        }
        self.bytes.fetch_add(bytes.len(), Ordering::Relaxed);
        queue.pieces.push(frame.bytes(transport));
        self.wake(queue);
        true
    }

    /// Queues a push message under a delivery policy: like any other for a client that keeps up, else as the policy
    /// says. Once a message is parked, those that come later stay behind it.
    pub(crate) fn send_governed(&self, frame: &Frame, transport: Transport, push: &Governed<'_>) -> Sent {
        let mut queue = self.lock();
        if queue.closing.is_some() {
            return Sent::Closed;
        }
        let is_keeping_up = queue.parked.is_none() && self.bytes() <= self.keeping_up_bytes_max();
        if is_keeping_up || push.policy.delivery == Delivery::Every {
            return if self.send_to(queue, frame, transport) { Sent::Queued } else { Sent::Closed };
        }
        let parked = queue.parked.get_or_insert_default();
        let before = parked.charged();
        let outcome = match &push.policy.delivery {
            Delivery::Latest(field) => parked.put_latest(push.slot(field.as_deref()), frame.bytes(transport)),
            Delivery::DropOldest(messages_max) => {
                parked.put_newest(push.source(), frame.bytes(transport), *messages_max)
            }
            Delivery::Disconnect | Delivery::Every => {
                self.end(queue, CloseReason::TooSlow);
                return Sent::Disconnected;
            }
        };
        let after = parked.charged();
        if parked.is_empty() {
            queue.parked = None;
        }
        self.bytes.fetch_add(after, Ordering::Relaxed);
        self.bytes.fetch_sub(before, Ordering::Relaxed);
        if self.bytes() > self.bytes_max {
            self.end(queue, CloseReason::TooSlow);
            return Sent::Closed;
        }
        match outcome {
            Outcome::Kept => Sent::Queued,
            Outcome::KeptForAnother => Sent::QueuedForAnother,
            Outcome::Dropped => Sent::Dropped,
        }
    }

    fn keeping_up_bytes_max(&self) -> usize {
        KEEPING_UP_BYTES_MAX.min(self.bytes_max / 4)
    }

    /// Queues parked messages, the oldest first, until about so many bytes are queued.
    fn unpark(&self, queue: &mut Queue, bytes: usize) {
        let Some(parked) = &mut queue.parked else { return };
        let before = parked.charged();
        let mut queued = 0;
        while queued < bytes
            && let Some(frame) = parked.pop()
        {
            queued += frame.len();
            queue.pieces.add(frame);
        }
        let after = parked.charged();
        if parked.is_empty() {
            queue.parked = None;
        }
        self.bytes.fetch_add(queued + after, Ordering::Relaxed);
        self.bytes.fetch_sub(before, Ordering::Relaxed);
    }

    /// Asks the connection to end once the queue, with `last` behind it, is written. The first reason stays.
    pub(crate) fn close(&self, reason: CloseReason, last: Option<&[u8]>) {
        let mut queue = self.lock();
        if queue.closing.is_none() {
            self.unpark(&mut queue, usize::MAX);
            self.append(&mut queue, last.unwrap_or_default());
            self.end(queue, reason);
        }
    }

    /// Queues bytes behind everything else, closing or not and whatever the bound: the close frame.
    pub(crate) fn write_last(&self, bytes: &[u8]) {
        self.append(&mut self.lock(), bytes);
    }

    fn append(&self, queue: &mut Queue, bytes: &[u8]) {
        self.bytes.fetch_add(bytes.len(), Ordering::Relaxed);
        queue.pieces.tail.extend_from_slice(bytes);
    }

    fn end(&self, mut queue: MutexGuard<'_, Queue>, reason: CloseReason) {
        queue.closing = Some(reason);
        if let Some(parked) = queue.parked.take() {
            self.bytes.fetch_sub(parked.charged(), Ordering::Relaxed);
        }
        self.is_closing.store(true, Ordering::Release);
        self.wake(queue);
    }

    /// A request that ran elsewhere has ended; its answer is in the queue.
    pub(crate) fn request_ended(&self, lane: Option<LaneKey>) {
        let mut queue = self.lock();
        queue.ended.push(lane);
        self.has_ended.store(true, Ordering::SeqCst);
        self.wake(queue);
    }

    /// Whether requests have ended since the last time.
    pub(crate) fn has_ended(&self) -> bool {
        self.has_ended.load(Ordering::SeqCst)
    }

    /// Takes the lanes of the requests that have ended since the last time.
    pub(crate) fn take_ended(&self) -> Vec<Option<LaneKey>> {
        if !self.has_ended() {
            return Vec::new();
        }
        let mut queue = self.lock();
        self.has_ended.store(false, Ordering::Relaxed);
        std::mem::take(&mut queue.ended)
    }

    /// Why the connection is to end, once somebody said so.
    pub(crate) fn closing(&self) -> Option<CloseReason> {
        if self.is_closing.load(Ordering::Acquire) { self.lock().closing.clone() } else { None }
    }

    /// Bytes waiting.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Whether so much waits that the client should not be asked for more work.
    pub(crate) fn is_crowded(&self) -> bool {
        self.bytes() > self.bytes_max / 2
    }

    /// From here on the connection's task is woken by whatever is queued. What was queued before is still to be
    /// looked at.
    pub(crate) fn fall_asleep(&self, cx: &Context<'_>) {
        self.task.register(cx.waker());
        self.is_asleep.store(true, Ordering::SeqCst);
    }

    /// The connection's task runs, and will look at everything before it sleeps: nobody needs to wake it.
    pub(crate) fn wake_up(&self) {
        self.is_asleep.store(false, Ordering::Relaxed);
    }

    fn wake(&self, queue: MutexGuard<'_, Queue>) {
        drop(queue);
        if self.is_asleep.load(Ordering::SeqCst) && self.is_asleep.swap(false, Ordering::SeqCst) {
            self.task.wake();
        }
    }

    /// Writes until the queue is empty (ready) or the socket takes no more (pending).
    pub(crate) fn poll_flush<W: AsyncWrite + Unpin>(
        &self,
        cx: &mut Context<'_>,
        socket: &mut W,
        writing: &mut Writing,
    ) -> Poll<io::Result<()>> {
        loop {
            if writing.pieces.is_empty() {
                let mut queue = self.lock();
                if queue.pieces.is_empty() {
                    self.unpark(&mut queue, self.keeping_up_bytes_max());
                    if queue.pieces.is_empty() {
                        return Poll::Ready(Ok(()));
                    }
                }
                // The buffers change places, and are used again.
                std::mem::swap(&mut queue.pieces, &mut writing.pieces);
            }
            let written = ready!(writing.poll_write(cx, socket))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            writing.consume(written);
            self.bytes.fetch_sub(written, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::Policy;
    use std::future::poll_fn;
    use std::sync::Arc;
    use tokio::io::AsyncReadExt;
    use tokio::task::coop::unconstrained;

    fn send(outbound: &Outbound, len: usize) -> bool {
        outbound.send(&Frame::of(&vec![7; len]), Transport::Tcp)
    }

    #[tokio::test]
    async fn everything_queued_is_written_in_order() {
        let outbound = Outbound::new(1 << 20);
        let (mut ours, mut theirs) = tokio::io::duplex(16);
        let mut expected = Vec::new();
        for i in 0..200u8 {
            let frame = vec![i; usize::from(i % 7) + 1];
            // short ones are copied, long ones shared
            let frame = if i % 9 == 0 { frame.repeat(COPIED_BYTES_MAX) } else { frame };
            expected.extend_from_slice(&frame);
            assert!(outbound.send(&Frame::of(&frame), Transport::Tcp));
        }
        let read = tokio::spawn(async move {
            let mut got = Vec::new();
            theirs.read_to_end(&mut got).await.unwrap();
            got
        });
        let mut writing = Writing::default();
        poll_fn(|cx| outbound.poll_flush(cx, &mut ours, &mut writing)).await.unwrap();
        assert_eq!(outbound.bytes(), 0);
        drop(ours);
        assert_eq!(read.await.unwrap(), expected);
    }

    #[test]
    fn a_slow_client_is_closed_at_its_byte_limit() {
        let outbound = Outbound::new(100);
        assert!(send(&outbound, 60));
        assert!(send(&outbound, 40));
        assert!(outbound.closing().is_none());
        assert!(!send(&outbound, 1));
        assert_eq!(outbound.closing(), Some(CloseReason::TooSlow));
        assert_eq!(outbound.bytes(), 100);
    }

    /// Sends `frame` as the push of a channel; the slot is the frame's first byte.
    fn govern(outbound: &Outbound, channel: &str, delivery: Delivery, frame: &[u8]) -> Sent {
        let policy = Policy { channel: channel.into(), delivery };
        let (route, body) = (Arc::from("onMove"), format!("{{\"id\":{}}}", frame[0]));
        let push = Governed::new(&"s1".into(), &policy, &route, body.as_bytes());
        outbound.send_governed(&Frame::of(frame), Transport::Tcp, &push)
    }

    fn latest() -> Delivery {
        Delivery::Latest(Some("id".into()))
    }

    /// Everything that is written when the client reads again.
    async fn drain(outbound: &Outbound) -> Vec<u8> {
        let (mut ours, mut theirs) = tokio::io::duplex(1000);
        let read = async {
            let mut got = Vec::new();
            theirs.read_to_end(&mut got).await.unwrap();
            got
        };
        let write = async {
            let mut writing = Writing::default();
            poll_fn(|cx| outbound.poll_flush(cx, &mut ours, &mut writing)).await.unwrap();
            drop(ours);
        };
        let (got, ()) = tokio::join!(read, write);
        assert_eq!(outbound.bytes(), 0);
        assert!(outbound.lock().parked.is_none());
        got
    }

    #[tokio::test]
    async fn a_client_that_keeps_up_gets_everything_whatever_the_policy() {
        let outbound = Outbound::new(1 << 20);
        for (delivery, frame) in [
            (latest(), [1, 1]),
            (latest(), [1, 2]),
            (Delivery::DropOldest(0), [3, 0]),
            (Delivery::Disconnect, [4, 0]),
        ] {
            assert_eq!(govern(&outbound, "room", delivery, &frame), Sent::Queued);
        }
        assert_eq!(drain(&outbound).await, [1, 1, 1, 2, 3, 0, 4, 0]);
    }

    #[tokio::test]
    async fn a_client_that_falls_behind_gets_what_the_policies_leave_in_order() {
        let outbound = Outbound::new(1 << 20);
        let behind = vec![0; KEEPING_UP_BYTES_MAX + 1];
        assert!(outbound.send(&Frame::of(&behind), Transport::Tcp));
        let keep_two = || Delivery::DropOldest(2);
        for (channel, delivery, frame, sent) in [
            ("moves", latest(), [1, 1], Sent::Queued),
            ("chat", keep_two(), [9, 1], Sent::Queued),
            ("moves", latest(), [2, 1], Sent::Queued),
            ("moves", latest(), [1, 2], Sent::QueuedForAnother),
            ("chat", keep_two(), [9, 2], Sent::Queued),
            ("chat", keep_two(), [9, 3], Sent::QueuedForAnother),
            ("none", Delivery::DropOldest(0), [8, 8], Sent::Dropped),
            ("moves", latest(), [1, 3], Sent::QueuedForAnother),
        ] {
            assert_eq!(govern(&outbound, channel, delivery, &frame), sent, "{frame:?}");
        }
        // what is no push of such a channel does not wait for them
        assert!(outbound.send(&Frame::of(&[5, 5]), Transport::Tcp));
        let got = drain(&outbound).await;
        assert_eq!(got[behind.len()..], [5, 5, 1, 3, 2, 1, 9, 2, 9, 3]);
        assert_eq!(govern(&outbound, "moves", latest(), &[1, 4]), Sent::Queued);
        assert_eq!(govern(&outbound, "moves", latest(), &[1, 5]), Sent::Queued);
        assert_eq!(drain(&outbound).await, [1, 4, 1, 5], "it keeps up again");
    }

    #[tokio::test]
    async fn parked_messages_follow_in_parts_and_can_be_replaced_until_then() {
        let outbound = Outbound::new(1 << 20);
        assert!(outbound.send(&Frame::of(&vec![0; KEEPING_UP_BYTES_MAX + 1]), Transport::Tcp));
        let message = |id: u8, content: u8| [vec![id], vec![content; KEEPING_UP_BYTES_MAX]].concat();
        assert_eq!(govern(&outbound, "moves", latest(), &message(1, 1)), Sent::Queued);
        assert_eq!(govern(&outbound, "moves", latest(), &message(2, 1)), Sent::Queued);
        let (mut ours, mut theirs) = tokio::io::duplex(KEEPING_UP_BYTES_MAX + 2);
        let mut writing = Writing::default();
        let flushed = poll_fn(|cx| Poll::Ready(outbound.poll_flush(cx, &mut ours, &mut writing))).await;
        assert!(flushed.is_pending());
        // the first one is on its way, the second one still waits
        assert_eq!(govern(&outbound, "moves", latest(), &message(1, 2)), Sent::Queued);
        assert_eq!(govern(&outbound, "moves", latest(), &message(2, 2)), Sent::QueuedForAnother);
        let write = async {
            poll_fn(|cx| outbound.poll_flush(cx, &mut ours, &mut writing)).await.unwrap();
            drop(ours);
        };
        let mut got = Vec::new();
        let (read, ()) = tokio::join!(theirs.read_to_end(&mut got), write);
        read.unwrap();
        let expected = [message(1, 1), message(2, 2), message(1, 2)].concat();
        assert!(got[KEEPING_UP_BYTES_MAX + 1..] == expected);
        assert_eq!(outbound.bytes(), 0);
    }

    #[test]
    fn the_policy_disconnect_closes_a_client_that_falls_behind() {
        let outbound = Outbound::new(1 << 20);
        assert!(send(&outbound, KEEPING_UP_BYTES_MAX + 1));
        assert_eq!(govern(&outbound, "room", Delivery::Disconnect, &[1]), Sent::Disconnected);
        assert_eq!(outbound.closing(), Some(CloseReason::TooSlow));
        assert_eq!(govern(&outbound, "room", Delivery::Disconnect, &[1]), Sent::Closed);
    }

    #[test]
    fn parked_messages_count_against_the_byte_limit() {
        let outbound = Outbound::new(100_000);
        assert!(send(&outbound, 50_000));
        let mut parked = 0;
        while govern(&outbound, "room", Delivery::DropOldest(u32::MAX), &[1]) == Sent::Queued {
            parked += 1;
        }
        assert!((1..=50_000 / 200).contains(&parked), "{parked}: more than their bytes counts");
        assert_eq!(outbound.closing(), Some(CloseReason::TooSlow));
        assert_eq!(outbound.bytes(), 50_000, "what was parked is forgotten");
    }

    #[tokio::test]
    async fn a_client_that_is_kicked_gets_what_was_parked_first() {
        let outbound = Outbound::new(1 << 20);
        assert!(send(&outbound, KEEPING_UP_BYTES_MAX + 1));
        assert_eq!(govern(&outbound, "room", latest(), &[1]), Sent::Queued);
        outbound.close(CloseReason::Kicked("bye".into()), Some(&[9]));
        assert_eq!(govern(&outbound, "room", latest(), &[2]), Sent::Closed);
        assert_eq!(drain(&outbound).await[KEEPING_UP_BYTES_MAX + 1..], [1, 9]);
    }

    /// Over a real socket, whose buffers take some of what is sent: however long a client does not read, it gets the
    /// last state of everything and no more than the bound waits for it.
    #[tokio::test]
    async fn a_client_that_does_not_read_for_a_while_gets_the_latest_over_a_socket() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut theirs = tokio::net::TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut ours, _) = listener.accept().await.unwrap();
        let outbound = Outbound::new(256 << 10);
        let mut writing = Writing::default();
        let message = |id: u8, round: u32| [&[id], &round.to_be_bytes()[..], &[0; 1019]].concat();
        let (mut rounds, mut replaced) = (0, 0);
        while replaced < 1000 {
            rounds += 1;
            for id in 1..=10 {
                let sent = govern(&outbound, "moves", latest(), &message(id, rounds));
                assert!(matches!(sent, Sent::Queued | Sent::QueuedForAnother), "{sent:?}");
                replaced += u32::from(sent == Sent::QueuedForAnother);
            }
            let flush = poll_fn(|cx| Poll::Ready(outbound.poll_flush(cx, &mut ours, &mut writing)));
            let _ = unconstrained(flush).await;
        }
        let write = async {
            poll_fn(|cx| outbound.poll_flush(cx, &mut ours, &mut writing)).await.unwrap();
            drop(ours);
        };
        let mut got = Vec::new();
        let (read, ()) = tokio::join!(theirs.read_to_end(&mut got), write);
        read.unwrap();
        let mut last = [0; 10];
        for message in got.chunks(1024) {
            let round = u32::from_be_bytes(message[1..5].try_into().unwrap());
            let last = &mut last[usize::from(message[0]) - 1];
            assert!(*last < round, "in order");
            *last = round;
        }
        assert_eq!(last, [rounds; 10]);
        assert!(got.len() / 1024 < (rounds * 10) as usize, "some were left out");
    }

    #[test]
    fn nothing_is_queued_behind_the_last_frame() {
        let outbound = Outbound::new(100);
        outbound.close(CloseReason::Kicked("bye".into()), Some(&[7; 5]));
        assert!(!send(&outbound, 1));
        outbound.close(CloseReason::ServerStopping, Some(&[7; 9]));
        assert_eq!(outbound.closing(), Some(CloseReason::Kicked("bye".into())));
        assert_eq!(outbound.bytes(), 5);
    }
}
