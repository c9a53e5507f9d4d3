//! Reading plugins.json.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::fields::Fields;
use crate::json::{Member, quoted};
use crate::nearest::suggestion;
use crate::plugin::blank;
use crate::problem::Findings;
use crate::spot::{Spot, report_twice};
use crate::{Grants, PluginEntry, PluginLimits, Pool};

/// The fields of an entry.
const ENTRY: [&str; 8] =
    ["component", "serverTypes", "pool", "limits", "grants", "ordered", "tickHz", "settings"];

/// What the entries of plugins.json are read against.
pub(crate) struct Surroundings<'a> {
    /// Component files are named from here.
    pub(crate) dir: &'a Path,
    /// The server types of servers.json; none if that file could not be read.
    pub(crate) types: Option<&'a BTreeSet<&'a str>>,
}

/// Tells a section from a plugin: it holds objects, and no field of a plugin.
pub(crate) fn is_section(member: &Member) -> bool {
    let is_plugin =
        |member: &Member| member.node.members().is_some() && !ENTRY.contains(&member.key.as_str());
    member.node.members().is_some_and(|plugins| plugins.iter().all(is_plugin))
}

/// Reads a section.
pub(crate) fn read(
    section: &Spot<'_>,
    surroundings: &Surroundings<'_>,
    findings: &mut Findings,
) -> Vec<PluginEntry> {
    let plugins = section.entries("plugins, each under its name", findings).unwrap_or_default();
    plugins.into_iter().filter_map(|(name, spot)| read_plugin(name, &spot, surroundings, findings)).collect()
}

fn read_plugin(
    name: &str,
    spot: &Spot<'_>,
    surroundings: &Surroundings<'_>,
    findings: &mut Findings,
) -> Option<PluginEntry> {
    let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if !(1..=64).contains(&name.len()) || !name.chars().all(fine) {
        let found = format!("found the plugin name {}", quoted(name));
        findings.problem(spot.place(), found, "allowed: 1 to 64 letters, digits, '-' and '_'");
    }
    let mut plugin = blank(name);
    let mut fields = Fields::open(spot, findings)?;
    if let Some(spot) = fields.required("component", "the path of the component file") {
        plugin.component = component(&spot, surroundings.dir, fields.findings).unwrap_or_default();
    }
    if let Some(spot) = fields.required("serverTypes", "a list of the server types that load the plugin") {
        plugin.server_types = server_types(&spot, surroundings.types, fields.findings);
    }
    fields.object("pool", |fields| read_pool(fields, &mut plugin));
    fields.object("limits", |fields| read_limits(fields, &mut plugin.limits));
    if let Some(spot) = fields.get("grants") {
        plugin.grants = grants(&spot, fields.findings);
    }
    fields.flag("ordered", &mut plugin.ordered);
    fields.whole_or_null("tickHz", 1..=1_000, &mut plugin.tick_hz);
    if plugin.tick_hz.is_some() {
        single_for_ticks(&mut fields, &mut plugin);
    }
    if let Some(spot) = fields.get("settings") {
        spot.entries("settings", fields.findings);
        plugin.settings = spot.node.to_value();
    }
    fields.close();
    Some(plugin)
}

/// A game loop has one instance, whether the pool says so or says nothing.
fn single_for_ticks(fields: &mut Fields<'_, '_>, plugin: &mut PluginEntry) {
    match fields.spot.member("pool").and_then(|pool| pool.member("policy")) {
        Some(policy) if plugin.pool != Pool::Single => fields.findings.problem(
            policy.place(),
            "a game loop (\"tickHz\") in many instances",
            "allowed: the policy \"single\"",
        ),
        _ => plugin.pool = Pool::Single,
    }
}

/// The absolute path of the component file, which must exist.
fn component(spot: &Spot<'_>, dir: &Path, findings: &mut Findings) -> Option<PathBuf> {
    let named =
        spot.text("the path of a component file, as seen from the configuration directory", findings)?;
    let path = dir.join(named);
    let refusal = match path.canonicalize() {
        Ok(path) if path.is_file() => return Some(path),
        Ok(_) => "is no file".to_owned(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => "does not exist".to_owned(),
        Err(error) => format!("cannot be read: {error}"),
    };
    findings.problem(
        spot.place(),
        format!("missing component: {} {refusal}", path.display()),
        "build the plugin, or name its file as seen from the configuration directory",
    );
    None
}

fn server_types(spot: &Spot<'_>, known: Option<&BTreeSet<&str>>, findings: &mut Findings) -> Vec<String> {
    let Some(items) = spot.list("server types", findings) else { return Vec::new() };
    if items.is_empty() {
        spot.refuse("at least one server type", findings);
    }
    report_twice(&items, findings);
    let mut types = Vec::new();
    for item in items {
        let Some(name) = item.text("a server type", findings) else { continue };
        types.push(name.to_owned());
        let Some(known) = known.filter(|known| !known.contains(name)) else { continue };
        let known: Vec<_> = known.iter().copied().collect();
        let found = format!("servers.json has no server type {}", quoted(name));
        findings.problem(item.place(), found, suggestion(name, &known));
    }
    types
}

fn read_pool(fields: &mut Fields<'_, '_>, plugin: &mut PluginEntry) {
    let policies = [("warm", Pool::Warm), ("fresh", Pool::Fresh), ("single", Pool::Single)];
    fields.name_of("policy", &policies, &mut plugin.pool);
    let limits = &mut plugin.limits;
    fields.whole("instancesMax", 1..=10_000, &mut limits.instances_max);
    fields.whole("nestedInstancesMax", 0..=10_000, &mut limits.nested_instances_max);
    fields.whole("callsPerInstanceMax", 1..=10_000, &mut limits.calls_per_instance_max);
    fields.whole("recycleCalls", 0..=1_000_000_000, &mut limits.recycle_calls);
    fields.whole_or_null("recycleBytes", 64 << 10..=1 << 30, &mut limits.recycle_bytes);
    fields.whole("queueMsMax", 0..=60_000, &mut limits.queue_ms_max);
    fields.whole("queuedCallsMax", 0..=1_000_000, &mut limits.queued_calls_max);
    let (idle, why): (&[&str], &str) = match plugin.pool {
        Pool::Warm => return,
        Pool::Fresh => (&["recycleCalls", "recycleBytes"], "the policy \"fresh\" keeps no instance"),
        Pool::Single => (
            &["instancesMax", "nestedInstancesMax", "recycleCalls", "recycleBytes"],
            "the policy \"single\" keeps one instance",
        ),
    };
    for name in idle {
        if let Some(spot) = fields.spot.member(name) {
            fields.findings.warning(spot.place(), "has no effect", why);
        }
    }
}

fn read_limits(fields: &mut Fields<'_, '_>, limits: &mut PluginLimits) {
    fields.whole("memoryBytesMax", 64 << 10..=1 << 30, &mut limits.memory_bytes_max);
    fields.whole("deadlineMs", 1..=600_000, &mut limits.deadline_ms);
    fields.whole("cpuMsMax", 1..=60_000, &mut limits.cpu_ms_max);
    fields.whole("valueBytesMax", 1 << 10..=64 << 20, &mut limits.value_bytes_max);
}

#[derive(Clone)]
enum Grant {
    Sessions,
    Channels,
    Rpc,
    Timers,
}

const GRANTS: &[(&str, Grant)] = &[
    ("sessions", Grant::Sessions),
    ("channels", Grant::Channels),
    ("rpc", Grant::Rpc),
    ("timers", Grant::Timers),
];

fn grants(spot: &Spot<'_>, findings: &mut Findings) -> Grants {
    let mut grants = Grants::default();
    for grant in spot.names_of(GRANTS, findings).unwrap_or_default() {
        match grant {
            Grant::Sessions => grants.sessions = true,
            Grant::Channels => grants.channels = true,
            Grant::Rpc => grants.rpc = true,
            Grant::Timers => grants.timers = true,
        }
    }
    grants
}
