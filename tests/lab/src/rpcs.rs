//! Every way to call another server, and the remotes that are called.

use shaddock_sdk::prelude::*;

/// Adds two numbers, and says where.
pub(crate) fn add((a, b): (i64, i64)) -> Result<(i64, String)> {
    let sum = a.checked_add(b).ok_or_else(|| fail(400, "the sum is too large"))?;
    Ok((sum, app::own_server().id))
}

/// Fails.
pub(crate) fn fails(what: String) -> Result<()> {
    Err(fail(500, format!("remote failed {what}")))
}

/// Says where it runs.
pub(crate) fn who() -> Result<String> {
    Ok(app::own_server().id)
}

/// What a callback of pomelo's would get: the error, and the value behind it.
fn callback(result: Result<Value>) -> Value {
    match result {
        Ok(value) => json!([null, value]),
        Err(error) => json!([{ "code": error.code, "message": error.message }]),
    }
}

/// Calls by session, by id, and all servers of a type.
pub(crate) fn rpcs(_: Value, session: &Session) -> Result<Value> {
    let areas = app::servers("area");
    let (Some(first), Some(last)) = (areas.first(), areas.last()) else {
        return Err(fail(503, "no area"));
    };
    let (sum, at): (i64, String) = rpc::call("area", session, "areaRemote.add", &(1, 2))?;
    let fail = rpc::call("area", session, "areaRemote.fail", "x");
    let who = rpc::call_server(&last.id, "areaRemote.who", &());
    let all: Vec<(String, Result<String>)> = rpc::call_all("area", "areaRemote.who", &())?;
    let invoke = rpc::call_server(&first.id, "areaRemote.who", &());
    let nomethod: Result<Value> = rpc::call_server(&first.id, "areaRemote.nomethod", &());
    Ok(json!({
        "add": [null, sum, at],
        "fail": callback(fail),
        "who": callback(who),
        "all": [all.into_iter().find_map(|(_, result)| result.err()).map(|error| error.message)],
        "invoke": callback(invoke),
        "nomethod": nomethod.err().map(|error| error.code),
    }))
}
