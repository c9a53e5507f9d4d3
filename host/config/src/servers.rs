//! Reading servers.json.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use serde_json::{Map, Value};

use crate::ServerEntry;
use crate::cluster_count::{CLUSTER_COUNT, Expansion};
use crate::fields::Fields;
use crate::json::{Member, Node, Shape, quoted, to_map};
use crate::problem::Findings;
use crate::spot::Spot;

/// Servers of one cluster.
pub(crate) const SERVERS_MAX: usize = 10_000;
pub(crate) const PORTS: RangeInclusive<u64> = 1..=65_535;
/// Admin ports, where 0 asks for any free one.
pub(crate) const PORTS_OR_ANY: RangeInclusive<u64> = 0..=65_535;

/// Fields of pomelo that change nothing here.
const IDLE: &[(&str, &str)] = &[
    ("args", "these are arguments for node, and a server is no node process"),
    ("cpu", "servers are not bound to processors; the system spreads them"),
    ("auto-restart", "a server that has ended is not started again"),
    ("restart-force", "a server that has ended is not started again"),
    ("wsPort", "clientPort serves WebSocket and TCP alike"),
];

/// servers.json of one environment.
pub(crate) struct Servers<'a> {
    /// The keys, of types without servers too.
    pub(crate) types: BTreeSet<&'a str>,
    /// In the order of the file.
    pub(crate) entries: Vec<Listed<'a>>,
}

/// A server and the entry of the file it comes from, which servers of one `clusterCount` share.
pub(crate) struct Listed<'a> {
    pub(crate) server: ServerEntry,
    pub(crate) spot: Spot<'a>,
}

/// Tells a section from a server type: its values are the lists of its types.
pub(crate) fn is_section(member: &Member) -> bool {
    let list = |member: &Member| matches!(member.node.shape, Shape::List(_));
    member.node.members().is_some_and(|types| types.iter().all(list))
}

/// Reads a section.
pub(crate) fn read<'a>(section: &Spot<'a>, findings: &mut Findings) -> Option<Servers<'a>> {
    let mut servers = Servers { types: BTreeSet::new(), entries: Vec::new() };
    let types = section.entries("server types, each with a list of servers", findings)?;
    for (server_type, spot) in types {
        servers.types.insert(server_type);
        check_type_name(server_type, &spot, findings);
        let items = spot.list("servers", findings).unwrap_or_default();
        let mut counted = 0;
        for item in items {
            read_entry(server_type, &item, &mut counted, &mut servers.entries, findings);
            if servers.entries.len() > SERVERS_MAX {
                findings.problem(
                    item.place(),
                    "too many servers",
                    format!("allowed: {SERVERS_MAX} in a cluster"),
                );
                return None;
            }
        }
    }
    if servers.types.is_empty() {
        findings.problem(section.place(), "no server types", "needed: at least one with a list of servers");
    }
    Some(servers)
}

fn check_type_name(name: &str, spot: &Spot<'_>, findings: &mut Findings) {
    let allowed = if matches!(name, "master" | "all" | "*") {
        "another name: this one is reserved"
    } else if !is_name(name) || name.contains('.') {
        "a server type of 1 to 64 characters without '.', '/', white space and control characters"
    } else {
        return;
    };
    findings.problem(
        spot.place(),
        format!("found the server type {}", quoted(name)),
        format!("allowed: {allowed}"),
    );
}

/// Whether a text can be an id or a type: it stands in routes, logs, and on command lines.
fn is_name(name: &str) -> bool {
    let fine = |c: char| !c.is_whitespace() && !c.is_control() && c != '/';
    (1..=64).contains(&name.len()) && name.chars().all(fine)
}

/// Reads one entry and lists its server, or its servers if it has `clusterCount`.
pub(crate) fn read_entry<'a>(
    server_type: &str,
    item: &Spot<'a>,
    counted: &mut u64,
    entries: &mut Vec<Listed<'a>>,
    findings: &mut Findings,
) {
    if item.node.member(CLUSTER_COUNT).is_none() {
        warn(server_type, item, findings);
        if let Some(server) = read_server(server_type, item, findings) {
            entries.push(Listed { server, spot: item.clone() });
        }
        return;
    }
    let Some(expansion) = Expansion::read(server_type, item, *counted, findings) else { return };
    *counted += expansion.count;
    warn(server_type, item, findings);
    for index in 0..expansion.count {
        let node = expansion.node(index);
        // What is wrong with one of them is wrong with all: it is said once.
        let Some(server) = read_server(server_type, &item.with(&node), findings) else { return };
        entries.push(Listed { server, spot: item.clone() });
    }
}

/// Warns of what an entry says in vain.
fn warn(server_type: &str, item: &Spot<'_>, findings: &mut Findings) {
    if item.node.members().is_none() {
        return;
    }
    let Some(mut fields) = Fields::open(item, findings) else { return };
    fields.idle(IDLE);
    let other_type = fields.get("serverType").filter(|spot| spot.node.text() != Some(server_type));
    if let Some(spot) = other_type {
        let found = format!("found {}", spot.node.describe());
        fields.findings.warning(
            spot.place(),
            found,
            format!("taken as \"{server_type}\", the key it stands under"),
        );
    }
    let client_port = fields.get("clientPort");
    let frontend = fields.get("frontend").is_some_and(|spot| means_true(spot.node));
    if let Some(spot) = client_port.filter(|_| !frontend) {
        let found = "a client port on a backend";
        fields.findings.warning(spot.place(), found, "not listened on unless \"frontend\" is true");
    }
    for name in [
        "id",
        "host",
        "port",
        "clientHost",
        "listenHost",
        "max-connections",
        "adminPort",
        "weight",
        CLUSTER_COUNT,
    ] {
        fields.get(name);
    }
    fields.close_open();
}

fn means_true(node: &Node) -> bool {
    matches!(node.shape, Shape::Bool(true)) || node.text() == Some("true")
}

/// Reads the fields of a server. None if any of them is a problem.
fn read_server(server_type: &str, spot: &Spot<'_>, findings: &mut Findings) -> Option<ServerEntry> {
    let problems = findings.problems();
    let mut fields = Fields::open(spot, findings)?;
    let mut server = ServerEntry {
        id: read_id(&mut fields).unwrap_or_default(),
        server_type: server_type.to_owned(),
        host: read_host(&mut fields).unwrap_or_default(),
        port: None,
        client_host: None,
        client_port: None,
        listen_host: None,
        frontend: false,
        max_connections: None,
        weight: 1,
        admin_port: None,
        fields: whole_entry(server_type, spot.node),
    };
    fields.whole_some("port", PORTS, &mut server.port);
    fields.whole_some("clientPort", PORTS, &mut server.client_port);
    fields.whole_some("adminPort", PORTS_OR_ANY, &mut server.admin_port);
    fields.whole_some("max-connections", 1..=1_000_000, &mut server.max_connections);
    fields.whole("weight", 1..=1_000, &mut server.weight);
    server.admin_port = server.admin_port.filter(|&port| port != 0);
    server.client_host = fields.get("clientHost").and_then(|spot| host(&spot, fields.findings));
    server.listen_host = fields.get("listenHost").and_then(|spot| spot.address(fields.findings));
    if let Some(spot) = fields.get("frontend") {
        let both = [("true", true), ("false", false)];
        let text = spot.node.text().is_some();
        let value = if text { spot.name_of(&both, fields.findings) } else { spot.flag(fields.findings) };
        server.frontend = value.unwrap_or_default();
    }
    if server.frontend {
        fields.required("clientPort", "the port that clients of this frontend connect to");
    }
    (findings.problems() == problems).then_some(server)
}

/// Reads the id that servers and the master have.
pub(crate) fn read_id(fields: &mut Fields<'_, '_>) -> Option<String> {
    let spot = fields.required("id", "a text that no other server has")?;
    let id = spot.node.text().filter(|id| is_name(id));
    if id.is_none() {
        spot.refuse(
            "a text of 1 to 64 characters without '/', white space and control characters",
            fields.findings,
        );
    }
    id.map(str::to_owned)
}

/// Reads the host that servers and the master have.
pub(crate) fn read_host(fields: &mut Fields<'_, '_>) -> Option<String> {
    let spot = fields.required("host", "the address at which other servers find this one")?;
    host(&spot, fields.findings)
}

fn host(spot: &Spot<'_>, findings: &mut Findings) -> Option<String> {
    let fine = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | ':');
    let is_host = |host: &&str| (1..=253).contains(&host.len()) && host.chars().all(fine);
    let is_address = |host: &&str| !host.contains(':') || host.parse::<std::net::Ipv6Addr>().is_ok();
    let host = spot.node.text().filter(is_host).filter(is_address);
    if host.is_none() {
        spot.refuse("a host name or an IP address, without a port", findings);
    }
    host.map(str::to_owned)
}

/// All fields as code may see them, with the `serverType` that pomelo adds.
fn whole_entry(server_type: &str, node: &Node) -> Map<String, Value> {
    let mut map = to_map(node.members().unwrap_or_default());
    map.insert("serverType".to_owned(), server_type.into());
    map
}
