//! What the two ends of a master link say to each other, as JSON in the link's bodies.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
use tokio::{
    sync::oneshot,
    time::{Instant, timeout_at},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{Answer, Process, Snapshot};
use crate::{ClusterError, Member, Reply, RpcError, link::Link};

/// A server's requests to the master.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ServerRequest {
    /// The first one: who it is. The answer is `null`.
    Register {
        member: Arc<Member>,
        process: Process,
        /// It knew an earlier master and has been serving since.
        ready: bool,
    },
    /// The server's own business.
    Ask(Value),
}

/// A server's news for the master.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ServerNews {
    Ready,
    Leaving,
    Failed(String),
    /// The server's own business.
    Note(Value),
    Goodbye,
}

/// The master's news for a server.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum MasterNews {
    Members(Arc<Snapshot>),
}

/// An answer on the way: the value, or the handler's error text.
type Outcome = Result<Value, String>;

pub(super) fn encode(value: &impl Serialize) -> Result<Bytes, ClusterError> {
    let bytes = serde_json::to_vec(value);
    // Maps with keys that are no strings are the only way to fail, and no value has them.
    bytes.map(Bytes::from).map_err(|error| ClusterError::Answer(error.to_string()))
}

pub(super) fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, String> {
    serde_json::from_slice(body).map_err(|error| format!("the message is not understood: {error}"))
}

/// Sends a request over a link and waits for its answer.
pub(super) async fn ask(
    link: &Link,
    peer: &str,
    request: &impl Serialize,
    limit: Duration,
) -> Result<Value, ClusterError> {
    let (sender, receiver) = oneshot::channel();
    let deadline = Instant::now() + limit;
    let done = Box::new(move |result| {
        // Nobody may be waiting any more.
        let _ = sender.send(result);
    });
    link.request(encode(request)?, deadline, done);
    let failed = |source| match source {
        RpcError::TimedOut => ClusterError::TimedOut { peer: peer.to_owned(), limit },
        source => ClusterError::Request { peer: peer.to_owned(), source },
    };
    let body = receiver.await.unwrap_or(Err(RpcError::LinkLost)).map_err(failed)?;
    let outcome: Outcome =
        decode(&body).map_err(|what| ClusterError::Protocol { peer: peer.to_owned(), what })?;
    outcome.map_err(ClusterError::Answer)
}

/// Answers a request at once.
pub(super) fn answer(reply: Reply, outcome: &Outcome) {
    match encode(outcome) {
        Ok(body) => reply.send(body),
        Err(error) => reply.fail(RpcError::Refused(error.to_string())),
    }
}

/// Answers a request when the handler has: at the latest at the deadline, and not when the asker is gone.
pub(super) fn answer_later(
    tasks: &TaskTracker,
    gone: CancellationToken,
    deadline: Instant,
    reply: Reply,
    handler: Answer,
) {
    tasks.spawn(async move {
        tokio::select! {
            () = gone.cancelled() => {}
            outcome = timeout_at(deadline, handler) => match outcome {
                Ok(outcome) => answer(reply, &outcome),
                Err(_) => reply.fail(RpcError::TimedOut),
            },
        }
    });
}
