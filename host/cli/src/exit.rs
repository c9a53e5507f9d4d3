//! How the program ends: one code per kind of end, and the error that leads to it.

use std::fmt;
use std::process::ExitCode;

use serde_json::{Value, json};
use shaddock_config::ConfigError;

/// Exit codes; `--help` and docs/operations.md list them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    /// Something could not be done.
    Failed = 1,
    /// Wrong usage, or a configuration that is not valid.
    Usage = 2,
    /// No cluster runs for this configuration and environment.
    NotRunning = 3,
    /// Nobody to do it to: an unknown server id, or a uid without a session.
    NoMatch = 4,
    /// This cluster is running already.
    AlreadyRunning = 5,
}

/// An error with the exit code it leads to.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) code: Code,
    pub(crate) error: anyhow::Error,
    /// More fields of the error as JSON: an object.
    details: Option<Value>,
    /// Whether the JSON result, printed already, says all of it.
    said: bool,
}

impl Failure {
    pub(crate) fn new(code: Code, error: impl Into<anyhow::Error>) -> Failure {
        Failure { code, error: error.into(), details: None, said: false }
    }

    pub(crate) fn message(code: Code, text: impl fmt::Display) -> Failure {
        Failure::new(code, anyhow::anyhow!("{text}"))
    }

    /// Adds fields (an object) to the error as JSON.
    pub(crate) fn with_details(self, details: Value) -> Failure {
        Failure { details: Some(details), ..self }
    }

    /// Marks it as told by a result that was printed as JSON already.
    pub(crate) fn printed(self, json: bool) -> Failure {
        Failure { said: json, ..self }
    }

    /// The error and its causes on one line or, where a cause has several lines, on as many.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        for cause in self.error.chain().map(ToString::to_string) {
            // Errors of libraries tell their causes themselves.
            if text.is_empty() {
                text = cause;
            } else if !text.ends_with(&cause) {
                text = format!("{text}: {cause}");
            }
        }
        // A list reads better below its heading than beside it.
        match text.split_once(": ") {
            Some((heading, list))
                if list.contains('\n') && !heading.contains('\n') && self.details.is_some() =>
            {
                format!("{heading}:\n{list}")
            }
            _ => text,
        }
    }

    /// The error as one JSON object; none if it was printed already.
    pub(crate) fn json(&self) -> Option<Value> {
        if self.said {
            return None;
        }
        let mut object = json!({ "error": self.text(), "exit_code": self.code as u8 });
        if let (Some(object), Some(Value::Object(details))) = (object.as_object_mut(), self.details()) {
            object.extend(details);
        }
        Some(object)
    }

    /// The error that [`Failure::json`] of another process of this program wrote.
    pub(crate) fn from_json(mut value: Value) -> Failure {
        let text = value.get("error").and_then(Value::as_str).unwrap_or("an error without a text").to_owned();
        let code = match value.get("exit_code").and_then(Value::as_u64) {
            Some(2) => Code::Usage,
            Some(3) => Code::NotRunning,
            Some(4) => Code::NoMatch,
            Some(5) => Code::AlreadyRunning,
            _ => Code::Failed,
        };
        if let Some(object) = value.as_object_mut() {
            object.retain(|key, _| key != "error" && key != "exit_code");
        }
        Failure::message(code, text).with_details(value)
    }

    fn details(&self) -> Option<Value> {
        let of_config = || {
            let error = self.error.downcast_ref::<ConfigError>()?;
            Some(json!({ "problems": error.problems(), "warnings": error.warnings() }))
        };
        self.details.clone().or_else(of_config)
    }
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Failure {
        Failure::new(Code::Failed, error)
    }
}

impl From<Code> for ExitCode {
    fn from(code: Code) -> ExitCode {
        ExitCode::from(code as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_survives_the_way_through_json() {
        let details = json!({ "servers": [{ "id": "gate-1", "error": "port taken" }] });
        let failure = Failure::message(Code::AlreadyRunning, "no").with_details(details.clone());
        let back = Failure::from_json(failure.json().unwrap());
        assert_eq!(
            (back.code, back.text(), back.details),
            (Code::AlreadyRunning, "no".into(), Some(details))
        );
    }

    #[test]
    fn a_cause_is_told_once() {
        #[derive(Debug, thiserror::Error)]
        #[error("cannot connect: {source}")]
        struct Outer {
            source: std::io::Error,
        }
        let source = std::io::Error::other("refused");
        let error = anyhow::Error::new(Outer { source }).context("no cluster runs");
        assert_eq!(Failure::new(Code::NotRunning, error).text(), "no cluster runs: cannot connect: refused");
    }

    #[test]
    fn what_a_json_result_said_is_not_said_again() {
        assert_eq!(Failure::message(Code::NoMatch, "nobody").printed(true).json(), None);
        assert!(Failure::message(Code::NoMatch, "nobody").printed(false).json().is_some());
    }
}
