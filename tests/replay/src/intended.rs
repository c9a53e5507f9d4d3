//! What a server does otherwise than recorded on purpose.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use crate::ReplayError;
use crate::capture::{self, RawStep, Scenario, Step};

/// Intended differences by scenario: a JSON object `{"<scenario>": {"reason": "…", "steps": […]}}`, with steps in the
/// form of a capture.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Intended {
    scenarios: BTreeMap<String, Intent>,
}

/// What a server does in one scenario instead of what was recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intent {
    /// Why, for people.
    pub reason: String,
    /// The clients' steps as recorded, and what the server does; the clients may close more connections than recorded.
    pub steps: Vec<Step>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawIntent {
    reason: String,
    steps: Vec<RawStep>,
}

impl Intended {
    /// Reads a file of intended differences.
    ///
    /// # Errors
    ///
    /// If it cannot be read, is not JSON of the form, gives no reason, or has a step that is none of the known ones.
    pub fn load(path: &Path) -> Result<Self, ReplayError> {
        let text = std::fs::read(path)
            .map_err(|source| ReplayError::IntendedUnreadable { path: path.into(), source })?;
        let raw: BTreeMap<String, RawIntent> = serde_json::from_slice(&text)
            .map_err(|source| ReplayError::IntendedForm { path: path.into(), source })?;
        let check = |(name, RawIntent { reason, steps }): (String, RawIntent)| {
            if reason.trim().is_empty() {
                return Err(ReplayError::NoReason { scenario: name });
            }
            let steps = capture::steps(&name, steps)?;
            Ok((name, Intent { reason, steps }))
        };
        Ok(Self { scenarios: raw.into_iter().map(check).collect::<Result<_, _>>()? })
    }

    /// What is intended in this scenario, if anything is. An error in words if it is for other steps of the clients.
    pub(crate) fn of(&self, scenario: &Scenario) -> Result<Option<&Intent>, String> {
        let Some(intent) = self.scenarios.get(&scenario.name) else { return Ok(None) };
        if intent.fits(scenario) {
            return Ok(Some(intent));
        }
        Err("the expected answers are for other steps of the clients, and are not used".to_owned())
    }
}

impl FromIterator<(String, Intent)> for Intended {
    fn from_iter<T: IntoIterator<Item = (String, Intent)>>(scenarios: T) -> Self {
        Self { scenarios: scenarios.into_iter().collect() }
    }
}

impl Intent {
    /// Whether its clients do what was recorded; they may close more connections.
    fn fits(&self, scenario: &Scenario) -> bool {
        let mut recorded = scenario.steps.iter().filter(|step| step.is_clients()).peekable();
        let all_known = self.steps.iter().filter(|step| step.is_clients()).all(|step| {
            recorded.next_if(|next| *next == step).is_some() || matches!(step, Step::Close { .. })
        });
        all_known && recorded.next().is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn send(byte: u8) -> Step {
        Step::Send { who: "a".into(), bytes: vec![byte] }
    }

    fn fits(recorded: &[Step], intended: &[Step]) -> bool {
        let scenario = Scenario { name: "x".into(), steps: recorded.to_vec() };
        Intent { reason: "y".into(), steps: intended.to_vec() }.fits(&scenario)
    }

    #[test]
    fn the_clients_do_as_recorded_and_may_close_more() {
        let close = || Step::Close { who: "a".into() };
        let closed = || Step::Closed { who: "a".into(), code: None };
        assert!(fits(&[send(1), send(2), closed()], &[send(1), Step::Note, send(2)]));
        assert!(fits(&[send(1), closed(), send(2)], &[send(1), close(), send(2), close()]));
        assert!(fits(&[send(1), close()], &[send(1), close()]));
        assert!(!fits(&[send(1), send(2)], &[send(1)]));
        assert!(!fits(&[send(1)], &[send(1), send(2)]));
        assert!(!fits(&[send(1), send(2)], &[send(2), send(1)]));
        assert!(!fits(&[send(1), close()], &[send(1)]));
    }

    #[test]
    fn files_that_cannot_be_used_are_told_with_the_reason() {
        let dir = std::env::temp_dir().join(format!("shaddock-replay-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let load = |text: &str| {
            let path = dir.join("expected.json");
            std::fs::write(&path, text).unwrap();
            Intended::load(&path).map_err(|error| error.to_string())
        };
        assert!(load(r#"{"x":{"reason":"y","steps":[{"note":"z"}]}}"#).is_ok());
        for (text, part) in [
            ("[]", "expected an object of scenarios"),
            (r#"{"x":{"steps":[]}}"#, "reason"),
            (r#"{"x":{"reason":" ","steps":[]}}"#, "scenario x: the reason is empty"),
            (r#"{"x":{"reason":"y","steps":[],"step":1}}"#, "unknown field"),
            (r#"{"x":{"reason":"y","steps":[{"who":"a"}]}}"#, "scenario x, step 1"),
        ] {
            let problem = load(text).unwrap_err();
            assert!(problem.contains(part), "{text}: {problem}");
        }
        std::fs::remove_dir_all(&dir).unwrap();
        assert!(load_missing(&dir).contains("expected answers"), "a file that is not there");
    }

    fn load_missing(dir: &Path) -> String {
        Intended::load(&dir.join("none.json")).unwrap_err().to_string()
    }
}
