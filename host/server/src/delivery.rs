//! Delivery policies: what becomes of a channel's pushes for a client that does not keep up.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value;
use serde_json::value::RawValue;
use shaddock_engine::types::Delivery;

/// The policy of a channel, as it travels with the channel's pushes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Policy {
    pub(crate) channel: Arc<str>,
    pub(crate) delivery: Delivery,
}

impl Policy {
    /// A label of bounded variety for metrics.
    pub(crate) fn label(&self) -> &'static str {
        match self.delivery {
            Delivery::Every => "every",
            Delivery::Latest(_) => "latest",
            Delivery::DropOldest(_) => "drop_oldest",
            Delivery::Disconnect => "disconnect",
        }
    }
}

/// A channel as a frontend tells it from others: channels of two servers may have one name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Source {
    pub(crate) server_id: Arc<str>,
    pub(crate) channel: Arc<str>,
}

/// Messages that stand for one another under the policy `latest`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Slot {
    source: Source,
    route: Arc<str>,
    /// The value of the policy's field as JSON text; none if the policy or the message has no such field.
    value: Option<Box<str>>,
}

impl Slot {
    /// How many bytes the value takes.
    pub(crate) fn value_len(&self) -> usize {
        self.value.as_ref().map_or(0, |value| value.len())
    }
}

/// One push message under a policy.
#[derive(Debug)]
pub(crate) struct Governed<'a> {
    pub(crate) policy: &'a Policy,
    source: Source,
    route: &'a Arc<str>,
    body: &'a [u8],
    slot: OnceCell<Arc<Slot>>,
}

impl<'a> Governed<'a> {
    /// A push of a server's channel.
    pub(crate) fn new(server_id: &Arc<str>, policy: &'a Policy, route: &'a Arc<str>, body: &'a [u8]) -> Self {
        let source = Source { server_id: Arc::clone(server_id), channel: Arc::clone(&policy.channel) };
        Self { policy, source, route, body, slot: OnceCell::new() }
    }

    /// The channel.
    pub(crate) fn source(&self) -> &Source {
        &self.source
    }

    /// Which waiting messages this one replaces. The body is read when the first slow client needs it, and only
    /// then.
    pub(crate) fn slot(&self, field: Option<&str>) -> &Arc<Slot> {
        self.slot.get_or_init(|| {
            Arc::new(Slot {
                source: self.source.clone(),
                route: Arc::clone(self.route),
                value: field.and_then(|field| field_of(self.body, field)),
            })
        })
    }
}

/// A field of a body as JSON text in a normal form; none if the body is no object with it.
fn field_of(body: &[u8], field: &str) -> Option<Box<str>> {
    let object: HashMap<Cow<'_, str>, &RawValue> = serde_json::from_slice(body).ok()?;
    let value: Value = serde_json::from_str(object.get(field)?.get()).ok()?;
    Some(value.to_string().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_value_of_a_field_is_compared_as_json() {
        assert_eq!(field_of(br#"{"id": 7, "x": [1, 2]}"#, "id").as_deref(), Some("7"));
        assert_eq!(field_of(br#"{"id": "\u0061" }"#, "id"), field_of(br#"{"x":{}, "id":"a"}"#, "id"));
        assert_ne!(field_of(br#"{"id": "7"}"#, "id"), field_of(br#"{"id": 7}"#, "id"));
        for (body, field) in [("{\"id\": 7}", "x"), ("[7]", "id"), ("7", "id"), ("", "id")] {
            assert_eq!(field_of(body.as_bytes(), field), None, "{body}");
        }
    }

    #[test]
    fn a_slot_is_of_one_server_channel_route_and_value() {
        let policy = |channel: &str| Policy { channel: channel.into(), delivery: Delivery::Latest(None) };
        let slot = |server: &str, channel: &str, route: &str, body: &str| {
            let (policy, route) = (policy(channel), Arc::from(route));
            Arc::clone(Governed::new(&server.into(), &policy, &route, body.as_bytes()).slot(Some("id")))
        };
        let one = slot("s1", "room", "onMove", "{\"id\":1}");
        assert_eq!(one, slot("s1", "room", "onMove", "{\"x\":0,\"id\":1}"));
        for other in [
            slot("s2", "room", "onMove", "{\"id\":1}"),
            slot("s1", "hall", "onMove", "{\"id\":1}"),
            slot("s1", "room", "onTurn", "{\"id\":1}"),
            slot("s1", "room", "onMove", "{\"id\":2}"),
            slot("s1", "room", "onMove", "{}"),
        ] {
            assert_ne!(one, other);
        }
    }
}
