//! `gate.gateHandler`: where to connect.

use shaddock_sdk::prelude::*;

/// The first connector, as far as its entry of servers.json says it. pomelo's processes read `true` as a text.
pub(crate) fn query() -> Result<Value> {
    let connectors = app::servers("connector");
    let connector = connectors.first().ok_or_else(|| fail(503, "no connector"))?;
    let kind = |name: &str| connector.field::<Value>(name).map(|value| kind_of(value.as_ref()));
    Ok(json!({
        "code": 200,
        "host": connector.host,
        "port": connector.client_port,
        "frontend": connector.frontend.to_string(),
        "types": { "port": kind("clientPort")?, "frontend": "string", "max": kind("max-connections")? },
    }))
}

/// The type of a value in JavaScript's words.
fn kind_of(value: Option<&Value>) -> &'static str {
    match value {
        None => "undefined",
        Some(Value::Bool(_)) => "boolean",
        Some(Value::Number(_)) => "number",
        Some(Value::String(_)) => "string",
        Some(_) => "object",
    }
}
