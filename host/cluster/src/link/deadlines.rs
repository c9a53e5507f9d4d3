use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep_until};

/// The pause between two looks at all calls: how late a deadline may be noticed, and what keeps many
/// different deadlines from costing a look each.
const CHECK_INTERVAL: Duration = Duration::from_millis(5);

/// One timer for all calls of a link. It is set while calls are in flight, so an idle link never wakes
/// its process (but for one last time after its last call).
#[derive(Default)]
pub(crate) struct DeadlineTimer {
    sleep: Option<Pin<Box<Sleep>>>,
    armed: Option<Instant>,
    not_before: Option<Instant>,
}

impl DeadlineTimer {
    /// Whether it is time to expire calls; else the task will be woken when it is.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, check_at: Option<Instant>) -> bool {
        if let Some(at) = check_at {
            self.arm(self.not_before.map_or(at, |earliest| at.max(earliest)));
        }
        let (Some(sleep), true) = (&mut self.sleep, self.armed.is_some()) else { return false };
        if sleep.as_mut().poll(cx) == Poll::Pending {
            return false;
        }
        self.armed = None;
        self.not_before = Some(Instant::now() + CHECK_INTERVAL);
        true
    }

    /// An earlier setting stays: it fires once in vain, which is cheaper than setting it per call.
    fn arm(&mut self, at: Instant) {
        if self.armed.is_some_and(|armed| armed <= at) {
            return;
        }
        self.armed = Some(at);
        match &mut self.sleep {
            Some(sleep) => sleep.as_mut().reset(at),
            None => self.sleep = Some(Box::pin(sleep_until(at))),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    /// How often the timer fires, and when, while a call with the deadline `at` stays in flight.
    async fn fires(timer: &mut DeadlineTimer, at: Option<Instant>, start: Instant) -> Duration {
        poll_fn(|cx| if timer.poll(cx, at) { Poll::Ready(()) } else { Poll::Pending }).await;
        start.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn it_fires_at_the_deadline_and_then_not_before_the_next_check() {
        let (mut timer, start, ms) = (DeadlineTimer::default(), Instant::now(), Duration::from_millis);
        assert_eq!(fires(&mut timer, Some(start + ms(100)), start).await, ms(100));
        // Deadlines that follow close are taken together.
        assert_eq!(fires(&mut timer, Some(start + ms(101)), start).await, ms(105));
        assert_eq!(fires(&mut timer, Some(start + ms(200)), start).await, ms(200));
    }

    #[tokio::test(start_paused = true)]
    async fn an_earlier_deadline_moves_it_and_a_later_one_does_not() {
        let (mut timer, start, ms) = (DeadlineTimer::default(), Instant::now(), Duration::from_millis);
        let now = |timer: &mut DeadlineTimer, at| {
            let mut cx = Context::from_waker(std::task::Waker::noop());
            assert!(!timer.poll(&mut cx, at));
        };
        now(&mut timer, Some(start + ms(100)));
        now(&mut timer, Some(start + ms(30)));
        now(&mut timer, Some(start + ms(300)));
        assert_eq!(fires(&mut timer, Some(start + ms(300)), start).await, ms(30));
    }

    #[tokio::test(start_paused = true)]
    async fn without_calls_it_is_silent() {
        let (mut timer, start, ms) = (DeadlineTimer::default(), Instant::now(), Duration::from_millis);
        assert_eq!(fires(&mut timer, Some(start + ms(50)), start).await, ms(50));
        let hour = Duration::from_secs(3600);
        assert!(tokio::time::timeout(hour, fires(&mut timer, None, start)).await.is_err());
    }
}
