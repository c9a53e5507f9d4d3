//! A user's last calls, for people.

use shaddock_master::control::Traced;

use super::history::when;
use super::list::time;
use crate::table::Table;

/// One row per call, oldest first; nothing if there is none.
pub(super) fn text(traced: &Traced) -> String {
    if traced.calls.is_empty() {
        return String::new();
    }
    let mut table = Table::new(["WHEN", "SERVER", "ROUTE", "PLUGIN", "VERSION", "OUTCOME", "TIME"]);
    for served in &traced.calls {
        let call = &served.call;
        table.row([
            when(call.at_ms),
            served.server.clone(),
            call.route.clone(),
            call.plugin.clone(),
            call.version.clone(),
            call.outcome.clone(),
            time(call.us),
        ]);
    }
    table.to_string()
}
