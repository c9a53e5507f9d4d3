//! Contradictions between entries: one id twice, one port twice, types that nothing serves.

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::json::quoted;
use crate::problem::{Findings, Place};
use crate::server::{loopback, unspecified};
use crate::servers::{Listed, Servers};
use crate::spot::Spot;
use crate::{MasterEntry, PluginEntry};

/// The master with the section it was read from.
pub(crate) type Master<'a> = Option<(MasterEntry, Spot<'a>)>;

/// No two servers have one id.
pub(crate) fn ids(master: &Master<'_>, servers: &[Listed<'_>], findings: &mut Findings) {
    let mut taken: HashMap<&str, Place> = HashMap::new();
    if let Some((master, spot)) = master {
        taken.insert(&master.id, place_of(spot, "id"));
    }
    for Listed { server, spot } in servers {
        let place = place_of(spot, "id");
        if let Some(first) = taken.get(server.id.as_str()) {
            let found = format!("{} is also the id at {}", quoted(&server.id), at(first));
            findings.problem(place, found, "each server has an id of its own");
            continue;
        }
        taken.insert(&server.id, place);
    }
}

/// A port that somebody listens on.
struct Claim<'a> {
    port: Option<u16>,
    field: &'static str,
    id: &'a str,
    host: &'a str,
    spot: &'a Spot<'a>,
}

/// No two listeners of one machine have one port.
pub(crate) fn ports<'a>(master: &'a Master<'a>, servers: &'a [Listed<'a>], findings: &mut Findings) {
    let master_host = master.as_ref().map(|(master, _)| master.host.as_str());
    let of_master = master.iter().flat_map(|(master, spot)| {
        let claim = |field, port| Claim { port, field, id: &master.id, host: &master.host, spot };
        [
            claim("port", Some(master.port)),
            claim("webPort", master.web_port),
            claim("adminPort", master.admin_port),
        ]
    });
    let of_servers = servers.iter().flat_map(|Listed { server, spot }| {
        let claim = |field, port| Claim { port, field, id: &server.id, host: &server.host, spot };
        let client_port = server.client_port.filter(|_| server.frontend);
        [claim("port", server.port), claim("clientPort", client_port), claim("adminPort", server.admin_port)]
    });
    let mut taken: HashMap<(String, u16), Claim<'_>> = HashMap::new();
    // An entry with clusterCount says the same of all its servers: each of its fields is reported once.
    let mut reported = HashSet::new();
    for claim in of_master.chain(of_servers) {
        let Some(port) = claim.port else { continue };
        let key = (machine(claim.host, master_host), port);
        let Some(first) = taken.get(&key) else {
            taken.insert(key, claim);
            continue;
        };
        if reported.insert((std::ptr::from_ref(claim.spot.node), claim.field)) {
            report(first, &claim, port, findings);
        }
    }
}

fn report(first: &Claim<'_>, second: &Claim<'_>, port: u16, findings: &mut Findings) {
    let place = place_of(second.spot, second.field);
    if std::ptr::eq(first.spot.node, second.spot.node) && first.field == second.field {
        let found = format!("the port {port} for every server of the entry");
        findings.problem(place, found, format!("write \"{port}++\", which counts up from one to the next"));
        return;
    }
    let other = place_of(first.spot, first.field);
    let found = format!("the port {port} is also the {} of \"{}\", at {}", first.field, first.id, at(&other));
    findings.problem(place, found, "each port of a host is listened on once");
}

/// A name for the machine that a host name stands for. The names of the own machine (the loopback ones, and
/// the one the master has) are one.
pub(crate) fn machine(host: &str, master_host: Option<&str>) -> String {
    if loopback(host).is_some() || unspecified(host) || master_host == Some(host) {
        return String::new();
    }
    host.to_ascii_lowercase()
}

/// Every server type should have a plugin.
pub(crate) fn unserved(
    section: &Spot<'_>,
    servers: &Servers<'_>,
    plugins: &[PluginEntry],
    findings: &mut Findings,
) {
    let served: BTreeSet<&str> =
        plugins.iter().flat_map(|plugin| plugin.server_types.iter().map(String::as_str)).collect();
    for server_type in servers.types.iter().filter(|server_type| !served.contains(**server_type)) {
        let Some(spot) = section.member(server_type) else { continue };
        let found = format!("no plugin serves the server type {}", quoted(server_type));
        findings.warning(spot.place(), found, "name it in \"serverTypes\" of a plugin in plugins.json");
    }
}

/// A server without a port should be a frontend.
pub(crate) fn uncallable(servers: &Servers<'_>, findings: &mut Findings) {
    let mut reported = HashSet::new();
    for Listed { server, spot } in &servers.entries {
        let uncallable = !server.frontend && server.port.is_none();
        if uncallable && reported.insert(std::ptr::from_ref(spot.node)) {
            findings.warning(spot.place(), "a backend without \"port\"", "no other server can call it");
        }
    }
}

/// Settings of a connector belong to types that have one.
pub(crate) fn connectors(app: &Spot<'_>, servers: &Servers<'_>, findings: &mut Findings) {
    for server_type in &servers.types {
        let mut listed = servers.entries.iter().filter(|listed| listed.server.server_type == *server_type);
        let connector = app.member(server_type).and_then(|settings| settings.member("connector"));
        let Some(spot) = connector.filter(|_| !listed.any(|listed| listed.server.frontend)) else { continue };
        findings.warning(spot.place(), "has no effect", "no server of this type is a frontend");
    }
}

fn place_of(spot: &Spot<'_>, field: &str) -> Place {
    spot.member(field).map_or_else(|| spot.place(), |field| field.place())
}

fn at(place: &Place) -> String {
    let file = place.file.file_name().unwrap_or_default().to_string_lossy();
    place.line.map_or_else(|| file.to_string(), |line| format!("{file}:{line}"))
}
