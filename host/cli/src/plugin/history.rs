//! What has been done to plugins, for people.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use shaddock_master::control::HistoryEntry;

use crate::listing::none;
use crate::table::Table;

/// One row each, oldest first, and below the table the reasons.
pub(super) fn text(entries: &[HistoryEntry]) -> String {
    if entries.is_empty() {
        return "nothing has been deployed yet".to_owned();
    }
    let mut table = Table::new(["NO", "WHEN", "PLUGIN", "ACTION", "VERSION", "FROM", "OUTCOME", "BY"]);
    let mut reasons = Vec::new();
    for entry in entries {
        let outcome = if entry.done { "done" } else { "failed" };
        table.row([
            entry.number.to_string(),
            when(entry.at_ms),
            entry.plugin.clone(),
            entry.action.name().to_owned(),
            entry.digest.short().to_owned(),
            entry.from.as_ref().map_or_else(none, |from| from.short().to_owned()),
            outcome.to_owned(),
            entry.by.clone(),
        ]);
        if let Some(reason) = &entry.reason {
            reasons.push(format!("{} {}: {reason}", entry.number, entry.action.name()));
        }
        if !entry.skipped.is_empty() {
            reasons.push(format!("{} without {}", entry.number, entry.skipped.join(", ")));
        }
    }
    let mut text = table.to_string();
    for reason in reasons {
        text.push('\n');
        text.push_str(&reason);
    }
    text
}

/// The time here.
pub(super) fn when(ms: u64) -> String {
    let at = i64::try_from(ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    at.map_or_else(none, |at| at.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S").to_string())
}

#[cfg(test)]
mod tests {
    use shaddock_master::control::Action;

    use super::*;

    #[test]
    fn reasons_stand_below_the_table() {
        let entry = HistoryEntry {
            number: 7,
            at_ms: u64::MAX,
            plugin: "chat".into(),
            action: Action::AutomaticRollback,
            digest: "a".repeat(64).parse().unwrap(),
            from: "b".repeat(64).parse().ok(),
            done: true,
            reason: Some("p99: 9 ms, was 1 ms (on chat-1)".into()),
            by: "budget".into(),
            skipped: vec!["chat-2".into()],
        };
        let expected = "\
NO  WHEN  PLUGIN  ACTION              VERSION       FROM          OUTCOME  BY
7   -     chat    automatic rollback  aaaaaaaaaaaa  bbbbbbbbbbbb  done     budget
7 automatic rollback: p99: 9 ms, was 1 ms (on chat-1)
7 without chat-2";
        assert_eq!(text(&[entry]), expected);
        assert_eq!(text(&[]), "nothing has been deployed yet");
    }
}
