//! How many requests a session may send.

use std::time::Duration;

use shaddock_cluster::Instant;
use shaddock_config::ConnectorSettings;

use crate::bucket::{Bucket, Rate};

/// The time over which refused requests are counted.
const PERIOD: Duration = Duration::from_secs(60);

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It runs.
    Admitted,
    /// It is refused, the first one in a minute.
    FirstRefused,
    /// It is refused.
    Refused,
    /// It is refused, and was one too many: the client is to go.
    LastRefused,
}

/// The limit of one session.
#[derive(Debug)]
pub(crate) struct RateLimit {
    rate: Rate,
    bucket: Bucket,
    strikes_max: Option<u32>,
    strikes: u32,
    /// When the first of the strikes was.
    struck: Instant,
}

impl RateLimit {
    /// The limit of a new session, if there is one.
    pub(crate) fn new(settings: &ConnectorSettings, now: Instant) -> Option<Box<Self>> {
        let per_second = settings.requests_per_second?;
        Some(Box::new(Self {
            rate: Rate::new(per_second, settings.request_burst.unwrap_or(per_second)),
            bucket: Bucket::full(now),
            strikes_max: settings.rate_limit_strikes_max,
            strikes: 0,
            struck: now,
        }))
    }

    /// Judges one request.
    pub(crate) fn judge(&mut self, now: Instant) -> Verdict {
        if self.bucket.take(self.rate, now) {
            return Verdict::Admitted;
        }
        if self.strikes == 0 || now.duration_since(self.struck) >= PERIOD {
            (self.strikes, self.struck) = (0, now);
        }
        self.strikes = self.strikes.saturating_add(1);
        if self.strikes_max.is_some_and(|strikes_max| self.strikes > strikes_max) {
            Verdict::LastRefused
        } else if self.strikes == 1 {
            Verdict::FirstRefused
        } else {
            Verdict::Refused
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(strikes_max: Option<u32>, now: Instant) -> Box<RateLimit> {
        let settings = ConnectorSettings {
            requests_per_second: Some(1),
            request_burst: Some(2),
            rate_limit_strikes_max: strikes_max,
            ..ConnectorSettings::default()
        };
        RateLimit::new(&settings, now).unwrap()
    }

    #[test]
    fn there_is_no_limit_unless_one_is_set() {
        assert!(RateLimit::new(&ConnectorSettings::default(), Instant::now()).is_none());
    }

    #[test]
    fn too_many_refused_requests_in_a_minute_are_the_end() {
        let start = Instant::now();
        let mut limit = limit(Some(2), start);
        let judged: Vec<_> = (0..5).map(|_| limit.judge(start)).collect();
        use Verdict::{Admitted, FirstRefused, LastRefused, Refused};
        assert_eq!(judged, [Admitted, Admitted, FirstRefused, Refused, LastRefused]);
    }

    #[test]
    fn an_admitted_request_forgives_nothing_and_a_minute_does() {
        let start = Instant::now();
        let after = |s| start + Duration::from_secs(s);
        let mut limit = limit(Some(2), start);
        for (at, expected) in [
            (0, Verdict::Admitted),
            (0, Verdict::Admitted),
            (0, Verdict::FirstRefused),
            (1, Verdict::Admitted),
            (1, Verdict::Refused),
            (61, Verdict::Admitted),
            (61, Verdict::Admitted),
            (61, Verdict::FirstRefused),
            (61, Verdict::Refused),
            (61, Verdict::LastRefused),
        ] {
            assert_eq!(limit.judge(after(at)), expected, "at {at} s");
        }
    }

    #[test]
    fn nobody_has_to_go_where_strikes_are_not_counted() {
        let start = Instant::now();
        let mut limit = limit(None, start);
        let last = (0..10_000).map(|_| limit.judge(start)).last();
        assert_eq!(last, Some(Verdict::Refused));
    }
}
