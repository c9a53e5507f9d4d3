//! The recordings in `tests/golden/`.

use serde::Deserialize;

#[derive(Deserialize)]
pub(crate) struct Scenario {
    pub(crate) scenario: String,
    pub(crate) steps: Vec<Step>,
}

#[derive(Deserialize)]
pub(crate) struct Step {
    pub(crate) who: Option<String>,
    pub(crate) dir: Option<Side>,
    pub(crate) open: Option<Open>,
    pub(crate) hex: Option<String>,
    #[serde(default)]
    pub(crate) close: bool,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Side {
    C,
    S,
}

#[derive(Deserialize, Clone)]
pub(crate) struct Open {
    pub(crate) transport: String,
    pub(crate) port: u16,
}

impl Step {
    pub(crate) fn bytes(&self) -> Option<Vec<u8>> {
        let hex = self.hex.as_ref()?;
        Some((0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect())
    }
}

pub(crate) fn chat() -> Vec<Scenario> {
    load("chat-websocket.json")
}

pub(crate) fn lab() -> Vec<Scenario> {
    load("lab.json")
}

fn load(name: &str) -> Vec<Scenario> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden").join(name);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap()
}
