//! Reading clientProtos.json and serverProtos.json: schemas of pomelo's protobuf by route.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use crate::json::{Node, quoted};
use crate::problem::Findings;
use crate::spot::Spot;

const SIMPLE: [&str; 6] = ["uInt32", "sInt32", "int32", "float", "double", "string"];
/// A tag and its wire type share a varint of 32 bits.
const TAGS: std::ops::RangeInclusive<u64> = 1..=(1 << 29) - 1;

/// Reads a file: an object, as it stands. What pomelo passes over is a warning.
pub(crate) fn read(file: &Spot<'_>, findings: &mut Findings) -> Value {
    let Some(entries) = file.entries("schemas by route", findings) else { return Value::Object(Map::new()) };
    let shared = messages(file.node);
    for (_, spot) in entries {
        read_message(&spot, &shared, &mut Vec::new(), findings);
    }
    file.node.to_value()
}

/// The names that `"message <Name>"` declares directly in an object.
fn messages(node: &Node) -> BTreeSet<&str> {
    let members = node.members().unwrap_or_default();
    members.iter().filter_map(|member| member.key.strip_prefix("message ")).collect()
}

/// Checks one message. Types are looked up in the messages nested in it, then in `outer` (those of the
/// messages around it), then in those of the file.
fn read_message<'a>(
    spot: &Spot<'a>,
    shared: &BTreeSet<&'a str>,
    outer: &mut Vec<BTreeSet<&'a str>>,
    findings: &mut Findings,
) {
    let Some(lines) = spot.entries("schema lines such as \"required string name\": 1", findings) else {
        return;
    };
    outer.push(messages(spot.node));
    let mut tags: BTreeMap<u64, &str> = BTreeMap::new();
    for (line, spot) in lines {
        let words: Vec<_> = line.split(' ').collect();
        match *words.as_slice() {
            ["message", _] => read_message(&spot, shared, outer, findings),
            ["required" | "optional" | "repeated", kind, name] => {
                let Some(tag) = spot.whole(&TAGS, findings) else { continue };
                if let Some(first) = tags.insert(tag, name) {
                    let found = format!("the tag {tag} is that of \"{first}\" already");
                    findings.warning(spot.place(), found, "passed over, as in pomelo");
                    tags.insert(tag, first);
                    continue;
                }
                let known = SIMPLE.contains(&kind)
                    || shared.contains(kind)
                    || outer.iter().any(|messages| messages.contains(kind));
                if !known {
                    let found = format!("found the type {}", quoted(kind));
                    let allowed =
                        format!("allowed: {}, or a message declared in this file", SIMPLE.join(", "));
                    findings.problem(spot.place(), found, allowed);
                }
            }
            _ => findings.warning(
                spot.place(),
                "no schema line",
                "passed over, as in pomelo; the form is \"required|optional|repeated <type> <name>\"",
            ),
        }
    }
    outer.pop();
}
