use bytes::Bytes;

use crate::{Completion, RpcError};

/// The duty to answer one request.
///
/// Answers leave in the order in which they are given, in one order with the notifies to the same
/// server. Dropping it answers an error.
pub struct Reply {
    done: Option<Completion>,
}

impl Reply {
    /// A reply that goes to a function instead of a link.
    pub fn new(done: Completion) -> Self {
        Self { done: Some(done) }
    }

    /// Answers. A body that is too long, or a link with too much waiting, turns into an error there.
    pub fn send(self, body: Bytes) {
        self.finish(Ok(body));
    }

    /// Answers with an error. The caller gets the same variant.
    pub fn fail(self, error: RpcError) {
        self.finish(Err(error));
    }

    fn finish(mut self, result: Result<Bytes, RpcError>) {
        if let Some(done) = self.done.take() {
            done(result);
        }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        if let Some(done) = self.done.take() {
            done(Err(RpcError::Refused("the server dropped the request without an answer".to_owned())));
        }
    }
}
