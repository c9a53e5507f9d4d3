//! Reading crons.json.

use std::collections::HashMap;

use crate::fields::Fields;
use crate::json::{Shape, quoted};
use crate::nearest::{nearest, suggestion};
use crate::problem::{Findings, Place};
use crate::servers::Servers;
use crate::spot::Spot;
use crate::{CronEntry, Schedule, ScheduleError};

type Parse = fn(&str) -> Result<Schedule, ScheduleError>;

const ID_CHARS_MAX: usize = 64;
const ACTION_BYTES_MAX: usize = 255;

/// Reads a section; `servers` is none if servers.json could not be read.
pub(crate) fn read(
    section: &Spot<'_>,
    servers: Option<&Servers<'_>>,
    findings: &mut Findings,
) -> Vec<CronEntry> {
    let mut crons = Vec::new();
    let types = section.entries("server types, each with a list of crons", findings).unwrap_or_default();
    for (server_type, spot) in types {
        check_type(server_type, &spot, servers, findings);
        let mut ids = Ids::default();
        for item in spot.list("crons", findings).unwrap_or_default() {
            let Some(cron) = read_cron(server_type, &item, servers, findings) else { continue };
            ids.claim(&cron, &item, findings);
            crons.push(cron);
        }
    }
    crons
}

fn check_type(name: &str, spot: &Spot<'_>, servers: Option<&Servers<'_>>, findings: &mut Findings) {
    if let Some(servers) = servers.filter(|servers| !servers.types.contains(name)) {
        let known: Vec<_> = servers.types.iter().copied().collect();
        let found = format!("servers.json has no server type {}", quoted(name));
        findings.problem(spot.place(), found, suggestion(name, &known));
    }
}

/// Reads an entry. None if any of its fields is a problem.
fn read_cron(
    server_type: &str,
    item: &Spot<'_>,
    servers: Option<&Servers<'_>>,
    findings: &mut Findings,
) -> Option<CronEntry> {
    let mut fields = Fields::open(item, findings)?;
    let id = fields.required("id", "a number or a text that no other cron of the server has");
    let id = id.and_then(|spot| read_id(&spot, fields.findings));
    let schedule = read_schedule(&mut fields);
    let action = fields.required("action", "what to run, such as \"chatCron.send\"");
    let action = action.and_then(|spot| read_action(&spot, fields.findings));
    let server_spot = fields.get("serverId");
    let server_id =
        server_spot.as_ref().map(|spot| read_server_id(server_type, spot, servers, fields.findings));
    fields.close_open();
    Some(CronEntry {
        id: id?,
        server_type: server_type.to_owned(),
        server_id: match server_id {
            Some(server_id) => Some(server_id?),
            None => None,
        },
        schedule: schedule?,
        action: action?,
    })
}

fn read_id(spot: &Spot<'_>, findings: &mut Findings) -> Option<String> {
    let id = match &spot.node.shape {
        Shape::Number(number) if number.is_u64() => Some(number.to_string()),
        Shape::Text(text) if (1..=ID_CHARS_MAX).contains(&text.chars().count()) => Some(text.clone()),
        _ => None,
    };
    if id.is_none() {
        spot.refuse(format!("a whole number, or a text of 1 to {ID_CHARS_MAX} characters"), findings);
    }
    id
}

fn read_schedule(fields: &mut Fields<'_, '_>) -> Option<Schedule> {
    let (time, cron) = (fields.get("time"), fields.get("cron"));
    let (spot, parse): (_, Parse) = match (time, cron) {
        (Some(spot), None) => (spot, Schedule::pomelo),
        (None, Some(spot)) => (spot, Schedule::cron),
        (Some(_), Some(spot)) => {
            let found = "both \"time\" and \"cron\"";
            fields.findings.problem(spot.place(), found, "they say the same in two syntaxes: keep one");
            return None;
        }
        (None, None) => {
            fields.findings.problem(
                fields.spot.place(),
                "missing \"time\"",
                "needed: when to run, as \"time\" in pomelo's syntax or as \"cron\" in cron's",
            );
            return None;
        }
    };
    let text = spot.text("a text such as \"0 30 10 * * *\"", fields.findings)?;
    match parse(text) {
        Ok(schedule) => {
            if !schedule.is_ever_due() {
                let found = format!("{} is never due", quoted(text));
                fields.findings.warning(spot.place(), found, "no day has all of this; midnight is hour 0");
            }
            Some(schedule)
        }
        Err(ScheduleError { found, allowed }) => {
            fields.findings.problem(spot.place(), found, allowed);
            None
        }
    }
}

fn read_action(spot: &Spot<'_>, findings: &mut Findings) -> Option<String> {
    let fine = |text: &&str| {
        (1..=ACTION_BYTES_MAX).contains(&text.len())
            && !text.contains(|c: char| c.is_whitespace() || c.is_control())
    };
    let action = spot.node.text().filter(fine);
    if action.is_none() {
        let allowed =
            format!("a text of 1 to {ACTION_BYTES_MAX} bytes without white space, such as \"chatCron.send\"");
        spot.refuse(allowed, findings);
    }
    action.map(str::to_owned)
}

fn read_server_id(
    server_type: &str,
    spot: &Spot<'_>,
    servers: Option<&Servers<'_>>,
    findings: &mut Findings,
) -> Option<String> {
    let id = spot.text("the id of a server of this type", findings)?;
    let Some(servers) = servers else { return Some(id.to_owned()) };
    let known = || servers.entries.iter().map(|listed| &listed.server);
    let of_type =
        || known().filter(|server| server.server_type == server_type).map(|server| server.id.as_str());
    match known().find(|server| server.id == id) {
        Some(server) if server.server_type == server_type => return Some(id.to_owned()),
        Some(server) => {
            let found = format!("{} is a server of the type {}", quoted(id), quoted(&server.server_type));
            let allowed =
                format!("allowed: a server of the type {}, under which this stands", quoted(server_type));
            findings.problem(spot.place(), found, allowed);
        }
        None => {
            let found = format!("servers.json has no server {}", quoted(id));
            let advice = match nearest(id, of_type()) {
                Some(near) => format!("did you mean \"{near}\"?"),
                None => format!("allowed: the id of a server of the type {}", quoted(server_type)),
            };
            findings.problem(spot.place(), found, advice);
        }
    }
    None
}

/// The ids of the crons of one type, with where they stand.
#[derive(Default)]
struct Ids(HashMap<String, Vec<(Option<String>, Place)>>);

impl Ids {
    /// No server runs two crons with one id.
    fn claim(&mut self, cron: &CronEntry, item: &Spot<'_>, findings: &mut Findings) {
        let place = item.member("id").unwrap_or_else(|| item.clone()).place();
        let claims = self.0.entry(cron.id.clone()).or_default();
        let meets =
            |other: &Option<String>| other.is_none() || cron.server_id.is_none() || *other == cron.server_id;
        if let Some((_, first)) = claims.iter().find(|(server_id, _)| meets(server_id)) {
            let line = first.line.map_or_else(String::new, |line| format!(" at line {line}"));
            let found = format!("{} is also the id of the cron{line}", quoted(&cron.id));
            findings.problem(place, found, "each cron of a server has an id of its own");
            return;
        }
        claims.push((cron.server_id.clone(), place));
    }
}
