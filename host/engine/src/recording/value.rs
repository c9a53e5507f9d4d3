//! Values of the contract as JSON, as recordings have them.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value, json};

use crate::types::{
    Audience, CallOptions, Client, Delivery, Failure, Member, RouteKey, ServerInfo, Session, SessionId,
    Setting, Verdict, Welcome,
};

/// Written into a recording.
pub(crate) trait ToValue {
    fn to_value(&self) -> Value;
}

/// Read from a recording, which people may have edited.
pub(crate) trait FromValue: Sized {
    fn from_value(value: Value) -> Option<Self>;
}

/// A body: a text where it is one, so that recordings can be read, else `{"base64": …}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bytes(pub(crate) Vec<u8>);

impl From<&[u8]> for Bytes {
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.to_value().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = FromValue::from_value(Value::deserialize(deserializer)?);
        let expected = "a body is a text, or {\"base64\": \"…\"}";
        bytes.map(Self).ok_or_else(|| serde::de::Error::custom(expected))
    }
}

impl ToValue for [u8] {
    fn to_value(&self) -> Value {
        match std::str::from_utf8(self) {
            Ok(text) => text.into(),
            Err(_) => json!({ "base64": STANDARD.encode(self) }),
        }
    }
}

impl ToValue for Vec<u8> {
    fn to_value(&self) -> Value {
        self.as_slice().to_value()
    }
}

impl FromValue for Vec<u8> {
    fn from_value(value: Value) -> Option<Self> {
        match value {
            Value::String(text) => Some(text.into_bytes()),
            Value::Object(object) => STANDARD.decode(object.get("base64")?.as_str()?).ok(),
            _ => None,
        }
    }
}

/// Types that serde writes as they are.
macro_rules! by_serde {
    ($($type:ty),* $(,)?) => {$(
        impl ToValue for $type {
            fn to_value(&self) -> Value {
                // None of them has keys that are no texts.
                serde_json::to_value(self).unwrap_or_default()
            }
        }

        impl FromValue for $type {
            fn from_value(value: Value) -> Option<Self> {
                serde_json::from_value(value).ok()
            }
        }
    )*};
}

by_serde!(
    (),
    bool,
    u32,
    u64,
    String,
    Arc<str>,
    Audience,
    CallOptions,
    Client,
    Delivery,
    Failure,
    Member,
    RouteKey,
    ServerInfo,
    Session,
    SessionId,
    Setting,
    Welcome,
);

impl ToValue for str {
    fn to_value(&self) -> Value {
        self.into()
    }
}

impl<T: ToValue + ?Sized> ToValue for &T {
    fn to_value(&self) -> Value {
        (**self).to_value()
    }
}

impl ToValue for Arc<ServerInfo> {
    fn to_value(&self) -> Value {
        (**self).to_value()
    }
}

impl FromValue for Arc<ServerInfo> {
    fn from_value(value: Value) -> Option<Self> {
        ServerInfo::from_value(value).map(Arc::new)
    }
}

impl<T: ToValue> ToValue for Vec<T> {
    fn to_value(&self) -> Value {
        self.iter().map(ToValue::to_value).collect()
    }
}

impl<T: FromValue> FromValue for Vec<T> {
    fn from_value(value: Value) -> Option<Self> {
        let Value::Array(values) = value else { return None };
        values.into_iter().map(T::from_value).collect()
    }
}

impl<T: ToValue> ToValue for Option<T> {
    fn to_value(&self) -> Value {
        self.as_ref().map(ToValue::to_value).unwrap_or_default()
    }
}

impl<T: FromValue> FromValue for Option<T> {
    fn from_value(value: Value) -> Option<Self> {
        if value.is_null() { Some(None) } else { T::from_value(value).map(Some) }
    }
}

impl<A: ToValue, B: ToValue> ToValue for (A, B) {
    fn to_value(&self) -> Value {
        [self.0.to_value(), self.1.to_value()].into_iter().collect()
    }
}

impl<A: FromValue, B: FromValue> FromValue for (A, B) {
    fn from_value(value: Value) -> Option<Self> {
        let Value::Array(values) = value else { return None };
        let [a, b] = <[Value; 2]>::try_from(values).ok()?;
        Some((A::from_value(a)?, B::from_value(b)?))
    }
}

impl<T: ToValue> ToValue for Result<T, Failure> {
    fn to_value(&self) -> Value {
        match self {
            Ok(value) => json!({ "ok": value.to_value() }),
            Err(failure) => json!({ "failure": failure.to_value() }),
        }
    }
}

impl<T: FromValue> FromValue for Result<T, Failure> {
    fn from_value(value: Value) -> Option<Self> {
        let Value::Object(mut object) = value else { return None };
        match (object.remove("ok"), object.remove("failure")) {
            (Some(value), None) => T::from_value(value).map(Ok),
            (None, Some(failure)) => Failure::from_value(failure).map(Err),
            _ => None,
        }
    }
}

impl ToValue for Verdict {
    fn to_value(&self) -> Value {
        match self {
            Verdict::Pass { body, session } => {
                json!({ "pass": { "body": body.to_value(), "session": session } })
            }
            Verdict::Refuse { failure, answer } => {
                json!({ "refuse": { "failure": failure, "answer": answer.to_value() } })
            }
        }
    }
}

/// Whether two values mean the same: texts that are JSON objects or lists may be written in different ways.
pub(crate) fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::String(a), Value::String(b)) => {
            a == b || matches!((structure(a), structure(b)), (Some(a), Some(b)) if same(&a, &b))
        }
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => a.len() == b.len() && fields_are_the_same(a, b),
        _ => a == b,
    }
}

fn fields_are_the_same(a: &Map<String, Value>, b: &Map<String, Value>) -> bool {
    a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
}

fn structure(text: &str) -> Option<Value> {
    let is_one = text.trim_start().starts_with(['{', '[']);
    if is_one { serde_json::from_str(text).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        fn both<T: ToValue + FromValue + PartialEq + std::fmt::Debug>(value: T) {
            let written = serde_json::to_string(&value.to_value()).unwrap();
            assert_eq!(T::from_value(serde_json::from_str(&written).unwrap()), Some(value), "{written}");
        }
        both(b"{\"text\": \"\xc3\xbc\"}".to_vec());
        both(vec![0xffu8, 0x00, 0x01]);
        both(Some(vec![1_u64, u64::MAX]));
        both(None::<Vec<u8>>);
        both(vec![
            (Arc::<str>::from("a-1"), Ok::<Vec<u8>, Failure>(vec![0xfe])),
            ("a-2".into(), Err(Failure::retryable(503, "gone"))),
        ]);
        let id = SessionId { frontend_id: "c-1".into(), number: 7 };
        let settings = [Setting { key: "room".into(), value: "\"lobby\"".into() }].into();
        let session = Session { id: id.clone(), uid: Some("zoe".into()), settings };
        both(session.clone());
        both(RouteKey::Session(Arc::new(session)));
        both(RouteKey::Value("lobby".into()));
        both(Delivery::Latest(Some("id".into())));
        both(Delivery::DropOldest(3));
        assert_eq!(Vec::<u8>::from_value(json!({ "base64": "no!" })), None);
        assert_eq!(Result::<bool, Failure>::from_value(json!({ "ok": 7 })), None);
    }

    #[test]
    fn json_may_be_written_in_different_ways() {
        let same = |a: &str, b: &str| same(&json!({ "ok": a }), &json!({ "ok": b }));
        assert!(same("{\"a\":1,\"b\":[2]}", "{ \"b\": [2], \"a\": 1 }"));
        assert!(!same("{\"a\":1}", "{\"a\":2}"));
        assert!(!same("{\"a\":1}", "{\"a\":1,\"b\":null}"));
        assert!(!same("1.0", "1"), "only what has a structure");
        assert!(!same("[1]", "[1"));
    }
}
