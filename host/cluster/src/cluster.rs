use std::sync::Arc;

use bytes::Bytes;
use tokio::{sync::watch, time::Instant};

use crate::{Members, Reply, RpcError};

/// Takes the outcome of a request.
///
/// It runs inline in the task that reads the link, in the order in which frames came, so it must not
/// block. A request that fails at once (unknown server, overload, a deadline that has passed) runs it
/// before [`Cluster::request`] returns: hold no lock there that the completion takes.
pub type Completion = Box<dyn FnOnce(Result<Bytes, RpcError>) + Send>;

/// RPC to the other servers, whichever engine carries it.
pub trait Cluster: Send + Sync {
    /// Calls a server. `done` runs exactly once, at the deadline at the latest (within a few milliseconds).
    ///
    /// Requests and notifies to one server are delivered in the order of these calls; so are its
    /// answers and its own requests and notifies on the way back.
    fn request(&self, to: &str, body: Bytes, deadline: Instant, done: Completion);

    /// Sends a message without an answer. `Ok` means it is queued: a link that breaks loses it.
    ///
    /// # Errors
    /// `UnknownServer`, `Unreachable`, `Overloaded` or `TooLarge`, found out at once.
    fn notify(&self, to: &str, body: Bytes) -> Result<(), RpcError>;

    /// The servers that are up now; the own one among them once it has reported ready.
    fn members(&self) -> Arc<Members>;

    /// The same, and every change.
    fn watch(&self) -> watch::Receiver<Arc<Members>>;
}

/// What a server does for the others.
///
/// Called inline by the task that reads the link, frame by frame in the order they came: it must not
/// block. A thread that is blocked here may be the one that keeps the runtime's clock and sockets, and
/// then the whole process stands still, deadlines included. `body` shares the link's read buffer; copy
/// what is kept for long.
pub trait Service: Send + Sync + 'static {
    /// Answers a request, now or later, through `reply`. After `deadline` nobody waits for it: check it
    /// again before starting what was queued.
    fn request(&self, from: &Arc<str>, body: Bytes, deadline: Instant, reply: Reply);

    /// Takes a message that has no answer.
    fn notify(&self, from: &Arc<str>, body: Bytes);
}
