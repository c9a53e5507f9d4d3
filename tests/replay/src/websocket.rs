//! The client's side of WebSocket (RFC 6455): upgrade, masked frames, and a decoder for what a server sends.

use std::io::{Read, Write};
use std::net::TcpStream;

const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// Longest message that is accepted: the longest package there is, and its head.
const MESSAGE_BYTES_MAX: usize = (1 << 24) + 4;
const HEAD_BYTES_MAX: usize = 16 << 10;
/// The key of the RFC's example (1.3), and the accept value that belongs to it.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pplmbitxaq9kygzzhzrbk+xoo=";
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// Asks for the upgrade and reads the answer, no byte further.
pub(crate) fn upgrade(stream: &mut TcpStream, host: &str) -> Result<(), String> {
    let request = format!(
        "GET / HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\r\n"
    );
    let failed = |error: std::io::Error| format!("WebSocket upgrade: {error}");
    stream.write_all(request.as_bytes()).map_err(failed)?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).map_err(failed)?;
        head.extend_from_slice(&byte);
        if head.len() > HEAD_BYTES_MAX {
            return Err(format!("WebSocket upgrade: an answer of more than {HEAD_BYTES_MAX} bytes"));
        }
    }
    let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
    if head.starts_with("http/1.1 101") && head.contains(ACCEPT) {
        return Ok(());
    }
    Err(format!("WebSocket upgrade refused: {}", head.lines().next().unwrap_or_default()))
}

/// A binary frame with one message.
pub(crate) fn binary_frame(payload: &[u8]) -> Vec<u8> {
    masked_frame(BINARY, payload)
}

/// A close frame with code 1000.
pub(crate) fn close_frame() -> Vec<u8> {
    masked_frame(CLOSE, &1000_u16.to_be_bytes())
}

/// The answer to a ping.
pub(crate) fn pong_frame(payload: &[u8]) -> Vec<u8> {
    masked_frame(PONG, payload)
}

fn masked_frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x80 | opcode];
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(short), _) if short < 126 => frame.push(0x80 | short),
        (_, Ok(medium)) => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&medium.to_be_bytes());
        }
        _ => {
            frame.push(0x80 | 127);
            frame.extend_from_slice(&(payload.len() as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(&MASK);
    frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, key)| byte ^ key));
    frame
}

/// What a server sent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Received {
    /// A whole message, put together from its fragments.
    Message(Vec<u8>),
    Ping(Vec<u8>),
    /// A close frame, with its code if it has one.
    Close(Option<u16>),
}

/// Makes messages from a server's bytes, however they are cut.
#[derive(Default)]
pub(crate) struct Decoder {
    buffer: Vec<u8>,
    fragments: Option<Vec<u8>>,
}

impl Decoder {
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next message or control frame; `None` until more bytes come.
    pub(crate) fn next(&mut self) -> Result<Option<Received>, String> {
        while let Some((last, opcode, payload)) = self.frame()? {
            match opcode {
                TEXT | BINARY if self.fragments.is_none() => self.fragments = Some(payload),
                CONTINUATION if self.fragments.is_some() => {
                    let message = self.fragments.get_or_insert_default();
                    message.extend_from_slice(&payload);
                    if message.len() > MESSAGE_BYTES_MAX {
                        return Err(format!("a message of more than {MESSAGE_BYTES_MAX} bytes"));
                    }
                }
                PING => return Ok(Some(Received::Ping(payload))),
                PONG => continue,
                CLOSE => {
                    return Ok(Some(Received::Close(
                        payload.first_chunk().map(|code| u16::from_be_bytes(*code)),
                    )));
                }
                other => return Err(format!("a WebSocket frame with the unexpected opcode {other}")),
            }
            if last {
                return Ok(self.fragments.take().map(Received::Message));
            }
        }
        Ok(None)
    }

    /// Takes one whole frame: whether it is the last of its message, its opcode, its payload.
    fn frame(&mut self) -> Result<Option<(bool, u8, Vec<u8>)>, String> {
        let [first, second, rest @ ..] = self.buffer.as_slice() else { return Ok(None) };
        let (last, opcode) = (first & 0x80 != 0, first & 0x0f);
        if first & 0x70 != 0 {
            return Err("a WebSocket frame with reserved bits set".to_owned());
        }
        if second & 0x80 != 0 {
            return Err("a masked WebSocket frame, which no server may send".to_owned());
        }
        let (len, head) = match second & 0x7f {
            126 => match rest.first_chunk() {
                Some(len) => (u64::from(u16::from_be_bytes(*len)), 4),
                None => return Ok(None),
            },
            127 => match rest.first_chunk() {
                Some(len) => (u64::from_be_bytes(*len), 10),
                None => return Ok(None),
            },
            short => (u64::from(short), 2),
        };
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        if len > MESSAGE_BYTES_MAX {
            return Err(format!("a WebSocket frame of {len} bytes"));
        }
        if self.buffer.len() < head + len {
            return Ok(None);
        }
        let payload = self.buffer.drain(..head + len).skip(head).collect();
        Ok(Some((last, opcode, payload)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(bytes: &[u8], step: usize) -> Vec<Received> {
        let (mut decoder, mut out) = (Decoder::default(), Vec::new());
        for part in bytes.chunks(step) {
            decoder.push(part);
            while let Some(received) = decoder.next().unwrap() {
                out.push(received);
            }
        }
        out
    }

    #[test]
    fn messages_come_whole_however_the_bytes_are_cut() {
        let long = [&[0x82, 126, 1, 0][..], &[5; 256]].concat();
        let fragments = [0x02, 1, b'a', 0x89, 1, b'p', 0x00, 1, b'b', 0x80, 1, b'c'];
        let close = [0x88, 2, 0x03, 0xe8, 0x88, 0];
        let bytes = [&long[..], &fragments, &close].concat();
        for step in [1, 2, 7, bytes.len()] {
            let expected = [
                Received::Message(vec![5; 256]),
                Received::Ping(b"p".to_vec()),
                Received::Message(b"abc".to_vec()),
                Received::Close(Some(1000)),
                Received::Close(None),
            ];
            assert_eq!(decode(&bytes, step), expected, "in steps of {step}");
        }
    }

    #[test]
    fn what_no_server_may_send_is_an_error() {
        for bad in [
            &[0x82, 0x81, 1, 2, 3, 4, 5][..],
            &[0xc2, 0],
            &[0x80, 0],
            &[0x83, 0],
            &[0x82, 127, 1, 0, 0, 0, 0, 0, 0, 0],
        ] {
            let mut decoder = Decoder::default();
            decoder.push(bad);
            assert!(decoder.next().is_err(), "{bad:02x?}");
        }
    }

    #[test]
    fn client_frames_are_masked() {
        let frame = binary_frame(b"Hello");
        assert_eq!(&frame[..6], &[0x82, 0x85, 0x37, 0xfa, 0x21, 0x3d]);
        assert_eq!(&frame[6..], &[0x7f, 0x9f, 0x4d, 0x51, 0x58], "RFC 6455, 5.7");
        assert_eq!(binary_frame(&[0; 126])[1..4], [0xfe, 0, 126]);
        assert_eq!(binary_frame(&[0; 65_536])[1..10], [0xff, 0, 0, 0, 0, 0, 1, 0, 0]);
    }
}
