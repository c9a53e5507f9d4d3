//! The bytes of the four messages: a big-endian `u32` length, a kind byte, the fields in order; strings
//! behind a length byte.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::Refusal;
use crate::frame::truncated;

/// The longest message before a peer is authenticated, without its length field.
pub(crate) const MESSAGE_BYTES_MAX: usize = 1024;
/// Changed when links change, so that servers of two versions tell each other.
const VERSION: u8 = 1;

const HELLO: u8 = 16;
const CHALLENGE: u8 = 17;
const PROOF: u8 = 18;
const WELCOME: u8 = 19;
const REFUSED: u8 = 20;

pub(crate) type Nonce = [u8; 32];
pub(crate) type Mac = [u8; 32];

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// RPC between two servers.
    Link,
    /// A server's link to the master.
    Server,
    /// A tool's connection to the master.
    Tool,
}

/// The opener's first message.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Hello {
    pub(crate) purpose: Purpose,
    pub(crate) nonce: Nonce,
    /// Random for each run of a process: tells a server that was started anew from one that calls again.
    pub(crate) incarnation: u64,
    /// The last link that the opener had with this acceptor, 0 for none; see `direct::peer`.
    pub(crate) previous: u64,
    pub(crate) id: String,
    pub(crate) server_type: String,
    /// The server that it means to reach; empty for the master.
    pub(crate) to: String,
}

impl Hello {
    /// The name of a link: both sides know it, and no other has it.
    pub(crate) fn link_id(&self) -> u64 {
        let mut nonce = &self.nonce[..];
        nonce.get_u64() | 1
    }
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum AuthMessage {
    Hello(Hello),
    Challenge { nonce: Nonce, asks_token: bool },
    Proof { secret: Mac, token: Option<Mac> },
    Welcome { proof: Mac, incarnation: u64 },
    Refused(Refusal),
}

impl AuthMessage {
    /// The message without its length field; this is also what proofs cover.
    pub(crate) fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(128);
        match self {
            Self::Hello(hello) => {
                out.put_slice(&[HELLO, VERSION, purpose_code(hello.purpose)]);
                out.put_slice(&hello.nonce);
                out.put_u64(hello.incarnation);
                out.put_u64(hello.previous);
                put_text(&mut out, &hello.id);
                put_text(&mut out, &hello.server_type);
                put_text(&mut out, &hello.to);
            }
            Self::Challenge { nonce, asks_token } => {
                out.put_u8(CHALLENGE);
                out.put_slice(nonce);
                out.put_u8(u8::from(*asks_token));
            }
            Self::Proof { secret, token } => {
                out.put_u8(PROOF);
                out.put_slice(secret);
                out.put_slice(token.as_ref().map_or(&[], |token| token));
            }
            Self::Welcome { proof, incarnation } => {
                out.put_u8(WELCOME);
                out.put_slice(proof);
                out.put_u64(*incarnation);
            }
            Self::Refused(refusal) => {
                let (code, text) = refusal.code();
                out.put_slice(&[REFUSED, code]);
                out.put_slice(truncated(text, MESSAGE_BYTES_MAX - 2).as_bytes());
            }
        }
        out.freeze()
    }

    /// Reads one message. `Err` says what is wrong with it.
    pub(crate) fn decode(mut bytes: &[u8]) -> Result<Self, String> {
        let bytes = &mut bytes;
        let kind = bytes.try_get_u8().map_err(|_| "an empty message".to_owned())?;
        let message = match kind {
            HELLO => Self::hello(bytes),
            CHALLENGE => (|| {
                let nonce = take(bytes)?;
                Some(Self::Challenge { nonce, asks_token: bytes.try_get_u8().ok()? != 0 })
            })(),
            PROOF => (|| {
                let secret = take(bytes)?;
                Some(Self::Proof { secret, token: if bytes.is_empty() { None } else { Some(take(bytes)?) } })
            })(),
            WELCOME => (|| {
                let proof = take(bytes)?;
                Some(Self::Welcome { proof, incarnation: bytes.try_get_u64().ok()? })
            })(),
            REFUSED => (|| {
                let code = bytes.try_get_u8().ok()?;
                let refusal = Refusal::from_code(code, std::mem::take(bytes))?;
                Some(Self::Refused(refusal))
            })(),
            other => return Err(format!("a message of unknown kind {other} before it proved the secret")),
        };
        match message {
            Some(message) if bytes.is_empty() => Ok(message),
            _ => Err(format!("a malformed message of kind {kind} before it proved the secret")),
        }
    }

    /// Whether this is the hello of another version of the protocol, whose fields nobody here knows.
    pub(crate) fn is_other_version(bytes: &[u8]) -> bool {
        matches!(bytes, [HELLO, version, ..] if *version != VERSION)
    }

    fn hello(bytes: &mut &[u8]) -> Option<Self> {
        if bytes.try_get_u8().ok()? != VERSION {
            return None;
        }
        Some(Self::Hello(Hello {
            purpose: purpose(bytes.try_get_u8().ok()?)?,
            nonce: take(bytes)?,
            incarnation: bytes.try_get_u64().ok()?,
            previous: bytes.try_get_u64().ok()?,
            id: text(bytes)?,
            server_type: text(bytes)?,
            to: text(bytes)?,
        }))
    }
}

fn purpose_code(purpose: Purpose) -> u8 {
    match purpose {
        Purpose::Link => 1,
        Purpose::Server => 2,
        Purpose::Tool => 3,
    }
}

fn purpose(code: u8) -> Option<Purpose> {
    [Purpose::Link, Purpose::Server, Purpose::Tool].into_iter().find(|purpose| purpose_code(*purpose) == code)
}

/// Ids and types are short (the callers see to it); a longer one would be cut, and the proof would not
/// fit the configured name.
fn put_text(out: &mut BytesMut, text: &str) {
    let text = truncated(text, usize::from(u8::MAX));
    out.put_u8(u8::try_from(text.len()).unwrap_or(u8::MAX));
    out.put_slice(text.as_bytes());
}

fn text(bytes: &mut &[u8]) -> Option<String> {
    let len = usize::from(bytes.try_get_u8().ok()?);
    let (text, rest) = bytes.split_at_checked(len)?;
    *bytes = rest;
    String::from_utf8(text.to_vec()).ok()
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*taken)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_message() -> impl Strategy<Value = AuthMessage> {
        let purpose = prop_oneof![Just(Purpose::Link), Just(Purpose::Server), Just(Purpose::Tool)];
        let hello = (purpose, any::<Nonce>(), any::<u64>(), any::<u64>(), ".{0,20}", ".{0,20}", ".{0,20}");
        prop_oneof![
            hello.prop_map(|(purpose, nonce, incarnation, previous, id, server_type, to)| {
                AuthMessage::Hello(Hello { purpose, nonce, incarnation, previous, id, server_type, to })
            }),
            any::<(Nonce, bool)>()
                .prop_map(|(nonce, asks_token)| AuthMessage::Challenge { nonce, asks_token }),
            any::<(Mac, Option<Mac>)>().prop_map(|(secret, token)| AuthMessage::Proof { secret, token }),
            any::<(Mac, u64)>().prop_map(|(proof, incarnation)| AuthMessage::Welcome { proof, incarnation }),
            ".{0,40}".prop_map(|text| AuthMessage::Refused(Refusal::Registration(text))),
            Just(AuthMessage::Refused(Refusal::WrongSecret)),
        ]
    }

    proptest! {
        #[test]
        fn messages_survive_the_way(message in any_message()) {
            let bytes = message.encode();
            prop_assert!(bytes.len() <= MESSAGE_BYTES_MAX);
            prop_assert_eq!(AuthMessage::decode(&bytes), Ok(message));
        }

        #[test]
        fn no_part_and_no_longer_form_of_a_message_passes_for_it(message in any_message(), cut in 0_usize..200) {
            let bytes = message.encode();
            let cut = cut.min(bytes.len().saturating_sub(1));
            prop_assert_ne!(AuthMessage::decode(&bytes[..cut]), Ok(message.clone()));
            let longer = [&bytes[..], b"x"].concat();
            prop_assert_ne!(AuthMessage::decode(&longer), Ok(message));
        }

        #[test]
        fn any_bytes_decode_or_fail(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = AuthMessage::decode(&bytes);
        }
    }

    /// A lossy reading would take the cut one for the whole: both end in the replacement character.
    #[test]
    fn a_text_that_is_cut_inside_a_character_is_malformed() {
        let bytes = AuthMessage::Refused(Refusal::Registration("\u{fffd}".to_owned())).encode();
        assert!(AuthMessage::decode(&bytes[..bytes.len() - 1]).is_err());
    }

    #[test]
    fn another_version_is_told_apart() {
        assert!(AuthMessage::is_other_version(&[HELLO, VERSION + 1, 99]));
        assert!(!AuthMessage::is_other_version(&[HELLO, VERSION]));
        assert!(!AuthMessage::is_other_version(&[]));
    }
}
