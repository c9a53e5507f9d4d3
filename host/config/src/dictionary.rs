//! Reading dictionary.json: the routes that are compressed beside those of the handlers.

use crate::json::Shape;
use crate::json::quoted;
use crate::problem::Findings;
use crate::spot::Spot;

/// Route codes have two bytes, and a route in the clear has a one-byte length.
const ROUTES_MAX: usize = 65_535;
const ROUTE_BYTES_MAX: usize = 255;

/// Reads the file: a list of routes, or `{}` for none.
pub(crate) fn read(file: &Spot<'_>, findings: &mut Findings) -> Vec<String> {
    if matches!(&file.node.shape, Shape::Object(members) if members.is_empty()) {
        return Vec::new();
    }
    let items = file.list("routes, or {}", findings).unwrap_or_default();
    if items.len() > ROUTES_MAX {
        file.refuse(format!("at most {ROUTES_MAX} routes"), findings);
        return Vec::new();
    }
    let mut seen = std::collections::HashSet::new();
    let mut routes = Vec::new();
    for item in items {
        let Some(route) = item.node.text().filter(|route| (1..=ROUTE_BYTES_MAX).contains(&route.len()))
        else {
            item.refuse(format!("a route: a text of 1 to {ROUTE_BYTES_MAX} bytes"), findings);
            continue;
        };
        if !seen.insert(route) {
            let found = format!("{} a second time", quoted(route));
            findings.warning(item.place(), found, "its last code is the one that counts");
        }
        routes.push(route.to_owned());
    }
    routes
}
