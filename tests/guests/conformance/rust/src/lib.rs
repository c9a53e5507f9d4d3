//! The cases that tests/tests/conformance.rs puts to every language.
#![forbid(unsafe_code)]

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

fn place(_: Value) -> Result<Value> {
    Ok(json!({ "server": app::own_server().id }))
}

fn join(_: Value, session: &Session) -> Result<()> {
    Channel::named("all").join(&session.member()?).map(drop)
}

fn echo(message: Value) -> Result<Value> {
    Ok(message)
}

#[derive(Deserialize)]
struct Ids {
    id: u64,
}

fn ids(Ids { id }: Ids) -> Result<Value> {
    Ok(json!({ "id": id, "text": id.to_string() }))
}

fn note(message: Value) -> Result<()> {
    Channel::named("all").push("onNote", &message)
}

#[derive(Serialize, Deserialize)]
struct Fields {
    maybe: Option<String>,
}

fn fields(message: Fields) -> Result<Fields> {
    Ok(message)
}

#[derive(Deserialize)]
struct Text {
    text: String,
}

fn size(Text { text }: Text) -> Result<Value> {
    Ok(json!({ "chars": text.chars().count() }))
}

#[derive(Deserialize)]
struct Big {
    chars: usize,
}

fn big(Big { chars }: Big) -> Result<Value> {
    Ok(json!({ "text": "x".repeat(chars) }))
}

#[derive(Deserialize)]
struct Failing {
    code: u32,
    message: String,
}

fn failing(Failing { code, message }: Failing) -> Result<()> {
    Err(fail(code, message))
}

fn crash(Text { text }: Text) -> Result<()> {
    Err(text)?
}

/// The types of Rust leave only this: JSON that is none.
fn wrong(_: Raw) -> Result<Raw> {
    Ok(Raw(b"{".to_vec()))
}

fn trap(_: Value) -> Result<()> {
    #[expect(clippy::panic, reason = "that is the case")]
    {
        panic!("this is a panic")
    }
}

fn spin(_: Value) -> Result<()> {
    loop {
        std::hint::black_box(0);
    }
}

#[expect(unconditional_recursion, reason = "that is the case")]
fn deeper(depth: u64) -> u64 {
    std::hint::black_box(1 + deeper(std::hint::black_box(depth) + 1))
}

fn recurse(_: Value) -> Result<Value> {
    Ok(json!({ "depth": deeper(0) }))
}

fn print(Text { text }: Text) -> Result<()> {
    info!("{text} \0\x1b[31m\nforged");
    Ok(())
}

fn chance(_: Value) -> Result<Value> {
    let number = app::random_bytes(4).into_iter().fold(0u64, |sum, byte| sum << 8 | u64::from(byte));
    Ok(json!({ "number": number }))
}
