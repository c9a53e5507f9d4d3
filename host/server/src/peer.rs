//! What servers say to each other, as bodies of cluster messages.
//!
//! A compact binary form, since one request of a client costs one of these each way: a kind byte, then
//! fields; integers little endian, text and bytes with a 32-bit length. Payloads are opaque and are sliced
//! out of the received buffer, never copied. The rare session operations are JSON.

use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize};
use shaddock_engine::types::{Delivery, Failure, Session, SessionId, Setting};
use shaddock_engine::{Chain, Track};

use crate::delivery::Policy;
use crate::selected::Selection;

const FORWARD: u8 = 1;
const RPC: u8 = 2;
const SESSION: u8 = 3;
const REPORTED_PUSH: u8 = 4;
const LEAVING: u8 = 8;
const PUSH: u8 = 16;
const BROADCAST: u8 = 17;
const GOVERNED_PUSH: u8 = 18;
const SELECTED_BROADCAST: u8 = 19;

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
    Forward { session: Arc<Session>, track: Track, route: Arc<str>, body: Bytes },
    /// A call of a remote here.
    Rpc(RpcCall),
    /// An operation on a session held here.
    Session(SessionOp),
    /// The sender has left the member list; answered when nothing is routed to it any more.
    Leaving,
    /// A push message for users connected here; the answer names those who are not.
    Push { policy: Option<Arc<Policy>>, push: PushTo },
}

/// A push message and the users at one frontend who are to get it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct PushTo {
    pub(crate) route: Arc<str>,
    pub(crate) body: Bytes,
    pub(crate) uids: Vec<Arc<str>>,
}

/// Something that is not answered.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Notice {
    /// A push message for users connected here.
    Push(PushTo),
    /// A push message for all sessions, or all bound ones, here.
    Broadcast { route: Arc<str>, body: Bytes, bound_only: bool },
    /// A push message of a channel with a delivery policy.
    GovernedPush { policy: Arc<Policy>, push: PushTo },
    /// A push message for those sessions here that a broadcast filter selects.
    SelectedBroadcast { route: Arc<str>, body: Bytes, selection: Selection },
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
    /// What was decided about versions.
    pub(crate) track: Track,
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
    Address { number: u64 },
    Send { number: u64, route: String, body: String },
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
            Self::Forward { session, track, route, body } => forward(session, *track, route, body),
            Self::Rpc(call) => rpc(call),
            Self::Session(op) => {
                let json = serde_json::to_vec(op).unwrap_or_default();
                let mut out = BytesMut::with_capacity(1 + json.len());
                out.put_u8(SESSION);
                out.put_slice(&json);
                out.freeze()
            }
            Self::Push { policy, push } => {
                let mut out = BytesMut::with_capacity(64 + push.len());
                out.put_u8(REPORTED_PUSH);
                put_policy(&mut out, policy.as_deref());
                push.put(&mut out);
                out.freeze()
            }
            Self::Leaving => Bytes::from_static(&[LEAVING]),
        }
    }

    /// Reads a message of `from`.
    pub(crate) fn decode(from: &Arc<str>, body: Bytes) -> Result<Self, Malformed> {
        let mut reader = Reader(body);
        match reader.u8()? {
            FORWARD => {
                let number = reader.u64()?;
                let track = Track::from_bits(reader.u64()?);
                let uid = if reader.u8()? == 0 { None } else { Some(reader.text()?) };
                let count = reader.u32()?;
                let mut settings = Vec::with_capacity(count.min(64) as usize);
                for _ in 0..count {
                    settings.push(Setting { key: reader.text()?, value: reader.text()? });
                }
                let id = SessionId { frontend_id: Arc::clone(from), number };
                let session = Arc::new(Session { id, uid, settings: settings.into() });
                Ok(Self::Forward { session, track, route: reader.text()?, body: reader.rest() })
            }
            RPC => Ok(Self::Rpc(reader.rpc()?)),
            SESSION => {
                let op =
                    serde_json::from_slice(&reader.rest()).map_err(|_| Malformed("session operation"))?;
                Ok(Self::Session(op))
            }
            REPORTED_PUSH => Ok(Self::Push { policy: reader.policy()?, push: reader.push()? }),
            LEAVING => Ok(Self::Leaving),
            _ => Err(Malformed("kind of request")),
        }
    }
}

impl Notice {
    /// The message's bytes.
    pub(crate) fn encode(&self) -> Bytes {
        match self {
            Self::Push(push) => {
                let mut out = BytesMut::with_capacity(1 + push.len());
                out.put_u8(PUSH);
                push.put(&mut out);
                out.freeze()
            }
            Self::Broadcast { route, body, bound_only } => {
                let mut out = BytesMut::with_capacity(6 + route.len() + body.len());
                out.put_u8(BROADCAST);
                out.put_u8(u8::from(*bound_only));
                put_text(&mut out, route);
                out.put_slice(body);
                out.freeze()
            }
            Self::GovernedPush { policy, push } => {
                let mut out = BytesMut::with_capacity(64 + push.len());
                out.put_u8(GOVERNED_PUSH);
                put_policy(&mut out, Some(policy));
                push.put(&mut out);
                out.freeze()
            }
            Self::SelectedBroadcast { route, body, selection: Selection { bound_only, filter, param } } => {
                let texts = route.len() + filter.len() + param.len();
                let mut out = BytesMut::with_capacity(14 + texts + body.len());
                out.put_u8(SELECTED_BROADCAST);
                out.put_u8(u8::from(*bound_only));
                put_text(&mut out, filter);
                put_text(&mut out, param);
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
            PUSH => Ok(Self::Push(reader.push()?)),
            GOVERNED_PUSH => {
                let policy = reader.policy()?.ok_or(Malformed("push without its policy"))?;
                Ok(Self::GovernedPush { policy, push: reader.push()? })
            }
            SELECTED_BROADCAST => {
                let bound_only = reader.u8()? != 0;
                let selection = Selection { bound_only, filter: reader.text()?, param: reader.text()? };
                Ok(Self::SelectedBroadcast { selection, route: reader.text()?, body: reader.rest() })
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

/// The answer to a client's request, with the tag of the version that gave it; 0: no plugin was asked.
pub(crate) fn encode_forwarded(tag: u64, answer: &Result<Vec<u8>, Failure>) -> Bytes {
    let len = answer.as_ref().map_or_else(|failure| failure.message.len(), Vec::len);
    let mut out = BytesMut::with_capacity(8 + 6 + len);
    out.put_u64_le(tag);
    match answer {
        Ok(payload) => {
            out.put_u8(ANSWERED);
            out.put_slice(payload);
        }
        Err(failure) => put_failure(&mut out, FAILED, failure),
    }
    out.freeze()
}

/// Reads the answer to a client's request, and which version gave it.
pub(crate) fn decode_forwarded(body: Bytes) -> (u64, Result<Bytes, Failure>) {
    let mut reader = Reader(body);
    match reader.u64() {
        Ok(tag) => (tag, decode_answer(reader.rest())),
        Err(malformed) => (0, Err(Failure::new(500, malformed.to_string()))),
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
    put_failure(&mut out, kind, failure);
    out.freeze()
}

fn put_failure(out: &mut BytesMut, kind: u8, failure: &Failure) {
    out.put_u8(kind);
    out.put_u32_le(failure.code);
    out.put_u8(u8::from(failure.retryable));
    out.put_slice(failure.message.as_bytes());
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

fn forward(session: &Session, track: Track, route: &str, body: &[u8]) -> Bytes {
    let settings: usize =
        session.settings.iter().map(|setting| 8 + setting.key.len() + setting.value.len()).sum();
    let uid = session.uid.as_deref();
    let mut out = BytesMut::with_capacity(
        1 + 8 + 8 + 1 + 4 + uid.map_or(0, str::len) + 4 + settings + 4 + route.len() + body.len(),
    );
    out.put_u8(FORWARD);
    out.put_u64_le(session.id.number);
    out.put_u64_le(track.bits());
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
    let mut out = BytesMut::with_capacity(21 + 8 * chain.len() + call.method.len() + call.args.len());
    out.put_u8(RPC);
    out.put_u64_le(call.track.bits());
    out.put_u32_le(call.depth);
    out.put_u32_le(chain.len() as u32);
    for id in chain {
        out.put_u64_le(*id);
    }
    put_text(&mut out, &call.method);
    out.put_slice(&call.args);
    out.freeze()
}

/// The answer to a push: the places, in its list of users, of those who were not reached.
pub(crate) fn encode_unreached(places: &[u32]) -> Bytes {
    let mut out = BytesMut::with_capacity(4 * places.len());
    for place in places {
        out.put_u32_le(*place);
    }
    out.freeze()
}

/// Reads the answer to a push.
pub(crate) fn decode_unreached(body: Bytes) -> Result<Vec<u32>, Malformed> {
    let mut reader = Reader(body);
    let mut places = Vec::with_capacity(reader.0.len() / 4);
    while !reader.0.is_empty() {
        places.push(reader.u32()?);
    }
    Ok(places)
}

impl PushTo {
    fn len(&self) -> usize {
        let users: usize = self.uids.iter().map(|uid| 4 + uid.len()).sum();
        8 + self.route.len() + users + self.body.len()
    }

    fn put(&self, out: &mut BytesMut) {
        put_text(out, &self.route);
        out.put_u32_le(self.uids.len() as u32);
        for uid in &self.uids {
            put_text(out, uid);
        }
        out.put_slice(&self.body);
    }
}

/// A kind byte, what belongs to that kind, and the channel; only the kind byte if there is none.
fn put_policy(out: &mut BytesMut, policy: Option<&Policy>) {
    let Some(Policy { channel, delivery }) = policy else { return out.put_u8(0) };
    match delivery {
        Delivery::Every => out.put_u8(1),
        Delivery::Latest(None) => out.put_u8(2),
        Delivery::Latest(Some(field)) => {
            out.put_u8(3);
            put_text(out, field);
        }
        Delivery::DropOldest(messages_max) => {
            out.put_u8(4);
            out.put_u32_le(*messages_max);
        }
        Delivery::Disconnect => out.put_u8(5),
    }
    put_text(out, channel);
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
        let track = Track::from_bits(self.u64()?);
        let depth = self.u32()?;
        let count = self.u32()?;
        let mut ids = Vec::with_capacity(count.min(64) as usize);
        for _ in 0..count {
            ids.push(self.u64()?);
        }
        let chain = Chain::from_ids(&ids);
        Ok(RpcCall { depth, chain, track, method: self.text()?, args: self.rest() })
    }

    fn push(&mut self) -> Result<PushTo, Malformed> {
        let route = self.text()?;
        let count = self.u32()?;
        let mut uids = Vec::with_capacity(count.min(1024) as usize);
        for _ in 0..count {
            uids.push(self.text()?);
        }
        Ok(PushTo { route, body: self.rest(), uids })
    }

    fn policy(&mut self) -> Result<Option<Arc<Policy>>, Malformed> {
        let delivery = match self.u8()? {
            0 => return Ok(None),
            1 => Delivery::Every,
            2 => Delivery::Latest(None),
            3 => Delivery::Latest(Some(self.text()?.to_string())),
            4 => Delivery::DropOldest(self.u32()?),
            5 => Delivery::Disconnect,
            _ => return Err(Malformed("kind of delivery")),
        };
        Ok(Some(Arc::new(Policy { channel: self.text()?, delivery })))
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
        let (chain, track) = (Chain::from_ids(&[7, 8]), Track::canary(9));
        RpcCall { depth: 3, chain, track, method, args: "[1]".into() }
    }

    fn policy(delivery: Delivery) -> Arc<Policy> {
        Arc::new(Policy { channel: "room".into(), delivery })
    }

    fn push_to() -> PushTo {
        PushTo { route: "onChat".into(), body: "{}".into(), uids: vec!["a".into(), "b".into()] }
    }

    #[test]
    fn requests_come_back_as_they_went() {
        for request in [
            Request::Forward {
                session: Arc::new(session()),
                track: Track::canary(3),
                route: "chat.chatHandler.send".into(),
                body: "{}".into(),
            },
            Request::Forward {
                session: Arc::new(Session { uid: None, settings: Arc::default(), ..session() }),
                track: Track::UNDECIDED,
                route: "a.b.c".into(),
                body: Bytes::new(),
            },
            Request::Rpc(call()),
            Request::Session(SessionOp::Bind { number: 1, uid: "x".into() }),
            Request::Push { policy: None, push: push_to() },
            Request::Push { policy: Some(policy(Delivery::Every)), push: push_to() },
            Request::Leaving,
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
            Notice::Push(push_to()),
            Notice::Broadcast { route: "onNews".into(), body: "1".into(), bound_only: true },
            Notice::Rpc(RpcCall { chain: Chain::default(), ..call() }),
            Notice::GovernedPush { policy: policy(Delivery::Latest(None)), push: push_to() },
            Notice::GovernedPush { policy: policy(Delivery::Latest(Some("id".into()))), push: push_to() },
            Notice::GovernedPush { policy: policy(Delivery::DropOldest(7)), push: push_to() },
            Notice::GovernedPush { policy: policy(Delivery::Disconnect), push: push_to() },
            Notice::SelectedBroadcast {
                route: "onNews".into(),
                body: "1".into(),
                selection: Selection { bound_only: true, filter: "near".into(), param: "{}".into() },
            },
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
        let failure = Failure { code: 404, message: "no such room".into(), retryable: true };
        for answer in [Ok(b"{}".to_vec()), Ok(Vec::new()), Err(failure)] {
            let read = decode_forwarded(encode_forwarded(7, &answer));
            assert_eq!(read, (7, answer.map(Bytes::from)));
        }
        assert_eq!(decode_forwarded(Bytes::new()).1.unwrap_err().code, 500);
    }

    #[test]
    fn the_unreached_come_back_as_they_went() {
        for places in [&[][..], &[0], &[1, 7, u32::MAX]] {
            assert_eq!(decode_unreached(encode_unreached(places)).as_deref(), Ok(places));
        }
        assert!(decode_unreached(Bytes::from_static(&[1, 0, 0])).is_err());
    }

    #[test]
    fn nonsense_is_malformed() {
        let from = Arc::from("c1");
        for bytes in [&[][..], &[99], &[FORWARD, 1], &[RPC, 0, 0, 0, 0, 255, 255, 255, 255], b"\x03not json"]
        {
            assert!(Request::decode(&from, Bytes::copy_from_slice(bytes)).is_err(), "{bytes:?}");
        }
        for bytes in [
            &[][..],
            &[FORWARD],
            &[PUSH, 1, 0, 0, 0, 0xff],
            &[PUSH, 0, 0, 0, 0, 9, 0, 0, 0],
            &[GOVERNED_PUSH, 0],
            &[GOVERNED_PUSH, 9],
        ] {
            assert!(Notice::decode(Bytes::copy_from_slice(bytes)).is_err(), "{bytes:?}");
        }
    }
}
