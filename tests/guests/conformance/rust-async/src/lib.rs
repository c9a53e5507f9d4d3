//! The cases that tests/tests/conformance.rs puts to plugins with many calls in flight.
#![forbid(unsafe_code)]

#[path = "../../rust/src/cases.rs"]
mod cases;

use std::cell::Cell;

use cases::{
    big, chance, crash, echo, failing, fields, ids, note, place, print, recurse, size, spin, trap, wrong,
};
use shaddock_sdk::concurrent::prelude::*;

shaddock_sdk::concurrent_plugin! {
    routes {
        "connector.caseHandler.enter" => enter,
        "connector.caseHandler.relay" => relay,
        "connector.caseHandler.gather" => gather,
        "connector.caseHandler.own" => own,
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
        "conform.caseHandler.soon" => soon,
    }
    remotes {
        "conform.caseRemote.echo" => echo,
        "conform.caseRemote.fail" => failing,
        "conform.caseRemote.meet" => meet,
    }
    timers { "soon" => came }
}

thread_local! {
    /// Of the calls of `meet`: how many are in flight, and how many there were at most.
    static HERE: Cell<u32> = const { Cell::new(0) };
    static MOST: Cell<u32> = const { Cell::new(0) };
}

#[derive(Deserialize)]
struct Enter {
    name: String,
    to: String,
}

/// Notes where to go.
async fn enter(Enter { name, to }: Enter, session: &mut Session) -> Result<Value> {
    session.bind(&name).await?;
    session.set("to", &to)?;
    session.push().await?;
    Ok(json!({ "name": name }))
}

#[derive(Deserialize)]
struct Relay {
    method: String,
    args: Value,
}

/// Calls a remote, and answers what became of it.
async fn relay(Relay { method, args }: Relay) -> Result<Value> {
    match rpc::call::<Value>("conform", "relay", &format!("caseRemote.{method}"), &args).await {
        Ok(answer) => Ok(json!({ "answer": answer })),
        Err(error) => Ok(json!({ "code": error.code, "message": error.message })),
    }
}

#[derive(Deserialize)]
struct Gather {
    count: u32,
}

/// Makes so many calls at once; answers how many were in flight, and the sum of what they were given.
async fn gather(Gather { count }: Gather) -> Result<Value> {
    let numbers: Vec<u32> = (0..count).collect();
    let meet = |number| rpc::call::<(u32, u32)>("conform", "gather", "caseRemote.meet", number);
    let (mut most, mut sum) = (0, 0);
    for answer in join_all(numbers.iter().map(meet)).await {
        let (number, here) = answer?;
        sum += number;
        most = most.max(here);
    }
    Ok(json!({ "most": most, "sum": sum }))
}

/// Waits for another server with others beside it; answers the most that were there at once.
async fn meet(number: u32) -> Result<(u32, u32)> {
    HERE.set(HERE.get() + 1);
    MOST.set(MOST.get().max(HERE.get()));
    rpc::call::<Value>("conform", "meet", "caseRemote.echo", &number).await?;
    HERE.set(HERE.get() - 1);
    Ok((number, MOST.get()))
}

/// Sets the call's own copy of the session, waits, and pushes it.
async fn own(value: Value, session: &mut Session) -> Result<Value> {
    session.set("own", &value)?;
    rpc::call::<Value>("conform", "own", "caseRemote.echo", &value).await?;
    session.push().await?;
    Ok(json!({ "now": session.fresh().await?.get::<Value>("own")? }))
}

async fn join(_: Value, session: &Session) -> Result<()> {
    Channel::named("all").join(&session.member()?).map(drop)
}

/// Sets a timer that pushes what it is given.
fn soon(message: Value) -> Result<()> {
    timers::after(std::time::Duration::from_millis(20), "soon", &message).map(drop)
}

async fn came(message: Value) -> Result<()> {
    let answer: Value = rpc::call("conform", "soon", "caseRemote.echo", &message).await?;
    Channel::named("all").push("onSoon", &answer)
}
