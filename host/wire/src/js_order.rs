//! The order in which JavaScript lists the keys of an object.
//!
//! The versions of dictionary and schemas are hashes over `JSON.stringify`, so the order counts: keys
//! that read like array indices come first, by value; all others follow as they were inserted.

use serde_json::{Map, Value};

/// `map` in JavaScript's order.
pub(crate) fn sorted(map: Map<String, Value>) -> Map<String, Value> {
    if !map.keys().any(|key| index(key).is_some()) {
        return map;
    }
    let mut entries: Vec<_> = map.into_iter().collect();
    // Stable: keys that are no index keep their order.
    entries.sort_by_key(|(key, _)| index(key).map_or((true, 0), |index| (false, index)));
    entries.into_iter().collect()
}

/// The value of a key that JavaScript treats as an array index.
fn index(key: &str) -> Option<u32> {
    let canonical = key == "0" || !key.starts_with(['0', '+']);
    key.parse().ok().filter(|index| canonical && *index < u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn indices_come_first_by_value() {
        let Value::Object(map) = json!({"b": 1, "10": 2, "a": 3, "9": 4, "010": 5, "4294967295": 6, "0": 7})
        else {
            unreachable!()
        };
        let keys: Vec<_> = sorted(map).into_iter().map(|(key, _)| key).collect();
        assert_eq!(keys, ["0", "9", "10", "b", "a", "010", "4294967295"]);
    }
}
