//! The outer layer: `type (1 byte) | body length (3 bytes, big endian) | body`.

use crate::WireError;
use bytes::{Buf, BufMut, Bytes, BytesMut};

/// Length of a package's head in bytes.
pub const HEADER_LEN: usize = 4;

/// The longest body that a head can announce, in bytes (16 MiB less one).
pub const BODY_BYTES_MAX: usize = (1 << 24) - 1;

/// What a package is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum PackageKind {
    /// JSON; the client's request and the server's reply.
    Handshake = 1,
    /// Empty; the client has read the reply and is ready.
    HandshakeAck = 2,
    /// Empty; a sign of life in either direction.
    Heartbeat = 3,
    /// A message (see [`crate::message`]).
    Data = 4,
    /// JSON `{"reason": …}`; the server is about to close.
    Kick = 5,
}

impl TryFrom<u8> for PackageKind {
    type Error = WireError;

    fn try_from(byte: u8) -> Result<Self, WireError> {
        Ok(match byte {
            1 => Self::Handshake,
            2 => Self::HandshakeAck,
            3 => Self::Heartbeat,
            4 => Self::Data,
            5 => Self::Kick,
            other => return Err(WireError::UnknownPackageKind(other)),
        })
    }
}

/// One package; the body shares the memory of the buffer that it was read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// What it is for.
    pub kind: PackageKind,
    /// Its body, without the head.
    pub body: Bytes,
}

/// Appends a package to `out`.
///
/// # Errors
/// [`WireError::BodyTooLarge`] if the body is over [`BODY_BYTES_MAX`]; `out` is then unchanged.
pub fn encode_into(kind: PackageKind, body: &[u8], out: &mut BytesMut) -> Result<(), WireError> {
    out.reserve(HEADER_LEN + body.len().min(BODY_BYTES_MAX));
    write(kind, out, |out| {
        // Checked before the copy: a body that cannot be sent is not worth its memory.
        check_length(body.len(), BODY_BYTES_MAX)?;
        out.put_slice(body);
        Ok(())
    })
}

/// Appends a package whose body `body` writes. On an error `out` is left as it was.
pub(crate) fn write<T>(
    kind: PackageKind,
    out: &mut BytesMut,
    body: impl FnOnce(&mut BytesMut) -> Result<T, WireError>,
) -> Result<T, WireError> {
    let start = out.len();
    out.put_slice(&[kind as u8, 0, 0, 0]);
    let written = body(out).and_then(|value| {
        let len = out.len() - start - HEADER_LEN;
        check_length(len, BODY_BYTES_MAX)?;
        Ok((value, len))
    });
    match written {
        Ok((value, len)) => {
            let [_, high, middle, low] = (len as u32).to_be_bytes();
            if let Some(length) = out.get_mut(start + 1..start + HEADER_LEN) {
                length.copy_from_slice(&[high, middle, low]);
            }
            Ok(value)
        }
        Err(error) => {
            out.truncate(start);
            Err(error)
        }
    }
}

fn check_length(bytes: usize, max: usize) -> Result<(), WireError> {
    if bytes > max { Err(WireError::BodyTooLarge { bytes, max }) } else { Ok(()) }
}

/// Type and body length, checked as soon as the four bytes of the head are there.
fn read_head(bytes: &[u8], body_bytes_max: usize) -> Result<Option<(PackageKind, usize)>, WireError> {
    let Some([kind, high, middle, low]) = bytes.first_chunk::<HEADER_LEN>() else {
        return Ok(None);
    };
    let kind = PackageKind::try_from(*kind)?;
    let len = u32::from_be_bytes([0, *high, *middle, *low]) as usize;
    check_length(len, body_bytes_max)?;
    Ok(Some((kind, len)))
}

/// Takes the next package off the front of a TCP stream's `buffer`; `None` until enough bytes are there.
///
/// Nothing is reserved for an announced body: memory grows with what arrived, not with what was promised.
/// After an error the stream cannot be resynchronised; close the connection.
///
/// # Errors
/// [`WireError::UnknownPackageKind`], or [`WireError::BodyTooLarge`] over `body_bytes_max`; both as soon
/// as the head is complete.
pub fn decode(buffer: &mut BytesMut, body_bytes_max: usize) -> Result<Option<Package>, WireError> {
    let Some((kind, len)) = read_head(buffer, body_bytes_max)? else {
        return Ok(None);
    };
    if buffer.len() < HEADER_LEN + len {
        return Ok(None);
    }
    buffer.advance(HEADER_LEN);
    // An empty split would still make the buffer shared, and the next read would have to allocate.
    let body = if len == 0 { Bytes::new() } else { buffer.split_to(len).freeze() };
    Ok(Some(Package { kind, body }))
}

/// The packages of one WebSocket frame. Pomelo's clients send one per frame; several are accepted.
pub fn split(frame: Bytes, body_bytes_max: usize) -> Split {
    Split { frame, body_bytes_max }
}

/// Iterator over the packages of one WebSocket frame; ends after the first error.
#[derive(Debug, Clone)]
pub struct Split {
    frame: Bytes,
    body_bytes_max: usize,
}

impl Split {
    /// Changes the limit for the rest of the frame: an acknowledgement in it raises the limit for what
    /// follows (see [`crate::connection::Connection::body_bytes_max`]).
    pub fn set_body_bytes_max(&mut self, body_bytes_max: usize) {
        self.body_bytes_max = body_bytes_max;
    }

    fn take_package(&mut self) -> Result<Package, WireError> {
        let Some((kind, len)) = read_head(&self.frame, self.body_bytes_max)? else {
            // A head that is cut off but already wrong is reported as wrong, as it is on a stream.
            if let Some(kind) = self.frame.first() {
                PackageKind::try_from(*kind)?;
            }
            return Err(WireError::TruncatedPackage { missing: HEADER_LEN - self.frame.len() });
        };
        let end = HEADER_LEN + len;
        if self.frame.len() < end {
            return Err(WireError::TruncatedPackage { missing: end - self.frame.len() });
        }
        let body = self.frame.slice(HEADER_LEN..end);
        self.frame.advance(end);
        Ok(Package { kind, body })
    }
}

impl Iterator for Split {
    type Item = Result<Package, WireError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.frame.is_empty() {
            return None;
        }
        let package = self.take_package();
        if package.is_err() {
            self.frame.clear();
        }
        Some(package)
    }
}

impl std::iter::FusedIterator for Split {}
