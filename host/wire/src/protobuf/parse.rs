//! From a schema file to pomelo's parsed form, the one that clients get and that is hashed.
//!
//! `{"required string msg": 1, "message X": {…}}` becomes `{"msg": {"option": "required", "type": "string",
//! "tag": 1}, "__messages": {"X": {…}}, "__tags": {"1": "msg"}}`, keys in JavaScript's order.

use crate::{WireError, js_order};
use serde_json::{Map, Value, json};

/// The largest tag: with the wire type it must fit the 31 bits of a JavaScript shift.
pub(super) const TAG_MAX: u64 = (1 << 28) - 1;

/// Parses the file of one side; lines that pomelo skips are noted in `skipped`.
pub(super) fn parse(
    side: &str,
    file: &Value,
    skipped: &mut Vec<String>,
) -> Result<Map<String, Value>, WireError> {
    let routes = match file {
        Value::Null => return Ok(Map::new()),
        Value::Object(routes) => routes,
        _ => return Err(bad(side, "must be an object of routes")),
    };
    let mut parsed = Map::new();
    for (route, lines) in routes {
        let path = format!("{side}: {route}");
        parsed.insert(route.clone(), parse_message(&path, lines, skipped)?);
    }
    Ok(js_order::sorted(parsed))
}

fn bad(path: &str, reason: &str) -> WireError {
    WireError::BadSchema { path: path.to_owned(), reason: reason.to_owned() }
}

fn parse_message(path: &str, lines: &Value, skipped: &mut Vec<String>) -> Result<Value, WireError> {
    let lines = lines.as_object().ok_or_else(|| bad(path, "must be an object of fields"))?;
    let (mut fields, mut messages, mut tags) = (Map::new(), Map::new(), Map::new());
    for (line, value) in lines {
        let path = format!("{path}: {line}");
        let words: Vec<&str> = line.split(' ').collect();
        match words.as_slice() {
            ["message", name] => {
                messages.insert((*name).to_owned(), parse_message(&path, value, skipped)?);
            }
            ["required" | "optional" | "repeated", _, "__messages" | "__tags"] => {
                return Err(bad(&path, "the field names __messages and __tags are taken"));
            }
            [option @ ("required" | "optional" | "repeated"), kind, name] => {
                let tag = read_tag(&path, value)?;
                if tags.contains_key(&tag.to_string()) {
                    skipped.push(format!("{path}: tag {tag} is in use already"));
                    continue;
                }
                fields.insert((*name).to_owned(), json!({"option": option, "type": kind, "tag": tag}));
                tags.insert(tag.to_string(), (*name).into());
            }
            _ => skipped.push(format!(
                "{path}: is neither \"required|optional|repeated <type> <name>\" nor \"message <Name>\""
            )),
        }
    }
    let mut parsed = js_order::sorted(fields);
    parsed.insert("__messages".to_owned(), Value::Object(js_order::sorted(messages)));
    parsed.insert("__tags".to_owned(), Value::Object(js_order::sorted(tags)));
    Ok(Value::Object(parsed))
}

fn read_tag(path: &str, value: &Value) -> Result<u64, WireError> {
    value
        .as_u64()
        .filter(|tag| *tag <= TAG_MAX)
        .ok_or_else(|| bad(path, &format!("the tag is {value}; a whole number of 0 to {TAG_MAX} is allowed")))
}
