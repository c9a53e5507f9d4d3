use std::sync::Arc;

use bytes::Bytes;

use crate::{Completion, RpcError, link::Link};

/// The duty to answer one request.
///
/// Answers leave in the order in which they are given, in one order with the notifies to the same
/// server. Dropping it answers an error.
pub struct Reply {
    to: Option<To>,
}

enum To {
    Function(Completion),
    Link { link: Arc<Link>, call: u64 },
}

impl Reply {
    /// A reply that goes to a function instead of a link.
    pub fn new(done: Completion) -> Self {
        Self { to: Some(To::Function(done)) }
    }

    pub(crate) fn over(link: Arc<Link>, call: u64) -> Self {
        Self { to: Some(To::Link { link, call }) }
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
        if let Some(to) = self.to.take() {
            to.give(result);
        }
    }
}

impl To {
    fn give(self, result: Result<Bytes, RpcError>) {
        match self {
            Self::Function(done) => done(result),
            Self::Link { link, call } => link.answer(call, result),
        }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        if let Some(to) = self.to.take() {
            to.give(Err(RpcError::Refused("the server dropped the request without an answer".to_owned())));
        }
    }
}
