//! The pomelo side of the wire, as far as a load generator needs it: requests are written once, answers are measured.
//!
//! Nothing here is shared with the server on purpose: a load generator that decodes with the server's own code would
//! not notice a change of the bytes.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

pub(crate) const HANDSHAKE: u8 = 1;
pub(crate) const ACK: u8 = 2;
pub(crate) const HEARTBEAT: u8 = 3;
pub(crate) const DATA: u8 = 4;
pub(crate) const KICK: u8 = 5;

/// What a server said of itself in its handshake reply.
#[derive(Debug, Default)]
pub(crate) struct Greeting {
    pub(crate) heartbeat: Option<Duration>,
    codes: HashMap<String, u16>,
}

#[derive(Deserialize)]
struct Reply {
    code: u32,
    #[serde(default)]
    sys: Sys,
}

#[derive(Deserialize, Default)]
struct Sys {
    heartbeat: Option<u64>,
    #[serde(default)]
    dict: HashMap<String, u16>,
}

impl Greeting {
    pub(crate) fn parse(body: &[u8]) -> Result<Self> {
        let reply: Reply = serde_json::from_slice(body).context("the handshake reply is not understood")?;
        if reply.code != 200 {
            bail!("the server refused the handshake with code {}", reply.code);
        }
        let heartbeat = reply.sys.heartbeat.filter(|seconds| *seconds > 0).map(Duration::from_secs);
        Ok(Self { heartbeat, codes: reply.sys.dict })
    }

    /// One whole DATA package with a request; the route is compressed if the server offered a code for it.
    pub(crate) fn request(&self, id: u32, route: &str, body: &[u8]) -> Result<Vec<u8>> {
        let mut message = Vec::with_capacity(body.len() + route.len() + 8);
        let code = self.codes.get(route);
        message.push(u8::from(code.is_some()));
        let mut rest = id;
        while rest > 0x7f {
            message.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        message.push(rest as u8);
        match code {
            Some(code) => message.extend_from_slice(&code.to_be_bytes()),
            None => {
                message.push(u8::try_from(route.len()).context("a route has at most 255 bytes")?);
                message.extend_from_slice(route.as_bytes());
            }
        }
        message.extend_from_slice(body);
        Ok(package(DATA, &message))
    }
}

/// One package; the body is at most 2^24-1 bytes, which the caps of the command line ensure.
pub(crate) fn package(kind: u8, body: &[u8]) -> Vec<u8> {
    let [_, a, b, c] = (body.len() as u32).to_be_bytes();
    let mut out = vec![kind, a, b, c];
    out.extend_from_slice(body);
    out
}

/// Takes the first package off a WebSocket payload; a server may put several into one frame.
pub(crate) fn take_package<'a>(payload: &mut &'a [u8]) -> Result<Option<(u8, &'a [u8])>> {
    if payload.is_empty() {
        return Ok(None);
    }
    let cut = || anyhow::anyhow!("the server sent a WebSocket frame that ends within a package");
    let (head, rest) = payload.split_first_chunk::<4>().ok_or_else(cut)?;
    let [kind, a, b, c] = *head;
    let len = u32::from_be_bytes([0, a, b, c]) as usize;
    let (body, rest) = rest.split_at_checked(len).ok_or_else(cut)?;
    *payload = rest;
    Ok(Some((kind, body)))
}

/// A message of a server, as far as it counts.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ServerMessage<'a> {
    Response {
        id: u32,
        body: &'a [u8],
    },
    /// `route` is its text, or the two bytes of its code.
    Push {
        route: &'a [u8],
        body: &'a [u8],
    },
}

/// Takes a DATA body apart.
pub(crate) fn server_message(data: &[u8]) -> Result<ServerMessage<'_>> {
    let parsed = (|| {
        let (flag, mut rest) = data.split_first()?;
        match (flag >> 1) & 7 {
            2 => {
                let (mut id, mut shift) = (0_u32, 0_u32);
                loop {
                    let (byte, after) = rest.split_first()?;
                    rest = after;
                    id |= u32::from(byte & 0x7f).checked_shl(shift)?;
                    shift += 7;
                    if byte & 0x80 == 0 {
                        return Some(ServerMessage::Response { id, body: rest });
                    }
                }
            }
            3 => {
                let (len, rest) = if flag & 1 == 1 { (&2, rest) } else { rest.split_first()? };
                let (route, body) = rest.split_at_checked(usize::from(*len))?;
                Some(ServerMessage::Push { route, body })
            }
            _ => None,
        }
    })();
    parsed
        .with_context(|| format!("the server sent a message that is neither response nor push: {data:02x?}"))
}

/// The handshake of this client.
pub(crate) fn handshake() -> Vec<u8> {
    package(HANDSHAKE, br#"{"sys":{"type":"shaddock-bench","version":"1.0.0"},"user":{}}"#)
}

/// A JSON object of exactly `len` bytes; `len` is at least 10.
pub(crate) fn json_body(len: usize) -> Vec<u8> {
    let mut body = br#"{"pad":""#.to_vec();
    body.resize(len.saturating_sub(2).max(body.len()), b'x');
    body.extend_from_slice(br#""}"#);
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_json_of_exactly_the_length_asked_for() {
        for len in [16, 64, 32_768] {
            let body = json_body(len);
            assert_eq!(body.len(), len);
            assert!(serde_json::from_slice::<serde_json::Value>(&body).unwrap()["pad"].is_string());
        }
    }

    #[test]
    fn a_request_has_the_bytes_of_the_protocol() {
        let text =
            Greeting::default().request(1, "gate.gateHandler.queryEntry", b"{\"uid\":\"alice\"}").unwrap();
        assert_eq!(&text[..7], &[4, 0, 0, 0x2d, 0, 1, 0x1b]);
        assert!(text.ends_with(b"queryEntry{\"uid\":\"alice\"}"));
        let offered = br#"{"code":200,"sys":{"heartbeat":3,"dict":{"chat.chatHandler.send":1}}}"#;
        let greeting = Greeting::parse(offered).unwrap();
        assert_eq!(greeting.heartbeat, Some(Duration::from_secs(3)));
        let code = greeting.request(300, "chat.chatHandler.send", b"{}").unwrap();
        assert_eq!(code, [4, 0, 0, 7, 1, 0xac, 2, 0, 1, b'{', b'}']);
    }

    #[test]
    fn a_refused_handshake_is_an_error() {
        assert!(Greeting::parse(br#"{"code":501}"#).is_err());
        assert!(Greeting::parse(b"not json").is_err());
    }

    #[test]
    fn packages_come_off_one_by_one_and_a_cut_one_is_an_error() {
        let mut payload: &[u8] = &[3, 0, 0, 0, 4, 0, 0, 2, 9, 9];
        assert_eq!(take_package(&mut payload).unwrap(), Some((HEARTBEAT, &[][..])));
        assert_eq!(take_package(&mut payload).unwrap(), Some((DATA, &[9, 9][..])));
        assert_eq!(take_package(&mut payload).unwrap(), None);
        assert!(take_package(&mut &[4, 0, 0, 9, 1][..]).is_err());
        assert!(take_package(&mut &[4, 0][..]).is_err());
    }

    #[test]
    fn responses_and_pushes_are_told_apart() {
        let response = server_message(&[4, 0xac, 2, b'{', b'}']).unwrap();
        assert_eq!(response, ServerMessage::Response { id: 300, body: b"{}" });
        let push = |route| ServerMessage::Push { route, body: b"x" };
        assert_eq!(server_message(&[7, 0, 48, b'x']).unwrap(), push(&[0, 48]));
        assert_eq!(server_message(&[6, 1, b'r', b'x']).unwrap(), push(b"r"));
        for bad in [&[][..], &[0, 1], &[4, 0x80], &[6, 9, b'r'], &[4, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]]
        {
            assert!(server_message(bad).is_err(), "{bad:?}");
        }
    }
}
