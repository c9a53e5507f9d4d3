//! Reading master.json.

use std::ops::RangeInclusive;
use std::path::PathBuf;

use crate::fields::Fields;
use crate::json::{Member, to_map};
use crate::problem::Findings;
use crate::servers::{PORTS, PORTS_OR_ANY, read_host, read_id};
use crate::spot::Spot;
use crate::{DeploySettings, MasterEntry};

/// Each version is a file of up to 32 MiB.
const KEEP_VERSIONS: RangeInclusive<u64> = 1..=1_000;
/// Two versions run side by side for as long.
const SETTLE_MS: RangeInclusive<u64> = 0..=600_000;

/// Tells a section from the fields of a master.
pub(crate) fn is_section(member: &Member) -> bool {
    member.node.members().is_some()
}

/// Reads a section. None if any of its fields is a problem.
pub(crate) fn read(section: &Spot<'_>, findings: &mut Findings) -> Option<MasterEntry> {
    let problems = findings.problems();
    let mut fields = Fields::open(section, findings)?;
    let mut port = 0;
    fields.required("port", "the port at which servers and commands reach the master");
    fields.whole("port", PORTS, &mut port);
    let mut master = MasterEntry {
        id: read_id(&mut fields).unwrap_or_default(),
        host: read_host(&mut fields).unwrap_or_default(),
        port,
        web_port: None,
        web_host: None,
        web_root: None,
        admin_port: None,
        deploy: DeploySettings::default(),
        fields: to_map(section.node.members().unwrap_or_default()),
    };
    fields.whole_some("webPort", PORTS, &mut master.web_port);
    if let Some(spot) = fields.get("webHost") {
        master.web_host = spot.address(fields.findings);
    }
    if let Some(spot) = fields.get("webRoot") {
        let what = "the path of a directory, as seen from the configuration directory";
        master.web_root = spot.text(what, fields.findings).map(PathBuf::from);
    }
    fields.whole_some("adminPort", PORTS_OR_ANY, &mut master.admin_port);
    master.admin_port = master.admin_port.filter(|&port| port != 0);
    fields.object("deploy", |fields| {
        fields.whole("keepVersions", KEEP_VERSIONS, &mut master.deploy.keep_versions);
        fields.whole("settleMs", SETTLE_MS, &mut master.deploy.settle_ms);
    });
    fields.idle(&[("args", "these are arguments for node, and the master is no node process")]);
    fields.close_open();
    (findings.problems() == problems).then_some(master)
}
