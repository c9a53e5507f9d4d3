//! The order of one session's requests: those for one server type run one at a time, in the order in
//! which they came; those for different types run side by side.
//!
//! Plugins that do not ask for order (`"ordered": false`) have no lane: their requests all run at once.
//! The number of requests that run or wait is bounded by the connection, which stops reading at
//! `queuedRequestsMax`.

use std::collections::VecDeque;

/// Stands for a server type: its number among those that have routes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LaneKey(pub(crate) u32);

/// Requests of one session for one server type, while at least one runs.
#[derive(Debug)]
struct Lane<T> {
    key: LaneKey,
    waiting: VecDeque<T>,
}

/// The lanes of one session that are in use. A session talks to few types at once, so a list is enough.
#[derive(Debug)]
pub(crate) struct Lanes<T> {
    busy: Vec<Lane<T>>,
    waiting: usize,
}

impl<T> Lanes<T> {
    /// Nothing runs.
    pub(crate) fn new() -> Self {
        Self { busy: Vec::new(), waiting: 0 }
    }

    /// Gives the request back if it may run now (its lane is taken by it), else keeps it for later.
    pub(crate) fn enter(&mut self, key: LaneKey, request: T) -> Option<T> {
        if let Some(lane) = self.busy.iter_mut().find(|lane| lane.key == key) {
            lane.waiting.push_back(request);
            self.waiting += 1;
            return None;
        }
        self.busy.push(Lane { key, waiting: VecDeque::new() });
        Some(request)
    }

    /// The request that runs in a lane is done: the next one of it, which may run now.
    pub(crate) fn leave(&mut self, key: LaneKey) -> Option<T> {
        let at = self.busy.iter().position(|lane| lane.key == key)?;
        let next = self.busy.get_mut(at).and_then(|lane| lane.waiting.pop_front());
        if next.is_some() {
            self.waiting -= 1;
        } else {
            self.busy.swap_remove(at);
        }
        next
    }

    /// How many requests wait.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting
    }

    /// Forgets the requests that wait.
    pub(crate) fn clear(&mut self) {
        for lane in &mut self.busy {
            lane.waiting.clear();
        }
        self.waiting = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_runs_one_at_a_time_in_order_and_types_do_not_wait_for_each_other() {
        let (chat, area) = (LaneKey(0), LaneKey(1));
        let mut lanes = Lanes::new();
        assert_eq!(lanes.enter(chat, 1), Some(1));
        assert_eq!(lanes.enter(chat, 2), None);
        assert_eq!(lanes.enter(chat, 3), None);
        assert_eq!(lanes.enter(area, 4), Some(4));
        assert_eq!(lanes.waiting(), 2);
        assert_eq!(lanes.leave(chat), Some(2));
        assert_eq!(lanes.leave(area), None);
        assert_eq!(lanes.leave(chat), Some(3));
        assert_eq!(lanes.leave(chat), None);
        assert_eq!(lanes.waiting(), 0);
        assert_eq!(lanes.enter(chat, 5), Some(5));
    }

    #[test]
    fn a_closed_connection_forgets_what_waits() {
        let chat = LaneKey(0);
        let mut lanes = Lanes::new();
        lanes.enter(chat, 1);
        lanes.enter(chat, 2);
        lanes.clear();
        assert_eq!((lanes.waiting(), lanes.leave(chat)), (0, None));
    }
}
