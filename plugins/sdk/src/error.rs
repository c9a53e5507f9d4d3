//! Why a call fails.

use std::error::Error as StdError;
use std::fmt;

use crate::bindings::shaddock::plugin::types::Failure;

/// The result of everything here; a plugin's functions return it too.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a call gave no result: a code for the client, a message for the log.
///
/// Any error of the standard library's kind, a `String` and a `&str` become one by `?` or `into()`, with code 500;
/// a failure that came from the host or from another plugin keeps its code. [`fail`] gives the code.
///
/// `Error` itself is no `std::error::Error`: that is what lets `?` turn every other error into one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// A client that asked gets `{"code": <code>}`. The words of HTTP: 400 bad request, 403 denied, 404 not found,
    /// 500 failed, 503 overloaded, 504 timed out.
    pub code: u32,
    /// For the log, and for the caller of a remote; a client never sees it.
    pub message: String,
    /// Whether the same call may succeed later without harm.
    pub retryable: bool,
    pub(crate) answer: Option<Vec<u8>>,
}

/// An error with this code and this message.
pub fn fail(code: u32, message: impl Into<String>) -> Error {
    Error { code, message: message.into(), retryable: false, answer: None }
}

impl Error {
    /// The same error, marked as one that may be gone at the next attempt.
    #[must_use]
    pub fn retryable(mut self) -> Self {
        self.retryable = true;
        self
    }

    /// The same error with JSON for the client in place of `{"code": <code>}`; an object without `code` gets that, too.
    ///
    /// In a handler this is an answer like any other: no error handler sees it as a failure. In remotes it has no effect.
    #[must_use]
    pub fn answering<T: serde::Serialize + ?Sized>(mut self, answer: &T) -> Self {
        match serde_json::to_vec(answer) {
            Ok(json) => self.answer = Some(json),
            Err(e) => self.message = format!("{} (its answer is no JSON: {e})", self.message),
        }
        self
    }

    /// What [`answering`](Error::answering) said, JSON text.
    pub fn answer(&self) -> Option<&[u8]> {
        self.answer.as_deref()
    }

    /// The same error with words before its message that say what was being done.
    #[must_use]
    pub fn context(mut self, doing: impl fmt::Display) -> Self {
        self.message = format!("{doing}: {}", self.message);
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (code {})", self.message, self.code)
    }
}

impl<E: Into<Box<dyn StdError>>> From<E> for Error {
    fn from(e: E) -> Self {
        match e.into().downcast::<Failure>() {
            Ok(failure) => Error {
                code: failure.code,
                message: failure.message,
                retryable: failure.retryable,
                answer: None,
            },
            Err(other) => fail(500, other.to_string()),
        }
    }
}

impl Error {
    /// The failure of a handler, or its answer if it has one.
    pub(crate) fn into_answer(mut self, route: &str) -> std::result::Result<Vec<u8>, Failure> {
        let Some(answer) = self.answer.take() else { return Err(self.context(route).into_failure()) };
        match serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(&answer) {
            Ok(mut object) if !object.contains_key("code") => {
                object.insert("code".into(), self.code.into());
                serde_json::to_vec(&object).map_err(|e| Error::from(e).into_failure())
            }
            _ => Ok(answer),
        }
    }

    pub(crate) fn into_failure(self) -> Failure {
        Failure { code: self.code, message: self.message, retryable: self.retryable }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text() -> Result<()> {
        Err("no room")?
    }
    fn number() -> Result<u8> {
        Ok("300".parse::<u8>()?)
    }
    fn own() -> Result<()> {
        Err(fail(404, "gone"))?
    }
    fn host() -> Result<()> {
        Err(Failure { code: 503, message: "busy".into(), retryable: true })?
    }

    #[test]
    fn anything_becomes_an_error() {
        assert_eq!(text(), Err(fail(500, "no room")));
        assert_eq!(number().map_err(|e| e.code), Err(500));
        assert_eq!(own(), Err(fail(404, "gone")));
        assert_eq!(host(), Err(fail(503, "busy").retryable()));
    }

    #[test]
    fn context_says_what_was_being_done() {
        let e = fail(404, "no such channel").context("joining lobby");
        assert_eq!(e.to_string(), "joining lobby: no such channel (code 404)");
    }
}
