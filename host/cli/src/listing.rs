//! A listing of the cluster for people.

use serde_json::{Map, Value};
use shaddock_master::control::{Listing, ServerStatus};

use crate::table::Table;

/// After a start: who runs where.
pub(crate) fn started(listing: &Listing) -> String {
    let mut table = Table::new(["ID", "TYPE", "PID", "PORTS"]);
    let master = &listing.master;
    table.row([master.id.clone(), "master".into(), master.pid.to_string(), ports(&master.ports)]);
    for server in &listing.servers {
        table.row(short_row(server));
    }
    table.to_string()
}

/// A few servers by themselves.
pub(crate) fn servers(servers: &[ServerStatus]) -> String {
    let mut table = Table::new(["ID", "TYPE", "PID", "PORTS"]);
    for server in servers {
        table.row(short_row(server));
    }
    table.to_string()
}

fn short_row(server: &ServerStatus) -> [String; 4] {
    let pid = server.pid.map_or_else(|| server.phase.clone(), |pid| pid.to_string());
    [server.id.clone(), server.server_type.clone(), pid, ports(&server.ports)]
}

/// All that is known, one server per row, and below the table what is wrong with whom.
pub(crate) fn full(listing: &Listing) -> String {
    let head = ["ID", "TYPE", "STATE", "PID", "PORTS", "UPTIME", "MEMORY", "CONNECTIONS", "PLUGINS"];
    let mut table = Table::new(head);
    let master = &listing.master;
    table.row([
        master.id.clone(),
        "master".into(),
        "ready".into(),
        master.pid.to_string(),
        ports(&master.ports),
        uptime(master.uptime_s),
        "-".into(),
        "-".into(),
        "-".into(),
    ]);
    for server in &listing.servers {
        table.row(row(server));
    }
    let mut text = table.to_string();
    for server in &listing.servers {
        if let Some(error) = &server.error {
            text.push_str(&format!("\n{}: {error}", server.id));
        }
    }
    text
}

fn row(server: &ServerStatus) -> [String; 9] {
    let plugins = server.plugins.iter().map(|p| format!("{} {}", p.name, p.version)).collect::<Vec<_>>();
    [
        server.id.clone(),
        server.server_type.clone(),
        server.phase.clone(),
        server.pid.map_or_else(none, |pid| pid.to_string()),
        ports(&server.ports),
        server.uptime_s.map_or_else(none, uptime),
        server.memory_bytes.map_or_else(none, megabytes),
        server.connections.map_or_else(none, |count| count.to_string()),
        if plugins.is_empty() { none() } else { plugins.join(", ") },
    ]
}

pub(crate) fn none() -> String {
    "-".to_owned()
}

fn ports(ports: &Map<String, Value>) -> String {
    ports.iter().map(|(name, port)| format!("{name} {port}")).collect::<Vec<_>>().join(", ")
}

fn megabytes(bytes: u64) -> String {
    let tenths = bytes / 100_000;
    format!("{}.{} MB", tenths / 10, tenths % 10)
}

pub(crate) fn uptime(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m{:02}s", seconds % 60),
        (0, _, _) => format!("{hours}h{:02}m", minutes % 60),
        _ => format!("{days}d{:02}h", hours % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_sizes_are_short() {
        for (seconds, expected) in
            [(0, "0s"), (59, "59s"), (61, "1m01s"), (3_660, "1h01m"), (90_000, "1d01h")]
        {
            assert_eq!(uptime(seconds), expected);
        }
        assert_eq!(megabytes(25_360_000), "25.3 MB");
    }
}
