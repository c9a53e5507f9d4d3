//! WebSocket frames by hand: a load generator must cost less than what it measures, so its requests are finished frames
//! and its answers are only counted.

use anyhow::{Result, bail};
use bytes::BufMut;

/// Longest frame that is accepted from a server.
pub(crate) const FRAME_BYTES_MAX: usize = 16 << 20;

/// A client must mask (RFC 6455, 5.3); which key does not matter to a server on loopback.
const MASK: [u8; 4] = [0x12, 0x34, 0x56, 0x78];

/// Appends one masked binary frame.
pub(crate) fn put_client_frame(payload: &[u8], out: &mut Vec<u8>) {
    out.put_u8(0x82);
    put_length(payload.len(), 0x80, out);
    out.extend_from_slice(&MASK);
    out.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, key)| byte ^ key));
}

/// Appends one unmasked binary frame, as a server sends it.
pub(crate) fn put_server_frame(payload: &[u8], out: &mut Vec<u8>) {
    out.put_u8(0x82);
    put_length(payload.len(), 0, out);
    out.extend_from_slice(payload);
}

fn put_length(len: usize, mask_bit: u8, out: &mut Vec<u8>) {
    match (u8::try_from(len), u16::try_from(len)) {
        (Ok(short), _) if short < 126 => out.put_u8(mask_bit | short),
        (_, Ok(medium)) => {
            out.put_u8(mask_bit | 126);
            out.put_u16(medium);
        }
        _ => {
            out.put_u8(mask_bit | 127);
            out.put_u64(len as u64);
        }
    }
}

/// One frame of a server, borrowed from the read buffer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ServerFrame<'a> {
    pub(crate) opcode: u8,
    pub(crate) payload: &'a [u8],
    /// Bytes of the whole frame in the buffer.
    pub(crate) len: usize,
}

/// The first whole frame of `buffer`; `None` if more bytes are needed.
pub(crate) fn first_frame(buffer: &[u8]) -> Result<Option<ServerFrame<'_>>> {
    let [first, second, rest @ ..] = buffer else { return Ok(None) };
    if first & 0xf0 != 0x80 {
        bail!("the server sent a fragmented or reserved WebSocket frame (first byte {first:#04x})");
    }
    if second & 0x80 != 0 {
        bail!("the server sent a masked WebSocket frame");
    }
    let (len, head) = match second & 0x7f {
        126 => match rest.first_chunk() {
            Some(bytes) => (usize::from(u16::from_be_bytes(*bytes)), 4),
            None => return Ok(None),
        },
        127 => match rest.first_chunk() {
            Some(bytes) => (usize::try_from(u64::from_be_bytes(*bytes)).unwrap_or(usize::MAX), 10),
            None => return Ok(None),
        },
        short => (usize::from(short), 2),
    };
    if len > FRAME_BYTES_MAX {
        bail!("the server sent a frame of {len} bytes; at most {FRAME_BYTES_MAX} are accepted");
    }
    let Some(payload) = buffer.get(head..head + len) else { return Ok(None) };
    Ok(Some(ServerFrame { opcode: first & 0x0f, payload, len: head + len }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server_frame(len: usize) -> Vec<u8> {
        let mut out = Vec::new();
        put_server_frame(&vec![7; len], &mut out);
        out
    }

    #[test]
    fn a_frame_of_every_length_form_is_found_whole_or_not_at_all() {
        for len in [0, 1, 125, 126, 65_535, 65_536] {
            let frame = server_frame(len);
            let found = first_frame(&frame).unwrap().unwrap();
            assert_eq!((found.opcode, found.payload.len(), found.len), (2, len, frame.len()));
            for cut in [0, 1, frame.len() - 1] {
                assert_eq!(first_frame(&frame[..cut]).unwrap(), None, "{len} bytes cut to {cut}");
            }
        }
    }

    #[test]
    fn a_client_frame_unmasks_to_its_payload() {
        let mut out = Vec::new();
        put_client_frame(b"hello, world", &mut out);
        assert_eq!(&out[..2], &[0x82, 0x80 | 12]);
        let plain: Vec<u8> = out[6..].iter().zip(out[2..6].iter().cycle()).map(|(a, b)| a ^ b).collect();
        assert_eq!(plain, b"hello, world");
    }

    #[test]
    fn frames_that_no_server_may_send_are_errors() {
        assert!(first_frame(&[0x02, 0]).is_err(), "fragment");
        assert!(first_frame(&[0x82, 0x80, 0, 0, 0, 0]).is_err(), "masked");
        assert!(first_frame(&[0x82, 127, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]).is_err(), "huge");
    }
}
