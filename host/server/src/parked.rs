//! Messages that are held back from a slow client until it has caught up, oldest first.
//!
//! They count with all that they take against the bound of the client's queue, so a slow client costs a fixed
//! amount of memory, however small its messages are.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;

use crate::delivery::{Slot, Source};

/// What one message takes beside its own bytes: its place here and in the tables.
const MESSAGE_OVERHEAD_BYTES: usize = 256;

/// Which others a message may replace.
#[derive(Debug)]
enum Place {
    Slot(Arc<Slot>),
    Of(Source),
}

#[derive(Debug)]
struct Message {
    frame: Bytes,
    place: Place,
}

impl Message {
    fn charge(&self) -> usize {
        let value_len = if let Place::Slot(slot) = &self.place { slot.value_len() } else { 0 };
        self.frame.len() + value_len + MESSAGE_OVERHEAD_BYTES
    }
}

/// What happened to a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It waits.
    Kept,
    /// It waits, and another one will not be sent.
    KeptForAnother,
    /// It will not be sent.
    Dropped,
}

/// The messages held back from one client.
#[derive(Debug, Default)]
pub(crate) struct Parked {
    by_number: BTreeMap<u64, Message>,
    next: u64,
    slots: HashMap<Arc<Slot>, u64>,
    of_source: HashMap<Source, VecDeque<u64>>,
    charged: usize,
}

impl Parked {
    /// What all messages take, in bytes.
    pub(crate) fn charged(&self) -> usize {
        self.charged
    }

    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.by_number.is_empty()
    }

    /// Puts a message in the place of the one that waits in its slot, or behind all others.
    pub(crate) fn put_latest(&mut self, slot: &Arc<Slot>, frame: Bytes) -> Outcome {
        let waiting = self.slots.get(slot).and_then(|number| self.by_number.get_mut(number));
        if let Some(message) = waiting {
            self.charged = self.charged - message.frame.len() + frame.len();
            message.frame = frame;
            return Outcome::KeptForAnother;
        }
        let number = self.push(Message { frame, place: Place::Slot(Arc::clone(slot)) });
        self.slots.insert(Arc::clone(slot), number);
        Outcome::Kept
    }

    /// Puts a message behind all others; so many of its channel stay.
    pub(crate) fn put_newest(&mut self, source: &Source, frame: Bytes, messages_max: u32) -> Outcome {
        if messages_max == 0 {
            return Outcome::Dropped;
        }
        let number = self.push(Message { frame, place: Place::Of(source.clone()) });
        let numbers = self.of_source.entry(source.clone()).or_default();
        numbers.push_back(number);
        // More than one where the policy has become tighter.
        let mut outcome = Outcome::Kept;
        while numbers.len() > messages_max as usize
            && let Some(oldest) = numbers.pop_front()
        {
            if let Some(message) = self.by_number.remove(&oldest) {
                self.charged -= message.charge();
            }
            outcome = Outcome::KeptForAnother;
        }
        outcome
    }

    fn push(&mut self, message: Message) -> u64 {
        let number = self.next;
        self.next += 1;
        self.charged += message.charge();
        self.by_number.insert(number, message);
        number
    }

    /// Takes the oldest message.
    pub(crate) fn pop(&mut self) -> Option<Bytes> {
        let (_, message) = self.by_number.pop_first()?;
        self.charged -= message.charge();
        match message.place {
            Place::Slot(slot) => drop(self.slots.remove(&slot)),
            Place::Of(source) => {
                // The oldest of all is the oldest of its channel.
                if let Some(numbers) = self.of_source.get_mut(&source) {
                    numbers.pop_front();
                    if numbers.is_empty() {
                        self.of_source.remove(&source);
                    }
                }
            }
        }
        Some(message.frame)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::{Governed, Policy};
    use shaddock_engine::types::Delivery;

    fn source(channel: &str) -> Source {
        Source { server_id: "s1".into(), channel: channel.into() }
    }

    fn slot(id: u32) -> Arc<Slot> {
        let policy = Policy { channel: "room".into(), delivery: Delivery::Latest(None) };
        let (route, body) = (Arc::from("onMove"), format!("{{\"id\":{id}}}"));
        Arc::clone(Governed::new(&"s1".into(), &policy, &route, body.as_bytes()).slot(Some("id")))
    }

    fn drain(parked: &mut Parked) -> Vec<Bytes> {
        let frames = std::iter::from_fn(|| parked.pop()).collect();
        assert_eq!(parked.charged(), 0);
        assert!(parked.is_empty() && parked.slots.is_empty() && parked.of_source.is_empty());
        frames
    }

    #[test]
    fn the_latest_takes_the_place_of_the_one_before() {
        let mut parked = Parked::default();
        assert_eq!(parked.put_latest(&slot(1), "one".into()), Outcome::Kept);
        assert_eq!(parked.put_latest(&slot(2), "two".into()), Outcome::Kept);
        let charged = parked.charged();
        assert_eq!(parked.put_latest(&slot(1), "one, again".into()), Outcome::KeptForAnother);
        assert_eq!(parked.charged(), charged + 7);
        assert_eq!(drain(&mut parked), ["one, again", "two"]);
        assert_eq!(parked.put_latest(&slot(1), "anew".into()), Outcome::Kept);
        assert_eq!(drain(&mut parked), ["anew"]);
    }

    #[test]
    fn the_oldest_of_a_channel_make_room_and_others_stay() {
        let mut parked = Parked::default();
        parked.put_latest(&slot(1), "move".into());
        parked.put_newest(&source("hall"), "other".into(), 2);
        for (frame, outcome) in [("a", Outcome::Kept), ("b", Outcome::Kept), ("c", Outcome::KeptForAnother)] {
            assert_eq!(parked.put_newest(&source("room"), frame.into(), 2), outcome);
        }
        assert_eq!(parked.put_newest(&source("room"), "d".into(), 0), Outcome::Dropped);
        assert_eq!(parked.put_newest(&source("room"), "e".into(), 1), Outcome::KeptForAnother);
        assert_eq!(drain(&mut parked), ["move", "other", "e"]);
    }
}
