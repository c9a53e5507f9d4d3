//! Route functions, and the hash that picks a server for a text.

use std::borrow::Cow;

use crate::{Result, Server, Session, fail};

/// What a route function decides by: the session of a request, or what the caller of an RPC gave.
#[derive(Clone, Debug)]
pub enum RouteKey {
    /// The session; of a request, or of a caller that named its session.
    Session(Session),
    /// The caller's own text.
    Value(String),
}

impl RouteKey {
    /// A setting of the session as text: a string without its quotes, else the JSON. `None` if it was never set or
    /// is `null`, or if there is no session.
    pub fn setting(&self, name: &str) -> Option<Cow<'_, str>> {
        let RouteKey::Session(session) = self else { return None };
        let json = session.json(name)?;
        if !json.starts_with('"') {
            return Some(Cow::Borrowed(json));
        }
        serde_json::from_str::<String>(json).ok().map(Cow::Owned)
    }

    /// The caller's own text, or else that setting of the session; empty if there is neither.
    pub fn text(&self, setting: &str) -> Cow<'_, str> {
        match self {
            RouteKey::Value(text) => Cow::Borrowed(text),
            RouteKey::Session(_) => self.setting(setting).unwrap_or_default(),
        }
    }
}

/// The server that a route function picks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// By its position in the list that the function got.
    Index(u32),
    /// By its id.
    Id(String),
}

impl Target {
    /// The server that [`pick`] picks; an error (503) if there is none.
    pub fn hashed(key: &str, servers: &[Server]) -> Result<Self> {
        position(key, servers.len()).map_or_else(
            || Err(fail(503, "no server of the type is up").retryable()),
            |index| Ok(Target::Index(index as u32)),
        )
    }
}

/// The one of `from` that a key's hash names: `|crc32(key)| % n`, so that the same key finds the same one for as
/// long as the list stays the same. `None` if there is none.
pub fn pick<'a, T>(key: &str, from: &'a [T]) -> Option<&'a T> {
    position(key, from.len()).and_then(|index| from.get(index))
}

fn position(key: &str, len: usize) -> Option<usize> {
    (crc32(key).unsigned_abs() as usize).checked_rem(len)
}

/// The hash of pomelo's dispatchers: CRC-32 over the low byte of each UTF-16 unit, as a signed number.
pub fn crc32(text: &str) -> i32 {
    const TABLE: [u32; 256] = table();
    let mut crc = !0u32;
    for unit in text.encode_utf16() {
        let entry = TABLE.get(usize::from((crc as u8) ^ (unit as u8))).copied().unwrap_or_default();
        crc = (crc >> 8) ^ entry;
    }
    !crc as i32
}

#[expect(clippy::indexing_slicing, reason = "evaluated by the compiler")]
const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut i = 0;
    while i < 256 {
        let mut crc = i as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg());
            bit += 1;
        }
        table[i] = crc;
        i += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crc32_is_that_of_pomelo() {
        assert_eq!(crc32(""), 0);
        assert_eq!(crc32("123456789"), 0xCBF4_3926_u32 as i32);
        // two UTF-16 units with the low bytes 0x2d and 0x87
        assert_eq!(crc32("\u{4e2d}\u{6587}"), crc32("\u{2d}\u{87}"));
    }

    #[test]
    fn the_same_key_finds_the_same_server() {
        let three = ["a", "b", "c"];
        for key in ["alice", "bob", "room1", "中文"] {
            let expected = three.get(crc32(key).unsigned_abs() as usize % 3);
            assert_eq!(pick(key, &three), expected);
        }
        assert_eq!(pick::<u8>("alice", &[]), None);
        assert_eq!(Target::hashed("alice", &[]).map_err(|e| e.code), Err(503));
    }

    #[test]
    fn a_key_is_a_setting_or_the_text_itself() {
        let settings = [("rid", "\"lobby\""), ("area", "7"), ("gone", "null")];
        let session = RouteKey::Session(Session::made_up("connector-1", 1, None, &settings));
        assert_eq!(session.text("rid"), "lobby");
        assert_eq!(session.text("area"), "7");
        assert_eq!(session.text("gone"), "");
        assert_eq!(session.setting("gone"), None);
        assert_eq!(session.setting("nothing"), None);
        let value = RouteKey::Value("lobby".into());
        assert_eq!(value.text("rid"), "lobby");
        assert_eq!(value.setting("rid"), None);
    }
}
