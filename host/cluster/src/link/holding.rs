//! Letting frames wait for more, so that they are written together.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep_until};

/// So many bytes do not wait.
pub(crate) const HELD_BYTES_MAX: usize = 64 * 1024;

/// When a link's driver may take the frames that are queued. One wait begins with the first frame it sees.
pub(crate) struct Holding {
    buffer: Duration,
    sleep: Option<Pin<Box<Sleep>>>,
    is_waiting: bool,
}

impl Holding {
    pub(crate) fn new(buffer: Duration) -> Self {
        Self { buffer, sleep: None, is_waiting: false }
    }

    /// Whether frames wait at all.
    pub(crate) fn is_on(&self) -> bool {
        !self.buffer.is_zero()
    }

    /// Whether what is queued has to wait still; the task is woken when it has not.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> bool {
        if !self.is_waiting {
            let until = Instant::now() + self.buffer;
            match &mut self.sleep {
                Some(sleep) => sleep.as_mut().reset(until),
                None => self.sleep = Some(Box::pin(sleep_until(until))),
            }
            self.is_waiting = true;
        }
        let is_over = self.sleep.as_mut().is_none_or(|sleep| sleep.as_mut().poll(cx) == Poll::Ready(()));
        if is_over {
            self.is_waiting = false;
        }
        !is_over
    }

    /// The frames are taken, for another reason than the end of the wait.
    pub(crate) fn end(&mut self) {
        self.is_waiting = false;
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_wait_begins_with_the_first_frame_and_the_next_one_begins_anew() {
        let (start, ms) = (Instant::now(), Duration::from_millis);
        let mut holding = Holding::new(ms(20));
        for end in [20, 40] {
            poll_fn(|cx| if holding.poll(cx) { Poll::Pending } else { Poll::Ready(()) }).await;
            assert_eq!(start.elapsed(), ms(end));
        }
        let mut cx = Context::from_waker(std::task::Waker::noop());
        assert!(holding.poll(&mut cx));
        tokio::time::advance(ms(15)).await;
        holding.end();
        assert!(holding.poll(&mut cx), "the wait that was cut short is over");
        tokio::time::advance(ms(15)).await;
        assert!(holding.poll(&mut cx));
        assert!(!Holding::new(Duration::ZERO).is_on());
    }
}
