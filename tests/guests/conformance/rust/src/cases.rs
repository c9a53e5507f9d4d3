//! The cases that ask nobody: the plugin with many calls in flight has the same.

use shaddock_sdk::prelude::*;

pub(crate) fn place(_: Value) -> Result<Value> {
    Ok(json!({ "server": app::own_server().id }))
}

pub(crate) fn echo(message: Value) -> Result<Value> {
    Ok(message)
}

#[derive(Deserialize)]
pub(crate) struct Ids {
    id: u64,
}

pub(crate) fn ids(Ids { id }: Ids) -> Result<Value> {
    Ok(json!({ "id": id, "text": id.to_string() }))
}

pub(crate) fn note(message: Value) -> Result<()> {
    Channel::named("all").push("onNote", &message)
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Fields {
    maybe: Option<String>,
}

pub(crate) fn fields(message: Fields) -> Result<Fields> {
    Ok(message)
}

#[derive(Deserialize)]
pub(crate) struct Text {
    text: String,
}

pub(crate) fn size(Text { text }: Text) -> Result<Value> {
    Ok(json!({ "chars": text.chars().count() }))
}

#[derive(Deserialize)]
pub(crate) struct Big {
    chars: usize,
}

pub(crate) fn big(Big { chars }: Big) -> Result<Value> {
    Ok(json!({ "text": "x".repeat(chars) }))
}

#[derive(Deserialize)]
pub(crate) struct Failing {
    code: u32,
    message: String,
}

pub(crate) fn failing(Failing { code, message }: Failing) -> Result<()> {
    Err(fail(code, message))
}

pub(crate) fn crash(Text { text }: Text) -> Result<()> {
    Err(text)?
}

/// The types of Rust leave only this: JSON that is none.
pub(crate) fn wrong(_: Raw) -> Result<Raw> {
    Ok(Raw(b"{".to_vec()))
}

pub(crate) fn trap(_: Value) -> Result<()> {
    #[expect(clippy::panic, reason = "that is the case")]
    {
        panic!("this is a panic")
    }
}

pub(crate) fn spin(_: Value) -> Result<()> {
    loop {
        std::hint::black_box(0);
    }
}

#[expect(unconditional_recursion, reason = "that is the case")]
fn deeper(depth: u64) -> u64 {
    std::hint::black_box(1 + deeper(std::hint::black_box(depth) + 1))
}

pub(crate) fn recurse(_: Value) -> Result<Value> {
    Ok(json!({ "depth": deeper(0) }))
}

pub(crate) fn print(Text { text }: Text) -> Result<()> {
    info!("{text} \0\x1b[31m\nforged");
    Ok(())
}

pub(crate) fn chance(_: Value) -> Result<Value> {
    let number = app::random_bytes(4).into_iter().fold(0u64, |sum, byte| sum << 8 | u64::from(byte));
    Ok(json!({ "number": number }))
}
