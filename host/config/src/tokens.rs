//! Reading adminServer.json: the tokens with which servers register. Tokens never stand in a finding.

use std::collections::{BTreeMap, BTreeSet};

use crate::fields::Fields;
use crate::json::quoted;
use crate::problem::Findings;
use crate::spot::Spot;

/// Reads the file; `types` are the keys of servers.json, none if that could not be read.
pub(crate) fn read(
    file: &Spot<'_>,
    types: Option<&BTreeSet<&str>>,
    findings: &mut Findings,
) -> BTreeMap<String, String> {
    let mut tokens = BTreeMap::new();
    let Some(items) = file.list("objects with \"type\" and \"token\"", findings) else { return tokens };
    for item in items {
        let Some((server_type, token)) = read_token(&item, findings) else { continue };
        if tokens.insert(server_type.to_owned(), token).is_some() {
            let found = format!("a second token for {}", quoted(server_type));
            findings.problem(item.place(), found, "one token for each server type");
        }
        let known = types.is_none_or(|types| types.contains(server_type)) || server_type == "master";
        if !known {
            let found = format!("servers.json has no server type {}", quoted(server_type));
            findings.warning(item.place(), found, "this token is not used");
        }
    }
    for server_type in types.into_iter().flatten().filter(|server_type| !tokens.contains_key(**server_type)) {
        let found = format!("no token for the server type {}", quoted(server_type));
        findings.problem(file.place(), found, "with this file, servers without a token cannot register");
    }
    tokens
}

fn read_token<'a>(item: &Spot<'a>, findings: &mut Findings) -> Option<(&'a str, String)> {
    let mut fields = Fields::open(item, findings)?;
    let server_type = fields.required("type", "a server type");
    let token = fields.required("token", "the text that servers of this type must know");
    let server_type = server_type?.text("a server type", findings)?;
    let token = token?;
    let Some(text) = token.node.text().filter(|text| !text.is_empty()) else {
        findings.problem(token.place(), "no text, or an empty one", "allowed: a text that is not empty");
        return None;
    };
    Some((server_type, text.to_owned()))
}
