use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What one version has done, on one server or on several, since it began to serve there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Figures {
    /// Calls.
    pub calls: u64,
    /// Calls that ended in an error, by its kind (`trap`, `deadline`, …).
    pub errors: BTreeMap<String, u64>,
    /// Half of the calls took at most that many microseconds; none: too few were seen.
    pub p50_us: Option<u64>,
    /// 99 of 100 calls took at most that many microseconds; none: too few were seen.
    pub p99_us: Option<u64>,
    /// Instances.
    pub instances: u64,
}

impl Figures {
    /// All errors.
    pub fn errors_total(&self) -> u64 {
        self.errors.values().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// Adds what another server counted. Of times the slower server's stand: a sum of quantiles means nothing, and a
    /// mean would hide the one that is slow.
    pub fn add(&mut self, other: &Figures) {
        self.calls = self.calls.saturating_add(other.calls);
        for (kind, count) in &other.errors {
            let sum = self.errors.entry(kind.clone()).or_default();
            *sum = sum.saturating_add(*count);
        }
        self.p50_us = self.p50_us.max(other.p50_us);
        self.p99_us = self.p99_us.max(other.p99_us);
        self.instances = self.instances.saturating_add(other.instances);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_add_up_and_of_times_the_slower_stands() {
        let errors = |count| BTreeMap::from([("trap".to_owned(), count)]);
        let mut sum = Figures { calls: 1, errors: errors(1), p50_us: Some(9), p99_us: None, instances: 1 };
        sum.add(&Figures { calls: 2, errors: errors(3), p50_us: Some(5), p99_us: Some(70), instances: 4 });
        let expected =
            Figures { calls: 3, errors: errors(4), p50_us: Some(9), p99_us: Some(70), instances: 5 };
        assert_eq!((sum.errors_total(), sum), (4, expected));
    }
}
