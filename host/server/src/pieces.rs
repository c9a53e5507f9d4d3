//! The bytes for one client in the order in which they are written, and the writing of them.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::AsyncWrite;

/// Pieces handed to one `writev` at the most.
const SLICES_MAX: usize = 64;
/// Longer frames are shared, not copied.
pub(crate) const COPIED_BYTES_MAX: usize = 1024;
/// Buffers larger than this are given back once they are written, so that a burst leaves nothing behind.
const KEPT_BYTES_MAX: usize = 512;

/// Bytes in the order in which they are written: the frames, then the tail.
#[derive(Debug, Default)]
pub(crate) struct Pieces {
    frames: VecDeque<Bytes>,
    /// Where what is new is appended.
    pub(crate) tail: BytesMut,
}

impl Pieces {
    pub(crate) fn is_empty(&self) -> bool {
        self.frames.is_empty() && self.tail.is_empty()
    }

    /// Shares a frame.
    pub(crate) fn push(&mut self, frame: Bytes) {
        if !self.tail.is_empty() {
            let tail = std::mem::take(&mut self.tail).freeze();
            self.frames.push_back(tail);
        }
        self.frames.push_back(frame);
    }

    /// Copies a frame or shares it, whichever costs less.
    pub(crate) fn add(&mut self, frame: Bytes) {
        if frame.len() <= COPIED_BYTES_MAX {
            self.tail.extend_from_slice(&frame);
        } else {
            self.push(frame);
        }
    }
}

/// What the connection's task has taken off the queue and is writing.
#[derive(Debug, Default)]
pub(crate) struct Writing {
    pub(crate) pieces: Pieces,
    /// Of the tail.
    written: usize,
}

impl Writing {
    fn rest_of_tail(&self) -> &[u8] {
        self.pieces.tail.get(self.written..).unwrap_or_default()
    }

    /// Writes as much as the socket takes at once.
    pub(crate) fn poll_write<W: AsyncWrite + Unpin>(
        &self,
        cx: &mut Context<'_>,
        socket: &mut W,
    ) -> Poll<io::Result<usize>> {
        let socket = Pin::new(socket);
        if self.pieces.frames.is_empty() {
            return socket.poll_write(cx, self.rest_of_tail());
        }
        let mut slices = [IoSlice::new(&[]); SLICES_MAX];
        let pieces = self.pieces.frames.iter().map(AsRef::as_ref).chain([self.rest_of_tail()]);
        let mut count = 0;
        for (slice, piece) in slices.iter_mut().zip(pieces) {
            *slice = IoSlice::new(piece);
            count += 1;
        }
        socket.poll_write_vectored(cx, slices.get(..count).unwrap_or_default())
    }

    /// Forgets the first `written` bytes.
    pub(crate) fn consume(&mut self, mut written: usize) {
        while let Some(first) = self.pieces.frames.front_mut() {
            if first.len() > written {
                return first.advance(written);
            }
            written -= first.len();
            self.pieces.frames.pop_front();
        }
        self.written += written;
        if self.written >= self.pieces.tail.len() {
            self.written = 0;
            self.pieces.tail.clear();
            if self.pieces.tail.capacity() > KEPT_BYTES_MAX {
                self.pieces.tail = BytesMut::new();
            }
        }
    }
}
