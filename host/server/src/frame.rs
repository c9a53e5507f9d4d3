//! WebSocket framing of what the server sends.
//!
//! Frames from server to client are not masked (RFC 6455, section 5.1), so one finished frame serves
//! every receiver: it is built once, with the package that a TCP client gets as its tail.

use bytes::{Buf, BufMut, Bytes, BytesMut};

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
    #[cfg(test)]
    pub(crate) fn of(package: &[u8]) -> Self {
        Self::build(package.len(), |out| out.extend_from_slice(package)).0
    }

    fn finish(mut buffer: BytesMut) -> Self {
        let (header, header_len) = header(buffer.len() - HEADROOM);
        let start = HEADROOM - header_len;
        if let (Some(target), Some(source)) = (buffer.get_mut(start..HEADROOM), header.get(..header_len)) {
            target.copy_from_slice(source);
        }
        buffer.advance(start);
        Self { websocket: buffer.freeze(), header_len }
    }

    /// The bytes for a client of that transport.
    pub(crate) fn as_slice(&self, transport: Transport) -> &[u8] {
        let start = if transport == Transport::Tcp { self.header_len } else { 0 };
        self.websocket.get(start..).unwrap_or_default()
    }

    /// The bytes for a client of that transport; shares the buffer.
    pub(crate) fn bytes(&self, transport: Transport) -> Bytes {
        match transport {
            Transport::WebSocket => self.websocket.clone(),
            Transport::Tcp => self.websocket.slice(self.header_len..),
        }
    }
}

/// The header of an unmasked binary frame, and how much of the array it takes.
fn header(len: usize) -> ([u8; HEADROOM], usize) {
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
    (header, header_len)
}

/// Appends what `write` appends to `out`, as a client of that transport gets it; nothing if `write` appends
/// nothing. `len_guess` saves a copy if the length of the header can be told from it.
pub(crate) fn append<T>(
    out: &mut BytesMut,
    transport: Transport,
    len_guess: usize,
    write: impl FnOnce(&mut BytesMut) -> T,
) -> T {
    out.reserve(HEADROOM + len_guess);
    if transport == Transport::Tcp {
        return write(out);
    }
    let start = out.len();
    let room = header(len_guess).1;
    out.put_bytes(0, room);
    let written = write(out);
    let end = out.len();
    let len = end - start - room;
    if len == 0 {
        out.truncate(start);
        return written;
    }
    let (header, header_len) = header(len);
    if header_len > room {
        out.put_bytes(0, header_len - room);
    }
    if header_len != room {
        out.copy_within(start + room..end, start + header_len);
        out.truncate(start + header_len + len);
    }
    if let (Some(target), Some(source)) = (out.get_mut(start..start + header_len), header.get(..header_len)) {
        target.copy_from_slice(source);
    }
    written
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
        for (transport, whole) in
            [(Transport::WebSocket, &websocket), (Transport::Tcp, &frame.bytes(Transport::Tcp))]
        {
            // whatever the guess was
            for guess in [0, len, 126, 0x1_0000] {
                let mut out = BytesMut::from("before");
                append(&mut out, transport, guess, |out| out.extend_from_slice(&package));
                let expected = if len == 0 { &[][..] } else { whole };
                assert_eq!(&out[..6], b"before");
                assert!(&out[6..] == expected, "{len} bytes, guessed as {guess}");
            }
        }
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
