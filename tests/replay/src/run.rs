//! A whole replay: options, the scenarios in order, the report.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::capture::{Capture, Transport};
use crate::difference::Difference;
use crate::intended::Intended;
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
    /// What the server does otherwise than recorded on purpose.
    pub intended: Intended,
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
            intended: Intended::default(),
        }
    }
}

/// What came of a scenario.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScenarioReport {
    /// Its name in the capture.
    pub name: String,
    /// What the server did otherwise than recorded, or than intended where that is something else.
    pub differences: Vec<Difference>,
    /// Why the server does something else than recorded, if that was intended and came true.
    pub fixed: Option<String>,
    /// Why it was not played, if so.
    pub skipped: Option<String>,
}

/// The outcome of a scenario in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The server did as recorded.
    Kept,
    /// The server did what is intended in place of what was recorded.
    Fixed,
    /// Neither.
    Differs,
    /// It was not played.
    Skipped,
}

impl ScenarioReport {
    /// A scenario in which the server did as recorded.
    pub(crate) fn new(name: String) -> Self {
        Self { name, differences: Vec::new(), fixed: None, skipped: None }
    }

    /// The outcome.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        match self {
            Self { differences, .. } if !differences.is_empty() => Verdict::Differs,
            Self { skipped: Some(_), .. } => Verdict::Skipped,
            Self { fixed: Some(_), .. } => Verdict::Fixed,
            _ => Verdict::Kept,
        }
    }
}

impl fmt::Display for ScenarioReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, differences, fixed, skipped } = self;
        match (self.verdict(), differences.len()) {
            (Verdict::Skipped, _) => {
                write!(f, "{name}: skipped ({})", skipped.as_deref().unwrap_or_default())
            }
            (Verdict::Fixed, _) => write!(f, "{name}: fixed ({})", fixed.as_deref().unwrap_or_default()),
            (Verdict::Kept, _) => write!(f, "{name}: kept"),
            (Verdict::Differs, count) => {
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
    /// The names of the scenarios in which the server did otherwise than recorded, and than intended.
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
