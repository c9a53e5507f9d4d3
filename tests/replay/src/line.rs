//! An open connection of the replay, with what arrived on it and was not compared yet.

use std::time::{Duration, Instant};

use crate::capture::Transport;
use crate::connection::{Connection, Event, KeepAlive};
use crate::package::{self, ACK, HANDSHAKE, HEARTBEAT, kind};

/// How a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// By the server, over WebSocket with this code.
    Closed(Option<u16>),
    /// By bytes that are no frame.
    Broken(String),
}

/// For taking what has arrived already.
const SETTLE_TIME: Duration = Duration::from_secs(1);

/// A connection under its name in the capture.
pub(crate) struct Line {
    /// Counted over all connections of the replay.
    pub(crate) number: u64,
    pub(crate) who: String,
    pub(crate) transport: Transport,
    connection: Connection,
    /// Arrived and not compared.
    pub(crate) inbox: Vec<Vec<u8>>,
    /// Everything that arrived in this scenario.
    pub(crate) log: Vec<Vec<u8>>,
    pub(crate) end: Option<End>,
    /// The last time that anything was sent or arrived.
    active: Instant,
    /// Who is logged in on it.
    pub(crate) uid: Option<String>,
    /// Packages that may still come and are no difference.
    pub(crate) forgiven: Vec<Vec<u8>>,
    /// What the handshake reply asked for.
    pub(crate) heartbeat: Option<Duration>,
    acknowledged: bool,
    keep_alive: Option<KeepAlive>,
}

impl Line {
    pub(crate) fn new(number: u64, who: &str, transport: Transport, connection: Connection) -> Self {
        Self {
            number,
            who: who.to_owned(),
            transport,
            connection,
            inbox: Vec::new(),
            log: Vec::new(),
            end: None,
            active: Instant::now(),
            uid: None,
            forgiven: Vec::new(),
            heartbeat: None,
            acknowledged: false,
            keep_alive: None,
        }
    }

    /// Sends what the client sent; takes note of what it says.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.active = Instant::now();
        self.uid = crate::kick::uid_of_request(bytes).or(self.uid.take());
        self.acknowledged |= kind(bytes) == Some(ACK);
        self.connection.send(bytes)
    }

    /// Waits for one more event, at most so long. False if none came.
    pub(crate) fn wait(&mut self, time: Duration) -> bool {
        if self.end.is_some() {
            return false;
        }
        match self.connection.event(time) {
            Some(Event::Package(package)) => {
                if kind(&package) == Some(HANDSHAKE) {
                    self.heartbeat = heartbeat_of(&package).or(self.heartbeat);
                }
                self.log.push(package.clone());
                self.inbox.push(package);
            }
            Some(Event::Closed(code)) => self.end = Some(End::Closed(code)),
            Some(Event::Broken(problem)) => self.end = Some(End::Broken(problem)),
            None => return false,
        }
        self.active = Instant::now();
        true
    }

    /// Takes what has arrived, and what arrives until nothing has happened for `quiet`; at most 10 times as long and a second.
    pub(crate) fn settle(&mut self, quiet: Duration) {
        let deadline = Instant::now() + 10 * quiet + SETTLE_TIME;
        while self.wait(quiet.saturating_sub(self.active.elapsed())) && Instant::now() < deadline {}
    }

    /// Starts or stops heartbeats of the runner's own, where the handshake asked for heartbeats.
    pub(crate) fn keep_alive(&mut self, on: bool) {
        if !on {
            self.keep_alive = None;
        } else if self.keep_alive.is_none() && self.acknowledged && self.end.is_none() {
            // Twice as often as asked for: a busy machine must not look like a dead client.
            self.keep_alive = self.heartbeat.map(|interval| self.connection.keep_alive(interval / 2));
        }
    }

    /// Drops heartbeats that nobody expects.
    pub(crate) fn drop_heartbeats(&mut self) {
        self.inbox.retain(|package| kind(package) != Some(HEARTBEAT));
    }

    /// Takes what is left in the inbox, apart from what is forgiven.
    pub(crate) fn leftovers(&mut self) -> Vec<Vec<u8>> {
        let mut left = std::mem::take(&mut self.inbox);
        for forgiven in self.forgiven.drain(..) {
            if let Some(index) = left.iter().position(|package| *package == forgiven) {
                left.remove(index);
            }
        }
        left
    }
}

fn heartbeat_of(handshake: &[u8]) -> Option<Duration> {
    let seconds = package::json(handshake)?.get("sys")?.get("heartbeat")?.as_u64()?;
    (seconds > 0).then(|| Duration::from_secs(seconds))
}
