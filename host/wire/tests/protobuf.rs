//! Schemas and bytes that are wrong, or that are read more kindly than one might think.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs, reason = "tests")]

use serde_json::{Value, json};
use shaddock_wire::protobuf::{DEPTH_MAX, Protos};
use shaddock_wire::text::TextForm;

fn protos(lines: &Value) -> Protos {
    Protos::parse(
        &json!({}),
        &json!({"r": lines, "message Node": {"optional Node next": 1, "optional uInt32 n": 2}}),
    )
    .unwrap()
}

/// Encodes `body` by a schema of these lines: the bytes in hex, or why not.
fn encode(lines: &Value, body: &Value) -> String {
    match protos(lines).encode_server("r", body.to_string().as_bytes(), TextForm::Utf8).unwrap() {
        Ok(bytes) => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
        Err(mismatch) => mismatch.to_string(),
    }
}

/// Decodes bytes by a schema of these lines: the JSON, or why not.
fn decode(lines: &Value, bytes: &[u8]) -> String {
    match protos(lines).decode_server("r", bytes) {
        Ok(json) => String::from_utf8(json).unwrap(),
        Err(error) => error.to_string().split_once("decoded: ").unwrap().1.to_owned(),
    }
}

#[test]
fn values_are_taken_as_pomelo_takes_them() {
    let cases = [
        (json!({"optional uInt32 a": 1}), json!({"a": 3.9, "b": 1}), "0803"),
        (json!({"optional uInt32 a": 1}), json!({"a": "300 coins"}), "08ac02"),
        (json!({"optional sInt32 a": 1}), json!({"a": "-2"}), "0803"),
        (json!({"optional int32 a": 1}), json!({"a": -1}), "0801"),
        (json!({"optional float a": 1}), json!({"a": "1.5"}), "0d0000c03f"),
        (json!({"optional uInt32 a": 0}), json!({"a": 1}), "0001"),
        (json!({"optional uInt32 a": 268_435_455}), json!({"a": 1}), "f8ffffff0701"),
        (json!({"optional uInt32 a": 1, "optional uInt32 b": 2}), json!({"b": 1, "a": 2}), "10010802"),
        (json!({"repeated uInt32 a": 1, "repeated string b": 2}), json!({"a": [], "b": []}), ""),
        (json!({"repeated string b": 2}), json!({"b": ["x", ""]}), "1201781200"),
        (json!({"optional Node a": 1}), json!({"a": {"next": {"n": 1}}}), "0a040a021001"),
        // Absent, as a `None` in a typed language is written.
        (json!({"optional uInt32 a": 1, "repeated Node b": 2}), json!({"a": null, "b": null}), ""),
        (json!({"optional uInt32 a": 1}), json!({}), ""),
    ];
    for (lines, body, expect) in cases {
        assert_eq!(encode(&lines, &body), expect, "{lines} {body}");
    }
}

#[test]
fn values_that_do_not_fit_say_where_and_why() {
    let nested = json!({"repeated In a": 1, "message In": {"required uInt32 n": 1}});
    let cases = [
        (json!({"required uInt32 a": 1}), json!({}), "field a: is required but missing"),
        (json!({"required uInt32 a": 1}), json!({"a": null}), "field a: is required but missing"),
        (nested.clone(), json!({"a": [{"n": 1}, {}]}), "field a.n: is required but missing"),
        (nested.clone(), json!({"a": [1]}), "field a: a number stands where an object belongs"),
        (nested, json!({"a": {"n": 1}}), "field a: an object stands where a list belongs"),
        (json!({}), json!([1]), "a list stands where an object belongs"),
        (json!({}), json!("x"), "a string stands where an object belongs"),
        (
            json!({"optional uInt32 a": 1}),
            json!({"a": -1}),
            "field a: -1 stands where a whole number of 0 to 2^53 belongs",
        ),
        (
            json!({"optional sInt32 a": 1}),
            json!({"a": 1e300}),
            "field a: 1e+300 stands where a whole number of -2^52 to 2^52 belongs",
        ),
        (
            json!({"optional double a": 1}),
            json!({"a": true}),
            "field a: a boolean stands where a number belongs",
        ),
        (json!({"optional string a": 1}), json!({"a": 5}), "field a: 5 stands where a string belongs"),
        (
            json!({"repeated string a": 1}),
            json!({"a": [null]}),
            "field a: null stands where a string belongs",
        ),
    ];
    for (lines, body, expect) in cases {
        assert_eq!(encode(&lines, &body), expect, "{lines} {body}");
    }
}

#[test]
fn bytes_are_read_as_pomelo_reads_them() {
    let cases: [(Value, &[u8], &str); 7] = [
        (json!({"optional uInt32 a": 1}), &[0x08, 1, 0x08, 2], r#"{"a":2}"#),
        // The wire type (here 5 instead of 0) does not count.
        (json!({"optional uInt32 a": 1}), &[0x0d, 1], r#"{"a":1}"#),
        (json!({"optional uInt32 a": 1}), &[0x08, 0x81, 0x00], r#"{"a":1}"#),
        (json!({"repeated uInt32 a": 1}), &[0x08, 2, 1, 2, 0x08, 1, 3], r#"{"a":[1,2,3]}"#),
        (json!({"optional float a": 1}), &[0x0d, 0, 0, 0xc0, 0x7f], r#"{"a":null}"#),
        (json!({"optional double a": 1}), &[0x09, 0, 0, 0, 0, 0, 0, 0, 0x80], r#"{"a":-0.0}"#),
        (json!({"optional string a": 1}), &[0x0a, 2, 0xff, b'x'], "{\"a\":\"\u{fffd}x\"}"),
    ];
    for (lines, bytes, expect) in cases {
        assert_eq!(decode(&lines, bytes), expect, "{bytes:?}");
    }
}

#[test]
fn bytes_that_do_not_follow_the_schema_say_where_and_why() {
    let cases: [(Value, &[u8], &str); 9] = [
        (json!({"optional uInt32 a": 1}), &[0x10], "unknown tag 2 at byte 0"),
        (json!({"optional uInt32 a": 1}), &[0x08], "it ends inside an integer, field a at byte 0"),
        (json!({"optional uInt32 a": 1}), &[0x80], "it ends inside an integer"),
        (
            json!({"optional uInt32 a": 1}),
            &[8, 255, 255, 255, 255, 255, 255, 255, 127],
            "an integer is over 2^53, field a at byte 0",
        ),
        (json!({"optional double a": 1}), &[0x09, 1, 2], "it ends inside a number, field a at byte 0"),
        (
            json!({"optional string a": 1}),
            &[0x0a, 5, b'x'],
            "a length of 5 is announced, 1 bytes are left, field a at byte 0",
        ),
        (
            json!({"optional string a": 1}),
            &[0x0a, 2, b'x'],
            "a length of 2 is announced, 1 bytes are left, field a at byte 0",
        ),
        (
            json!({"repeated double a": 1}),
            &[0x09, 0xff, 0xff, 0xff, 0x7f, 0],
            "268435455 elements are announced, 1 bytes are left, field a at byte 0",
        ),
        // A nested message ends where it says, not where the bytes do.
        (json!({"optional Node a": 1}), &[0x0a, 1, 0x10, 1], "it ends inside an integer, field n at byte 2"),
    ];
    for (lines, bytes, expect) in cases {
        assert_eq!(decode(&lines, bytes), expect, "{bytes:?}");
    }
}

#[test]
fn nesting_is_bounded_both_ways() {
    let lines = json!({"optional Node a": 1});
    let nested = |depth: usize| (1..depth).fold(json!({}), |inner, _| json!({ "next": inner }));
    let at_limit = json!({"a": nested(DEPTH_MAX)});
    let bytes =
        protos(&lines).encode_server("r", at_limit.to_string().as_bytes(), TextForm::Utf8).unwrap().unwrap();
    assert_eq!(decode(&lines, &bytes), at_limit.to_string());
    let too_deep = json!({"a": nested(DEPTH_MAX + 1)});
    assert!(encode(&lines, &too_deep).ends_with("messages nest deeper than 32"));
    let bytes = [&[0x0a, u8::try_from(bytes.len()).unwrap()][..], &bytes].concat();
    assert!(decode(&lines, &bytes).starts_with("messages nest deeper than 32"));
}

#[test]
fn lines_that_pomelo_skips_are_skipped_and_named() {
    let lines = json!({"required uInt32 a": 1, "optional string b": 1, "required  string c": 2, "# note": 0, "message A B": {}});
    let skipped = [
        "serverProtos: r: optional string b: tag 1 is in use already",
        "serverProtos: r: required  string c: is neither \"required|optional|repeated <type> <name>\" nor \"message <Name>\"",
        "serverProtos: r: # note: is neither \"required|optional|repeated <type> <name>\" nor \"message <Name>\"",
        "serverProtos: r: message A B: is neither \"required|optional|repeated <type> <name>\" nor \"message <Name>\"",
    ];
    assert_eq!(protos(&lines).skipped(), skipped);
    assert_eq!(encode(&lines, &json!({"a": 1, "b": "x", "c": "y"})), "0801");
}

#[test]
fn schemas_that_cannot_work_are_refused() {
    let cases = [
        (json!([]), "protobuf schema, clientProtos: must be an object of routes"),
        (json!({"r": 1}), "protobuf schema, clientProtos: r: must be an object of fields"),
        (
            json!({"r": {"required uInt32 a": "1"}}),
            "protobuf schema, clientProtos: r: required uInt32 a: the tag is \"1\"; a whole number of 0 to 268435455 is allowed",
        ),
        (
            json!({"r": {"required uInt32 a": 268_435_456}}),
            "protobuf schema, clientProtos: r: required uInt32 a: the tag is 268435456; a whole number of 0 to 268435455 is allowed",
        ),
        (
            json!({"r": {"message M": {"optional bool a": 1}}}),
            "protobuf schema, clientProtos: r: message M: a: unknown type \"bool\"; uInt32, sInt32, int32, float, double, string \
             and the messages of this schema or of the file's root are allowed",
        ),
        (
            json!({"r": {"required string __tags": 1}}),
            "protobuf schema, clientProtos: r: required string __tags: the field names __messages and __tags are taken",
        ),
    ];
    for (schema, expect) in cases {
        assert_eq!(Protos::parse(&schema, &json!({})).unwrap_err().to_string(), expect);
    }
}

#[test]
fn versions_follow_the_order_of_javascript() {
    // The version is the one that pomelo-protobuf 0.4.0 leads to: keys like array indices come first.
    let schema = json!({
        "z.z.z": {
            "optional string b": 20, "optional string 10": 3, "optional string 9": 7, "message 2": {"required uInt32 n": 1},
            "message A": {}, "message 1": {}, "optional 2 c": 1
        },
        "7": {"optional float x": 2, "optional float y": 1}
    });
    assert_eq!(Protos::parse(&Value::Null, &schema).unwrap().version(), "S6Meyh7gPwZS/sdkE9W0aA==");
}
