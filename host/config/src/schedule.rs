//! When a cron is due.

use std::fmt;
use std::ops::RangeInclusive;

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::Zoned;

use crate::json::quoted;
use crate::pomelo_time;

/// The moments at which a cron is due, on the clock of the time zone that [`Schedule::next_after`] is asked in.
///
/// Where the clock is put forward, a schedule with one time of day that is skipped is due at the first moment after
/// the gap; one with several times a day just misses those that do not exist. Where it is put back, a schedule with
/// one time of day is due once, at the first of the two; one with several is due at both.
#[derive(Clone)]
pub struct Schedule {
    text: String,
    /// None: it is never due.
    cron: Option<Cron>,
}

/// Why a text is no schedule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{found}; {allowed}")]
pub struct ScheduleError {
    /// Which part of the text is wrong.
    pub found: String,
    /// What may stand there.
    pub allowed: String,
}

/// A field of cron's syntax: its name, what may stand in it beside `*`, lists, ranges and steps.
const CRON_FIELDS: [(&str, &str); 6] = [
    ("second", "0 to 59"),
    ("minute", "0 to 59"),
    ("hour", "0 to 23"),
    ("day of month", "1 to 31, or L for the last one"),
    ("month", "1 to 12, or JAN to DEC"),
    ("day of week", "0 to 7 (0 and 7 are Sunday), or SUN to SAT"),
];
const CRON_FIELDS_COUNT: RangeInclusive<usize> = 5..=6;

impl Schedule {
    /// Reads pomelo's syntax, the field `time` of crons.json: six fields, months from 0, `r/p` for every value that
    /// leaves the remainder r, and days that must match both as day of the month and as day of the week.
    ///
    /// # Errors
    /// The field that is wrong, and what may stand there.
    pub fn pomelo(text: &str) -> Result<Self, ScheduleError> {
        let Some(pattern) = pomelo_time::to_cron(text)? else {
            return Ok(Self { text: text.to_owned(), cron: None });
        };
        let parser =
            CronParser::builder().seconds(Seconds::Required).year(Year::Disallowed).dom_and_dow(true).build();
        let cron = parser.parse(&pattern).map_err(|error| ScheduleError {
            found: format!("found {}", quoted(text)),
            allowed: error.to_string(),
        })?;
        Ok(Self { text: text.to_owned(), cron: Some(cron) })
    }

    /// Reads cron's syntax, the field `cron` of crons.json: five fields, or six with the second first.
    ///
    /// # Errors
    /// The field that is wrong, and what may stand there.
    pub fn cron(text: &str) -> Result<Self, ScheduleError> {
        let parser = CronParser::builder().seconds(Seconds::Optional).year(Year::Disallowed).build();
        match parser.parse(text) {
            Ok(cron) => Ok(Self { text: text.to_owned(), cron: Some(cron) }),
            Err(_) => Err(cron_error(parser, text)),
        }
    }

    /// The first moment after `time` at which the cron is due, in its time zone; none if there is none.
    pub fn next_after(&self, time: &Zoned) -> Option<Zoned> {
        self.cron.as_ref()?.find_next_occurrence(time, false).ok()
    }

    /// The text as it stands in the file.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it is due at all, ever.
    pub(crate) fn is_ever_due(&self) -> bool {
        let start = jiff::civil::date(2000, 1, 1).at(0, 0, 0, 0);
        self.cron.as_ref().is_some_and(|cron| cron.find_next_occurrence(&start, true).is_ok())
    }
}

/// Finds the field that is wrong: the first that is refused among asterisks.
fn cron_error(parser: CronParser, text: &str) -> ScheduleError {
    let fields: Vec<_> = text.split_whitespace().collect();
    if !CRON_FIELDS_COUNT.contains(&fields.len()) {
        return ScheduleError {
            found: format!("found {} in {}", count(fields.len()), quoted(text)),
            allowed: "allowed: 5 fields, minute hour day-of-month month day-of-week, or 6 with the second first; or \
                      @yearly, @monthly, @weekly, @daily, @hourly"
                .to_owned(),
        };
    }
    let known = CRON_FIELDS.iter().skip(CRON_FIELDS.len() - fields.len());
    for (place, (field, (name, values))) in fields.iter().zip(known).enumerate() {
        let mut others = vec!["*"; fields.len()];
        if let Some(other) = others.get_mut(place) {
            *other = field;
        }
        if parser.parse(&others.join(" ")).is_err() {
            return ScheduleError {
                found: format!("found the {name} {} in {}", quoted(field), quoted(text)),
                allowed: format!("allowed: *, {values}; a range a-b, */n or a-b/n, a list with commas"),
            };
        }
    }
    ScheduleError { found: format!("found {}", quoted(text)), allowed: "allowed: cron's syntax".to_owned() }
}

pub(crate) fn count(fields: usize) -> String {
    if fields == 1 { "1 field".to_owned() } else { format!("{fields} fields") }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Schedule").field(&self.text).finish()
    }
}
