//! WebSocket framing of what the server sends.
//!
//! Frames from server to client are not masked (RFC 6455, section 5.1), so one finished frame serves
//! every receiver: it is built once, with the package that a TCP client gets as its tail.

use bytes::{Buf, Bytes, BytesMut};

/// The longest header of an unmasked frame: two bytes and a 64-bit length.
const HEADROOM: usize = 10;

/// A close frame with status 1000 (normal closure).
pub(crate) const CLOSE_NORMAL: &[u8] = &[0x88, 0x02, 0x03, 0xe8];
/// A close frame with status 1001 (going away).
pub(crate) const CLOSE_GOING_AWAY: &[u8] = &[0x88, 0x02, 0x03, 0xe9];

/// One or more packages as a finished WebSocket frame, and as bare bytes for TCP clients.
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    websocket: Bytes,
    header_len: usize,
}

impl Frame {
    /// Builds a frame around what `write` appends; gives back what `write` returned, too.
    pub(crate) fn build<T>(capacity: usize, write: impl FnOnce(&mut BytesMut) -> T) -> (Self, T) {
        let mut buffer = BytesMut::with_capacity(HEADROOM + capacity);
        buffer.extend_from_slice(&[0; HEADROOM]);
        let written = write(&mut buffer);
        (Self::finish(buffer), written)
    }

    /// Wraps a package that exists already.
    pub(crate) fn of(package: &[u8]) -> Self {
        Self::build(package.len(), |out| out.extend_from_slice(package)).0
    }

    fn finish(mut buffer: BytesMut) -> Self {
        let len = buffer.len() - HEADROOM;
        let mut header = [0u8; HEADROOM];
        header[0] = 0x82; // FIN, binary
        let header_len = match len {
            0..=125 => {
                header[1] = len as u8;
                2
            }
            126..=0xffff => {
                header[1] = 126;
                header[2..4].copy_from_slice(&(len as u16).to_be_bytes());
                4
            }
            _ => {
                header[1] = 127;
                header[2..10].copy_from_slice(&(len as u64).to_be_bytes());
                10
            }
        };
        let start = HEADROOM - header_len;
        if let (Some(target), Some(source)) = (buffer.get_mut(start..HEADROOM), header.get(..header_len)) {
            target.copy_from_slice(source);
        }
        buffer.advance(start);
        Self { websocket: buffer.freeze(), header_len }
    }

    /// The bytes for a client of that transport; shares the buffer.
    pub(crate) fn bytes(&self, transport: Transport) -> Bytes {
        match transport {
            Transport::WebSocket => self.websocket.clone(),
            Transport::Tcp => self.websocket.slice(self.header_len..),
        }
    }
}

/// How a client is connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    /// Packages in binary WebSocket frames.
    WebSocket,
    /// A bare stream of packages.
    Tcp,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(len: usize, header: &[u8]) {
        let package: Vec<u8> = (0..len).map(|i| i as u8).collect();
        let frame = Frame::of(&package);
        let websocket = frame.bytes(Transport::WebSocket);
        assert_eq!(&websocket[..header.len()], header);
        assert_eq!(&websocket[header.len()..], &package[..]);
        assert_eq!(&frame.bytes(Transport::Tcp)[..], &package[..]);
    }

    #[test]
    fn the_header_has_the_shortest_length_form() {
        check(0, &[0x82, 0]);
        check(125, &[0x82, 125]);
        check(126, &[0x82, 126, 0, 126]);
        check(0xffff, &[0x82, 126, 0xff, 0xff]);
        check(0x1_0000, &[0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
    }
}
