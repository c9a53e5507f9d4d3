//! A whole replay: options, the scenarios in order, the report.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::capture::{Capture, Transport};
use crate::difference::Difference;
use crate::kick::Kick;
use crate::player::Player;

/// Gives a kick from outside; an error is told in words.
pub type KickHook = Arc<dyn Fn(&Kick) -> Result<(), String> + Send + Sync>;

/// Where and how to play a capture.
#[derive(Clone)]
pub struct Options {
    /// The server under test.
    pub host: String,
    /// Ports of the recording and what they are there; the others stay.
    pub ports: BTreeMap<u16, u16>,
    /// Play all connections over this transport instead of the recorded one.
    pub transport: Option<Transport>,
    /// Compare the server's order, too: what a request pushes to its own sender comes before its answer.
    pub server_order: bool,
    /// How long to wait for a package that is expected, and for connecting.
    pub wait: Duration,
    /// How long nothing has to happen before it is said that nothing more comes.
    pub quiet: Duration,
    /// Gives a kick that the capture expects from outside.
    pub kick: Option<KickHook>,
}

impl Options {
    /// The recorded ports, transports and nothing else, at `host`.
    #[must_use]
    pub fn new(host: impl Into<String>) -> Self {
        Self {
            host: host.into(),
            ports: BTreeMap::new(),
            transport: None,
            server_order: false,
            wait: Duration::from_secs(5),
            quiet: Duration::from_millis(100),
            kick: None,
        }
    }
}

/// What came of a scenario.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScenarioReport {
    /// Its name in the capture.
    pub name: String,
    /// What the server did otherwise than recorded.
    pub differences: Vec<Difference>,
    /// Why it was not played, if so.
    pub skipped: Option<String>,
}

impl ScenarioReport {
    /// Whether the server did as recorded.
    #[must_use]
    pub fn is_same(&self) -> bool {
        self.differences.is_empty() && self.skipped.is_none()
    }
}

impl fmt::Display for ScenarioReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, differences, skipped } = self;
        match (differences.len(), skipped) {
            (0, Some(reason)) => write!(f, "{name}: skipped ({reason})"),
            (0, None) => write!(f, "{name}: ok"),
            (count, _) => {
                write!(f, "{name}: differs ({count})")?;
                differences.iter().try_for_each(|difference| write!(f, "\n  {difference}"))
            }
        }
    }
}

/// What came of a capture.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// In the order of the capture.
    pub scenarios: Vec<ScenarioReport>,
}

impl Report {
    /// The names of the scenarios in which the server did otherwise than recorded.
    #[must_use]
    pub fn differing(&self) -> Vec<&str> {
        let differing = self.scenarios.iter().filter(|scenario| !scenario.differences.is_empty());
        differing.map(|scenario| scenario.name.as_str()).collect()
    }
}

/// Plays a capture against a server. `told` gets each scenario's report as soon as it is there.
///
/// Blocks the calling thread; every wait in it is bounded by [`Options::wait`], or where a server's heartbeat timeout
/// is waited for by that.
pub fn replay(capture: &Capture, options: &Options, mut told: impl FnMut(&ScenarioReport)) -> Report {
    let mut player = Player::new(options);
    let mut report = Report::default();
    for scenario in &capture.scenarios {
        let outcome = player.play(scenario);
        told(&outcome);
        report.scenarios.push(outcome);
    }
    report
}
