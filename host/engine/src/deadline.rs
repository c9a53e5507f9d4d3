//! Runs a call until its time is over.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

use tokio::task::unconstrained;
use tokio::time::{Instant, sleep_until};

use crate::error::CallError;
use crate::retire::Ending;
use crate::ticker::Ticker;

/// Polls a call, which is pinned already since it is large, with the CPU clock running only while it is polled, not
/// while it waits. When the deadline has passed, or `ending` says that the time of its version is over, what the call
/// holds is dropped.
///
/// As `tokio::time::timeout_at`, but a call that never waits never makes a timer.
///
/// # Errors
/// [`CallError::Deadline`] or [`CallError::Replaced`].
pub(crate) async fn until<F: Future>(
    deadline: Instant,
    ticker: &Ticker,
    ending: Option<&Ending>,
    mut call: Pin<&mut F>,
) -> Result<F::Output, CallError> {
    let mut timer = None;
    let mut watch = ending.map(Ending::watch);
    poll_fn(|context| {
        let running = ticker.enter();
        if let Poll::Ready(result) = call.as_mut().poll(context) {
            return Poll::Ready(Ok(result));
        }
        drop(running);
        if watch.as_mut().is_some_and(|watch| watch.poll_over(context).is_ready()) {
            return Poll::Ready(Err(CallError::Replaced { begun: true }));
        }
        // Not bound by the task's budget, which a busy call may have used up.
        let timer = timer.get_or_insert_with(|| Box::pin(unconstrained(sleep_until(deadline))));
        Pin::as_mut(timer).poll(context).map(|()| Err(CallError::Deadline))
    })
    .await
}
