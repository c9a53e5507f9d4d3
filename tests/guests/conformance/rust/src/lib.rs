//! The cases that tests/tests/conformance.rs puts to every language.
#![forbid(unsafe_code)]

mod cases;

use cases::{
    big, chance, crash, echo, failing, fields, ids, note, place, print, recurse, size, spin, trap, wrong,
};
use shaddock_sdk::prelude::*;

shaddock_sdk::plugin! {
    routes {
        "connector.caseHandler.enter" => enter,
        "connector.caseHandler.relay" => relay,
        "conform.caseHandler.where" => place,
        "conform.caseHandler.join" => join,
        "conform.caseHandler.echo" => echo,
        "conform.caseHandler.ids" => ids,
        "conform.caseHandler.note" => note,
        "conform.caseHandler.fields" => fields,
        "conform.caseHandler.size" => size,
        "conform.caseHandler.big" => big,
        "conform.caseHandler.fail" => failing,
        "conform.caseHandler.crash" => crash,
        "conform.caseHandler.wrong" => wrong,
        "conform.caseHandler.trap" => trap,
        "conform.caseHandler.spin" => spin,
        "conform.caseHandler.recurse" => recurse,
        "conform.caseHandler.print" => print,
        "conform.caseHandler.chance" => chance,
    }
    remotes { "conform.caseRemote.echo" => echo, "conform.caseRemote.fail" => failing }
    routers { "conform" => route }
}

#[derive(Deserialize)]
struct Enter {
    name: String,
    to: String,
}

/// Notes where to go.
fn enter(Enter { name, to }: Enter, session: &mut Session) -> Result<Value> {
    session.bind(&name)?;
    session.set("to", &to)?;
    session.push()?;
    Ok(json!({ "name": name }))
}

#[derive(Deserialize)]
struct Relay {
    method: String,
    args: Value,
}

/// Calls a remote, and answers what became of it.
fn relay(Relay { method, args }: Relay) -> Result<Value> {
    match rpc::call::<Value>("conform", "relay", &format!("caseRemote.{method}"), &args) {
        Ok(answer) => Ok(json!({ "answer": answer })),
        Err(error) => Ok(json!({ "code": error.code, "message": error.message })),
    }
}

fn route(key: &RouteKey, servers: &[Server]) -> Result<Target> {
    let to = key.text("to");
    if to == "nowhere" {
        return Err(fail(418, "no such way"));
    }
    Target::hashed(&to, servers)
}

fn join(_: Value, session: &Session) -> Result<()> {
    Channel::named("all").join(&session.member()?).map(drop)
}
