//! Servers that join a running cluster beside those of servers.json.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use serde_json::{Map, Value};

use crate::crosscheck::machine;
use crate::json::{self, quoted};
use crate::nearest::suggestion;
use crate::problem::{Findings, Place};
use crate::servers::{Listed, SERVERS_MAX, read_entry};
use crate::spot::Spot;
use crate::{Config, ConfigError, ServerEntry, Warning};

/// What findings name in place of a file.
const SOURCE: &str = "shaddock add";
/// The field that names the type where no key of servers.json does.
const SERVER_TYPE: &str = "serverType";
/// Ids that `clusterCount` gives.
const COUNTED: &str = "cluster-server-";

/// Servers that may join, and what is probably not meant.
#[derive(Debug)]
pub struct Additions {
    /// The servers, `clusterCount` expanded.
    pub servers: Vec<ServerEntry>,
    /// What has no effect or is probably not meant.
    pub warnings: Vec<Warning>,
}

impl Config {
    /// Checks what is to join: an entry as in servers.json, with its type in the field `serverType`.
    /// `known` are the servers there are already, whether they run or not.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`] with everything that is wrong with the entry, or with it beside the others.
    pub fn additions(
        &self,
        known: &[&ServerEntry],
        entry: &Map<String, Value>,
    ) -> Result<Additions, ConfigError> {
        let mut findings = Findings::default();
        let servers = self.read_addition(known, entry, &mut findings);
        let (servers, warnings) = findings.finish(servers).map_err(ConfigError::without_lines)?;
        let warnings = warnings.into_iter().map(Warning::without_line).collect();
        Ok(Additions { servers, warnings })
    }

    /// Takes a server into the list that was checked by [`Config::additions`] elsewhere, as its whole
    /// [`ServerEntry::fields`]. One of the same id is replaced.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`] if the fields are those of no server.
    pub fn put_server(&mut self, fields: &Map<String, Value>) -> Result<(), ConfigError> {
        let mut findings = Findings::default();
        let mut one = fields.clone();
        one.remove(crate::cluster_count::CLUSTER_COUNT);
        let servers = self.read_addition(&[], &one, &mut findings);
        let (servers, _) = findings.finish(servers).map_err(ConfigError::without_lines)?;
        for mut server in servers {
            server.fields.clone_from(fields);
            self.servers.retain(|known| known.id != server.id);
            self.servers.push(server);
        }
        self.servers.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(())
    }

    fn read_addition(
        &self,
        known: &[&ServerEntry],
        entry: &Map<String, Value>,
        findings: &mut Findings,
    ) -> Option<Vec<ServerEntry>> {
        let source = Path::new(SOURCE);
        let node = json::parse(&Value::Object(entry.clone()).to_string()).ok()?;
        let spot = Spot::root(source, &node);
        let server_type = self.type_of(&spot, findings)?;
        let mut listed = Vec::new();
        read_entry(server_type, &spot, &mut counted(known, server_type), &mut listed, findings);
        if known.len() + listed.len() > SERVERS_MAX {
            findings.problem(
                Place::file(source),
                "too many servers",
                format!("allowed: {SERVERS_MAX} in a cluster"),
            );
        }
        self.check_ids(known, &listed, findings);
        self.check_ports(known, &listed, findings);
        self.warn_of(known, server_type, &listed, findings);
        Some(listed.into_iter().map(|listed| listed.server).collect())
    }

    /// The type of what joins, which the configuration must know.
    fn type_of<'a>(&self, spot: &Spot<'a>, findings: &mut Findings) -> Option<&'a str> {
        let Some(named) = spot.member(SERVER_TYPE) else {
            findings.problem(spot.place(), format!("missing \"{SERVER_TYPE}\""), "needed: the server's type");
            return None;
        };
        let server_type = named.text("a server type", findings)?;
        let of_plugins =
            self.plugins.iter().flat_map(|plugin| plugin.server_types.iter().map(String::as_str));
        let of_app = self.app.types.keys().map(String::as_str);
        let types: BTreeSet<&str> = self.types().into_iter().chain(of_plugins).chain(of_app).collect();
        if types.contains(server_type) {
            return Some(server_type);
        }
        let known: Vec<&str> = types.into_iter().collect();
        let found = format!("the configuration has no server type {}", quoted(server_type));
        findings.problem(named.place(), found, suggestion(server_type, &known));
        None
    }

    fn check_ids(&self, known: &[&ServerEntry], listed: &[Listed<'_>], findings: &mut Findings) {
        for Listed { server, spot } in listed {
            let is_taken = server.id == self.master.id || known.iter().any(|known| known.id == server.id);
            if is_taken {
                let place = spot.member("id").map_or_else(|| spot.place(), |id| id.place());
                let found = format!("the id {} is taken", quoted(&server.id));
                let advice = "take another one; \"id\" alone starts a server of the cluster that has stopped";
                findings.problem(place, found, advice);
            }
        }
    }

    fn check_ports(&self, known: &[&ServerEntry], listed: &[Listed<'_>], findings: &mut Findings) {
        let master = &self.master;
        let mut taken: HashMap<(String, u16), (String, &str)> = HashMap::new();
        for (field, port) in
            [("port", Some(master.port)), ("webPort", master.web_port), ("adminPort", master.admin_port)]
        {
            let Some(port) = port else { continue };
            taken.insert((machine(&master.host, Some(&master.host)), port), (master.id.clone(), field));
        }
        let claims = |server: &ServerEntry| {
            let client_port = server.client_port.filter(|_| server.frontend);
            let ports =
                [("port", server.port), ("clientPort", client_port), ("adminPort", server.admin_port)];
            let host = machine(&server.host, Some(&master.host));
            ports.into_iter().filter_map(move |(field, port)| Some((field, (host.clone(), port?))))
        };
        for server in known {
            taken.extend(claims(server).map(|(field, claim)| (claim, (server.id.clone(), field))));
        }
        for Listed { server, spot } in listed {
            for (field, claim) in claims(server) {
                let port = claim.1;
                if let Some((id, other)) = taken.get(&claim) {
                    let place = spot.member(field).map_or_else(|| spot.place(), |spot| spot.place());
                    let found = format!("the port {port} is also the {other} of {}", quoted(id));
                    findings.problem(place, found, "each port of a host is listened on once");
                    // What is wrong with one server of a clusterCount is wrong with the next.
                    return;
                }
                taken.insert(claim, (server.id.clone(), field));
            }
        }
    }

    fn warn_of(
        &self,
        known: &[&ServerEntry],
        server_type: &str,
        listed: &[Listed<'_>],
        findings: &mut Findings,
    ) {
        let Some(Listed { server, spot }) = listed.first() else { return };
        if self.plugins_for(server_type).next().is_none() {
            let found = format!("no plugin serves the server type {}", quoted(server_type));
            findings.warning(spot.place(), found, "name it in \"serverTypes\" of a plugin in plugins.json");
        }
        if !server.frontend && server.port.is_none() {
            findings.warning(spot.place(), "a backend without \"port\"", "no other server can call it");
        }
        let other = known.iter().find(|known| known.server_type == server_type);
        if let Some(other) = other.filter(|other| other.frontend != server.frontend) {
            let found = format!("\"frontend\" is {}, but not for {}", server.frontend, quoted(&other.id));
            findings.warning(spot.place(), found, "servers of one type are alike");
        }
    }
}

/// How far `clusterCount` has counted for a type.
fn counted(known: &[&ServerEntry], server_type: &str) -> u64 {
    let number = |server: &&ServerEntry| {
        let rest = server.id.strip_prefix(COUNTED)?.strip_prefix(server_type)?.strip_prefix('-')?;
        rest.parse::<u64>().ok()
    };
    known.iter().filter_map(number).max().map_or(0, |last| last.saturating_add(1))
}
