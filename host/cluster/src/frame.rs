//! The bytes of a link.
//!
//! Every frame is a big-endian `u32` length of what follows, a kind byte, fields, and the body:
//!
//! | kind | frame | fields |
//! |---|---|---|
//! | 1 | request | `u64` call id, `u32` microseconds left until the deadline |
//! | 2 | notify | none |
//! | 3 | response | `u64` call id |
//! | 4 | failure | `u64` call id, `u8` error code; the body is the text of `Refused` |
//!
//! Bodies are opaque, and decoded ones are slices of the read buffer.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::RpcError;

/// The length field.
const LENGTH_LEN: usize = 4;
/// The longest header: that of a request, with its length field.
pub(crate) const HEADER_LEN_MAX: usize = LENGTH_LEN + 1 + 8 + 4;
/// The longest text of a failure.
const FAILURE_TEXT_BYTES_MAX: usize = 1024;

const REQUEST: u8 = 1;
const NOTIFY: u8 = 2;
const RESPONSE: u8 = 3;
const FAILURE: u8 = 4;

/// One message of a link.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Frame {
    Request { call: u64, left_us: u32, body: Bytes },
    Notify { body: Bytes },
    Response { call: u64, body: Bytes },
    Failure { call: u64, error: RpcError },
}

/// Why a frame cannot be decoded; the link is closed then.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FrameError {
    #[error("a frame of {length} bytes, {limit} is the limit (message_bytes_max)")]
    TooLong { length: usize, limit: usize },
    #[error("a frame of unknown kind {0}")]
    UnknownKind(u8),
    #[error("a frame too short for its kind {0}")]
    Truncated(u8),
    #[error("an empty frame")]
    Empty,
    #[error("a failure with the unknown code {0}")]
    UnknownFailure(u8),
}

pub(crate) fn put_request(out: &mut BytesMut, call: u64, left_us: u32, body: &[u8]) {
    put_head(out, REQUEST, 12 + body.len());
    out.put_u64(call);
    out.put_u32(left_us);
    out.put_slice(body);
}

pub(crate) fn put_notify(out: &mut BytesMut, body: &[u8]) {
    put_head(out, NOTIFY, body.len());
    out.put_slice(body);
}

pub(crate) fn put_response(out: &mut BytesMut, call: u64, body: &[u8]) {
    put_head(out, RESPONSE, 8 + body.len());
    out.put_u64(call);
    out.put_slice(body);
}

pub(crate) fn put_failure(out: &mut BytesMut, call: u64, error: &RpcError) {
    let (code, text) = failure_code(error);
    let text = truncated(text, FAILURE_TEXT_BYTES_MAX);
    put_head(out, FAILURE, 9 + text.len());
    out.put_u64(call);
    out.put_u8(code);
    out.put_slice(text.as_bytes());
}

fn put_head(out: &mut BytesMut, kind: u8, len: usize) {
    out.reserve(LENGTH_LEN + 1 + len);
    // Senders check bodies against `message_bytes_max`, which is far below 4 GiB.
    out.put_u32(u32::try_from(len + 1).unwrap_or(u32::MAX));
    out.put_u8(kind);
}

/// Writes anew how much time the requests in a buffer of whole frames have left.
pub(crate) fn refresh_requests(frames: &mut [u8], left_us: impl Fn(u64) -> u32) {
    let mut rest = frames;
    while let Some((head, after)) = rest.split_first_chunk_mut::<LENGTH_LEN>() {
        let Some((frame, next)) = after.split_at_mut_checked(u32::from_be_bytes(*head) as usize) else {
            return;
        };
        if let Some((&mut [REQUEST, ref call @ .., _, _, _, _], _)) = frame.split_first_chunk_mut::<13>() {
            let left = left_us(u64::from_be_bytes(*call));
            if let Some(field) = frame.get_mut(9..13) {
                field.copy_from_slice(&left.to_be_bytes());
            }
        }
        rest = next;
    }
}

/// Takes the next frame off the buffer, or tells by `None` that more bytes are needed (and makes room
/// for them).
pub(crate) fn decode(buffer: &mut BytesMut, message_bytes_max: usize) -> Result<Option<Frame>, FrameError> {
    let Some(head) = buffer.first_chunk::<LENGTH_LEN>() else { return Ok(None) };
    let length = u32::from_be_bytes(*head) as usize;
    let total = length.saturating_add(LENGTH_LEN);
    if total > message_bytes_max {
        return Err(FrameError::TooLong { length: total, limit: message_bytes_max });
    }
    if buffer.len() < total {
        buffer.reserve(total - buffer.len());
        return Ok(None);
    }
    let mut frame = buffer.split_to(total).freeze();
    frame.advance(LENGTH_LEN);
    parse(frame).map(Some)
}

fn parse(mut frame: Bytes) -> Result<Frame, FrameError> {
    let kind = frame.try_get_u8().map_err(|_| FrameError::Empty)?;
    let truncated = |_| FrameError::Truncated(kind);
    Ok(match kind {
        REQUEST => {
            let call = frame.try_get_u64().map_err(truncated)?;
            let left_us = frame.try_get_u32().map_err(truncated)?;
            Frame::Request { call, left_us, body: frame }
        }
        NOTIFY => Frame::Notify { body: frame },
        RESPONSE => Frame::Response { call: frame.try_get_u64().map_err(truncated)?, body: frame },
        FAILURE => {
            let call = frame.try_get_u64().map_err(truncated)?;
            let code = frame.try_get_u8().map_err(truncated)?;
            Frame::Failure { call, error: failure_error(code, &frame)? }
        }
        other => return Err(FrameError::UnknownKind(other)),
    })
}

fn failure_code(error: &RpcError) -> (u8, &str) {
    match error {
        RpcError::UnknownServer => (1, ""),
        RpcError::Unreachable => (2, ""),
        RpcError::LinkLost => (3, ""),
        RpcError::TimedOut => (4, ""),
        RpcError::Refused(reason) => (5, reason),
        RpcError::Overloaded => (6, ""),
        RpcError::TooLarge => (7, ""),
    }
}

fn failure_error(code: u8, text: &[u8]) -> Result<RpcError, FrameError> {
    Ok(match code {
        1 => RpcError::UnknownServer,
        2 => RpcError::Unreachable,
        3 => RpcError::LinkLost,
        4 => RpcError::TimedOut,
        5 => RpcError::Refused(String::from_utf8_lossy(text).into_owned()),
        6 => RpcError::Overloaded,
        7 => RpcError::TooLarge,
        other => return Err(FrameError::UnknownFailure(other)),
    })
}

/// The longest prefix of at most `max` bytes that ends at a character.
pub(crate) fn truncated(text: &str, max: usize) -> &str {
    text.get(..text.floor_char_boundary(max)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MAX: usize = 4096;

    fn put(out: &mut BytesMut, frame: &Frame) {
        match frame {
            Frame::Request { call, left_us, body } => put_request(out, *call, *left_us, body),
            Frame::Notify { body } => put_notify(out, body),
            Frame::Response { call, body } => put_response(out, *call, body),
            Frame::Failure { call, error } => put_failure(out, *call, error),
        }
    }

    fn any_body() -> impl Strategy<Value = Bytes> {
        prop::collection::vec(any::<u8>(), 0..300).prop_map(Bytes::from)
    }

    fn any_error() -> impl Strategy<Value = RpcError> {
        prop_oneof![
            Just(RpcError::UnknownServer),
            Just(RpcError::Unreachable),
            Just(RpcError::LinkLost),
            Just(RpcError::TimedOut),
            ".{0,40}".prop_map(RpcError::Refused),
            Just(RpcError::Overloaded),
            Just(RpcError::TooLarge),
        ]
    }

    fn any_frame() -> impl Strategy<Value = Frame> {
        prop_oneof![
            (any::<u64>(), any::<u32>(), any_body()).prop_map(|(call, left_us, body)| Frame::Request {
                call,
                left_us,
                body
            }),
            any_body().prop_map(|body| Frame::Notify { body }),
            (any::<u64>(), any_body()).prop_map(|(call, body)| Frame::Response { call, body }),
            (any::<u64>(), any_error()).prop_map(|(call, error)| Frame::Failure { call, error }),
        ]
    }

    proptest! {
        #[test]
        fn frames_survive_any_cutting_of_the_stream(frames in prop::collection::vec(any_frame(), 0..8), cut in 1_usize..64) {
            let mut stream = BytesMut::new();
            for frame in &frames {
                put(&mut stream, frame);
            }
            let (mut buffer, mut decoded) = (BytesMut::new(), Vec::new());
            for piece in stream.chunks(cut) {
                buffer.extend_from_slice(piece);
                while let Some(frame) = decode(&mut buffer, MAX).unwrap() {
                    decoded.push(frame);
                }
            }
            prop_assert_eq!(decoded, frames);
            prop_assert!(buffer.is_empty());
        }

        #[test]
        fn any_bytes_give_frames_or_an_error_and_never_hang(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
            let mut buffer = BytesMut::from(&*bytes);
            let mut rounds = 0;
            while let Ok(Some(_)) = decode(&mut buffer, MAX) {
                rounds += 1;
                prop_assert!(rounds <= bytes.len());
            }
        }
    }

    fn check_error(bytes: &[u8], expected: &FrameError) {
        assert_eq!(decode(&mut BytesMut::from(bytes), MAX).unwrap_err(), *expected);
    }

    #[test]
    fn what_cannot_be_a_frame_is_named() {
        check_error(&[0, 0, 0, 0], &FrameError::Empty);
        check_error(&[0, 0, 0, 1, 9], &FrameError::UnknownKind(9));
        check_error(&[0, 0, 0, 5, REQUEST, 0, 0, 0, 0], &FrameError::Truncated(REQUEST));
        check_error(&[0, 0, 0, 1, RESPONSE], &FrameError::Truncated(RESPONSE));
        check_error(&[0, 0, 0, 10, FAILURE, 0, 0, 0, 0, 0, 0, 0, 0, 99], &FrameError::UnknownFailure(99));
    }

    #[test]
    fn a_frame_over_the_limit_is_refused_by_its_length_alone() {
        check_error(&[0, 0, 0x10, 0], &FrameError::TooLong { length: 0x1004, limit: MAX });
        check_error(b"GET / HTTP/1.1\r\n", &FrameError::TooLong { length: 0x4745_5424, limit: MAX });
        let mut exact = BytesMut::new();
        put_notify(&mut exact, &vec![1; MAX - 5]);
        assert_eq!(exact.len(), MAX);
        assert!(matches!(decode(&mut exact, MAX), Ok(Some(Frame::Notify { .. }))));
    }

    #[test]
    fn refreshing_changes_the_time_of_requests_and_nothing_else() {
        let frames = [
            Frame::Request { call: 1, left_us: 500, body: Bytes::from_static(b"one") },
            Frame::Notify { body: Bytes::from_static(&[REQUEST; 20]) },
            Frame::Response { call: 1, body: Bytes::from_static(&[REQUEST; 20]) },
            Frame::Request { call: 2, left_us: 600, body: Bytes::new() },
            Frame::Failure { call: 2, error: RpcError::Overloaded },
        ];
        let mut buffer = BytesMut::new();
        for frame in &frames {
            put(&mut buffer, frame);
        }
        refresh_requests(&mut buffer, |call| if call == 1 { 0 } else { 77 });
        for frame in frames {
            let expected = match frame {
                Frame::Request { call, body, .. } => {
                    Frame::Request { call, left_us: if call == 1 { 0 } else { 77 }, body }
                }
                other => other,
            };
            assert_eq!(decode(&mut buffer, MAX), Ok(Some(expected)));
        }
        assert!(buffer.is_empty());
    }

    #[test]
    fn a_long_refusal_is_cut_at_a_character() {
        let mut out = BytesMut::new();
        put_failure(&mut out, 1, &RpcError::Refused("ü".repeat(1000)));
        let Ok(Some(Frame::Failure { error: RpcError::Refused(text), .. })) = decode(&mut out, MAX) else {
            panic!("a failure is expected");
        };
        assert_eq!(text, "ü".repeat(FAILURE_TEXT_BYTES_MAX / 2));
    }
}
