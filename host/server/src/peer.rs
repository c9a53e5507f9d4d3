//! What servers say to each other, as bodies of cluster messages.
//!
//! A compact binary form, since one request of a client costs one of these each way: a kind byte, then
//! fields; integers little endian, text and bytes with a 32-bit length. Payloads are opaque and are sliced
//! out of the received buffer, never copied. The rare session operations are JSON.

use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize};
use shaddock_engine::Chain;
use shaddock_engine::types::{Failure, Session, SessionId, Setting};

const FORWARD: u8 = 1;
const RPC: u8 = 2;
const SESSION: u8 = 3;
const PUSH: u8 = 16;
const BROADCAST: u8 = 17;

const ANSWERED: u8 = 0;
const FAILED: u8 = 1;
const DECLINED: u8 = 2;

/// A message from another server that makes no sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a message of this version: {0}")]
pub(crate) struct Malformed(&'static str);

/// Something to answer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Request {
    /// A client's request or notify for a handler here.
    Forward { session: Arc<Session>, route: Arc<str>, body: Bytes },
    /// A call of a remote here.
    Rpc(RpcCall),
    /// An operation on a session held here.
    Session(SessionOp),
}

/// Something that is not answered.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Notice {
    /// A push message for users connected here.
    Push { route: Arc<str>, body: Bytes, uids: Vec<Arc<str>> },
    /// A push message for all sessions, or all bound ones, here.
    Broadcast { route: Arc<str>, body: Bytes, bound_only: bool },
    /// A call of a remote here whose outcome nobody waits for.
    Rpc(RpcCall),
}

/// A call of a remote.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct RpcCall {
    /// Counts calls within calls.
    pub(crate) depth: u32,
    /// The stateful calls that it is nested in.
    pub(crate) chain: Chain,
    /// `serverType.service.method`.
    pub(crate) method: Arc<str>,
    pub(crate) args: Bytes,
}

/// An operation on a session, from another server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SessionOp {
    Get { number: u64 },
    ByUid { uid: String },
    Bind { number: u64, uid: String },
    Unbind { number: u64, uid: String },
    Push { number: u64, settings: Vec<(String, String)> },
    Kick { number: u64, reason: String },
    KickUid { uid: String, reason: String },
}

/// A session in the answer to a `SessionOp`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SessionState {
    pub(crate) number: u64,
    pub(crate) uid: Option<String>,
    pub(crate) settings: Vec<(String, String)>,
}

/// Settings as they cross between servers, in the form plugins get.
pub(crate) fn settings(pairs: Vec<(String, String)>) -> Vec<Setting> {
    pairs.into_iter().map(|(key, value)| Setting { key: key.into(), value: value.into() }).collect()
}

impl Request {
    /// The message's bytes. A session's frontend is not in it: that is the sender.
    pub(crate) fn encode(&self) -> Bytes {
        match self {
            Self::Forward { session, route, body } => forward(session, route, body),
            Self::Rpc(call) => rpc(call),
            Self::Session(op) => {
                let json = serde_json::to_vec(op).unwrap_or_default();
                let mut out = BytesMut::with_capacity(1 + json.len());
                out.put_u8(SESSION);
                out.put_slice(&json);
                out.freeze()
            }
        }
    }

    /// Reads a message of `from`.
    pub(crate) fn decode(from: &Arc<str>, body: Bytes) -> Result<Self, Malformed> {
        let mut reader = Reader(body);
        match reader.u8()? {
            FORWARD => {
                let number = reader.u64()?;
                let uid = if reader.u8()? == 0 { None } else { Some(reader.text()?) };
                let count = reader.u32()?;
                let mut settings = Vec::with_capacity(count.min(64) as usize);
                for _ in 0..count {
                    settings.push(Setting { key: reader.text()?, value: reader.text()? });
                }
                let id = SessionId { frontend_id: Arc::clone(from), number };
                let session = Arc::new(Session { id, uid, settings: settings.into() });
                Ok(Self::Forward { session, route: reader.text()?, body: reader.rest() })
            }
            RPC => Ok(Self::Rpc(reader.rpc()?)),
            SESSION => {
                let op =
                    serde_json::from_slice(&reader.rest()).map_err(|_| Malformed("session operation"))?;
                Ok(Self::Session(op))
            }
            _ => Err(Malformed("kind of request")),
        }
    }
}

impl Notice {
    /// The message's bytes.
    pub(crate) fn encode(&self) -> Bytes {
        match self {
            Self::Push { route, body, uids } => push(route, body, uids),
            Self::Broadcast { route, body, bound_only } => {
                let mut out = BytesMut::with_capacity(6 + route.len() + body.len());
                out.put_u8(BROADCAST);
                out.put_u8(u8::from(*bound_only));
                put_text(&mut out, route);
                out.put_slice(body);
                out.freeze()
            }
            Self::Rpc(call) => rpc(call),
        }
    }

    /// Reads a message.
    pub(crate) fn decode(body: Bytes) -> Result<Self, Malformed> {
        let mut reader = Reader(body);
        match reader.u8()? {
            PUSH => {
                let route = reader.text()?;
                let count = reader.u32()?;
                let mut uids = Vec::with_capacity(count.min(1024) as usize);
                for _ in 0..count {
                    uids.push(reader.text()?);
                }
                Ok(Self::Push { route, body: reader.rest(), uids })
            }
            BROADCAST => {
                let bound_only = reader.u8()? != 0;
                Ok(Self::Broadcast { route: reader.text()?, body: reader.rest(), bound_only })
            }
            RPC => Ok(Self::Rpc(reader.rpc()?)),
            _ => Err(Malformed("kind of notice")),
        }
    }
}

/// The answer to a request: a payload, or why there is none.
pub(crate) fn encode_answer(answer: &Result<Bytes, Failure>) -> Bytes {
    match answer {
        Ok(payload) => {
            let mut out = BytesMut::with_capacity(1 + payload.len());
            out.put_u8(ANSWERED);
            out.put_slice(payload);
            out.freeze()
        }
        Err(failure) => failure_answer(FAILED, failure),
    }
}

/// A failure for a call that was not begun: its caller may make it anew without harm.
pub(crate) fn encode_declined(failure: &Failure) -> Bytes {
    failure_answer(DECLINED, failure)
}

/// Whether the other server has not begun the call that this answers.
pub(crate) fn is_declined(answer: &[u8]) -> bool {
    answer.first() == Some(&DECLINED)
}

fn failure_answer(kind: u8, failure: &Failure) -> Bytes {
    let mut out = BytesMut::with_capacity(6 + failure.message.len());
    out.put_u8(kind);
    out.put_u32_le(failure.code);
    out.put_u8(u8::from(failure.retryable));
    out.put_slice(failure.message.as_bytes());
    out.freeze()
}

/// Reads an answer.
pub(crate) fn decode_answer(body: Bytes) -> Result<Bytes, Failure> {
    let mut reader = Reader(body);
    let failure = match reader.u8() {
        Ok(ANSWERED) => return Ok(reader.rest()),
        Ok(FAILED | DECLINED) => reader.failure(),
        _ => Err(Malformed("answer")),
    };
    Err(failure.unwrap_or_else(|error| Failure::new(500, error.to_string())))
}

fn forward(session: &Session, route: &str, body: &[u8]) -> Bytes {
    let settings: usize =
        session.settings.iter().map(|setting| 8 + setting.key.len() + setting.value.len()).sum();
    let uid = session.uid.as_deref();
    let mut out = BytesMut::with_capacity(
        1 + 8 + 1 + 4 + uid.map_or(0, str::len) + 4 + settings + 4 + route.len() + body.len(),
    );
    out.put_u8(FORWARD);
    out.put_u64_le(session.id.number);
    out.put_u8(u8::from(uid.is_some()));
    if let Some(uid) = uid {
        put_text(&mut out, uid);
    }
    out.put_u32_le(session.settings.len() as u32);
    for setting in session.settings.iter() {
        put_text(&mut out, &setting.key);
        put_text(&mut out, &setting.value);
    }
    put_text(&mut out, route);
    out.put_slice(body);
    out.freeze()
}

fn rpc(call: &RpcCall) -> Bytes {
    let chain = call.chain.ids();
    let mut out = BytesMut::with_capacity(13 + 8 * chain.len() + call.method.len() + call.args.len());
    out.put_u8(RPC);
    out.put_u32_le(call.depth);
    out.put_u32_le(chain.len() as u32);
    for id in chain {
        out.put_u64_le(*id);
    }
    put_text(&mut out, &call.method);
    out.put_slice(&call.args);
    out.freeze()
}

fn push(route: &str, body: &[u8], uids: &[Arc<str>]) -> Bytes {
    let users: usize = uids.iter().map(|uid| 4 + uid.len()).sum();
    let mut out = BytesMut::with_capacity(9 + route.len() + users + body.len());
    out.put_u8(PUSH);
    put_text(&mut out, route);
    out.put_u32_le(uids.len() as u32);
    for uid in uids {
        put_text(&mut out, uid);
    }
    out.put_slice(body);
    out.freeze()
}

fn put_text(out: &mut BytesMut, text: &str) {
    out.put_u32_le(text.len() as u32);
    out.put_slice(text.as_bytes());
}

/// Takes fields off the front of a message.
struct Reader(Bytes);

impl Reader {
    fn need(&self, len: usize) -> Result<(), Malformed> {
        if self.0.len() < len { Err(Malformed("truncated")) } else { Ok(()) }
    }

    fn u8(&mut self) -> Result<u8, Malformed> {
        self.need(1)?;
        Ok(self.0.get_u8())
    }

    fn u32(&mut self) -> Result<u32, Malformed> {
        self.need(4)?;
        Ok(self.0.get_u32_le())
    }

    fn u64(&mut self) -> Result<u64, Malformed> {
        self.need(8)?;
        Ok(self.0.get_u64_le())
    }

    fn text(&mut self) -> Result<Arc<str>, Malformed> {
        let len = self.u32()? as usize;
        self.need(len)?;
        let text = self.0.split_to(len);
        std::str::from_utf8(&text).map(Arc::from).map_err(|_| Malformed("text that is not UTF-8"))
    }

    fn rpc(&mut self) -> Result<RpcCall, Malformed> {
        let depth = self.u32()?;
        let count = self.u32()?;
        let mut ids = Vec::with_capacity(count.min(64) as usize);
        for _ in 0..count {
            ids.push(self.u64()?);
        }
        Ok(RpcCall { depth, chain: Chain::from_ids(&ids), method: self.text()?, args: self.rest() })
    }

    fn failure(&mut self) -> Result<Failure, Malformed> {
        let code = self.u32()?;
        let retryable = self.u8()? != 0;
        Ok(Failure { code, message: String::from_utf8_lossy(&self.rest()).into_owned(), retryable })
    }

    fn rest(&mut self) -> Bytes {
        std::mem::take(&mut self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session() -> Session {
        Session {
            id: SessionId { frontend_id: "c1".into(), number: 7 },
            uid: Some("alice*1".into()),
            settings: [Setting { key: "rid".into(), value: "\"1\"".into() }].into(),
        }
    }

    fn call() -> RpcCall {
        let method = "chat.chatRemote.add".into();
        RpcCall { depth: 3, chain: Chain::from_ids(&[7, 8]), method, args: "[1]".into() }
    }

    #[test]
    fn requests_come_back_as_they_went() {
        for request in [
            Request::Forward {
                session: Arc::new(session()),
                route: "chat.chatHandler.send".into(),
                body: "{}".into(),
            },
            Request::Forward {
                session: Arc::new(Session { uid: None, settings: Arc::default(), ..session() }),
                route: "a.b.c".into(),
                body: Bytes::new(),
            },
            Request::Rpc(call()),
            Request::Session(SessionOp::Bind { number: 1, uid: "x".into() }),
        ] {
            let from = Arc::from("c1");
            assert_eq!(Request::decode(&from, request.encode()).as_ref(), Ok(&request));
            for cut in 0..request.encode().len().min(12) {
                // a shorter message is malformed or means less, and never panics
                let _ = Request::decode(&from, request.encode().slice(..cut));
            }
        }
    }

    #[test]
    fn notices_come_back_as_they_went() {
        for notice in [
            Notice::Push { route: "onChat".into(), body: "{}".into(), uids: vec!["a".into(), "b".into()] },
            Notice::Broadcast { route: "onNews".into(), body: "1".into(), bound_only: true },
            Notice::Rpc(RpcCall { chain: Chain::default(), ..call() }),
        ] {
            assert_eq!(Notice::decode(notice.encode()).as_ref(), Ok(&notice));
        }
    }

    #[test]
    fn answers_come_back_as_they_went() {
        let failure = Failure { code: 404, message: "no such room".into(), retryable: true };
        for answer in [Ok(Bytes::from("{}")), Ok(Bytes::new()), Err(failure)] {
            assert_eq!(decode_answer(encode_answer(&answer)), answer);
        }
        assert_eq!(decode_answer(Bytes::new()).unwrap_err().code, 500);
    }

    #[test]
    fn nonsense_is_malformed() {
        let from = Arc::from("c1");
        for bytes in [&[][..], &[99], &[FORWARD, 1], &[RPC, 0, 0, 0, 0, 255, 255, 255, 255], b"\x03not json"]
        {
            assert!(Request::decode(&from, Bytes::copy_from_slice(bytes)).is_err(), "{bytes:?}");
        }
        for bytes in [&[][..], &[FORWARD], &[PUSH, 1, 0, 0, 0, 0xff], &[PUSH, 0, 0, 0, 0, 9, 0, 0, 0]] {
            assert!(Notice::decode(Bytes::copy_from_slice(bytes)).is_err(), "{bytes:?}");
        }
    }
}
