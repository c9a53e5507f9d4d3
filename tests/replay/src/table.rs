//! The outcome of a replay as a table: one line per scenario, and a sum.

use std::fmt;

use crate::run::{Report, ScenarioReport, Verdict};

/// Shows a report as a table.
pub struct Table<'a>(pub &'a Report);

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scenarios = &self.0.scenarios;
        let width = scenarios.iter().map(|scenario| scenario.name.chars().count()).max().unwrap_or_default();
        for scenario in scenarios {
            let reason = reason(scenario);
            let line = format!("{:width$}  {:<7}  {reason}", scenario.name, word(scenario.verdict()));
            writeln!(f, "{}", line.trim_end())?;
        }
        let count = |verdict| scenarios.iter().filter(|scenario| scenario.verdict() == verdict).count();
        write!(
            f,
            "{} kept, {} fixed, {} differ, {} skipped",
            count(Verdict::Kept),
            count(Verdict::Fixed),
            count(Verdict::Differs),
            count(Verdict::Skipped)
        )
    }
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Kept => "kept",
        Verdict::Fixed => "fixed",
        Verdict::Differs => "differs",
        Verdict::Skipped => "skipped",
    }
}

fn reason(scenario: &ScenarioReport) -> String {
    match scenario.verdict() {
        Verdict::Kept => String::new(),
        Verdict::Fixed => scenario.fixed.clone().unwrap_or_default(),
        Verdict::Skipped => scenario.skipped.clone().unwrap_or_default(),
        Verdict::Differs => match scenario.differences.len() {
            1 => "1 difference".to_owned(),
            count => format!("{count} differences"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::difference::{Difference, What};

    #[test]
    fn every_outcome_has_its_line_and_is_counted() {
        let of = |name: &str| ScenarioReport::new(name.to_owned());
        let difference = Difference { who: "a".into(), step: 1, what: What::StillOpen };
        let scenarios = vec![
            of("x/kept"),
            ScenarioReport { fixed: Some("better".into()), ..of("x/fixed-one") },
            ScenarioReport { differences: vec![difference], ..of("x/bad") },
            ScenarioReport { skipped: Some("no datagrams".into()), ..of("x/udp") },
        ];
        let expected = "x/kept       kept\n\
                        x/fixed-one  fixed    better\n\
                        x/bad        differs  1 difference\n\
                        x/udp        skipped  no datagrams\n\
                        1 kept, 1 fixed, 1 differ, 1 skipped";
        assert_eq!(Table(&Report { scenarios }).to_string(), expected);
    }
}
