//! Pushes to users, and to all of a frontend.

use shaddock_sdk::channels::Audience;
use shaddock_sdk::prelude::*;

/// Sends to these users; answers those who have no session at their frontend.
pub(crate) fn to(members: &[Member], route: &str, body: &Value) -> Result<Vec<String>> {
    channels::push_to(members, route, body)?;
    let mut missed = Vec::new();
    for Member { uid, frontend_id } in members {
        if sessions::by_uid(frontend_id, uid)?.is_empty() {
            missed.push(uid.clone());
        }
    }
    Ok(missed)
}

/// A message to be pushed.
#[derive(Deserialize)]
pub(crate) struct Push {
    route: String,
    body: Value,
}

/// Pushes to the sender.
pub(crate) fn push(Push { route, body }: Push, session: &Session) -> Result<Value> {
    let fails = to(&[session.member()?], &route, &body)?;
    Ok(json!({ "code": 200, "err": null, "fails": fails }))
}

/// Pushes to the sender and to somebody who is not there.
pub(crate) fn push_fail(_: Value, session: &Session) -> Result<Value> {
    let nobody = Member { uid: "nobody".to_owned(), frontend_id: session.frontend().to_owned() };
    let fails = to(&[nobody, session.member()?], "onX", &json!({ "a": 1 }))?;
    Ok(json!({ "err": null, "fails": fails }))
}

/// A message for all connectors.
#[derive(Deserialize)]
pub(crate) struct Broadcast {
    route: String,
    body: Value,
    #[serde(default)]
    opts: Options,
}

/// Whom it is for.
#[derive(Default, Deserialize)]
struct Options {
    #[serde(default)]
    binded: bool,
}

/// Pushes to all sessions of all connectors, or to those of users.
pub(crate) fn broadcast(Broadcast { route, body, opts }: Broadcast) -> Result<Value> {
    let audience = if opts.binded { Audience::Bound } else { Audience::Everybody };
    channels::broadcast("connector", audience, &route, &body)?;
    Ok(json!({ "err": null }))
}
