//! Which of one player's requests have been answered, and how: each has a number of its own, and is answered once.

use std::ops::AddAssign;

/// What became of requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Outcomes {
    /// Answered as they should be.
    pub(super) right: u64,
    /// Answered with an error.
    pub(super) failed: u64,
    /// Answers to what was answered before, or never asked.
    pub(super) doubled: u64,
    /// Never answered.
    pub(super) lost: u64,
}

impl AddAssign for Outcomes {
    fn add_assign(&mut self, other: Self) {
        self.right += other.right;
        self.failed += other.failed;
        self.doubled += other.doubled;
        self.lost += other.lost;
    }
}

/// The answers to requests with numbers from `first` on.
#[derive(Clone, Debug)]
pub(super) struct Ledger {
    first: u32,
    /// By number: a bit for each request, as far as answers have come.
    answered: Vec<u64>,
    outcomes: Outcomes,
}

impl Ledger {
    pub(super) fn new(first: u32) -> Self {
        Self { first, answered: Vec::new(), outcomes: Outcomes::default() }
    }

    /// Notes an answer; `next` is the number that the next request will have. Whether it is the first one to a request
    /// that was sent.
    pub(super) fn answer(&mut self, number: u32, next: u32, is_right: bool) -> bool {
        let is_first = (self.first..next).contains(&number) && self.mark(number - self.first);
        match (is_first, is_right) {
            (false, _) => self.outcomes.doubled += 1,
            (true, true) => self.outcomes.right += 1,
            (true, false) => self.outcomes.failed += 1,
        }
        is_first
    }

    /// Sets a request's bit; whether it was not set before.
    fn mark(&mut self, index: u32) -> bool {
        let (word, bit) = ((index / 64) as usize, 1_u64 << (index % 64));
        if word >= self.answered.len() {
            self.answered.resize(word + 1, 0);
        }
        let Some(word) = self.answered.get_mut(word) else { return false };
        let is_new = *word & bit == 0;
        *word |= bit;
        is_new
    }

    /// What became of all requests, now that no answer will come any more.
    pub(super) fn close(&self, next: u32) -> Outcomes {
        let sent = u64::from(next - self.first);
        let lost = sent.saturating_sub(self.outcomes.right + self.outcomes.failed);
        Outcomes { lost, ..self.outcomes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_request_ends_in_one_way() {
        let mut ledger = Ledger::new(2);
        let next = 202;
        for number in 2..200 {
            assert!(ledger.answer(number, next, number % 10 != 0));
        }
        assert!(!ledger.answer(7, next, true), "twice");
        assert!(!ledger.answer(1, next, true), "before the first");
        assert!(!ledger.answer(202, next, true), "not sent yet");
        let expected = Outcomes { right: 179, failed: 19, doubled: 3, lost: 2 };
        assert_eq!(ledger.close(next), expected);
        assert!(ledger.answer(201, next, true), "the last, out of order");
        assert_eq!(ledger.close(next), Outcomes { right: 180, lost: 1, ..expected });
    }

    #[test]
    fn nothing_sent_is_nothing_lost() {
        assert_eq!(Ledger::new(2).close(2), Outcomes::default());
    }
}
