//! Players in chat rooms: what they send, and what they make of what they hear.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::AcqRel, Ordering::Acquire};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tokio::net::tcp::OwnedWriteHalf;

use super::ledger::Ledger;
use crate::connection::{Connection, Reader};
use crate::frame::put_client_frame;
use crate::load::{Target, open_all};
use crate::pomelo::{self, Greeting, ServerMessage};

/// Players in a room: so many hear what one says.
pub(super) const ROOM: usize = 10;

const ENTER: &str = "connector.entryHandler.enter";
const SEND: &str = "chat.chatHandler.send";
/// The push that brings a line to a player of the room.
const LINE: &[u8] = b"onChat";
/// What `SEND` answers if all went well.
const RIGHT: &[u8] = b"{}";
/// The request that entered the room had number 1.
const NUMBER_FIRST: u32 = 2;
/// A player whose socket takes nothing for this long has lost its connection.
const SEND_TIME_MAX: Duration = Duration::from_secs(10);

/// All players: where they send, and where they listen.
pub(super) struct Crowd {
    pub(super) lanes: Arc<Vec<Lane>>,
    pub(super) listeners: Vec<Listener>,
}

impl Crowd {
    /// Connects the players to the connectors in turn and lets them enter their rooms.
    pub(super) async fn enter(targets: &[Target], players: usize, body_bytes: usize) -> Result<Self> {
        let (mut lanes, mut listeners) = (Vec::with_capacity(players), Vec::with_capacity(players));
        for (index, (mut connection, greeting)) in
            open_all(targets, "/", players).await?.into_iter().enumerate()
        {
            let room = index / ROOM;
            let body = format!(r#"{{"username":"player-{index}","rid":"room-{room}"}}"#);
            let answer = connection.ask(&greeting, ENTER, body.as_bytes()).await?;
            let answer = String::from_utf8_lossy(&answer);
            ensure!(answer.contains(r#""users":"#), "{ENTER} answered {answer}");
            let Connection { reader, writer } = connection;
            lanes.push(Lane { writer, greeting, next: AtomicU32::new(NUMBER_FIRST), body_bytes });
            let room = (players - room * ROOM).min(ROOM) as u64;
            let ledger = Ledger::new(NUMBER_FIRST);
            listeners.push(Listener { index, room, reader, ledger, heard: 0, first_failure: None });
        }
        Ok(Self { lanes: Arc::new(lanes), listeners })
    }
}

/// The sending half of a player.
pub(super) struct Lane {
    writer: OwnedWriteHalf,
    greeting: Greeting,
    next: AtomicU32,
    body_bytes: usize,
}

impl Lane {
    /// The number that the next request will have.
    pub(super) fn next(&self) -> u32 {
        self.next.load(Acquire)
    }

    /// Requests so far.
    pub(super) fn sent(&self) -> u32 {
        self.next() - NUMBER_FIRST
    }

    /// Says something to everybody in the room; the request's number. If the socket is full, waits on this thread.
    pub(super) fn say(&self) -> Result<u32> {
        let number = self.next();
        let request = self.greeting.request(number, SEND, &line(number, self.body_bytes))?;
        let mut frame = Vec::with_capacity(request.len() + 14);
        put_client_frame(&request, &mut frame);
        // Before it is sent: its answer may be there before this thread goes on.
        self.next.fetch_add(1, AcqRel);
        self.write(&frame)?;
        Ok(number)
    }

    fn write(&self, mut rest: &[u8]) -> Result<()> {
        let begun = Instant::now();
        while !rest.is_empty() {
            match self.writer.try_write(rest) {
                Ok(written) => rest = rest.get(written..).unwrap_or_default(),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    ensure!(begun.elapsed() < SEND_TIME_MAX, "the server does not read what a player says");
                    thread::sleep(Duration::from_micros(50));
                }
                Err(error) => return Err(error).context("sending"),
            }
        }
        Ok(())
    }
}

/// What a player says: JSON of `len` bytes, or some more if it does not fit, that is never the same twice.
fn line(number: u32, len: usize) -> Vec<u8> {
    let mut body = format!(r#"{{"target":"*","content":"{number} "#).into_bytes();
    body.resize(len.saturating_sub(2).max(body.len()), b'x');
    body.extend_from_slice(br#""}"#);
    body
}

/// The receiving half of a player.
pub(super) struct Listener {
    pub(super) index: usize,
    /// Players in the room, this one included.
    pub(super) room: u64,
    reader: Reader,
    pub(super) ledger: Ledger,
    /// Lines of the players of the room.
    pub(super) heard: u64,
    /// The first answer that was an error.
    pub(super) first_failure: Option<String>,
}

impl Listener {
    /// Waits for bytes.
    pub(super) async fn fill(&mut self) -> Result<()> {
        self.reader.fill().await
    }

    /// Takes what has arrived. Each first answer is told, with whether it is right.
    pub(super) fn take(&mut self, lane: &Lane, mut answered: impl FnMut(u32, bool)) -> Result<()> {
        let next = lane.next();
        let Self { ledger, heard, first_failure, .. } = self;
        self.reader.each_payload(|mut payload| {
            while let Some((kind, package)) = pomelo::take_package(&mut payload)? {
                match kind {
                    pomelo::DATA => match pomelo::server_message(package)? {
                        ServerMessage::Response { id, body } => {
                            let is_right = body == RIGHT;
                            if ledger.answer(id, next, is_right) {
                                answered(id, is_right);
                            }
                            if !is_right {
                                first_failure
                                    .get_or_insert_with(|| String::from_utf8_lossy(body).into_owned());
                            }
                        }
                        ServerMessage::Push { route, .. } => *heard += u64::from(route == LINE),
                    },
                    pomelo::KICK => bail!("kicked: {}", String::from_utf8_lossy(package)),
                    _ => {}
                }
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_json_of_the_length_asked_for_with_its_number() {
        let parsed: serde_json::Value = serde_json::from_slice(&line(4711, 64)).unwrap();
        assert_eq!((line(4711, 64).len(), &parsed["target"]), (64, &"*".into()));
        assert!(parsed["content"].as_str().unwrap().starts_with("4711 x"), "{parsed}");
        let short: serde_json::Value = serde_json::from_slice(&line(u32::MAX, 16)).unwrap();
        assert_eq!(short["content"], format!("{} ", u32::MAX));
    }
}
