//! Compares with the recording what a server did while something else was expected of it on purpose.
//!
//! The clients do the same in both, so every connection can be judged as a whole once the scenario is over.

use std::collections::BTreeMap;

use crate::capture::{Scenario, Step, Transport};
use crate::expectation::{Assignment, Expected, Order};
use crate::line::{End, Line};
use crate::package::{HEARTBEAT, kind};
use crate::rules;

/// The recording of a scenario beside the one that is played, and what became of each connection.
pub(crate) struct Recording<'a> {
    scenario: &'a Scenario,
    /// How many of its steps are dealt with.
    position: usize,
    /// By connection: the numbers of the recorded steps of the server.
    wanted: BTreeMap<u64, Vec<usize>>,
    ended: BTreeMap<u64, Ended>,
    /// A recorded step was for a connection that is not there.
    lost: bool,
}

/// What arrived on a connection, and how it ended, if the server ended it.
struct Ended {
    arrived: Vec<Vec<u8>>,
    end: Option<End>,
    transport: Transport,
}

impl<'a> Recording<'a> {
    pub(crate) fn new(scenario: &'a Scenario) -> Self {
        Self { scenario, position: 0, wanted: BTreeMap::new(), ended: BTreeMap::new(), lost: false }
    }

    /// A client has done `step`, or nothing yet: takes what the server did next when it was recorded.
    pub(crate) fn advance(&mut self, step: Option<&Step>, lines: &[Line]) {
        let rest = self.scenario.steps.get(self.position..).unwrap_or_default();
        if let Some(step) = step {
            let next = rest.iter().position(Step::is_clients);
            let Some(next) = next.filter(|next| rest.get(*next) == Some(step)) else { return };
            self.position += next + 1;
        }
        let rest = self.scenario.steps.get(self.position..).unwrap_or_default();
        for step in rest.iter().take_while(|step| !step.is_clients()) {
            if let Some(who) = step.who() {
                match lines.iter().rfind(|line| line.who == who) {
                    Some(line) => self.wanted.entry(line.number).or_default().push(self.position),
                    None => self.lost = true,
                }
            }
            self.position += 1;
        }
    }

    /// A connection is over, or the scenario is.
    pub(crate) fn ended(&mut self, line: &Line) {
        let Line { number, transport, .. } = *line;
        let ended = Ended { arrived: line.log.clone(), end: line.end.clone(), transport };
        self.ended.insert(number, ended);
    }

    /// Whether the server did as recorded.
    pub(crate) fn is_kept(&self) -> bool {
        let played = self.wanted.keys().chain(self.ended.keys());
        !self.lost && played.into_iter().all(|number| self.is_kept_on(*number))
    }

    fn is_kept_on(&self, number: u64) -> bool {
        let Some(Ended { arrived, end, transport }) = self.ended.get(&number) else { return false };
        let name = &self.scenario.name;
        let steps = self.wanted.get(&number).map(Vec::as_slice).unwrap_or_default();
        let steps = || steps.iter().filter_map(|step| Some((*step, self.scenario.steps.get(*step)?)));
        let expected: Vec<_> = steps()
            .filter_map(|(step, what)| match what {
                Step::Expect { who, package } => {
                    Some(Expected { step, package, optional: rules::is_optional(who, package) })
                }
                _ => None,
            })
            .collect();
        let closed = steps().find_map(|(_, what)| match what {
            Step::Closed { code, .. } => Some(*code),
            _ => None,
        });
        let (differences, dealt_with) =
            Assignment::new(&expected, arrived).judge(&expected, arrived, Order::Free);
        let ignored = |package: &[u8]| kind(package) == Some(HEARTBEAT) && !rules::is_about_heartbeats(name);
        let all_expected = (arrived.iter().enumerate())
            .all(|(index, package)| dealt_with.contains(&index) || ignored(package));
        let same_end = match (closed, end) {
            (None, None) => true,
            (Some(Some(code)), Some(End::Closed(found))) => {
                *transport != Transport::Ws || *found == Some(code)
            }
            (Some(None), Some(End::Closed(_))) => true,
            _ => false,
        };
        differences.is_empty() && all_expected && same_end
    }
}
