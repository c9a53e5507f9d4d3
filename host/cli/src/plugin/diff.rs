//! What two versions offer, import and weigh differently.

use serde_json::{Map, Value, json};
use shaddock_master::control::{Compared, KnownVersion};
use shaddock_rollout::{Part, Summary};

/// For people: a line per thing, `-` only the first has it, `+` only the second.
pub(super) fn text(compared: &Compared) -> String {
    let Compared { a, b } = compared;
    let mut lines = vec![format!("--- {}", name(a)), format!("+++ {}", name(b))];
    for part in &Summary::PARTS {
        lines.extend(missing(part, &a.summary, &b.summary).map(|thing| format!("- {} {thing}", part.noun)));
        lines.extend(missing(part, &b.summary, &a.summary).map(|thing| format!("+ {} {thing}", part.noun)));
    }
    for (noun, was, is) in flags(compared) {
        match (was, is) {
            (true, false) => lines.push(format!("- {noun}")),
            (false, true) => lines.push(format!("+ {noun}")),
            _ => {}
        }
    }
    if lines.len() == 2 {
        lines.push("the same offers and imports".to_owned());
    }
    let change = i128::from(b.summary.bytes) - i128::from(a.summary.bytes);
    lines.push(format!("size {} bytes, {change:+}", b.summary.bytes));
    lines.join("\n")
}

/// The same as an object: `removed` and `added`, each by kind.
pub(super) fn json(compared: &Compared) -> Value {
    let Compared { a, b } = compared;
    let side = |from: &Summary, to: &Summary| {
        let mut kinds = Map::new();
        for part in &Summary::PARTS {
            let things: Vec<&str> = missing(part, from, to).collect();
            if !things.is_empty() {
                kinds.insert(part.noun.replace(' ', "_"), things.into());
            }
        }
        kinds
    };
    let version = |version: &KnownVersion| {
        json!({ "plugin": version.plugin, "digest": version.digest, "bytes": version.summary.bytes,
            "self_test": version.summary.self_test, "state": version.summary.state })
    };
    json!({
        "a": version(a),
        "b": version(b),
        "removed": side(&a.summary, &b.summary),
        "added": side(&b.summary, &a.summary),
    })
}

fn name(version: &KnownVersion) -> String {
    format!("{} {} ({} bytes)", version.plugin, version.digest.short(), version.summary.bytes)
}

/// What `from` lists and `to` does not.
fn missing<'a>(part: &Part, from: &'a Summary, to: &'a Summary) -> impl Iterator<Item = &'a str> {
    let there = (part.of)(to);
    (part.of)(from).iter().filter(move |thing| !there.contains(thing)).map(String::as_str)
}

fn flags(compared: &Compared) -> [(&'static str, bool, bool); 2] {
    let (a, b) = (&compared.a.summary, &compared.b.summary);
    [("self-test", a.self_test, b.self_test), ("hands over its state", a.state, b.state)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(digit: &str, routes: &[&str], imports: &[&str], state: bool, bytes: u64) -> KnownVersion {
        let texts = |texts: &[&str]| texts.iter().map(ToString::to_string).collect();
        let summary =
            Summary { bytes, routes: texts(routes), imports: texts(imports), state, ..Summary::default() };
        KnownVersion { plugin: "chat".into(), digest: digit.repeat(64).parse().unwrap(), summary }
    }

    #[test]
    fn what_one_has_and_the_other_has_not_is_told() {
        let a = version("a", &["chat.chatHandler.kick", "chat.chatHandler.send"], &[], true, 100);
        let b = version("b", &["chat.chatHandler.send"], &["shaddock:plugin/rpc"], false, 90);
        let compared = Compared { a: a.clone(), b };
        let expected = "\
--- chat aaaaaaaaaaaa (100 bytes)
+++ chat bbbbbbbbbbbb (90 bytes)
- route chat.chatHandler.kick
+ import shaddock:plugin/rpc
- hands over its state
size 90 bytes, -10";
        assert_eq!(text(&compared), expected);
        let json = json(&compared);
        assert_eq!(json["removed"], json!({ "route": ["chat.chatHandler.kick"] }));
        assert_eq!(json["added"], json!({ "import": ["shaddock:plugin/rpc"] }));
        let same = text(&Compared { a: a.clone(), b: a });
        assert!(same.ends_with("the same offers and imports\nsize 100 bytes, +0"), "{same}");
    }
}
