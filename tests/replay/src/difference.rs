//! What a server did otherwise than recorded.

use std::fmt;

use crate::package::{describe, hex};

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The connection.
    pub who: String,
    /// The step of the scenario, counted from 1; 0: after the last one.
    pub step: usize,
    /// What is different.
    pub what: What,
}

/// What is different.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// Another package about the same.
    Changed {
        /// As recorded.
        expected: Vec<u8>,
        /// As it came.
        found: Vec<u8>,
    },
    /// A package that did not come.
    Missing {
        /// As recorded.
        expected: Vec<u8>,
    },
    /// A package that was not recorded.
    Extra {
        /// As it came.
        found: Vec<u8>,
    },
    /// A package that came later than one that was recorded behind it.
    Late {
        /// As recorded, and as it came.
        package: Vec<u8>,
    },
    /// A push that came behind the answer to the request that caused it (with server order only).
    BehindAnswer {
        /// The push.
        push: Vec<u8>,
    },
    /// The server closed a connection that stayed open when it was recorded.
    ClosedByServer,
    /// The server left a connection open that it had closed.
    StillOpen,
    /// The server closed with another WebSocket close code.
    CloseCode {
        /// As recorded.
        expected: u16,
        /// As it came; none: without a close frame.
        found: Option<u16>,
    },
    /// Something about the connection itself: refused, broken frames, a step for a connection that is not open.
    Connection(String),
    /// The kick from outside could not be given.
    Kick(String),
    /// What is intended in this scenario cannot be used.
    Intended(String),
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.step {
            0 => write!(f, "{} (end): ", self.who)?,
            step => write!(f, "{} (step {step}): ", self.who)?,
        }
        match &self.what {
            What::Changed { expected, found } => {
                writeln!(f, "another package than expected")?;
                show(f, "expected", expected)?;
                writeln!(f)?;
                show(f, "found", found)?;
                writeln!(f)?;
                let same =
                    expected.iter().zip(found).take_while(|(expected, found)| expected == found).count();
                write!(f, "      first different byte: {same}")
            }
            What::Missing { expected } => {
                writeln!(f, "a package did not come")?;
                show(f, "expected", expected)
            }
            What::Extra { found } => {
                writeln!(f, "a package came that was not expected")?;
                show(f, "found", found)
            }
            What::Late { package } => {
                writeln!(f, "a package came behind one that it should precede")?;
                show(f, "found", package)
            }
            What::BehindAnswer { push } => {
                writeln!(f, "a push came behind the answer to the request that caused it")?;
                show(f, "found", push)
            }
            What::ClosedByServer => write!(f, "the server closed the connection; expected: it stays open"),
            What::StillOpen => write!(f, "the server left the connection open; expected: it closes it"),
            What::CloseCode { expected, found: Some(found) } => {
                write!(f, "the server closed with code {found}; expected: {expected}")
            }
            What::CloseCode { expected, found: None } => {
                write!(f, "the server closed without a close frame; expected: code {expected}")
            }
            What::Connection(problem) | What::Kick(problem) | What::Intended(problem) => {
                write!(f, "{problem}")
            }
        }
    }
}

fn show(f: &mut fmt::Formatter<'_>, name: &str, package: &[u8]) -> fmt::Result {
    const SHOWN: usize = 256;
    let shown = package.get(..SHOWN).unwrap_or(package);
    let rest = if shown.len() < package.len() { "…" } else { "" };
    writeln!(f, "      {name:<8} {}", describe(package))?;
    write!(f, "               {}{rest}", hex(shown))
}
