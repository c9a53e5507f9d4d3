//! A value together with where it stands, and the checks that every value needs.

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr};
use std::ops::RangeInclusive;
use std::path::Path;

use crate::json::{Member, Node, Shape, quoted};
use crate::nearest::suggestion;
use crate::problem::{Findings, Place};

/// A value in a file.
#[derive(Clone)]
pub(crate) struct Spot<'a> {
    file: &'a Path,
    /// Path of the field from the top of the file.
    field: String,
    /// The line of its key, else of the value itself.
    line: u32,
    pub(crate) node: &'a Node,
}

impl<'a> Spot<'a> {
    pub(crate) fn root(file: &'a Path, node: &'a Node) -> Self {
        Self { file, field: String::new(), line: node.line, node }
    }

    pub(crate) fn place(&self) -> Place {
        Place { file: self.file.to_owned(), line: Some(self.line), field: self.field.clone() }
    }

    pub(crate) fn line(&self) -> u32 {
        self.line
    }

    /// A member of this object.
    pub(crate) fn of(&self, member: &'a Member) -> Self {
        let mut field = self.field.clone();
        let bare = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '$');
        if member.key.is_empty() || !member.key.chars().all(bare) {
            let _ = write!(field, "[{}]", quoted(&member.key));
        } else {
            let dot = if field.is_empty() { "" } else { "." };
            let _ = write!(field, "{dot}{}", member.key);
        }
        Self { file: self.file, field, line: member.line, node: &member.node }
    }

    pub(crate) fn member(&self, key: &str) -> Option<Self> {
        self.node.member(key).map(|member| self.of(member))
    }

    /// The same place with another value, for one that was computed from the file's.
    pub(crate) fn with<'b>(&self, node: &'b Node) -> Spot<'b>
    where
        'a: 'b,
    {
        Spot { file: self.file, field: self.field.clone(), line: self.line, node }
    }

    /// The items of a list; none if it is something else.
    pub(crate) fn items(&self) -> impl Iterator<Item = Self> {
        let items = match &self.node.shape {
            Shape::List(items) => items.as_slice(),
            _ => &[],
        };
        items.iter().enumerate().map(|(index, node)| Self {
            file: self.file,
            field: format!("{}[{index}]", self.field),
            line: node.line,
            node,
        })
    }

    /// Reports this value as not what is allowed.
    pub(crate) fn refuse(&self, allowed: impl AsRef<str>, findings: &mut Findings) {
        let found = format!("found {}", self.node.describe());
        findings.problem(self.place(), found, format!("allowed: {}", allowed.as_ref()));
    }

    /// The items of what must be a list.
    pub(crate) fn list(&self, of: &str, findings: &mut Findings) -> Option<Vec<Self>> {
        let Shape::List(_) = &self.node.shape else {
            self.refuse(format!("a list of {of}"), findings);
            return None;
        };
        Some(self.items().collect())
    }

    /// The members of what must be an object, each with its key; `$schema` is skipped at the top of a file.
    pub(crate) fn entries(&self, of: &str, findings: &mut Findings) -> Option<Vec<(&'a str, Self)>> {
        let Some(members) = self.node.members() else {
            self.refuse(format!("an object of {of}"), findings);
            return None;
        };
        let shown = members.iter().filter(|member| !(self.field.is_empty() && member.key == "$schema"));
        Some(shown.map(|member| (member.key.as_str(), self.of(member))).collect())
    }

    /// A text that is not empty.
    pub(crate) fn text(&self, what: &str, findings: &mut Findings) -> Option<&'a str> {
        let text = self.node.text().filter(|text| !text.is_empty());
        if text.is_none() {
            self.refuse(what, findings);
        }
        text
    }

    pub(crate) fn flag(&self, findings: &mut Findings) -> Option<bool> {
        let Shape::Bool(flag) = self.node.shape else {
            self.refuse("true or false", findings);
            return None;
        };
        Some(flag)
    }

    /// A whole number within a range.
    pub(crate) fn whole<T: TryFrom<u64>>(
        &self,
        range: &RangeInclusive<u64>,
        findings: &mut Findings,
    ) -> Option<T> {
        let inside = |number: u64| range.contains(&number).then(|| T::try_from(number).ok()).flatten();
        let number = match &self.node.shape {
            Shape::Number(number) => number.as_u64().and_then(inside),
            _ => None,
        };
        if number.is_none() {
            let unquoted = self.node.text().is_some_and(|text| text.parse().ok().and_then(inside).is_some());
            let hint = if unquoted { ", without quotes" } else { "" };
            self.refuse(format!("a whole number from {} to {}{hint}", range.start(), range.end()), findings);
        }
        number
    }

    /// One of a few names, each with what it stands for.
    pub(crate) fn name_of<T: Clone>(
        &self,
        names: &[(&'static str, T)],
        findings: &mut Findings,
    ) -> Option<T> {
        let known: Vec<_> = names.iter().map(|(name, _)| *name).collect();
        let Some(text) = self.node.text() else {
            self.refuse(known.join(", "), findings);
            return None;
        };
        let found = names.iter().find(|(name, _)| *name == text).map(|(_, value)| value.clone());
        if found.is_none() {
            let found = format!("found {}", quoted(text));
            findings.problem(self.place(), found, suggestion(text, &known));
        }
        found
    }

    /// A list of names, each at most once.
    pub(crate) fn names_of<T: Clone>(
        &self,
        names: &[(&'static str, T)],
        findings: &mut Findings,
    ) -> Option<Vec<T>> {
        let known: Vec<_> = names.iter().map(|(name, _)| *name).collect();
        let items = self.list(&known.join(", "), findings)?;
        report_twice(&items, findings);
        items.iter().map(|item| item.name_of(names, findings)).collect()
    }

    /// An address to listen on.
    pub(crate) fn address(&self, findings: &mut Findings) -> Option<IpAddr> {
        let address = match self.node.text() {
            Some("localhost") => Some(Ipv4Addr::LOCALHOST.into()),
            Some(text) => text.parse().ok(),
            None => None,
        };
        if address.is_none() {
            self.refuse("an IP address such as \"127.0.0.1\", \"0.0.0.0\" or \"::\"", findings);
        }
        address
    }
}

/// Reports texts that stand in a list a second time.
pub(crate) fn report_twice(items: &[Spot<'_>], findings: &mut Findings) {
    let mut seen = std::collections::HashSet::new();
    for item in items {
        let Some(text) = item.node.text() else { continue };
        if !seen.insert(text) {
            findings.problem(
                item.place(),
                format!("{} a second time", quoted(text)),
                "each name stands once",
            );
        }
    }
}
