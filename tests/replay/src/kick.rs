//! Kicks from outside: who is meant, and a command that gives them.

use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::ReplayError;
use crate::package::{self, MessageKind, message};

/// A kick that the capture expects to come from outside, from an administrator.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kick {
    /// The user id, as the chat application makes it: `name*room`; else the uid that the client gave.
    pub uid: String,
    /// What the client is told.
    pub reason: String,
}

/// The uid that a client logs in with, from one of its requests.
pub(crate) fn uid_of_request(package: &[u8]) -> Option<String> {
    let request = message(package).filter(|message| message.kind == MessageKind::Request)?;
    let body: Value = serde_json::from_slice(request.body).ok()?;
    let text = |key: &str| body.get(key).and_then(Value::as_str);
    match (text("username"), text("rid")) {
        (Some(name), Some(room)) => Some(format!("{name}*{room}")),
        _ => text("uid").map(str::to_owned),
    }
}

/// The reason in a KICK package.
pub(crate) fn reason_of(package: &[u8]) -> String {
    let json = package::json(package);
    let reason = json.as_ref().and_then(|json| json.get("reason")).and_then(Value::as_str);
    reason.unwrap_or_default().to_owned()
}

/// A command that gives a kick: words apart by blanks, in which `{uid}` and `{reason}` are replaced. No shell is
/// involved, so a reason with blanks stays one word.
#[derive(Clone, Debug)]
pub struct KickCommand {
    program: String,
    arguments: Vec<String>,
}

/// Longest time that the command may take.
const COMMAND_TIME_MAX: Duration = Duration::from_secs(10);

impl KickCommand {
    /// Takes a template apart.
    ///
    /// # Errors
    ///
    /// If it is empty.
    pub fn new(template: &str) -> Result<Self, ReplayError> {
        let mut words = template.split_whitespace().map(str::to_owned);
        let program = words.next().ok_or(ReplayError::EmptyCommand)?;
        Ok(Self { program, arguments: words.collect() })
    }

    /// Runs the command for one kick and waits for its end, at most 10 s.
    ///
    /// # Errors
    ///
    /// If it cannot be started, does not end in time, or ends with a failure; in words.
    pub fn run(&self, kick: &Kick) -> Result<(), String> {
        let filled = self.arguments.iter().map(|word| match word.as_str() {
            "{uid}" => kick.uid.clone(),
            "{reason}" => kick.reason.clone(),
            word => word.replace("{uid}", &kick.uid).replace("{reason}", &kick.reason),
        });
        let command = Command::new(&self.program).args(filled).stdin(Stdio::null()).spawn();
        let mut child =
            command.map_err(|error| format!("starting the kick command {}: {error}", self.program))?;
        let deadline = Instant::now() + COMMAND_TIME_MAX;
        loop {
            match child.try_wait() {
                Ok(Some(status)) if status.success() => return Ok(()),
                Ok(Some(status)) => {
                    return Err(format!("the kick command {} ended with {status}", self.program));
                }
                Ok(None) if Instant::now() < deadline => thread::sleep(Duration::from_millis(5)),
                outcome => {
                    // It is not needed any more; if it ended just now, so much the better.
                    let _ = child.kill().and_then(|()| child.wait());
                    let why = outcome.err().map_or("it took too long".to_owned(), |error| error.to_string());
                    return Err(format!("the kick command {}: {why}", self.program));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_user_is_known_from_the_login() {
        let request =
            |body: &str| [&[4, 0, 0, body.len() as u8 + 4, 0, 2, 1, b'r'][..], body.as_bytes()].concat();
        let chat = request(r#"{"username":"carol","rid":"room1"}"#);
        assert_eq!(uid_of_request(&chat).as_deref(), Some("carol*room1"));
        assert_eq!(uid_of_request(&request(r#"{"uid":"u1"}"#)).as_deref(), Some("u1"));
        assert_eq!(uid_of_request(&request(r#"{"content":"x"}"#)), None);
        assert_eq!(uid_of_request(&[3, 0, 0, 0]), None);
    }

    #[test]
    fn the_reason_is_that_of_the_package() {
        let kick = [&[5, 0, 0, 19][..], br#"{"reason":"go away"}"#].concat();
        assert_eq!(reason_of(&kick), "go away");
        assert_eq!(reason_of(&[5, 0, 0, 0]), "");
    }

    #[test]
    fn a_command_gets_uid_and_reason_as_words_and_its_failure_is_told() {
        let kick = Kick { uid: "carol*room1".into(), reason: "admin kick".into() };
        let run = |template: &str| KickCommand::new(template).unwrap().run(&kick);
        assert_eq!(run("test {reason} = {reason}"), Ok(()));
        assert_eq!(run("test x{uid}y != {reason}"), Ok(()));
        assert!(run("false {uid}").unwrap_err().contains("false"));
        assert!(run("/nowhere/kick").unwrap_err().contains("/nowhere/kick"));
        assert!(KickCommand::new("  ").is_err());
    }
}
