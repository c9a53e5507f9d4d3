use serde::{Deserialize, Serialize};

/// What a version offers, imports and weighs. All lists are sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Summary {
    /// Size of the component file.
    pub bytes: u64,
    /// Routes of its handlers.
    pub routes: Vec<String>,
    /// Methods of its remotes.
    pub methods: Vec<String>,
    /// Server types that it has a route function for.
    pub router_types: Vec<String>,
    /// Filters of requests.
    pub filters: Vec<String>,
    /// Error handlers.
    pub error_handlers: Vec<String>,
    /// Filters of calls between servers.
    pub rpc_filters: Vec<String>,
    /// Filters of broadcasts.
    pub broadcast_filters: Vec<String>,
    /// Actions that crons may name.
    pub cron_actions: Vec<String>,
    /// Interfaces that the component exports.
    pub exports: Vec<String>,
    /// Interfaces that the component imports, each of which wants a grant.
    pub imports: Vec<String>,
    /// Whether it can test itself.
    pub self_test: bool,
    /// Whether it can save and load its state.
    pub state: bool,
}

/// A kind of thing that a [`Summary`] lists by name.
pub struct Part {
    /// Name of one, for people.
    pub noun: &'static str,
    /// The list.
    pub of: fn(&Summary) -> &[String],
    /// Whether somebody may count on it, so that it does not vanish unseen.
    pub is_offer: bool,
}

impl Summary {
    /// Everything that is listed by name.
    pub const PARTS: [Part; 10] = [
        Part { noun: "route", of: |summary| &summary.routes, is_offer: true },
        Part { noun: "method", of: |summary| &summary.methods, is_offer: true },
        Part { noun: "route function for", of: |summary| &summary.router_types, is_offer: true },
        Part { noun: "filter", of: |summary| &summary.filters, is_offer: true },
        Part { noun: "error handler", of: |summary| &summary.error_handlers, is_offer: true },
        Part { noun: "rpc filter", of: |summary| &summary.rpc_filters, is_offer: true },
        Part { noun: "broadcast filter", of: |summary| &summary.broadcast_filters, is_offer: true },
        Part { noun: "cron action", of: |summary| &summary.cron_actions, is_offer: true },
        Part { noun: "export", of: |summary| &summary.exports, is_offer: false },
        Part { noun: "import", of: |summary| &summary.imports, is_offer: false },
    ];

    /// What this version offers and `next` does not, in words: `route chat.chatHandler.send`.
    pub fn vanished(&self, next: &Summary) -> Vec<String> {
        let mut vanished = Vec::new();
        for part in Summary::PARTS.iter().filter(|part| part.is_offer) {
            let left = (part.of)(next);
            let gone = (part.of)(self).iter().filter(|name| !left.contains(name));
            vanished.extend(gone.map(|name| format!("{} {name}", part.noun)));
        }
        if self.state && !next.state {
            vanished.push("state (what the running version has in memory would be lost)".to_owned());
        }
        vanished
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(routes: &[&str], state: bool) -> Summary {
        Summary { routes: routes.iter().map(ToString::to_string).collect(), state, ..Summary::default() }
    }

    #[test]
    fn what_is_gone_is_told_and_what_is_new_is_not() {
        let (old, new) = (summary(&["a.b.c", "a.b.d"], true), summary(&["a.b.d", "a.b.e"], false));
        assert_eq!(
            old.vanished(&new),
            ["route a.b.c", "state (what the running version has in memory would be lost)"]
        );
        assert_eq!(new.vanished(&old), ["route a.b.e"]);
        assert_eq!(old.vanished(&old), [""; 0]);
    }

    #[test]
    fn imports_may_vanish_and_every_offer_may_not() {
        let some = || vec!["x".to_owned()];
        let all = Summary {
            routes: some(),
            methods: some(),
            router_types: some(),
            filters: some(),
            error_handlers: some(),
            rpc_filters: some(),
            broadcast_filters: some(),
            cron_actions: some(),
            exports: some(),
            imports: some(),
            ..Summary::default()
        };
        let vanished = all.vanished(&Summary::default());
        assert_eq!(vanished.len(), 8, "{vanished:?}");
        assert!(!vanished.iter().any(|text| text.contains("port")), "{vanished:?}");
    }
}
