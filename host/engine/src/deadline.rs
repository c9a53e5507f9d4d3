//! Runs a call until its deadline.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

use tokio::task::unconstrained;
use tokio::time::{Instant, sleep_until};

use crate::ticker::Ticker;

/// Polls a call, which is pinned already since it is large, with the CPU clock running only while it is polled, not while it waits. `None` when the
/// deadline has passed; what the call holds is dropped then.
///
/// As `tokio::time::timeout_at`, but a call that never waits never makes a timer.
pub(crate) async fn until<F: Future>(
    deadline: Instant,
    ticker: &Ticker,
    mut call: Pin<&mut F>,
) -> Option<F::Output> {
    let mut timer = None;
    poll_fn(|context| {
        let running = ticker.enter();
        if let Poll::Ready(result) = call.as_mut().poll(context) {
            return Poll::Ready(Some(result));
        }
        drop(running);
        // Not bound by the task's budget, which a busy call may have used up.
        let timer = timer.get_or_insert_with(|| Box::pin(unconstrained(sleep_until(deadline))));
        Pin::as_mut(timer).poll(context).map(|()| None)
    })
    .await
}
