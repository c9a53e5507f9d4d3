//! Reading an object field by field: each field asked for is known, all others are not.

use std::ops::RangeInclusive;

use crate::json::Member;
use crate::nearest::{one_slip_off, suggestion};
use crate::problem::Findings;
use crate::spot::Spot;

/// An object being read.
pub(crate) struct Fields<'a, 'f> {
    pub(crate) spot: Spot<'a>,
    members: &'a [Member],
    known: Vec<&'static str>,
    /// Known, but not to be suggested.
    others: Vec<&'static str>,
    pub(crate) findings: &'f mut Findings,
}

impl<'a, 'f> Fields<'a, 'f> {
    /// Begins to read what must be an object.
    pub(crate) fn open(spot: &Spot<'a>, findings: &'f mut Findings) -> Option<Self> {
        let Some(members) = spot.node.members() else {
            spot.refuse("an object", findings);
            return None;
        };
        Some(Self { spot: spot.clone(), members, known: Vec::new(), others: Vec::new(), findings })
    }

    /// The field with a name, if it is there.
    pub(crate) fn get(&mut self, name: &'static str) -> Option<Spot<'a>> {
        if !self.known.contains(&name) {
            self.known.push(name);
        }
        self.spot.member(name)
    }

    /// The field with a name; a problem if it is not there.
    pub(crate) fn required(&mut self, name: &'static str, what: &str) -> Option<Spot<'a>> {
        let found = self.get(name);
        if found.is_none() {
            self.findings.problem(
                self.spot.place(),
                format!("missing \"{name}\""),
                format!("needed: {what}"),
            );
        }
        found
    }

    /// Reads a whole number within a range into a setting, if it is there.
    pub(crate) fn whole<T: TryFrom<u64>>(
        &mut self,
        name: &'static str,
        range: RangeInclusive<u64>,
        into: &mut T,
    ) {
        let number = self.get(name).and_then(|spot| spot.whole(&range, self.findings));
        if let Some(number) = number {
            *into = number;
        }
    }

    /// As `whole`, for a setting without a default.
    pub(crate) fn whole_some<T: TryFrom<u64>>(
        &mut self,
        name: &'static str,
        range: RangeInclusive<u64>,
        into: &mut Option<T>,
    ) {
        if let Some(number) = self.get(name).and_then(|spot| spot.whole(&range, self.findings)) {
            *into = Some(number);
        }
    }

    /// As `whole`; null takes the setting away.
    pub(crate) fn whole_or_null<T: TryFrom<u64>>(
        &mut self,
        name: &'static str,
        range: RangeInclusive<u64>,
        into: &mut Option<T>,
    ) {
        let Some(spot) = self.get(name) else { return };
        if matches!(spot.node.shape, crate::json::Shape::Null) {
            *into = None;
        } else if let Some(number) = spot.whole(&range, self.findings) {
            *into = Some(number);
        }
    }

    /// Reads true or false into a setting, if it is there.
    pub(crate) fn flag(&mut self, name: &'static str, into: &mut bool) {
        if let Some(flag) = self.get(name).and_then(|spot| spot.flag(self.findings)) {
            *into = flag;
        }
    }

    /// Reads one of a few names into a setting, if it is there.
    pub(crate) fn name_of<T: Clone>(
        &mut self,
        name: &'static str,
        names: &[(&'static str, T)],
        into: &mut T,
    ) {
        if let Some(value) = self.get(name).and_then(|spot| spot.name_of(names, self.findings)) {
            *into = value;
        }
    }

    /// Reads an object within into a setting, if it is there.
    pub(crate) fn object(&mut self, name: &'static str, read: impl FnOnce(&mut Fields<'a, '_>)) {
        let Some(spot) = self.get(name) else { return };
        if let Some(mut fields) = Fields::open(&spot, self.findings) {
            read(&mut fields);
            fields.close();
        }
    }

    /// Fields that pomelo has and that change nothing here, each with the reason.
    pub(crate) fn idle(&mut self, fields: &[(&'static str, &str)]) {
        for (name, reason) in fields {
            self.others.push(name);
            if let Some(spot) = self.spot.member(name) {
                self.findings.warning(spot.place(), "has no effect yet", *reason);
            }
        }
    }

    /// Fields that pomelo has under another name.
    pub(crate) fn renamed(&mut self, fields: &[(&'static str, &str)]) {
        for (old, new) in fields {
            self.others.push(old);
            if let Some(spot) = self.spot.member(old) {
                let found = format!("\"{old}\" is pomelo's name");
                self.findings.problem(spot.place(), found, format!("here it is \"{new}\""));
            }
        }
    }

    /// Ends reading: every field not asked for is a problem.
    pub(crate) fn close(self) {
        for member in self.members {
            let key = member.key.as_str();
            if !self.known.contains(&key) && !self.others.contains(&key) {
                let place = self.spot.of(member).place();
                self.findings.problem(place, "unknown field", suggestion(key, &self.known));
            }
        }
    }

    /// Ends reading an object that may have fields of its user's own; one that looks like a slip of the
    /// keyboard is a warning.
    pub(crate) fn close_open(self) {
        for member in self.members {
            let key = member.key.as_str();
            if self.known.contains(&key) || self.others.contains(&key) {
                continue;
            }
            let long = self.known.iter().copied().filter(|name| name.len() > 4);
            if let Some(near) = one_slip_off(key, long) {
                let found = "unknown field, kept for plugins to read";
                self.findings.warning(
                    self.spot.of(member).place(),
                    found,
                    format!("did you mean \"{near}\"?"),
                );
            }
        }
    }
}
