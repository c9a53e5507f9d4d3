//! Text as pomelo's clients write and read it.
//!
//! JavaScript clients turn each UTF-16 code unit into bytes of its own, so an astral character (an
//! emoji, say) arrives as two three-byte surrogates (CESU-8), and its four-byte UTF-8 form is garbage
//! to them. Other clients use UTF-8. So: both are read; in JSON an astral character is always sent as an
//! escaped pair, which every client understands; in protobuf strings the form depends on the client.

use bytes::Bytes;
use std::borrow::Cow;

/// How a client wants astral characters in protobuf strings. JSON is the same for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum TextForm {
    /// Four bytes, as the standard says.
    #[default]
    Utf8,
    /// Two surrogates of three bytes each, for clients of type `js-websocket`.
    Cesu8,
}

impl TextForm {
    /// The form for a client that calls itself `client_type` in its handshake.
    pub fn of_client(client_type: Option<&str>) -> Self {
        if client_type == Some("js-websocket") { Self::Cesu8 } else { Self::Utf8 }
    }
}

/// `bytes` as valid UTF-8: surrogate pairs become one character, and each other broken sequence U+FFFD.
/// Bytes that are valid already, the usual case, are handed back as they are.
pub fn repair(bytes: Bytes) -> Bytes {
    match repair_str(&bytes) {
        Cow::Borrowed(_) => bytes,
        Cow::Owned(text) => Bytes::from(text),
    }
}

/// The same as [`repair`], for borrowed bytes.
pub fn repair_str(bytes: &[u8]) -> Cow<'_, str> {
    let mut rest = bytes;
    let mut repaired = String::new();
    loop {
        let (valid, after) = match std::str::from_utf8(rest) {
            Ok(valid) => (valid, None),
            Err(error) => {
                let (valid, broken) = rest.split_at_checked(error.valid_up_to()).unwrap_or((rest, &[]));
                (std::str::from_utf8(valid).unwrap_or_default(), Some((broken, error.error_len())))
            }
        };
        let Some((broken, broken_len)) = after else {
            if repaired.is_empty() && valid.len() == bytes.len() {
                return Cow::Borrowed(valid);
            }
            repaired.push_str(valid);
            return Cow::Owned(repaired);
        };
        repaired.push_str(valid);
        let taken = match read_surrogate_pair(broken) {
            Some(character) => {
                repaired.push(character);
                6
            }
            None => {
                repaired.push(char::REPLACEMENT_CHARACTER);
                // A lone surrogate is one broken character, not three.
                if read_surrogate(broken).is_some() { 3 } else { broken_len.unwrap_or(broken.len()) }
            }
        };
        rest = broken.get(taken..).unwrap_or_default();
    }
}

fn read_surrogate(bytes: &[u8]) -> Option<u32> {
    match bytes.first_chunk::<3>()? {
        [0xed, middle @ 0xa0..=0xbf, low @ 0x80..=0xbf] => {
            Some(0xd000 | (u32::from(middle & 0x3f) << 6) | u32::from(low & 0x3f))
        }
        _ => None,
    }
}

fn read_surrogate_pair(bytes: &[u8]) -> Option<char> {
    let high = read_surrogate(bytes)?;
    let low = read_surrogate(bytes.get(3..)?)?;
    let is_pair = high < 0xdc00 && low >= 0xdc00;
    is_pair.then(|| char::from_u32(0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00)))?
}

/// Whether UTF-8 `text` holds an astral character (one beyond U+FFFF) as bytes.
pub fn has_astral(text: &[u8]) -> bool {
    // Four-byte sequences, and nothing else in UTF-8, start with 0xF0 or more.
    text.iter().any(|byte| *byte >= 0xf0)
}

/// `json` with astral characters as escaped surrogate pairs; borrowed if there are none.
///
/// In JSON such characters stand in strings only, so that the escape is always allowed.
pub fn escape_astral(json: &[u8]) -> Cow<'_, [u8]> {
    if !has_astral(json) {
        return Cow::Borrowed(json);
    }
    let mut escaped = Vec::with_capacity(json.len() + json.len() / 4 + 16);
    for chunk in json.utf8_chunks() {
        for character in chunk.valid().chars() {
            let mut units = [0; 2];
            if let [high, low] = character.encode_utf16(&mut units) {
                escaped.extend_from_slice(format!("\\u{high:04x}\\u{low:04x}").as_bytes());
            } else {
                escaped.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            }
        }
        escaped.extend_from_slice(chunk.invalid());
    }
    Cow::Owned(escaped)
}

/// The bytes of a protobuf string in `form`.
pub(crate) fn encode(text: &str, form: TextForm) -> Cow<'_, [u8]> {
    if form == TextForm::Utf8 || !has_astral(text.as_bytes()) {
        return Cow::Borrowed(text.as_bytes());
    }
    let mut bytes = Vec::with_capacity(text.len() + text.len() / 2);
    for character in text.chars() {
        let mut units = [0; 2];
        if let [high, low] = character.encode_utf16(&mut units) {
            for unit in [*high, *low] {
                bytes.extend([
                    0xe0 | (unit >> 12) as u8,
                    0x80 | ((unit >> 6) & 0x3f) as u8,
                    0x80 | (unit & 0x3f) as u8,
                ]);
            }
        } else {
            bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }
    Cow::Owned(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broken_text_is_repaired() {
        let cases: [(&[u8], &str); 8] = [
            (b"plain", "plain"),
            ("hé中😀".as_bytes(), "hé中😀"),
            (&[0xed, 0xa0, 0xbd, 0xed, 0xb8, 0x80], "😀"),
            (&[b'a', 0xed, 0xa0, 0xbd, 0xed, 0xb8, 0x80, b'b', 0xff, b'c'], "a😀b\u{fffd}c"),
            (&[0xed, 0xa0, 0xbd], "\u{fffd}"),
            (&[0xed, 0xb8, 0x80, 0xed, 0xa0, 0xbd], "\u{fffd}\u{fffd}"),
            (&[0xe4, 0xb8], "\u{fffd}"),
            (&[0xf0, 0x9f, 0x98, b'x'], "\u{fffd}x"),
        ];
        for (bytes, text) in cases {
            assert_eq!(repair_str(bytes), text, "{bytes:x?}");
        }
    }

    #[test]
    fn valid_text_keeps_its_memory() {
        let bytes = Bytes::from("hé中😀".to_owned());
        assert_eq!(repair(bytes.clone()).as_ptr(), bytes.as_ptr());
        assert!(matches!(escape_astral("hé中".as_bytes()), Cow::Borrowed(_)));
    }

    #[test]
    fn astral_characters_take_the_form_of_the_client() {
        assert_eq!(escape_astral("{\"s\":\"a😀中\"}".as_bytes()), "{\"s\":\"a\\ud83d\\ude00中\"}".as_bytes());
        assert_eq!(encode("a😀", TextForm::Utf8), "a😀".as_bytes());
        assert_eq!(encode("a😀", TextForm::Cesu8), &[b'a', 0xed, 0xa0, 0xbd, 0xed, 0xb8, 0x80][..]);
        assert_eq!(repair_str(&encode("a😀中", TextForm::Cesu8)), "a😀中");
    }
}
