//! A token bucket: so many in a second on average, and some more at once.

use std::time::Duration;

use shaddock_cluster::Instant;

/// How fast a bucket fills, and how much it holds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rate {
    /// The time in which one token comes.
    interval: Duration,
    /// The time in which an empty bucket fills.
    capacity: Duration,
}

impl Rate {
    /// So many tokens in a second, at most `burst` of them kept; at least one each.
    pub(crate) fn new(per_second: u32, burst: u32) -> Self {
        let interval = Duration::from_secs(1) / per_second.max(1);
        Self { interval, capacity: interval.saturating_mul(burst.max(1)) }
    }
}

/// The bucket, which is all said by the time at which it will be full again.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bucket {
    full_at: Instant,
}

impl Bucket {
    /// A full one.
    pub(crate) fn full(now: Instant) -> Self {
        Self { full_at: now }
    }

    /// Takes a token, if there is one.
    pub(crate) fn take(&mut self, rate: Rate, now: Instant) -> bool {
        let full_at = self.full_at.max(now) + rate.interval;
        let is_there = full_at <= now + rate.capacity;
        if is_there {
            self.full_at = full_at;
        }
        is_there
    }

    /// Whether it is as good as a new one.
    pub(crate) fn is_full(&self, now: Instant) -> bool {
        self.full_at <= now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of 100 tokens there are at that time.
    fn taken(bucket: &mut Bucket, rate: Rate, now: Instant) -> usize {
        (0..100).filter(|_| bucket.take(rate, now)).count()
    }

    #[test]
    fn a_burst_goes_through_and_then_the_rate() {
        let (rate, start) = (Rate::new(10, 25), Instant::now());
        let mut bucket = Bucket::full(start);
        assert_eq!(taken(&mut bucket, rate, start), 25);
        assert!(!bucket.is_full(start));
        assert_eq!(taken(&mut bucket, rate, start + Duration::from_millis(99)), 0);
        assert_eq!(taken(&mut bucket, rate, start + Duration::from_millis(100)), 1);
        assert_eq!(taken(&mut bucket, rate, start + Duration::from_millis(1100)), 10);
        let later = start + Duration::from_secs(60);
        assert!(bucket.is_full(later));
        assert_eq!(taken(&mut bucket, rate, later), 25);
    }

    #[test]
    fn what_is_refused_costs_nothing() {
        let (rate, start) = (Rate::new(1, 1), Instant::now());
        let mut bucket = Bucket::full(start);
        assert_eq!(taken(&mut bucket, rate, start), 1);
        assert_eq!(taken(&mut bucket, rate, start + Duration::from_secs(1)), 1);
    }
}
