use std::time::Duration;

use crate::secret::random;

/// Pauses that double from one failure to the next, each shortened at random by up to a half, so that
/// many servers do not come back in step.
#[derive(Debug, Clone)]
pub(crate) struct Backoff {
    min: Duration,
    max: Duration,
    next: Duration,
}

impl Backoff {
    pub(crate) fn new(min: Duration, max: Duration) -> Self {
        Self { min, max, next: min }
    }

    /// The pause after one more failure.
    pub(crate) fn next(&mut self) -> Duration {
        let pause = self.next.min(self.max);
        self.next = pause.saturating_mul(2).min(self.max);
        // Without random bytes the pause stays whole: jitter is a courtesy.
        let share = random::<4>().map_or(u32::MAX, u32::from_le_bytes);
        pause / 2 + (pause / 2).mul_f64(f64::from(share) / f64::from(u32::MAX))
    }

    pub(crate) fn reset(&mut self) {
        self.next = self.min;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_limit_and_start_over() {
        let ms = Duration::from_millis;
        let mut backoff = Backoff::new(ms(50), ms(5000));
        for whole in [50, 100, 200, 400, 800, 1600, 3200, 5000, 5000] {
            let pause = backoff.next();
            assert!(pause >= ms(whole) / 2 && pause <= ms(whole), "{pause:?} of {whole} ms");
        }
        backoff.reset();
        assert!(backoff.next() <= ms(50));
    }
}
