//! Filters: what runs before and after the handlers of other plugins, and of calls between servers.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Error, Raw, Result, Session, fail};

/// A request on its way to a handler.
#[derive(Clone, Debug)]
pub struct Request {
    route: String,
    body: Raw,
    is_changed: bool,
}

impl Request {
    /// A request made up for a unit test, or by the host.
    pub fn new(route: impl Into<String>, body: impl Into<Vec<u8>>) -> Self {
        Self { route: route.into(), body: Raw(body.into()), is_changed: false }
    }

    /// `serverType.handler.method`.
    pub fn route(&self) -> &str {
        &self.route
    }

    /// The body; an error (400) if it is no `T`.
    pub fn body<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_slice(&self.body.0).map_err(|e| fail(400, e.to_string()))
    }

    /// The body as it travels.
    pub fn raw(&self) -> &Raw {
        &self.body
    }

    /// Puts another body in the place of the one that the filters after this one and the handler see.
    pub fn set_body<T: Serialize + ?Sized>(&mut self, body: &T) -> Result<()> {
        self.body = Raw(serde_json::to_vec(body)?);
        self.is_changed = true;
        Ok(())
    }

    pub(crate) fn changed(self) -> Option<Vec<u8>> {
        self.is_changed.then_some(self.body.0)
    }
}

/// The answer of a request as it goes to the client, or why there is none.
pub type Outcome = Result<Raw, Error>;

/// A filter of requests. Which ones run, and in what order, says app.json (`filters`, `globalFilters`).
pub trait Filter: Sync {
    /// Runs before the handler. An error refuses the request: the client gets `{"code": <code>}`, or what
    /// [`Error::answering`] says. What is set in the session here, the handler sees.
    fn before(&self, request: &mut Request, session: &mut Session) -> Result<()> {
        let _ = (request, session);
        Ok(())
    }

    /// Runs after the handler, also of refused requests; may give another answer. Errors are logged and change nothing.
    fn after(&self, request: &Request, session: &mut Session, outcome: &Outcome) -> Result<Option<Raw>> {
        let _ = (request, session, outcome);
        Ok(None)
    }
}

/// A filter of calls to other servers, at the caller. Which ones run says app.json (`rpcFilters`).
pub trait RpcFilter: Sync {
    /// Runs before the call. An error refuses it. Arguments that are given back take the place of those there were.
    fn before(&self, server: &str, method: &str, args: &Raw) -> Result<Option<Raw>> {
        let _ = (server, method, args);
        Ok(None)
    }

    /// Sees the outcome.
    fn after(&self, server: &str, method: &str, outcome: &Outcome) {
        let _ = (server, method, outcome);
    }
}
