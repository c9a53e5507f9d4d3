//! Route compression: two-byte codes for routes, agreed on in the handshake.

use crate::{WireError, js_order};
use base64::Engine as _;
use md5::{Digest as _, Md5};
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::sync::Arc;

/// The most that dictionary or schemas may take in a handshake reply, in bytes of JSON. A reply must fit
/// a package of 16 MiB with both, three times the dictionary and the user's own data.
pub(crate) const HANDSHAKE_PART_BYTES_MAX: usize = 6 << 20;

/// Routes and their codes, the same on all servers of a cluster that offer the same routes.
///
/// Handler routes are sorted by UTF-16 code units, as JavaScript sorts strings, and numbered from 1;
/// the entries of `dictionary.json` follow in their own order.
#[derive(Debug, Clone)]
pub struct Dictionary {
    codes: HashMap<Arc<str>, u16>,
    routes: HashMap<u16, Arc<str>>,
    version: String,
    handshake_part: String,
}

impl Dictionary {
    /// A dictionary of the handler routes (`type.handler.method`, any order, duplicates count once) and
    /// the extra (push) routes of `dictionary.json`.
    ///
    /// # Errors
    /// [`WireError::BadDictionary`] if the routes need more than 65535 codes or 2 MiB of JSON.
    pub fn new(
        handler_routes: impl IntoIterator<Item = String>,
        extra: &[String],
    ) -> Result<Self, WireError> {
        let mut routes: Vec<String> = handler_routes.into_iter().collect();
        routes.sort_by(|a, b| a.encode_utf16().cmp(b.encode_utf16()));
        routes.dedup();
        routes.extend_from_slice(extra);
        let mut codes = Map::new();
        let mut numbered = Vec::with_capacity(routes.len());
        for (index, route) in routes.into_iter().enumerate() {
            let code = u16::try_from(index + 1).map_err(|_| {
                WireError::BadDictionary("more than 65535 routes; take some out of dictionary.json".into())
            })?;
            // A route that occurs again gets the later code, and both codes lead to it.
            codes.insert(route.clone(), code.into());
            numbered.push((code, route));
        }
        Self::assemble(js_order::sorted(codes), numbered, None)
    }

    /// The dictionary of a handshake reply, as a client reads it from `routeToCode`, `codeToRoute` and
    /// `dictVersion`.
    pub(crate) fn from_handshake(
        route_to_code: &Map<String, Value>,
        code_to_route: Option<&Map<String, Value>>,
        version: &str,
    ) -> Result<Self, WireError> {
        let bad = |what: &str| {
            WireError::BadDictionary(format!("{what} in the handshake reply is not a route code"))
        };
        let mut numbered = Vec::with_capacity(route_to_code.len());
        for (route, code) in route_to_code {
            let code =
                code.as_u64().and_then(|code| u16::try_from(code).ok()).ok_or_else(|| bad("a value"))?;
            numbered.push((code, route.clone()));
        }
        for (code, route) in code_to_route.into_iter().flatten() {
            let code = code.parse().map_err(|_| bad("a key"))?;
            let route = route.as_str().ok_or_else(|| bad("a value"))?;
            numbered.push((code, route.to_owned()));
        }
        Self::assemble(route_to_code.clone(), numbered, Some(version.to_owned()))
    }

    fn assemble(
        codes: Map<String, Value>,
        numbered: Vec<(u16, String)>,
        version: Option<String>,
    ) -> Result<Self, WireError> {
        let shared: HashMap<Arc<str>, u16> = codes
            .iter()
            .filter_map(|(route, code)| {
                Some((Arc::from(route.as_str()), u16::try_from(code.as_u64()?).ok()?))
            })
            .collect();
        let mut by_code: Vec<(u16, Arc<str>)> = numbered
            .into_iter()
            .map(|(code, route)| {
                let known = shared.get_key_value(route.as_str()).map(|(route, _)| Arc::clone(route));
                (code, known.unwrap_or_else(|| route.into()))
            })
            .collect();
        by_code.sort_by_key(|(code, _)| *code);
        by_code.dedup_by_key(|(code, _)| *code);

        let to_code = Value::Object(codes).to_string();
        let version = version.unwrap_or_else(|| hash(&[&to_code]));
        let to_route: Map<String, Value> =
            by_code.iter().map(|(code, route)| (code.to_string(), route.as_ref().into())).collect();
        let handshake_part = format!(
            "\"dict\":{to_code},\"routeToCode\":{to_code},\"codeToRoute\":{},\"dictVersion\":{}",
            Value::Object(to_route),
            Value::String(version.clone()),
        );
        if handshake_part.len() > HANDSHAKE_PART_BYTES_MAX {
            return Err(WireError::BadDictionary("over 2 MiB of routes; no client could connect".into()));
        }
        Ok(Self { codes: shared, routes: by_code.into_iter().collect(), version, handshake_part })
    }

    /// The code of `route`, if it has one.
    pub fn code(&self, route: &str) -> Option<u16> {
        self.codes.get(route).copied()
    }

    /// The route with this code.
    pub fn route(&self, code: u16) -> Option<&Arc<str>> {
        self.routes.get(&code)
    }

    /// How many codes there are.
    pub fn len(&self) -> usize {
        self.routes.len()
    }

    /// Whether there is no code at all.
    pub fn is_empty(&self) -> bool {
        self.routes.is_empty()
    }

    /// The hash by which a client knows that its cached dictionary is this one.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The members of `sys` that carry the dictionary to a client that does not have it.
    pub(crate) fn handshake_part(&self) -> &str {
        &self.handshake_part
    }
}

/// base64(md5(parts)), the form of pomelo's versions.
pub(crate) fn hash(parts: &[&str]) -> String {
    let mut digest = Md5::new();
    for part in parts {
        digest.update(part.as_bytes());
    }
    base64::engine::general_purpose::STANDARD.encode(digest.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routes(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn codes_follow_the_order_of_utf16_code_units() {
        // U+FF5E sorts after the surrogates of U+1F600 in UTF-16, before it in UTF-8.
        let dictionary =
            Dictionary::new(routes(&["b.b.b", "a.～.a", "a.😀.a", "b.b.b"]), &routes(&["onZ", "onA"]))
                .unwrap();
        let order: Vec<_> = (1..=5).map(|code| dictionary.route(code).unwrap().as_ref()).collect();
        assert_eq!(order, ["a.😀.a", "a.～.a", "b.b.b", "onZ", "onA"]);
        assert_eq!(dictionary.code("onA"), Some(5));
        assert_eq!((dictionary.route(0), dictionary.route(6), dictionary.code("x")), (None, None, None));
    }

    #[test]
    fn a_route_listed_again_has_two_codes_and_sends_the_later() {
        let dictionary = Dictionary::new(routes(&["a.a.a"]), &routes(&["onA", "a.a.a"])).unwrap();
        assert_eq!(dictionary.code("a.a.a"), Some(3));
        assert_eq!(dictionary.route(1).map(AsRef::as_ref), Some("a.a.a"));
        assert_eq!(dictionary.route(3).map(AsRef::as_ref), Some("a.a.a"));
    }

    #[test]
    fn too_many_routes_are_refused() {
        let many: Vec<_> = (0..65_536).map(|n| format!("t{n}")).collect();
        assert!(matches!(Dictionary::new(many.clone(), &[]), Err(WireError::BadDictionary(_))));
        assert_eq!(Dictionary::new(many.into_iter().skip(1), &[]).unwrap().len(), 65_535);
    }
}
