//! Why a replay could not be done at all; that a server answers differently is no error but a [`Difference`].
//!
//! [`Difference`]: crate::Difference

use std::path::PathBuf;

/// A capture or a command that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The file cannot be read.
    #[error("capture {}: {source}", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not JSON of a capture's form.
    #[error("capture {}: {source}; expected a list of scenarios, each {{\"scenario\", \"steps\": […]}}", path.display())]
    Form {
        /// Which.
        path: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },
    /// The file of intended differences cannot be read.
    #[error("expected answers {}: {source}", path.display())]
    IntendedUnreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file of intended differences is not JSON of its form.
    #[error("expected answers {}: {source}; expected an object of scenarios, each {{\"reason\", \"steps\": […]}}", path.display())]
    IntendedForm {
        /// Which.
        path: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },
    /// An intended difference for which no reason is given.
    #[error("expected answers, scenario {scenario}: the reason is empty; say why the server differs there")]
    NoReason {
        /// The scenario's name.
        scenario: String,
    },
    /// A step is none of the known ones.
    #[error(
        "scenario {scenario}, step {step}: {problem}; a step opens ({{who, dir: \"C\", open}}), carries bytes ({{who, dir, \
         hex}}), closes ({{who, dir, close: true}}) or is a {{note}}"
    )]
    Step {
        /// The scenario's name.
        scenario: String,
        /// Counted from 1.
        step: usize,
        /// What is wrong with it.
        problem: String,
    },
    /// A command template without a program.
    #[error("the kick command is empty; example: \"shaddock kick {{uid}} --reason {{reason}}\"")]
    EmptyCommand,
}
