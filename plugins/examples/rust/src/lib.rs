//! Guess the number, in rooms.
//!
//! A client enters a room at its connector, joins it on the guess server that the room's name leads to, and guesses. The
//! rooms live in the plugin's memory: on guess servers it has the pool policy `single`.
#![forbid(unsafe_code)]

use std::cell::RefCell;
use std::collections::HashMap;
use std::time::Duration;

use shaddock_sdk::prelude::*;
use shaddock_sdk::timers::Timer;

shaddock_sdk::plugin! {
    routes {
        "connector.roomHandler.enter" => enter,
        "connector.roomHandler.status" => look,
        "guess.roomHandler.join" => join,
        "guess.roomHandler.guess" => guess,
        "guess.roomHandler.crash" => crash,
    }
    remotes { "guess.roomRemote.status" => status, "guess.roomRemote.leave" => leave }
    routers { "guess" => by_room }
    events { session_closed => left }
    timers { "round" => time_up }
}

/// The largest number that can be the secret; the smallest is 1.
const NUMBER_MAX: u32 = 100;
/// Longest name of a player or a room, in characters.
const NAME_CHARS_MAX: usize = 32;

/// What is being played in a room.
struct Round {
    number: u32,
    secret: u32,
    timer: Timer,
}

thread_local! {
    static ROOMS: RefCell<HashMap<String, Round>> = RefCell::default();
}

#[derive(Deserialize)]
struct Settings {
    #[serde(rename = "roundMs", default = "a_minute")]
    round_ms: u64,
}

fn a_minute() -> u64 {
    60_000
}

#[derive(Deserialize)]
struct Enter {
    name: String,
    room: String,
}

/// Connector: notes who is in which room, so that the route function knows.
fn enter(Enter { name, room }: Enter, session: &mut Session) -> Result<Value> {
    if ![&name, &room].iter().all(|text| (1..=NAME_CHARS_MAX).contains(&text.chars().count())) {
        return Err(fail(400, format!("a name has 1 to {NAME_CHARS_MAX} characters")));
    }
    session.bind(&name)?;
    left(session, "")?;
    session.set("room", &room)?;
    session.push()?;
    Ok(json!({ "name": name, "room": room }))
}

#[derive(Serialize, Deserialize)]
struct Look {
    room: String,
}

/// Connector: asks the guess server that has the room.
fn look(look: Look) -> Result<Value> {
    rpc::call("guess", &look.room, "roomRemote.status", &look)
}

/// Route function: the guess server of the room's name.
fn by_room(key: &RouteKey, servers: &[Server]) -> Result<Target> {
    Target::hashed(&key.text("room"), servers)
}

fn room_of(session: &Session) -> Result<String> {
    session.get("room")?.ok_or_else(|| fail(403, "enter a room first"))
}

/// Begins a round, in which there is so much time to guess.
fn begin(room: &str, number: u32) -> Result<Round> {
    let Settings { round_ms } = app::settings()?;
    let random = app::random_bytes(4).into_iter().fold(0, |sum, byte| sum << 8 | u32::from(byte));
    let timer =
        timers::after(Duration::from_millis(round_ms), "round", &json!({ "room": room, "round": number }))?;
    Ok(Round { number, secret: 1 + random % NUMBER_MAX, timer })
}

/// Ends a round: puts the next one in its place, and answers the one that was.
fn end(room: &str, number: u32) -> Result<Round> {
    let next = begin(room, number + 1)?;
    let ended = ROOMS.with_borrow_mut(|rooms| rooms.insert(room.to_owned(), next));
    let ended = ended.ok_or_else(|| fail(404, format!("nobody plays in {room}")))?;
    ended.timer.cancel();
    Ok(ended)
}

fn join(_: Value, session: &Session) -> Result<Value> {
    let room = room_of(session)?;
    let member = session.member()?;
    let channel = Channel::named(&room);
    let is_new = channel.join(&member)?;
    let round = match ROOMS.with_borrow(|rooms| rooms.get(&room).map(|round| round.number)) {
        Some(number) => number,
        None => {
            let first = begin(&room, 1)?;
            ROOMS.with_borrow_mut(|rooms| rooms.insert(room.clone(), first));
            1
        }
    };
    if is_new {
        channel.push("onJoin", &json!({ "name": member.uid, "room": room }))?;
    }
    let players: Vec<String> = channel.members()?.into_iter().map(|member| member.uid).collect();
    Ok(json!({ "players": players, "room": room, "round": round }))
}

#[derive(Deserialize)]
struct Guess {
    number: f64,
}

fn guess(Guess { number }: Guess, session: &Session) -> Result<Value> {
    if number.fract() != 0.0 || !(1.0..=f64::from(NUMBER_MAX)).contains(&number) {
        return Err(fail(400, format!("number is a whole number from 1 to {NUMBER_MAX}")));
    }
    let room = room_of(session)?;
    let member = session.member()?;
    let playing = ROOMS.with_borrow(|rooms| rooms.get(&room).map(|round| (round.number, round.secret)));
    let channel = Channel::named(&room);
    let (Some((round, secret)), Some(_)) = (playing, channel.find(&member.uid)) else {
        return Err(fail(403, "join the room first"));
    };
    let answer = match number.total_cmp(&f64::from(secret)) {
        std::cmp::Ordering::Less => "higher",
        std::cmp::Ordering::Greater => "lower",
        std::cmp::Ordering::Equal => {
            end(&room, round)?;
            let push = json!({ "name": member.uid, "number": secret, "room": room, "round": round });
            channel.push("onRight", &push)?;
            "right"
        }
    };
    Ok(json!({ "answer": answer, "round": round }))
}

#[derive(Deserialize)]
struct TimeUp {
    room: String,
    round: u32,
}

/// Timer: nobody found the number in time.
fn time_up(TimeUp { room, round }: TimeUp) -> Result<()> {
    if ROOMS.with_borrow(|rooms| rooms.get(&room).map(|round| round.number)) != Some(round) {
        return Ok(()); // found at the last moment
    }
    let ended = end(&room, round)?;
    let push = json!({ "number": ended.secret, "room": room, "round": round });
    Channel::named(&room).push("onTimeout", &push)
}

/// Remote: what goes on in a room.
fn status(Look { room }: Look) -> Result<Value> {
    let Some(round) = ROOMS.with_borrow(|rooms| rooms.get(&room).map(|round| round.number)) else {
        return Err(fail(404, format!("nobody plays in {room}")));
    };
    let players = Channel::named(&room).members()?.len();
    Ok(json!({ "players": players, "room": room, "round": round, "server": app::own_server().id }))
}

#[derive(Serialize, Deserialize)]
struct Leave {
    member: Member,
    room: String,
}

/// Remote: takes a player out of a room, and ends the game with the last one.
fn leave(Leave { member, room }: Leave) -> Result<()> {
    let channel = Channel::named(&room);
    if !channel.leave(&member) {
        return Ok(());
    }
    if channel.members().is_ok() {
        return channel.push("onLeave", &json!({ "name": member.uid, "room": room }));
    }
    if let Some(round) = ROOMS.with_borrow_mut(|rooms| rooms.remove(&room)) {
        round.timer.cancel();
    }
    Ok(())
}

/// Connector: a session has gone, or enters another room.
fn left(session: &Session, _reason: &str) -> Result<()> {
    match (session.member(), session.get("room")?) {
        (Ok(member), Some(room)) => rpc::call("guess", session, "roomRemote.leave", &Leave { member, room }),
        _ => Ok(()),
    }
}

#[derive(Deserialize)]
struct Crash {
    text: String,
}

/// What becomes of an error that nobody handles: any type of error will do, and the client gets the code 500.
fn crash(Crash { text }: Crash) -> Result<()> {
    Err(text)?
}
