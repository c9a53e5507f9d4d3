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
