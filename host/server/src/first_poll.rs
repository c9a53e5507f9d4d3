//! Starting futures that mostly end in their first poll, without paying each time for what the others need.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio_util::sync::ReusableBoxFuture;

/// A future after its first poll.
pub(crate) enum Started<T> {
    Done(T),
    /// It has to be polled on.
    Running(ReusableBoxFuture<'static, T>),
}

/// The memory of the last future that ended at once, kept for the next one; meant for one thread.
pub(crate) struct Spare<T>(Cell<Option<ReusableBoxFuture<'static, T>>>);

impl<T: 'static> Spare<T> {
    /// Nothing kept yet.
    pub(crate) const fn new() -> Self {
        Self(Cell::new(None))
    }

    /// Polls a future for the first time.
    pub(crate) fn start(
        &self,
        future: impl Future<Output = T> + Send + 'static,
        cx: &mut Context<'_>,
    ) -> Started<T> {
        let mut started = match self.0.take() {
            Some(mut memory) => {
                memory.set(future);
                memory
            }
            None => ReusableBoxFuture::new(future),
        };
        match Pin::new(&mut started).poll(cx) {
            Poll::Ready(value) => {
                self.0.set(Some(started));
                Started::Done(value)
            }
            Poll::Pending => Started::Running(started),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::task::noop_waker_ref;

    #[tokio::test]
    async fn what_ends_at_once_is_done_and_what_waits_goes_on_elsewhere() {
        let spare = Spare::new();
        let cx = &mut Context::from_waker(noop_waker_ref());
        assert!(matches!(spare.start(async { 1 }, cx), Started::Done(1)));
        let waits = async {
            tokio::task::yield_now().await;
            2
        };
        let Started::Running(running) = spare.start(waits, cx) else { panic!("it has to wait") };
        assert!(matches!(spare.start(async { 3 }, cx), Started::Done(3)));
        assert_eq!(running.await, 2);
    }
}
