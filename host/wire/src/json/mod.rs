//! JSON bodies are checked, not parsed: what passes is handed on as the bytes that came.

mod scan;

use crate::text;
use bytes::Bytes;
use scan::{Verdict, check, is_pair_at, is_surrogate, read_unit};

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
            "[1}",
            "{\"a\":1]",
            "1]",
            "1}",
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
