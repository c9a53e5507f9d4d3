//! The form of a capture file.

use std::path::Path;

use serde::Deserialize;

use crate::ReplayError;

/// A recorded session of one or more clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capture {
    /// In the order in which they are played.
    pub scenarios: Vec<Scenario>,
}

/// A part of a capture with a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scenario {
    /// For example `chat/alice-enters`.
    pub name: String,
    /// In the order in which they happened.
    pub steps: Vec<Step>,
}

/// What bytes travel in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// A bare stream of packages.
    Tcp,
    /// Binary WebSocket frames.
    Ws,
    /// Datagrams; these cannot be played.
    Udp,
}

/// One thing that happened. `who` names a client's connection, such as `alice` or `alice.gate`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A client opens a connection; the port is that of the recording.
    Open {
        /// The new connection.
        who: String,
        /// How it was made.
        transport: Transport,
        /// Where to, when it was recorded.
        port: u16,
    },
    /// A client writes these bytes at once.
    Send {
        /// On this connection.
        who: String,
        /// Packages, or parts of one.
        bytes: Vec<u8>,
    },
    /// The server sends this package.
    Expect {
        /// On this connection.
        who: String,
        /// Head and body.
        package: Vec<u8>,
    },
    /// A client closes its connection.
    Close {
        /// This one.
        who: String,
    },
    /// The server closes a connection.
    Closed {
        /// This one.
        who: String,
        /// The code of the WebSocket close frame, if one was seen.
        code: Option<u16>,
    },
    /// For people.
    Note,
}

impl Step {
    /// The connection that it is about.
    #[must_use]
    pub fn who(&self) -> Option<&str> {
        match self {
            Self::Open { who, .. }
            | Self::Send { who, .. }
            | Self::Expect { who, .. }
            | Self::Close { who }
            | Self::Closed { who, .. } => Some(who),
            Self::Note => None,
        }
    }

    /// Whether it is something that a client does.
    #[must_use]
    pub fn is_clients(&self) -> bool {
        matches!(self, Self::Open { .. } | Self::Send { .. } | Self::Close { .. })
    }
}

impl Capture {
    /// Reads a capture file.
    ///
    /// # Errors
    ///
    /// If it cannot be read, is not JSON of the form, or has a step that is none of the known ones.
    pub fn load(path: &Path) -> Result<Self, ReplayError> {
        let text =
            std::fs::read(path).map_err(|source| ReplayError::Unreadable { path: path.into(), source })?;
        let raw: Vec<RawScenario> = serde_json::from_slice(&text)
            .map_err(|source| ReplayError::Form { path: path.into(), source })?;
        let scenarios = raw.into_iter().map(RawScenario::check).collect::<Result<_, _>>()?;
        Ok(Self { scenarios })
    }
}

#[derive(Deserialize)]
struct RawScenario {
    scenario: String,
    steps: Vec<RawStep>,
}

/// Checks the steps of a scenario.
pub(crate) fn steps(scenario: &str, steps: Vec<RawStep>) -> Result<Vec<Step>, ReplayError> {
    let check = |(index, step): (usize, RawStep)| {
        step.check().map_err(|problem| ReplayError::Step {
            scenario: scenario.to_owned(),
            step: index + 1,
            problem,
        })
    };
    steps.into_iter().enumerate().map(check).collect()
}

/// A step as it stands in a file.
#[derive(Deserialize)]
pub(crate) struct RawStep {
    who: Option<String>,
    dir: Option<Direction>,
    open: Option<RawOpen>,
    hex: Option<String>,
    #[serde(default)]
    close: bool,
    code: Option<u16>,
    note: Option<String>,
}

#[derive(Clone, Copy, Deserialize)]
enum Direction {
    C,
    S,
}

#[derive(Deserialize)]
struct RawOpen {
    transport: Transport,
    port: u16,
}

impl RawScenario {
    fn check(self) -> Result<Scenario, ReplayError> {
        Ok(Scenario { steps: steps(&self.scenario, self.steps)?, name: self.scenario })
    }
}

impl RawStep {
    fn check(self) -> Result<Step, String> {
        let (Some(who), Some(dir)) = (self.who, self.dir) else {
            return self.note.map(|_| Step::Note).ok_or_else(|| "neither who and dir nor a note".to_owned());
        };
        match (dir, self.open, self.hex, self.close) {
            (Direction::C, Some(RawOpen { transport, port }), None, false) => {
                Ok(Step::Open { who, transport, port })
            }
            (Direction::C, None, Some(hex), false) => Ok(Step::Send { who, bytes: bytes_of(&hex)? }),
            (Direction::S, None, Some(hex), false) => {
                let package = bytes_of(&hex)?;
                if crate::package::whole_len(&package) != Some(package.len()) {
                    return Err("the bytes of the server are not one whole package".to_owned());
                }
                Ok(Step::Expect { who, package })
            }
            (Direction::C, None, None, true) => Ok(Step::Close { who }),
            (Direction::S, None, None, true) => Ok(Step::Closed { who, code: self.code }),
            _ => Err("it is not exactly one of open (by the client), hex and close".to_owned()),
        }
    }
}

fn bytes_of(hex: &str) -> Result<Vec<u8>, String> {
    let digit = |byte: &u8| (*byte as char).to_digit(16).map(|digit| digit as u8);
    let (pairs, rest) = hex.as_bytes().as_chunks::<2>();
    let bytes = pairs.iter().map(|[high, low]| Some(digit(high)? << 4 | digit(low)?)).collect();
    match (bytes, rest) {
        (Some(bytes), []) => Ok(bytes),
        _ => Err(format!("hex {hex:?} is not pairs of hexadecimal digits")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(json: &str) -> Result<Step, String> {
        serde_json::from_str::<RawStep>(json).unwrap().check()
    }

    #[test]
    fn every_kind_of_step_is_understood() {
        let who = || "a".to_owned();
        let open = r#"{"who":"a","dir":"C","open":{"transport":"ws","port":3014}}"#;
        assert_eq!(step(open), Ok(Step::Open { who: who(), transport: Transport::Ws, port: 3014 }));
        let send = r#"{"who":"a","dir":"C","hex":"0200","text":"half"}"#;
        assert_eq!(step(send), Ok(Step::Send { who: who(), bytes: vec![2, 0] }));
        let expect = r#"{"who":"a","dir":"S","hex":"03000000","text":"HEARTBEAT(0) "}"#;
        assert_eq!(step(expect), Ok(Step::Expect { who: who(), package: vec![3, 0, 0, 0] }));
        assert_eq!(step(r#"{"who":"a","dir":"C","close":true}"#), Ok(Step::Close { who: who() }));
        let closed = r#"{"who":"a","dir":"S","close":true,"code":1000}"#;
        assert_eq!(step(closed), Ok(Step::Closed { who: who(), code: Some(1000) }));
        assert_eq!(step(r#"{"note":"nothing within 900 ms"}"#), Ok(Step::Note));
    }

    #[test]
    fn other_steps_are_refused_with_the_reason() {
        for (json, reason) in [
            (r#"{"who":"a"}"#, "neither"),
            (r#"{"who":"a","dir":"S","open":{"transport":"tcp","port":1}}"#, "exactly one"),
            (r#"{"who":"a","dir":"C","hex":"03000000","close":true}"#, "exactly one"),
            (r#"{"who":"a","dir":"C","hex":"0x"}"#, "hexadecimal"),
            (r#"{"who":"a","dir":"C","hex":"123"}"#, "hexadecimal"),
            (r#"{"who":"a","dir":"S","hex":"040000ff00"}"#, "whole package"),
            (r#"{"who":"a","dir":"S","hex":"0300000003000000"}"#, "whole package"),
        ] {
            let problem = step(json).unwrap_err();
            assert!(problem.contains(reason), "{json}: {problem}");
        }
    }

    #[test]
    fn a_file_that_is_no_capture_is_named() {
        let missing = Capture::load(Path::new("/nowhere/x.json")).unwrap_err();
        assert!(missing.to_string().contains("/nowhere/x.json"), "{missing}");
    }
}
