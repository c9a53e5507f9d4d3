//! `area.areaHandler`: a backend with channels, and the route function that leads to it.

use shaddock_sdk::prelude::*;

/// Route function: the area that the session chose, else the last one. (pomelo's lists are in the order of the servers'
/// starts; when this application was recorded, the last area had started first.)
pub(crate) fn route(key: &RouteKey, areas: &[Server]) -> Result<Target> {
    let chosen = key.setting("area").map(std::borrow::Cow::into_owned);
    let id = chosen.or_else(|| areas.last().map(|area| area.id.clone()));
    id.map(Target::Id).ok_or_else(|| fail(503, "no area"))
}

/// Answers what came, where, and for whom.
pub(crate) fn echo(msg: Value, session: &Session) -> Result<Value> {
    Ok(json!({
        "code": 200,
        "at": app::own_server().id,
        "got": crate::with_route(msg, "area.areaHandler.echo"),
        "uid": session.uid(),
        "settings": session.settings()?,
        "fe": session.frontend(),
        "sidType": "number",
    }))
}

/// Fails.
pub(crate) fn boom() -> Result<()> {
    Err(fail(500, "area boom"))
}

/// Fails with an answer that has a code of its own.
pub(crate) fn fail_code() -> Result<()> {
    Err(fail(500, "area boom").answering(&json!({ "code": 43 })))
}

/// A setting to be written.
#[derive(Deserialize)]
pub(crate) struct Score {
    score: Value,
}

/// Writes a setting of the session.
pub(crate) fn set(Score { score }: Score, session: &mut Session) -> Result<Value> {
    session.set("score", &score)?;
    session.push_only(&["score"])?;
    Ok(json!({ "code": 200 }))
}

/// A user to be bound.
#[derive(Deserialize)]
pub(crate) struct User {
    uid: String,
}

/// Binds a user from the backend; pomelo's error has nothing but a stack.
pub(crate) fn bind(User { uid }: User, session: &mut Session) -> Result<Value> {
    match session.bind(&uid) {
        Ok(()) => Ok(json!({ "code": 200, "uid": session.uid() })),
        Err(error) => {
            info!("binding {uid}: {error}");
            Ok(json!({ "code": 200, "err": ["stack"], "uid": session.uid() }))
        }
    }
}

/// A channel.
#[derive(Deserialize)]
pub(crate) struct Room {
    ch: String,
}

impl Room {
    /// The channel, which stays when the last member has gone.
    fn open(&self) -> Result<Channel> {
        let channel = Channel::named(&self.ch);
        channel.create()?;
        Ok(channel)
    }
}

fn uids(channel: &Channel) -> Result<Vec<String>> {
    Ok(channel.members()?.into_iter().map(|member| member.uid).collect())
}

/// Joins a channel.
pub(crate) fn join(room: Room, session: &Session) -> Result<Value> {
    let (channel, member) = (room.open()?, session.member()?);
    let new = channel.join(&member)?;
    let me = channel.find(&member.uid).map(|me| json!({ "sid": me.frontend_id, "uid": me.uid }));
    let members = uids(&channel)?;
    Ok(json!({ "r": new, "members": members, "n": members.len(), "me": me }))
}

/// Leaves a channel.
pub(crate) fn leave(room: Room, session: &Session) -> Result<Value> {
    let channel = room.open()?;
    let left = channel.leave(&session.member()?);
    let members = uids(&channel)?;
    Ok(json!({ "r": left, "members": members, "n": members.len() }))
}

/// A line for a channel.
#[derive(Deserialize)]
pub(crate) struct Line {
    ch: String,
    route: Option<String>,
    body: Value,
}

/// Sends a line to a channel, and says whom it did not reach; nobody can be missed in an empty one.
pub(crate) fn say(Line { ch, route, body }: Line) -> Result<Value> {
    let channel = Channel::named(ch);
    let members = channel.members()?;
    let route = route.as_deref().unwrap_or("onSay");
    let fails = if members.is_empty() { None } else { Some(crate::push::to(&members, route, &body)?) };
    Ok(json!({ "err": null, "fails": fails }))
}

/// A user to be kicked.
#[derive(Deserialize)]
pub(crate) struct Kick {
    uid: String,
    reason: Option<String>,
}

/// Kicks a user of the same frontend.
pub(crate) fn kick(Kick { uid, reason }: Kick, session: &Session) -> Result<Value> {
    sessions::kick_uid(session.frontend(), &uid, reason.as_deref().unwrap_or("kick"))?;
    Ok(json!({ "err": null }))
}
