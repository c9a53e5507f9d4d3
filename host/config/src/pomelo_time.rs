//! pomelo's syntax for times in crons.json.
//!
//! Six fields. A field is `*`, or a list with commas of numbers, ranges `a-b` and remainders `r/p`: every value v with
//! `v % p == r`.

use std::collections::BTreeSet;

use crate::json::quoted;
use crate::schedule::{ScheduleError, count};

struct Field {
    name: &'static str,
    min: u32,
    max: u32,
    /// What cron's syntax counts the first value as, less what pomelo's does.
    shift: u32,
}

const fn field(name: &'static str, min: u32, max: u32, shift: u32) -> Field {
    Field { name, min, max, shift }
}

const FIELDS: [Field; 6] = [
    field("second", 0, 59, 0),
    field("minute", 0, 59, 0),
    field("hour", 0, NEVER, 0),
    field("day of month", 1, 31, 0),
    field("month", 0, 11, 1),
    field("day of week", 0, 6, 0),
];

/// The hour that pomelo takes and that no clock shows.
const NEVER: u32 = 24;

/// The same in cron's syntax, seconds first; none if no moment fits.
pub(crate) fn to_cron(text: &str) -> Result<Option<String>, ScheduleError> {
    let fields: Vec<_> = text.split_whitespace().collect();
    if fields.len() != FIELDS.len() {
        return Err(ScheduleError {
            found: format!("found {} in {}", count(fields.len()), quoted(text)),
            allowed: "allowed: 6 fields, second minute hour day-of-month month (0-11) day-of-week (0-6); cron's own \
                      syntax stands in \"cron\""
                .to_owned(),
        });
    }
    let mut lists = Vec::with_capacity(fields.len());
    for (written, field) in fields.iter().zip(&FIELDS) {
        if *written == "*" {
            lists.push("*".to_owned());
            continue;
        }
        let values = values(written, field).ok_or_else(|| refusal(text, written, field))?;
        let list: Vec<_> = values
            .into_iter()
            .filter(|&value| field.max != NEVER || value != NEVER)
            .map(|value| (value + field.shift).to_string())
            .collect();
        lists.push(list.join(","));
    }
    Ok(lists.iter().all(|list| !list.is_empty()).then(|| lists.join(" ")))
}

fn refusal(text: &str, written: &str, field: &Field) -> ScheduleError {
    let Field { name, min, max, .. } = field;
    ScheduleError {
        found: format!("found the {name} {} in {}", quoted(written), quoted(text)),
        allowed: format!(
            "allowed: *, {min} to {max}, a range a-b, r/p for every value that divided by p leaves r, a list with \
             commas; cron's own syntax stands in \"cron\""
        ),
    }
}

/// The values that a field names; none if it is not of the syntax, or names one that is not allowed.
fn values(written: &str, field: &Field) -> Option<BTreeSet<u32>> {
    let allowed = field.min..=field.max;
    let mut values = BTreeSet::new();
    for item in written.split(',') {
        if let Some((first, last)) = item.split_once('-') {
            let (first, last) = (number(first)?, number(last)?);
            if first > last || !allowed.contains(&first) || !allowed.contains(&last) {
                return None;
            }
            values.extend(first..=last);
        } else if let Some((rest, period)) = item.split_once('/') {
            let (rest, period) = (number(rest)?, number(period)?);
            if rest >= period {
                return None;
            }
            values.extend(allowed.clone().filter(|value| value % period == rest));
        } else {
            values.insert(number(item).filter(|value| allowed.contains(value))?);
        }
    }
    Some(values)
}

fn number(text: &str) -> Option<u32> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}
