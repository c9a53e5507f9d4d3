//! Players who chat at a fixed rate, whatever becomes of their requests, until they are told to end.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::task::{JoinHandle, JoinSet};

use super::crowd::{Crowd, Lane, Listener};
use super::ledger::Outcomes;
use super::timeline::Timeline;
use crate::fixed_rate::{Schedule, pace};
use crate::load::Progress;

/// How long answers, and lines to other players, may be under way after the last request.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(if cfg!(test) { 1 } else { 15 });
/// After the last that is due, for what should not come any more.
const LISTEN_ON: Duration = Duration::from_millis(300);

/// What all players share.
struct Shared {
    schedule: Schedule,
    timeline: Mutex<Timeline>,
    /// Says when nothing more is sent.
    progress: Progress,
    /// Says when nothing more is heard.
    is_over: AtomicBool,
    answered: AtomicU64,
    heard: AtomicU64,
    /// Lines that are to be heard, as far as the requests have been answered.
    due: AtomicU64,
}

impl Shared {
    fn timeline(&self) -> MutexGuard<'_, Timeline> {
        self.timeline.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Load that goes on. Dropping it ends it.
pub(super) struct Drive {
    shared: Arc<Shared>,
    lanes: Arc<Vec<Lane>>,
    /// Requests of the players before.
    sent_before: u64,
    listeners: JoinSet<Ended>,
    /// Players whose requests could not be sent, and why.
    pacer: Option<JoinHandle<Option<String>>>,
}

/// A listener, and why it ended before it was to.
struct Ended {
    listener: Listener,
    error: Option<anyhow::Error>,
}

/// What came of it, the requests before it included.
pub(super) struct Driven {
    pub(super) start: Instant,
    /// For how long requests were sent.
    pub(super) time: Duration,
    pub(super) timeline: Timeline,
    pub(super) outcomes: Outcomes,
    pub(super) lines: u64,
    pub(super) lines_due: u64,
    pub(super) connections_lost: u64,
    pub(super) first_error: Option<String>,
}

impl Drive {
    /// Lets the players chat, `per_second` requests in all.
    pub(super) fn start(crowd: Crowd, per_second: u64) -> Self {
        let Crowd { lanes, listeners: players } = crowd;
        let start = Instant::now() + Duration::from_millis(20);
        let heard = players.iter().map(|listener| listener.heard).sum();
        let next = |player: &Listener| lanes.get(player.index).map_or(0, Lane::next);
        let due = players.iter().map(|player| player.ledger.close(next(player)).right * player.room).sum();
        let shared = Arc::new(Shared {
            schedule: Schedule { start, per_second, connections: lanes.len() as u64 },
            timeline: Mutex::new(Timeline::new(start)),
            progress: Progress::default(),
            is_over: AtomicBool::new(false),
            answered: AtomicU64::new(0),
            heard: AtomicU64::new(heard),
            due: AtomicU64::new(due),
        });
        let sent_before = sent(&lanes);
        let mut listeners = JoinSet::new();
        for mut listener in players {
            let (shared, lanes, number_first) = (shared.clone(), lanes.clone(), next(&listener));
            listeners.spawn(async move {
                let error = listen(&mut listener, &lanes, number_first, &shared).await.err();
                Ended { listener, error }
            });
        }
        let pacer = {
            let (shared, lanes) = (shared.clone(), lanes.clone());
            tokio::task::spawn_blocking(move || talk(&shared, &lanes))
        };
        Self { shared, lanes, sent_before, listeners, pacer: Some(pacer) }
    }

    /// For how long requests have been sent.
    pub(super) fn running_for(&self) -> Duration {
        self.shared.schedule.start.elapsed()
    }

    /// Sends nothing more, waits for what is under way, and sees what became of all requests.
    pub(super) async fn end(mut self) -> Result<Driven> {
        self.shared.progress.stop();
        let time = self.running_for();
        let pacer = self.pacer.take().context("the load has ended")?;
        let mut first_error = pacer.await.context("the pacer")?;
        let waiting = Instant::now();
        while !self.is_complete() && waiting.elapsed() < DRAIN_TIME_MAX {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        tokio::time::sleep(LISTEN_ON).await;
        self.shared.is_over.store(true, Relaxed);

        let mut outcomes = Outcomes::default();
        let (mut lines, mut lines_due, mut connections_lost) = (0, 0, 0);
        while let Some(ended) = self.listeners.join_next().await {
            let Ended { listener, error } = ended.context("a player's task")?;
            let next = self.lanes.get(listener.index).map_or(0, Lane::next);
            let closed = listener.ledger.close(next);
            outcomes += closed;
            lines += listener.heard;
            lines_due += closed.right * listener.room;
            if let Some(error) = error {
                connections_lost += 1;
                first_error.get_or_insert(format!("{error:#}"));
            }
            if let Some(answer) = listener.first_failure {
                first_error.get_or_insert(format!("a request was answered with {answer}"));
            }
        }
        let start = self.shared.schedule.start;
        let timeline = std::mem::replace(&mut *self.shared.timeline(), Timeline::new(start));
        Ok(Driven { start, time, timeline, outcomes, lines, lines_due, connections_lost, first_error })
    }

    /// Whether everything that was sent was answered, and heard by whom it was for.
    fn is_complete(&self) -> bool {
        let Shared { answered, heard, due, .. } = &*self.shared;
        answered.load(Relaxed) + self.sent_before >= sent(&self.lanes)
            && heard.load(Relaxed) >= due.load(Relaxed)
    }
}

impl Drop for Drive {
    fn drop(&mut self) {
        // The pacer has a thread of its own, which nothing else ends.
        self.shared.progress.stop();
    }
}

/// Requests so far.
fn sent(lanes: &[Lane]) -> u64 {
    lanes.iter().map(|lane| u64::from(lane.sent())).sum()
}

/// Sends when it is due. What cannot be sent is lost, and the other players go on; why the first could not.
fn talk(shared: &Shared, lanes: &[Lane]) -> Option<String> {
    let mut first_error = None;
    let paced = pace(lanes, shared.schedule, &shared.progress, |lane| {
        if let Err(error) = lane.say() {
            first_error.get_or_insert(format!("{error:#}"));
        }
        Ok(())
    });
    first_error.or_else(|| paced.err().map(|error| format!("{error:#}")))
}

/// Hears answers, of which the first is to request `number_first`, and lines.
async fn listen(listener: &mut Listener, lanes: &[Lane], number_first: u32, shared: &Shared) -> Result<()> {
    let index = listener.index;
    let lane = lanes.get(index).context("a player has a lane")?;
    while !shared.is_over.load(Relaxed) {
        // Looks up now and then also when nothing comes.
        let filled = tokio::time::timeout(Duration::from_millis(100), listener.fill()).await;
        let now = Instant::now();
        if let Ok(filled) = filled {
            filled?;
        }
        let (heard, room) = (listener.heard, listener.room);
        listener.take(lane, |number, is_right| {
            let due = shared.schedule.due_on(index as u64, u64::from(number.saturating_sub(number_first)));
            shared.timeline().record(due, now.saturating_duration_since(due));
            shared.answered.fetch_add(1, Relaxed);
            if is_right {
                shared.due.fetch_add(room, Relaxed);
            }
        })?;
        shared.heard.fetch_add(listener.heard - heard, Relaxed);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};

    use futures_util::{SinkExt, StreamExt};
    use tokio::net::{TcpListener, TcpStream};
    use tokio_tungstenite::tungstenite::Message;

    use super::*;
    use crate::load::{Dialect, Target};
    use crate::pomelo::{self, package};
    use crate::scenario::swap::capacity;

    /// What a chat server with one player per room does with a player's request of a number.
    type Manner = fn(u32) -> &'static [Deed];

    #[derive(Clone, Copy)]
    enum Deed {
        Answer,
        Fail,
        /// The line, to the only player who is to hear it.
        Line,
        HangUp,
    }

    const WELL: &[Deed] = &[Deed::Line, Deed::Answer];

    async fn crowd(manner: Manner) -> Crowd {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address: SocketAddr = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, manner));
            }
        });
        let target = Target { address, dialect: Dialect::Pomelo, pids: Vec::new() };
        Crowd::enter(&[target], 1, 64).await.unwrap()
    }

    async fn serve(stream: TcpStream, manner: Manner) {
        stream.set_nodelay(true).unwrap();
        let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
        while let Some(Ok(message)) = socket.next().await {
            let payload = message.into_data();
            let replies = match pomelo::take_package(&mut payload.as_ref()).unwrap() {
                Some((pomelo::HANDSHAKE, _)) => vec![package(pomelo::HANDSHAKE, br#"{"code":200}"#)],
                Some((pomelo::DATA, request)) => {
                    // A flag, the number in groups of seven bits, the lowest first, and the route as text.
                    let len = request[1..].iter().position(|byte| *byte < 0x80).unwrap() + 1;
                    let id = &request[1..=len];
                    let number = id.iter().rev().fold(0, |high, byte| high << 7 | u32::from(byte & 0x7f));
                    let answer = |body: &[u8]| package(pomelo::DATA, &[&[4], id, body].concat());
                    let reply = |deed: &Deed| match deed {
                        Deed::Answer if number == 1 => answer(br#"{"users":[]}"#),
                        Deed::Answer => answer(b"{}"),
                        Deed::Fail => answer(br#"{"code":500}"#),
                        Deed::Line => package(pomelo::DATA, b"\x06\x06onChat{}"),
                        Deed::HangUp => Vec::new(),
                    };
                    let deeds = if number == 1 { &[Deed::Answer][..] } else { manner(number) };
                    if deeds.iter().any(|deed| matches!(deed, Deed::HangUp)) {
                        return;
                    }
                    deeds.iter().map(reply).collect()
                }
                _ => Vec::new(),
            };
            for reply in replies {
                socket.send(Message::binary(reply)).await.unwrap();
            }
        }
    }

    /// Sends some 200 requests.
    async fn driven(manner: Manner) -> Driven {
        let drive = Drive::start(crowd(manner).await, 500);
        tokio::time::sleep(Duration::from_millis(400)).await;
        drive.end().await.unwrap()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_goes_well_is_counted_once_before_and_at_the_fixed_rate() {
        let (crowd, per_second) =
            capacity::find(crowd(|_| WELL).await, Duration::from_millis(50)).await.unwrap();
        let before = u64::from(crowd.lanes[0].sent());
        assert!(per_second > 20.0 && before > 1, "{per_second}, {before}");
        let drive = Drive::start(crowd, 500);
        tokio::time::sleep(Duration::from_millis(400)).await;
        let driven = drive.end().await.unwrap();
        let Outcomes { right, failed, doubled, lost } = driven.outcomes;
        assert_eq!((failed, doubled, lost, driven.connections_lost), (0, 0, 0, 0));
        assert_eq!((driven.lines, driven.lines_due), (right, right));
        assert_eq!(driven.timeline.whole().total() + before, right);
        assert_eq!(driven.first_error, None);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_goes_wrong_is_counted_by_its_kind() {
        let driven = driven(|number| match number {
            20 => &[Deed::Line, Deed::Answer, Deed::Answer],
            30 | 31 => &[Deed::Line],
            40 | 50 | 60 => &[Deed::Fail],
            70 => &[Deed::Answer],
            _ => WELL,
        })
        .await;
        let Outcomes { right, failed, doubled, lost } = driven.outcomes;
        assert_eq!((failed, doubled, lost, driven.connections_lost), (3, 1, 2, 0));
        assert!(right > 100, "{right}");
        // Two lines of requests that were never answered, and one that was not heard.
        assert_eq!((driven.lines, driven.lines_due), (right + 1, right));
        assert!(driven.first_error.unwrap().contains("500"));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_connection_that_ends_loses_what_it_was_asked() {
        let driven = driven(|number| if number == 20 { &[Deed::HangUp] } else { WELL }).await;
        assert_eq!((driven.outcomes.right, driven.connections_lost), (18, 1));
        assert!(driven.outcomes.lost >= 1, "{:?}", driven.outcomes);
    }
}
