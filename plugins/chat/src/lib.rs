//! The chat application of pomelo's tutorial.
//!
//! A client asks a gate for a connector, enters a room there, and talks through the chat server that the room's name
//! leads to. A user is known as `name*room`, so that one name can be in several rooms.
#![forbid(unsafe_code)]

use shaddock_sdk::prelude::*;

shaddock_sdk::plugin! {
    routes {
        "gate.gateHandler.queryEntry" => query_entry,
        "connector.entryHandler.enter" => enter,
        "chat.chatHandler.send" => send,
    }
    remotes { "chat.chatRemote.add" => add, "chat.chatRemote.kick" => kick }
    routers { "chat" => by_room }
    events { session_closed => left }
}

/// Longest name of a user or a room, in characters.
const NAME_CHARS_MAX: usize = 64;

#[derive(Deserialize)]
struct Query {
    uid: Option<String>,
}

/// Gate: names the connector that is to serve a user.
fn query_entry(query: Query) -> Result<Value> {
    let connectors = app::servers("connector");
    let uid = query.uid.filter(|uid| !uid.is_empty());
    Ok(match uid.and_then(|uid| routing::pick(&uid, &connectors)) {
        Some(server) => json!({ "code": 200, "host": server.host_for_clients(), "port": server.client_port }),
        None => json!({ "code": 500 }),
    })
}

/// Somebody in a room, as the servers tell each other.
#[derive(Serialize, Deserialize)]
struct User {
    member: Member,
    rid: String,
}

impl User {
    fn of(session: &Session) -> Result<Self> {
        match (session.member(), session.get("rid")?) {
            (Ok(member), Some(rid)) => Ok(Self { member, rid }),
            _ => Err(fail(500, "the session is in no room")),
        }
    }
}

fn uid_of(name: &str, rid: &str) -> String {
    format!("{name}*{rid}")
}

fn name_of(member: &Member) -> &str {
    member.uid.split_once('*').map_or(&member.uid, |(name, _)| name)
}

#[derive(Deserialize)]
struct Enter {
    username: String,
    rid: String,
}

/// Connector: lets a session into a room, out of the one that it was in. A connector has each name once per room.
fn enter(Enter { username, rid }: Enter, session: &mut Session) -> Result<Value> {
    let fits = |name: &str| (1..=NAME_CHARS_MAX).contains(&name.chars().count());
    if !fits(&username) || !fits(&rid) || username.contains('*') {
        return Err(fail(400, format!("a name has 1 to {NAME_CHARS_MAX} characters, a user's no *")));
    }
    let uid = uid_of(&username, &rid);
    let holders = |session: &Session| sessions::by_uid(session.frontend(), &uid).map(|all| all.len());
    if holders(session)? > 0 {
        return Ok(json!({ "code": 500, "error": true }));
    }
    leave(session)?;
    session.bind(&uid)?;
    if holders(session)? > 1 {
        session.unbind()?; // two asked for the name at once
        return Ok(json!({ "code": 500, "error": true }));
    }
    let users = join(session, &rid).inspect_err(|_| drop(leave(session)))?;
    Ok(json!({ "users": users }))
}

/// Enters first and pushes last: a client that goes meanwhile fails the push, one that goes later has `left`, and
/// either takes it out of the room again.
fn join(session: &mut Session, rid: &str) -> Result<Vec<String>> {
    session.set("rid", rid)?;
    session.set("chat", &())?;
    let (users, chat): (_, String) = rpc::call("chat", &*session, "chatRemote.add", &User::of(session)?)?;
    session.set("chat", &chat)?;
    session.push()?;
    Ok(users)
}

/// A chat server that cannot be reached has lost the room anyway.
fn leave(session: &mut Session) -> Result<()> {
    left(session, "").unwrap_or_else(|e| warn!("leaving a room: {e}"));
    session.unbind()
}

fn left(session: &Session, _reason: &str) -> Result<()> {
    User::of(session).map_or(Ok(()), |user| rpc::call("chat", session, "chatRemote.kick", &user))
}

/// Route function: the chat server that the session entered, while that is up; else the one of the room's name.
fn by_room(key: &RouteKey, chats: &[Server]) -> Result<Target> {
    let entered = key.setting("chat").and_then(|id| chats.iter().position(|chat| chat.id == id));
    entered.map_or_else(|| Target::hashed(&key.text("rid"), chats), |index| Ok(Target::Index(index as u32)))
}

/// Chat: adds a user and tells the others, in this order, so that of two who come at once each hears of the other.
/// Answers who is there, and which server keeps the room.
fn add(user: User) -> Result<(Vec<String>, String)> {
    let room = Channel::named(&user.rid);
    room.join(&user.member)?;
    let members = room.members()?;
    let users = members.iter().map(|member| name_of(member).to_owned()).collect();
    tell_others(members, &user.member, "onAdd")?;
    Ok((users, app::own_server().id))
}

/// Chat: takes a user out, and tells the others.
fn kick(User { member, rid }: User) -> Result<()> {
    let room = Channel::named(&rid);
    if !room.leave(&member) {
        return Ok(());
    }
    tell_others(room.members().unwrap_or_default(), &member, "onLeave") // the last one's room has gone
}

fn tell_others(mut members: Vec<Member>, of: &Member, route: &str) -> Result<()> {
    members.retain(|member| member != of);
    let msg = json!({ "route": route, "user": name_of(of) });
    if members.is_empty() { Ok(()) } else { channels::push_to(&members, route, &msg) }
}

#[derive(Deserialize)]
struct Line {
    content: String,
    target: String,
}

/// Chat: passes a line on to everybody in the sender's room, or to one of them.
fn send(line: Line, session: &Session) -> Result<()> {
    let User { member: sender, rid } = User::of(session)?;
    let room = Channel::named(&rid);
    let present = |uid: &str| room.find(uid).ok_or_else(|| fail(500, format!("{uid} is not in the room")));
    present(&sender.uid)?;
    let msg = json!({ "msg": line.content, "from": name_of(&sender), "target": line.target });
    if line.target == "*" {
        return room.push("onChat", &msg);
    }
    channels::push_to(&[present(&uid_of(&line.target, &rid))?], "onChat", &msg)
}

#[cfg(test)]
mod tests;
