//! JSON bodies are checked, not parsed: what passes is handed on as the bytes that came.

use crate::text;
use bytes::Bytes;

/// How deep arrays and objects may nest: as deep as serde_json, and so a plugin, reads by default.
pub const DEPTH_MAX: u32 = 127;

/// What a client's JSON body counts as: itself if it is JSON, and `{}` if it is empty, `null`, nested
/// deeper than [`DEPTH_MAX`], or no JSON at all. Broken text is repaired, see [`text::repair`]; so is half
/// an escaped surrogate pair (`"\ud83d"`), which JavaScript writes and nobody else reads.
pub fn accept_body(body: Bytes) -> Bytes {
    let body = text::repair(body);
    match check(&body) {
        Verdict::Json if body.trim_ascii() == b"null" => EMPTY_OBJECT,
        Verdict::Json => body,
        Verdict::LoneSurrogates => Bytes::from(replace_lone_surrogates(&body)),
        Verdict::NotJson => EMPTY_OBJECT,
    }
}

/// Whether `bytes` are JSON in UTF-8, at most [`DEPTH_MAX`] deep, whose strings can all be read.
pub fn is_json(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok() && check(bytes) == Verdict::Json
}

/// Whether valid `json` holds an escaped surrogate, and so perhaps an astral character without its bytes.
pub fn has_escaped_surrogate(json: &[u8]) -> bool {
    json.windows(4)
        .any(|window| matches!(window, [b'\\', b'u', b'd' | b'D', b'8' | b'9' | b'a'..=b'f' | b'A'..=b'F']))
}

/// Parses `json` into a value, with U+FFFD for halves of surrogate pairs.
pub(crate) fn parse(json: &[u8]) -> Result<serde_json::Value, String> {
    serde_json::from_slice(json).or_else(|error| match check(json) {
        Verdict::LoneSurrogates => {
            serde_json::from_slice(&replace_lone_surrogates(json)).map_err(|error| error.to_string())
        }
        Verdict::Json | Verdict::NotJson => Err(error.to_string()),
    })
}

const EMPTY_OBJECT: Bytes = Bytes::from_static(b"{}");

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Json,
    /// JSON, but some strings hold half a surrogate pair.
    LoneSurrogates,
    NotJson,
}

/// Checks the grammar of RFC 8259 in one pass, without recursion and without memory of its own.
fn check(bytes: &[u8]) -> Verdict {
    let mut scanner = Scanner { bytes, at: 0, lone_surrogates: false };
    match scanner.document() {
        None => Verdict::NotJson,
        Some(()) if scanner.lone_surrogates => Verdict::LoneSurrogates,
        Some(()) => Verdict::Json,
    }
}

struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
    lone_surrogates: bool,
}

/// What may stand at the current place.
enum Expect {
    Value,
    /// After `[`.
    ValueOrEnd,
    /// After `{`.
    KeyOrEnd,
    /// After a comma in an object.
    Key,
    /// After a value.
    Next,
}

/// The containers around the current place: one bit each, set for an object.
struct Stack {
    objects: u128,
    depth: u32,
}

impl Stack {
    fn open(&mut self, object: bool) -> Option<()> {
        self.depth += 1;
        self.objects = self.objects << 1 | u128::from(object);
        (self.depth <= DEPTH_MAX).then_some(())
    }

    fn close(&mut self, object: bool) -> Option<()> {
        let matches = self.depth > 0 && self.in_object() == object;
        self.depth = self.depth.saturating_sub(1);
        self.objects >>= 1;
        matches.then_some(())
    }

    fn in_object(&self) -> bool {
        self.objects & 1 == 1
    }
}

impl Scanner<'_> {
    fn document(&mut self) -> Option<()> {
        let mut stack = Stack { objects: 0, depth: 0 };
        let mut expect = Expect::Value;
        loop {
            self.skip_space();
            if matches!(expect, Expect::Next) && stack.depth == 0 {
                return (self.at == self.bytes.len()).then_some(());
            }
            let byte = self.take()?;
            expect = match (expect, byte) {
                (Expect::Value | Expect::ValueOrEnd, b'{') => {
                    stack.open(true)?;
                    Expect::KeyOrEnd
                }
                (Expect::Value | Expect::ValueOrEnd, b'[') => {
                    stack.open(false)?;
                    Expect::ValueOrEnd
                }
                (Expect::ValueOrEnd | Expect::Next, b']') => {
                    stack.close(false)?;
                    Expect::Next
                }
                (Expect::KeyOrEnd | Expect::Next, b'}') => {
                    stack.close(true)?;
                    Expect::Next
                }
                (Expect::Value | Expect::ValueOrEnd, first) => {
                    self.scalar(first)?;
                    Expect::Next
                }
                (Expect::KeyOrEnd | Expect::Key, b'"') => {
                    self.string()?;
                    self.skip_space();
                    self.expect(b":")?;
                    Expect::Value
                }
                (Expect::Next, b',') if stack.in_object() => Expect::Key,
                (Expect::Next, b',') => Expect::Value,
                _ => return None,
            };
        }
    }

    fn scalar(&mut self, first: u8) -> Option<()> {
        match first {
            b'"' => self.string(),
            b'-' => {
                let first = self.take()?;
                self.number(first)
            }
            b'0'..=b'9' => self.number(first),
            b't' => self.expect(b"rue"),
            b'f' => self.expect(b"alse"),
            b'n' => self.expect(b"ull"),
            _ => None,
        }
    }

    fn number(&mut self, first: u8) -> Option<()> {
        match first {
            b'0' => {}
            b'1'..=b'9' => self.skip_digits(),
            _ => return None,
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        Some(())
    }

    fn digits(&mut self) -> Option<()> {
        self.take().filter(u8::is_ascii_digit)?;
        self.skip_digits();
        Some(())
    }

    fn skip_digits(&mut self) {
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
    }

    /// The rest of a string, after its opening quote.
    fn string(&mut self) -> Option<()> {
        loop {
            let rest = self.bytes.get(self.at..)?;
            self.at += rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20))?;
            match self.take()? {
                b'"' => return Some(()),
                b'\\' => self.escape()?,
                _ => return None,
            }
        }
    }

    fn escape(&mut self) -> Option<()> {
        match self.take()? {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => {}
            b'u' => {
                let unit = read_unit(self.bytes, self.at)?;
                self.at += 4;
                if is_surrogate(unit) {
                    let pair = is_pair_at(self.bytes, self.at - 6);
                    self.lone_surrogates |= !pair;
                    self.at += if pair { 6 } else { 0 };
                }
            }
            _ => return None,
        }
        Some(())
    }

    fn expect(&mut self, text: &[u8]) -> Option<()> {
        let found = self.bytes.get(self.at..)?.starts_with(text);
        self.at += text.len();
        found.then_some(())
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn take(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }
}

/// The four hex digits at `at`.
fn read_unit(bytes: &[u8], at: usize) -> Option<u16> {
    let digits = bytes.get(at..at.checked_add(4)?)?;
    digits.iter().try_fold(0, |unit: u16, digit| {
        let digit = char::from(*digit).to_digit(16)?;
        Some(unit << 4 | u16::try_from(digit).ok()?)
    })
}

fn is_surrogate(unit: u16) -> bool {
    (0xd800..0xe000).contains(&unit)
}

/// Whether the escape at `at` (at its backslash) and the one after it are a surrogate pair.
fn is_pair_at(bytes: &[u8], at: usize) -> bool {
    let high = read_unit(bytes, at + 2).is_some_and(|unit| (0xd800..0xdc00).contains(&unit));
    let follows = bytes.get(at + 6..).is_some_and(|rest| rest.starts_with(b"\\u"));
    high && follows && read_unit(bytes, at + 8).is_some_and(|unit| (0xdc00..0xe000).contains(&unit))
}

/// Valid `json` with U+FFFD for each half of a surrogate pair.
fn replace_lone_surrogates(json: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(json.len());
    let mut at = 0;
    while let Some(byte) = json.get(at) {
        // In valid JSON a backslash stands in strings only, and starts an escape.
        let len = match (byte, json.get(at + 1)) {
            (b'\\', Some(b'u')) if is_pair_at(json, at) => 12,
            (b'\\', Some(b'u')) if read_unit(json, at + 2).is_some_and(is_surrogate) => {
                out.extend_from_slice(b"\\ufffd");
                at += 6;
                continue;
            }
            (b'\\', _) => 2,
            _ => 1,
        };
        let end = json.len().min(at + len);
        out.extend_from_slice(json.get(at..end).unwrap_or_default());
        at = end;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_body(body: &str, expect: &str) {
        assert_eq!(accept_body(Bytes::from(body.to_owned())), expect.as_bytes(), "{body}");
    }

    #[test]
    fn json_passes_as_it_is() {
        let cases = [
            "{}",
            "[]",
            "0",
            "-0.5e+10",
            "1E9",
            "\"\"",
            "true",
            "false",
            " [ 1 , {\"a\" : [ null ] } ]\r\n\t",
            "[[],{}]",
            "{\"a\":{},\"a\":[]}",
            "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\"",
            "{\"s\":\"中😀\"}",
            "1e999",
            "\"\\ud83d\\ude00\"",
            "\"\u{7f}\"",
        ];
        for case in cases {
            check_body(case, case);
        }
    }

    #[test]
    fn what_is_no_json_is_an_empty_object() {
        let cases = [
            "",
            " ",
            "null",
            " null ",
            "{",
            "}",
            "[}",
            "{]",
            "[1,]",
            "{\"a\":1,}",
            "{a:1}",
            "[1 2]",
            "01",
            "-",
            "1.",
            ".5",
            "1e",
            "+1",
            "nul",
            "nulll",
            "\"",
            "\"\\\"",
            "\"\\x\"",
            "\"\\u12\"",
            "\"\n\"",
            "{}{}",
            "{\"a\"}",
            "{\"a\" 1}",
            "{,}",
            "[,]",
            "{\"a\":}",
            "tru",
            "\u{feff}{}",
            "'a'",
            "]",
            ",",
        ];
        for case in cases {
            check_body(case, "{}");
        }
        assert_eq!(accept_body(Bytes::from_static(&[b'"', 0xff, b'"'])), "\"\u{fffd}\"");
    }

    #[test]
    fn nesting_ends_where_plugins_stop_reading() {
        let nested = |depth| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        check_body(&nested(127), &nested(127));
        check_body(&nested(128), "{}");
        check_body(&nested(100_000), "{}");
        assert!(serde_json::from_str::<serde_json::Value>(&nested(127)).is_ok());
        assert!(serde_json::from_str::<serde_json::Value>(&nested(128)).is_err());
    }

    #[test]
    fn half_surrogate_pairs_become_replacement_characters() {
        check_body(r#"["\ud83d"]"#, r#"["\ufffd"]"#);
        check_body(r#"["\uDE00\ud83d\uDE00\ud83d\\"]"#, r#"["\ufffd\ud83d\uDE00\ufffd\\"]"#);
        check_body(r#""\\ud83d \ud83d\u0041""#, r#""\\ud83d \ufffd\u0041""#);
    }

    #[test]
    fn escaped_surrogates_are_seen() {
        assert!(has_escaped_surrogate(br#""\uD83d\uDE00""#));
        assert!(!has_escaped_surrogate(br#""\ud7ff\u00e9 d83d""#));
    }
}
