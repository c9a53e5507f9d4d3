//! A listing of versions for people.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use shaddock_master::control::{PluginListing, PluginOverview, PluginState, RunningVersion};

use crate::listing::{none, uptime};
use crate::table::Table;

/// One row per version, and below the table what is to be said of them.
pub(super) fn text(listing: &PluginListing) -> String {
    let head = ["PLUGIN", "VERSION", "SINCE", "STATE", "SERVERS", "CALLS", "ERRORS", "P50", "P99"];
    let mut table = Table::new(head);
    let mut remarks = Vec::new();
    for plugin in &listing.plugins {
        table.row(row(plugin, &plugin.stable, state(plugin)));
        if let (Some(canary), PluginState::Canary { share_bp, .. }) = (&plugin.canary, &plugin.state) {
            table.row(row(plugin, canary, format!("canary, {share_bp} of the users")));
        }
        remarks.extend(said_of(plugin));
    }
    remarks.extend(listing.unanswered.iter().map(|failure| format!("no answer from {failure}")));
    let mut text = table.to_string();
    for remark in remarks {
        text.push('\n');
        text.push_str(&remark);
    }
    text
}

fn row(plugin: &PluginOverview, version: &RunningVersion, state: String) -> [String; 9] {
    [
        plugin.plugin.clone(),
        version.digest.short().to_owned(),
        version.since_ms.map_or_else(none, ago),
        state,
        version.servers.len().to_string(),
        version.figures.calls.to_string(),
        version.figures.errors_total().to_string(),
        version.figures.p50_us.map_or_else(none, time),
        version.figures.p99_us.map_or_else(none, time),
    ]
}

fn state(plugin: &PluginOverview) -> String {
    match &plugin.state {
        PluginState::Stable => "stable".to_owned(),
        PluginState::Probation => "probation".to_owned(),
        PluginState::Deploying { digest, .. } => format!("deploying {}", digest.short()),
        PluginState::Canary { share_bp, digest, .. } => format!("canary {share_bp} of {}", digest.short()),
        PluginState::RolledBack { from, .. } => format!("rolled back from {}", from.short()),
    }
}

fn said_of(plugin: &PluginOverview) -> Vec<String> {
    let name = &plugin.plugin;
    let mut remarks = Vec::new();
    if let PluginState::RolledBack { from, reason: Some(reason) } = &plugin.state {
        remarks.push(format!("{name}: rolled back from {}: {reason}", from.short()));
    }
    for versions in [Some(&plugin.stable), plugin.canary.as_ref()].into_iter().flatten() {
        let errors = versions.figures.errors.iter().filter(|(_, count)| **count > 0);
        let errors: Vec<_> = errors.map(|(kind, count)| format!("{count} {kind}")).collect();
        if !errors.is_empty() {
            remarks.push(format!("{name} {}: errors: {}", versions.digest.short(), errors.join(", ")));
        }
    }
    remarks
        .extend(plugin.differing.iter().map(|server| format!("{name} on {}: {}", server.id, server.error)));
    if let Some(error) = &plugin.watch_error {
        remarks.push(format!("{name}: what was saved last does not run: {error}"));
    }
    remarks
}

fn ago(ms: u64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    uptime(now.saturating_sub(Duration::from_millis(ms)).as_secs())
}

/// Microseconds in a unit that suits them.
pub(super) fn time(us: u64) -> String {
    match us {
        0..10_000 => format!("{us} us"),
        10_000..10_000_000 => format!("{} ms", us / 1000),
        _ => format!("{} s", us / 1_000_000),
    }
}

#[cfg(test)]
mod tests {
    use shaddock_master::ServerFailure;
    use shaddock_rollout::Figures;

    use super::*;

    fn running(digit: &str, servers: &[&str]) -> RunningVersion {
        RunningVersion {
            digest: digit.repeat(64).parse().unwrap(),
            version: Some(digit.repeat(12)),
            since_ms: None,
            deployment: Some(7),
            servers: servers.iter().map(ToString::to_string).collect(),
            figures: Figures {
                calls: 1000,
                errors: [("trap".to_owned(), 2)].into(),
                p50_us: Some(80),
                p99_us: Some(12_345),
                instances: 3,
            },
        }
    }

    #[test]
    fn a_canary_stands_beside_the_stable_version_and_the_rest_below() {
        let canary = running("b", &["chat-1"]);
        let plugin = PluginOverview {
            plugin: "chat".to_owned(),
            stable: running("a", &["chat-1", "chat-2"]),
            state: PluginState::Canary {
                number: 7,
                share_bp: "5%".parse().unwrap(),
                digest: canary.digest.clone(),
            },
            canary: Some(canary),
            differing: vec![ServerFailure { id: "chat-2".into(), error: "runs without the canary".into() }],
            watch_error: Some("the file is cut off".to_owned()),
        };
        let unanswered = vec![ServerFailure { id: "gate-1".into(), error: "the deadline passed".into() }];
        let text = text(&PluginListing { plugins: vec![plugin], unanswered });
        let expected = "\
PLUGIN  VERSION       SINCE  STATE                       SERVERS  CALLS  ERRORS  P50    P99
chat    aaaaaaaaaaaa  -      canary 5 % of bbbbbbbbbbbb  2        1000   2       80 us  12 ms
chat    bbbbbbbbbbbb  -      canary, 5 % of the users    1        1000   2       80 us  12 ms
chat aaaaaaaaaaaa: errors: 2 trap
chat bbbbbbbbbbbb: errors: 2 trap
chat on chat-2: runs without the canary
chat: what was saved last does not run: the file is cut off
no answer from gate-1: the deadline passed";
        assert_eq!(text, expected);
    }
}
