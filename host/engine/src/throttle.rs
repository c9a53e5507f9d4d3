//! Log lines that clients or plugins can cause at will: so many a second, and then only how many were left out.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use tokio::time::Instant;

/// Lines in one period, unless said otherwise.
const LINES_MAX: u32 = 20;
/// The period.
const PERIOD: Duration = Duration::from_secs(1);

/// Lets the first lines of a period through.
#[derive(Debug)]
pub struct Throttle {
    lines_max: u32,
    period: Mutex<(Instant, u32)>,
}

impl Default for Throttle {
    /// As many lines as anybody can read.
    fn default() -> Self {
        Self::with_lines_max(LINES_MAX)
    }
}

impl Throttle {
    /// The same with so many lines in one period.
    pub fn with_lines_max(lines_max: u32) -> Self {
        Self { lines_max, period: Mutex::new((Instant::now(), 0)) }
    }

    /// Whether a line may be written now; with it, how many were left out in the period before.
    pub fn admit(&self) -> Option<u32> {
        let now = Instant::now();
        let mut period = self.period.lock().unwrap_or_else(PoisonError::into_inner);
        let mut left_out = 0;
        if now.duration_since(period.0) >= PERIOD {
            left_out = period.1.saturating_sub(self.lines_max);
            *period = (now, 0);
        }
        period.1 = period.1.saturating_add(1);
        (period.1 <= self.lines_max).then_some(left_out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_flood_is_cut_and_counted() {
        let throttle = Throttle::default();
        let admitted = (0..100).filter(|_| throttle.admit().is_some()).count();
        assert_eq!(admitted, LINES_MAX as usize);
        tokio::time::advance(PERIOD).await;
        assert_eq!(throttle.admit(), Some(100 - LINES_MAX));
        assert_eq!(throttle.admit(), Some(0));
    }
}
