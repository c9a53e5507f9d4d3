//! When crons are due: both syntaxes against counting through the calendar, and clocks that are put forward and back.

use jiff::civil::{Date, DateTime, date};
use jiff::tz::TimeZone;
use jiff::{ToSpan, Zoned};
use proptest::prelude::*;
use shaddock_config::{Schedule, ScheduleError};

/// One item of a field's list.
#[derive(Clone, Debug)]
enum Item {
    Number(i16),
    Range(i16, i16),
    /// pomelo's: remainder and period.
    Remainder(i16, i16),
    /// cron's: every so many, from the first value on.
    Step(i16),
}

/// A field: every value, or those of a list.
type Field = Option<Vec<Item>>;

/// The fields from the second to the day of the week, each with its smallest value.
#[derive(Clone, Debug)]
struct Pattern {
    fields: [(Field, i16); 6],
    /// What the month counts from in the text.
    first_month: i16,
    both_days: bool,
}

impl Item {
    fn holds(&self, value: i16, min: i16) -> bool {
        match *self {
            Self::Number(number) => value == number,
            Self::Range(first, last) => (first..=last).contains(&value),
            Self::Remainder(rest, period) => value % period == rest,
            Self::Step(step) => (value - min) % step == 0,
        }
    }
}

impl Pattern {
    fn text(&self) -> String {
        let item = |item: &Item| match item {
            Item::Number(number) => number.to_string(),
            Item::Range(first, last) => format!("{first}-{last}"),
            Item::Remainder(rest, period) => format!("{rest}/{period}"),
            Item::Step(step) => format!("*/{step}"),
        };
        let field = |(field, _): &(Field, i16)| match field {
            None => "*".to_owned(),
            Some(items) => items.iter().map(item).collect::<Vec<_>>().join(","),
        };
        self.fields.iter().map(field).collect::<Vec<_>>().join(" ")
    }

    fn holds(&self, field: usize, value: i16) -> bool {
        let (items, min) = &self.fields[field];
        items.as_ref().is_none_or(|items| items.iter().any(|item| item.holds(value, *min)))
    }

    fn holds_day(&self, day: Date) -> bool {
        let month = i16::from(day.month()) - 1 + self.first_month;
        let of_month = self.holds(3, i16::from(day.day()));
        let of_week = self.holds(5, i16::from(day.weekday().to_sunday_zero_offset()));
        let restricted = |field: usize| self.fields[field].0.is_some();
        let either = !self.both_days && restricted(3) && restricted(5);
        self.holds(4, month) && if either { of_month || of_week } else { of_month && of_week }
    }

    /// The first moment after another that fits, found by counting, within forty years.
    fn next_after(&self, start: DateTime) -> Option<DateTime> {
        let matching = |field: usize| (0..60_i8).filter(move |&value| self.holds(field, i16::from(value)));
        (0..40 * 366).map(|days| start.date() + days.days()).filter(|&day| self.holds_day(day)).find_map(
            |day| {
                matching(2).filter(|&hour| hour < 24).find_map(|hour| {
                    matching(1).find_map(|minute| {
                        matching(0)
                            .map(|second| day.at(hour, minute, second, 0))
                            .find(|&moment| moment > start)
                    })
                })
            },
        )
    }
}

fn field(min: i16, max: i16, is_pomelos: bool) -> impl Strategy<Value = Field> {
    let range = (min..=max, min..=max).prop_map(|(a, b)| Item::Range(a.min(b), a.max(b)));
    let many = if is_pomelos {
        (1..=max + 5)
            .prop_flat_map(|period| (0..period, Just(period)))
            .prop_map(|(rest, period)| Item::Remainder(rest, period))
            .boxed()
    } else {
        (1..=max).prop_map(Item::Step).boxed()
    };
    let item = prop_oneof![3 => (min..=max).prop_map(Item::Number), 1 => range, 1 => many];
    prop_oneof![1 => Just(None), 2 => prop::collection::vec(item, 1..4).prop_map(Some)]
}

fn pattern(is_pomelos: bool) -> impl Strategy<Value = Pattern> {
    let limits = if is_pomelos {
        [(0, 59), (0, 59), (0, 24), (1, 31), (0, 11), (0, 6)]
    } else {
        [(0, 59), (0, 59), (0, 23), (1, 31), (1, 12), (0, 6)]
    };
    let fields = limits.map(|(min, max)| field(min, max, is_pomelos));
    fields.prop_map(move |fields| {
        let mut mins = limits.iter().map(|(min, _)| *min);
        Pattern {
            fields: fields.map(|field| (field, mins.next().unwrap())),
            first_month: limits[4].0,
            both_days: is_pomelos,
        }
    })
}

fn moment() -> impl Strategy<Value = DateTime> {
    (0..365 * 30_i32, 0..24_i8, 0..60_i8, 0..60_i8)
        .prop_map(|(day, hour, minute, second)| (date(2000, 1, 1) + day.days()).at(hour, minute, second, 0))
}

fn utc(moment: DateTime) -> Zoned {
    moment.to_zoned(TimeZone::UTC).unwrap()
}

/// Compares three moments in a row with counting.
fn agrees(schedule: &Schedule, pattern: &Pattern, start: DateTime) {
    let mut time = start;
    for _ in 0..3 {
        let counted = pattern.next_after(time);
        let found = schedule.next_after(&utc(time)).map(|found| found.datetime());
        let Some(counted) = counted else {
            let horizon = time + 39.years();
            assert!(found.is_none_or(|found| found > horizon), "{schedule} after {time}: {found:?}");
            return;
        };
        assert_eq!(found, Some(counted), "{schedule} after {time}");
        time = counted;
    }
}

proptest! {
    #[test]
    fn pomelos_syntax_is_due_when_counting_says_so(pattern in pattern(true), start in moment()) {
        agrees(&Schedule::pomelo(&pattern.text()).unwrap(), &pattern, start);
    }

    #[test]
    fn crons_syntax_is_due_when_counting_says_so(pattern in pattern(false), start in moment()) {
        agrees(&Schedule::cron(&pattern.text()).unwrap(), &pattern, start);
    }

    #[test]
    fn any_text_is_read_or_refused(text in "[0-9*/,#LW?+@A-Za-zé -]{0,40}") {
        for read in [Schedule::pomelo(&text), Schedule::cron(&text)].into_iter().flatten() {
            let start = utc(date(2024, 2, 29).at(23, 59, 59, 0));
            prop_assert!(read.next_after(&start).is_none_or(|next| next > start));
        }
    }
}

/// The moments after one another, on the clock of a time zone, with their offsets in hours.
fn due(schedule: &Schedule, zone: &TimeZone, start: DateTime, count: usize) -> Vec<String> {
    let mut time = start.to_zoned(zone.clone()).unwrap();
    let mut found = Vec::new();
    for _ in 0..count {
        time = schedule.next_after(&time).unwrap();
        found.push(format!("{} {:+}", time.datetime(), time.offset().seconds() / 3600));
    }
    found
}

#[test]
fn pomelos_syntax_means_what_it_means_in_pomelo() {
    let start = date(2026, 1, 1).at(0, 0, 0, 0);
    for (text, expected) in [
        // the fourth month from 0 is May
        ("0 30 10 * 4 *", "2026-05-01T10:30:00"),
        // both days: the first Friday the 13th
        ("0 0 0 13 * 5", "2026-02-13T00:00:00"),
        // remainders: 5, 15, 25 …
        ("5/10 0 0 * * *", "2026-01-01T00:00:05"),
        // pomelo takes hour 24, which never comes
        ("0 0 23,24 * * *", "2026-01-01T23:00:00"),
        ("  0\t0 0 29 1 * ", "2028-02-29T00:00:00"),
        ("0 0 12 * * 0", "2026-01-04T12:00:00"),
    ] {
        let schedule = Schedule::pomelo(text).unwrap();
        assert_eq!(schedule.next_after(&utc(start)).unwrap().datetime().to_string(), expected, "{text}");
        assert_eq!(schedule.as_str(), text);
    }
    assert!(Schedule::pomelo("0 0 24 * * *").unwrap().next_after(&utc(start)).is_none());
}

#[test]
fn crons_syntax_means_what_cron_means() {
    let start = date(2026, 1, 1).at(0, 0, 0, 0);
    for (text, expected) in [
        ("30 10 * * *", "2026-01-01T10:30:00"),
        ("15 30 10 * * *", "2026-01-01T10:30:15"),
        ("*/20 * * * *", "2026-01-01T00:20:00"),
        ("0 0 * may *", "2026-05-01T00:00:00"),
        ("0 12 * * MON-FRI", "2026-01-01T12:00:00"),
        ("0 12 * * 7", "2026-01-04T12:00:00"),
        // either day: the first Friday comes before the 13th
        ("0 0 13 * 5", "2026-01-02T00:00:00"),
        ("@daily", "2026-01-02T00:00:00"),
    ] {
        let schedule = Schedule::cron(text).unwrap();
        assert_eq!(schedule.next_after(&utc(start)).unwrap().datetime().to_string(), expected, "{text}");
    }
}

#[test]
fn what_is_wrong_is_named_by_its_field() {
    let refused = |result: Result<Schedule, ScheduleError>| result.unwrap_err().to_string();
    const POMELO: &str = "a range a-b, r/p for every value that divided by p leaves r, a list with commas; cron's own syntax stands in \"cron\"";
    for (text, expected) in [
        ("60 * * * * *", format!("found the second \"60\" in \"60 * * * * *\"; allowed: *, 0 to 59, {POMELO}")),
        ("0 */5 * * * *", format!("found the minute \"*/5\" in \"0 */5 * * * *\"; allowed: *, 0 to 59, {POMELO}")),
        ("0 0 25 * * *", format!("found the hour \"25\" in \"0 0 25 * * *\"; allowed: *, 0 to 24, {POMELO}")),
        ("0 0 0 0 * *", format!("found the day of month \"0\" in \"0 0 0 0 * *\"; allowed: *, 1 to 31, {POMELO}")),
        ("0 0 0 1 12 *", format!("found the month \"12\" in \"0 0 0 1 12 *\"; allowed: *, 0 to 11, {POMELO}")),
        ("0 0 0 * * 5-1", format!("found the day of week \"5-1\" in \"0 0 0 * * 5-1\"; allowed: *, 0 to 6, {POMELO}")),
        ("0 10/10 0 * * *", format!("found the minute \"10/10\" in \"0 10/10 0 * * *\"; allowed: *, 0 to 59, {POMELO}")),
        ("0 0/0 0 * * *", format!("found the minute \"0/0\" in \"0 0/0 0 * * *\"; allowed: *, 0 to 59, {POMELO}")),
        ("0 1,,2 0 * * *", format!("found the minute \"1,,2\" in \"0 1,,2 0 * * *\"; allowed: *, 0 to 59, {POMELO}")),
        (
            "0 30 10 * *",
            "found 5 fields in \"0 30 10 * *\"; allowed: 6 fields, second minute hour day-of-month month (0-11) day-of-week (0-6); cron's own syntax stands in \"cron\"".to_owned(),
        ),
    ] {
        assert_eq!(refused(Schedule::pomelo(text)), expected);
    }
    const CRON: &str = "a range a-b, */n or a-b/n, a list with commas";
    for (text, expected) in [
        ("60 * * * *", format!("found the minute \"60\" in \"60 * * * *\"; allowed: *, 0 to 59; {CRON}")),
        ("0 0 24 * * *", format!("found the hour \"24\" in \"0 0 24 * * *\"; allowed: *, 0 to 23; {CRON}")),
        ("0 0 1 0 *", format!("found the month \"0\" in \"0 0 1 0 *\"; allowed: *, 1 to 12, or JAN to DEC; {CRON}")),
        (
            "0 0 * * MOON",
            format!("found the day of week \"MOON\" in \"0 0 * * MOON\"; allowed: *, 0 to 7 (0 and 7 are Sunday), or SUN to SAT; {CRON}"),
        ),
        (
            "@reboot",
            "found 1 field in \"@reboot\"; allowed: 5 fields, minute hour day-of-month month day-of-week, or 6 with the second first; or @yearly, @monthly, @weekly, @daily, @hourly".to_owned(),
        ),
    ] {
        assert_eq!(refused(Schedule::cron(text)), expected);
    }
}

#[test]
fn a_clock_that_is_put_forward_or_back_is_followed() {
    // Central Europe, 2026: from 2 to 3 o'clock on March 29, from 3 to 2 o'clock on October 25
    let zone = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
    let (spring, autumn) = (date(2026, 3, 29).at(0, 0, 0, 0), date(2026, 10, 25).at(0, 0, 0, 0));
    let daily = Schedule::pomelo("0 30 2 * * *").unwrap();
    assert_eq!(due(&daily, &zone, spring, 2), ["2026-03-29T03:00:00 +2", "2026-03-30T02:30:00 +2"]);
    assert_eq!(due(&daily, &zone, autumn, 2), ["2026-10-25T02:30:00 +2", "2026-10-26T02:30:00 +1"]);
    let half_hourly = Schedule::pomelo("0 0/30 1-3 * * *").unwrap();
    assert_eq!(
        due(&half_hourly, &zone, spring, 4),
        [
            "2026-03-29T01:00:00 +1",
            "2026-03-29T01:30:00 +1",
            "2026-03-29T03:00:00 +2",
            "2026-03-29T03:30:00 +2"
        ]
    );
    assert_eq!(
        due(&half_hourly, &zone, autumn, 8),
        [
            "2026-10-25T01:00:00 +2",
            "2026-10-25T01:30:00 +2",
            "2026-10-25T02:00:00 +2",
            "2026-10-25T02:30:00 +2",
            "2026-10-25T02:00:00 +1",
            "2026-10-25T02:30:00 +1",
            "2026-10-25T03:00:00 +1",
            "2026-10-25T03:30:00 +1",
        ]
    );
}
