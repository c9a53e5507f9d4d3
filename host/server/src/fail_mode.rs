//! What becomes of a call that fails on its way: the fail modes of app.json.

use std::sync::Arc;
use std::time::Duration;

use shaddock_cluster::{Instant, RpcError};
use shaddock_config::{FailMode, RpcSettings};
use shaddock_engine::types::{Failure, ServerInfo};

use crate::call_failure;

/// Why a call has no result.
#[derive(Debug)]
pub(crate) enum Broken {
    /// It was lost on the way.
    Link(RpcError),
    /// The other server has not begun it, for example because no instance was free.
    Declined(Failure),
    /// The remote's answer is a failure.
    Answered(Failure),
}

impl Broken {
    /// Whether another attempt can do what the first did not. Without `idempotent` it must not have run.
    fn is_worth_another(&self, idempotent: bool) -> bool {
        match self {
            Self::Link(RpcError::LinkLost | RpcError::Refused(_)) => idempotent,
            Self::Link(error) => error.is_retryable(),
            Self::Declined(_) => true,
            Self::Answered(_) => false,
        }
    }

    /// For the caller.
    pub(crate) fn into_failure(self, server: &str) -> Failure {
        match self {
            Self::Link(error) => call_failure::of_rpc(server, &error),
            Self::Declined(failure) | Self::Answered(failure) => failure,
        }
    }
}

/// The attempts of one call.
#[derive(Debug)]
pub(crate) struct Attempts {
    mode: FailMode,
    left: u32,
    pause: Duration,
    idempotent: bool,
    deadline: Instant,
    /// Servers that have failed, of `failover`.
    failed: Vec<Arc<str>>,
}

/// What to do after an attempt has failed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// It was the last one.
    GiveUp,
    /// The same server again, after a pause.
    Again(Duration),
    /// This one, at once.
    Other(Arc<str>),
}

impl Attempts {
    /// Before the first attempt.
    pub(crate) fn new(settings: &RpcSettings, idempotent: bool, deadline: Instant) -> Self {
        Self {
            mode: settings.fail_mode,
            left: settings.retries_max,
            pause: Duration::from_millis(settings.retry_backoff_ms),
            idempotent,
            deadline,
            failed: Vec::new(),
        }
    }

    /// What to do after an attempt at `server` has failed; `others` are the servers that would do as well.
    pub(crate) fn next(&mut self, server: &Arc<str>, broken: &Broken, others: &[Arc<ServerInfo>]) -> Next {
        let has_time = Instant::now() < self.deadline;
        if self.left == 0 || !has_time || !broken.is_worth_another(self.idempotent) {
            return Next::GiveUp;
        }
        self.left -= 1;
        match self.mode {
            FailMode::Failfast => Next::GiveUp,
            FailMode::Retry => {
                let pause = self.pause.mul_f64(0.5 + 0.5 * fastrand::f64());
                self.pause = self.pause.saturating_mul(2);
                if Instant::now() + pause < self.deadline { Next::Again(pause) } else { Next::GiveUp }
            }
            FailMode::Failover => {
                self.failed.push(Arc::clone(server));
                let after = others.iter().filter(|other| other.id > *server);
                let mut candidates = after.chain(others.iter().filter(|other| other.id < *server));
                let next = candidates.find(|other| !self.failed.contains(&other.id));
                next.map_or(Next::GiveUp, |other| Next::Other(Arc::clone(&other.id)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::roster::tests::servers;

    fn attempts(fail_mode: FailMode, idempotent: bool) -> Attempts {
        let settings = RpcSettings { fail_mode, retry_backoff_ms: 100, ..RpcSettings::default() };
        Attempts::new(&settings, idempotent, Instant::now() + Duration::from_secs(1))
    }

    fn worth(broken: &Broken, idempotent: bool) -> bool {
        attempts(FailMode::Retry, idempotent).next(&"a".into(), broken, &[]) != Next::GiveUp
    }

    #[tokio::test(start_paused = true)]
    async fn only_what_certainly_did_not_run_or_is_idempotent_is_made_anew() {
        let failure = || Failure::retryable(503, "busy");
        for (broken, always, if_idempotent) in [
            (Broken::Link(RpcError::UnknownServer), true, true),
            (Broken::Link(RpcError::Unreachable), true, true),
            (Broken::Link(RpcError::Overloaded), true, true),
            (Broken::Declined(failure()), true, true),
            (Broken::Link(RpcError::LinkLost), false, true),
            (Broken::Link(RpcError::Refused(String::new())), false, true),
            (Broken::Link(RpcError::TimedOut), false, false),
            (Broken::Link(RpcError::TooLarge), false, false),
            (Broken::Answered(failure()), false, false),
        ] {
            assert_eq!((worth(&broken, false), worth(&broken, true)), (always, if_idempotent), "{broken:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_double_and_end_with_the_retries_or_the_deadline() {
        let dead = Broken::Link(RpcError::Unreachable);
        let mut retry = attempts(FailMode::Retry, false);
        for whole_ms in [100, 200] {
            let Next::Again(pause) = retry.next(&"a".into(), &dead, &[]) else { panic!() };
            let whole = Duration::from_millis(whole_ms);
            assert!(pause >= whole / 2 && pause <= whole, "{pause:?}");
        }
        assert_eq!(retry.next(&"a".into(), &dead, &[]), Next::GiveUp);
        let mut late = attempts(FailMode::Retry, false);
        tokio::time::advance(Duration::from_millis(960)).await;
        assert_eq!(
            late.next(&"a".into(), &dead, &[]),
            Next::GiveUp,
            "the pause would last until after the deadline"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn failover_goes_round_the_other_servers_once() {
        let dead = Broken::Link(RpcError::Unreachable);
        let list = servers(&["a", "b", "c"]);
        let mut failover = attempts(FailMode::Failover, false);
        assert_eq!(failover.next(&"b".into(), &dead, &list), Next::Other("c".into()));
        assert_eq!(failover.next(&"c".into(), &dead, &list), Next::Other("a".into()));
        assert_eq!(failover.next(&"a".into(), &dead, &list), Next::GiveUp);
        assert_eq!(attempts(FailMode::Failover, false).next(&"a".into(), &dead, &list[..1]), Next::GiveUp);
        assert_eq!(attempts(FailMode::Failfast, true).next(&"a".into(), &dead, &list), Next::GiveUp);
    }
}
