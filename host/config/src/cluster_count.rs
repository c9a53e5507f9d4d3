//! `clusterCount`: one entry of servers.json that stands for many servers.

use serde_json::Number;

use crate::json::{Member, Node, Shape};
use crate::problem::Findings;
use crate::spot::Spot;

/// The field that makes an entry stand for many.
pub(crate) const CLUSTER_COUNT: &str = "clusterCount";
const COUNT_MAX: u64 = 1_000;
const SIGNAL: &str = "++";

/// An entry with `clusterCount`, ready to be copied.
///
/// As in pomelo: ids are `cluster-server-<type>-<k>`, where k counts on over all such entries of a type, and
/// every text that contains `++`, but not at its start, loses its last two characters and counts up from
/// the number that remains, anew in every entry.
pub(crate) struct Expansion<'a> {
    pub(crate) count: u64,
    first: u64,
    server_type: &'a str,
    line: u32,
    members: &'a [Member],
}

impl<'a> Expansion<'a> {
    /// Reads an entry; `first` is the k of its first server.
    pub(crate) fn read(
        server_type: &'a str,
        entry: &Spot<'a>,
        first: u64,
        findings: &mut Findings,
    ) -> Option<Self> {
        let members = entry.node.members()?;
        let count = entry.member(CLUSTER_COUNT)?;
        let count = match count.node.text().and_then(|text| text.parse().ok()) {
            Some(number) if (1..=COUNT_MAX).contains(&number) => number,
            _ => count.whole(&(1..=COUNT_MAX), findings)?,
        };
        if let Some(id) = entry.member("id") {
            let found = "an id beside clusterCount";
            findings.warning(
                id.place(),
                found,
                format!("not used: the ids are cluster-server-{server_type}-<number>"),
            );
        }
        let mut sound = true;
        for member in members {
            if counter(&member.node).is_some_and(|base| base.is_none()) {
                sound = false;
                entry.of(member).refuse("a number before \"++\", as in \"3150++\"", findings);
            }
        }
        sound.then_some(Self { count, first, server_type, line: entry.line(), members })
    }

    /// The entry of one of its servers.
    pub(crate) fn node(&self, index: u64) -> Node {
        let id = Shape::Text(format!("cluster-server-{}-{}", self.server_type, self.first + index));
        let mut members: Vec<Member> = self.members.to_vec();
        let mut has_id = false;
        for member in &mut members {
            if member.key == "id" {
                has_id = true;
                member.node.shape = id.clone();
            } else if let Some(Some(base)) = counter(&member.node) {
                let index = i64::try_from(index).unwrap_or(i64::MAX);
                member.node.shape = Shape::Number(Number::from(base.saturating_add(index)));
            }
        }
        if !has_id {
            let node = Node { line: self.line, shape: id };
            members.push(Member { key: "id".to_owned(), line: self.line, node, repeats: None });
        }
        Node { line: self.line, shape: Shape::Object(members) }
    }
}

/// Whether a value counts up, and from what; the inner none: from no number.
fn counter(node: &Node) -> Option<Option<i64>> {
    let text = node.text()?;
    text.find(SIGNAL).filter(|&position| position > 0)?;
    let mut base = text.chars();
    base.next_back();
    base.next_back();
    Some(parse_int(base.as_str()))
}

/// JavaScript's `parseInt` of a decimal number: what follows the digits is not looked at.
fn parse_int(text: &str) -> Option<i64> {
    let text = text.trim_start();
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    let number: i64 = digits.get(..end)?.parse().ok()?;
    Some(if text.starts_with('-') { -number } else { number })
}
