//! `connector.entryHandler`: answers of every kind, failures of every kind, and what a session is for.

use std::time::Duration;

use shaddock_sdk::prelude::*;

/// Answers what came.
pub(crate) fn echo(msg: Value) -> Result<Value> {
    Ok(json!({ "code": 200, "got": crate::with_route(msg, "connector.entryHandler.echo") }))
}

/// Answers a text.
pub(crate) fn text() -> Result<&'static str> {
    Ok("plain string")
}

/// Answers a number.
pub(crate) fn num() -> Result<u32> {
    Ok(7)
}

/// Answers a list.
pub(crate) fn arr() -> Result<Value> {
    Ok(json!([1, "two", { "three": 3 }]))
}

/// Fails.
pub(crate) fn boom() -> Result<()> {
    Err(fail(500, "boom"))
}

/// Fails with an answer, which gets the code.
pub(crate) fn fail_resp() -> Result<()> {
    Err(fail(500, "boom").answering(&json!({ "reason": "because" })))
}

/// Fails with an answer that has a code of its own.
pub(crate) fn fail_code() -> Result<()> {
    Err(fail(500, "boom").answering(&json!({ "code": 42 })))
}

/// Fails with a text.
pub(crate) fn fail_string() -> Result<()> {
    Err("string error".into())
}

/// Panics, which is what an exception is here.
#[expect(clippy::panic, reason = "what this route is for")]
pub(crate) fn thrower() -> Result<()> {
    panic!("thrown in handler")
}

/// Answers once: a function cannot return twice.
pub(crate) fn twice() -> Result<Value> {
    Ok(json!({ "n": 1 }))
}

/// What a client logs in with.
#[derive(Deserialize)]
pub(crate) struct Login {
    uid: String,
    area: Option<String>,
}

/// Binds the user and keeps the area that it wants; another setting stays with this call's copy.
pub(crate) fn login(Login { uid, area }: Login, session: &mut Session) -> Result<Value> {
    if let Err(error) = session.bind(&uid) {
        let holder = session.fresh()?.uid().unwrap_or_default().to_owned();
        info!("login of {uid}: {error}");
        return Ok(json!({ "code": 501, "m": format!("session has already bind with {holder}") }));
    }
    session.set("local", "only")?;
    if let Some(area) = area {
        session.set("area", &area)?;
        session.push_only(&["area"])?;
    }
    Ok(json!({ "code": 200, "sid": "number", "fe": session.frontend(), "uid": session.uid() }))
}

/// Takes the binding back.
pub(crate) fn logout(_: Value, session: &mut Session) -> Result<Value> {
    if session.uid().is_none() {
        return Ok(json!({ "code": 500, "m": "session has not bind with null", "uid": null }));
    }
    session.unbind()?;
    Ok(json!({ "code": 200, "uid": session.uid() }))
}

/// What is known of the session.
pub(crate) fn info(_: Value, session: &Session) -> Result<Value> {
    Ok(json!({ "uid": session.uid(), "settings": session.settings()?, "fe": session.frontend() }))
}

/// Whom to kick, and with what reason.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct KickMe {
    reason: Option<String>,
    no_reason: Option<Value>,
}

/// A kick that is given later.
#[derive(Serialize, Deserialize)]
pub(crate) struct Kick {
    frontend: String,
    uid: String,
    reason: String,
}

/// How long after its request a kick is given.
const KICK_DELAY: Duration = Duration::from_millis(50);

/// Answers, and is kicked then. Nothing follows a kick, so it must not be given before the answer is on its way.
pub(crate) fn kickme(KickMe { reason, no_reason }: KickMe, session: &Session) -> Result<Value> {
    let reason = match no_reason {
        Some(_) => "kick".to_owned(),
        None => reason.unwrap_or_else(|| "kicked by lab".to_owned()),
    };
    let Member { uid, frontend_id: frontend } = session.member()?;
    timers::after(KICK_DELAY, "kick", &Kick { frontend, uid, reason })?;
    Ok(json!({ "code": 200 }))
}

/// Gives the kick.
pub(crate) fn kick(Kick { frontend, uid, reason }: Kick) -> Result<()> {
    sessions::kick_uid(&frontend, &uid, &reason).map(drop)
}

/// Kicks this one session; there is no answer.
pub(crate) fn kicksid(_: Value, session: &Session) -> Result<()> {
    session.kick("sid-kick")
}
