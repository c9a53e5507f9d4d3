//! Finding a file: pomelo's two places, and its sections by environment.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::json::{self, Member, Node, Shape};
use crate::problem::{Findings, Place};
use crate::spot::Spot;

/// No configuration file is larger.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// A configuration directory, seen from one environment.
pub(crate) struct Directory<'a> {
    pub(crate) dir: &'a Path,
    pub(crate) env: &'a str,
}

/// What became of a file that was looked for.
pub(crate) enum Opened {
    /// It is in neither place.
    Absent,
    /// It cannot be read or is no JSON; the reason is among the findings.
    Broken,
    /// Its contents.
    Source(Source),
}

impl Opened {
    pub(crate) fn source(&self) -> Option<&Source> {
        match self {
            Self::Source(source) => Some(source),
            _ => None,
        }
    }
}

/// The contents of a file.
pub(crate) struct Source {
    path: PathBuf,
    root: Node,
    /// It lies in the directory of one environment and so has no sections.
    of_one_env: bool,
}

impl Directory<'_> {
    /// Opens `X.json`, else `<env>/X.json`.
    pub(crate) fn open(&self, name: &str, findings: &mut Findings) -> Opened {
        let first = self.dir.join(name);
        let second = self.dir.join(self.env).join(name);
        let path = if first.exists() { &first } else { &second };
        if !path.exists() {
            return Opened::Absent;
        }
        if path == &first && second.exists() {
            let first = first.display();
            findings.warning(Place::file(&second), "not read", format!("{first} goes before it; keep one"));
        }
        match read(path) {
            Ok(root) => {
                report_repeats(&Spot::root(path, &root), findings);
                Opened::Source(Source { path: path.clone(), root, of_one_env: path == &second })
            }
            Err((line, found, allowed)) => {
                let place = Place { line, ..Place::file(path) };
                findings.problem(place, found, allowed);
                Opened::Broken
            }
        }
    }

    /// As `open`, for a file that must be there.
    pub(crate) fn open_required(&self, name: &str, findings: &mut Findings) -> Opened {
        let opened = self.open(name, findings);
        if matches!(opened, Opened::Absent) {
            let or = self.dir.join(self.env).join(name);
            findings.problem(
                Place::file(&self.dir.join(name)),
                "no such file",
                format!("needed; {} would do as well", or.display()),
            );
        }
        opened
    }
}

impl Source {
    /// The whole file.
    pub(crate) fn whole(&self) -> Spot<'_> {
        Spot::root(&self.path, &self.root)
    }

    /// The section of an environment if the file has it, else the whole file. A file that has sections, but
    /// not this one, is a problem; `is_section` tells a section from what the whole file would hold.
    pub(crate) fn section(
        &self,
        env: &str,
        is_section: impl Fn(&Member) -> bool,
        findings: &mut Findings,
    ) -> Option<Spot<'_>> {
        let whole = self.whole();
        if self.of_one_env {
            return Some(whole);
        }
        if let Some(section) = whole.member(env).filter(|section| truthy(section.node)) {
            return Some(section);
        }
        let members = self.root.members().unwrap_or_default();
        let members: Vec<_> = members.iter().filter(|member| member.key != "$schema").collect();
        let filled = |member: &Member| member.node.members().is_some_and(|members| !members.is_empty());
        if !members.iter().all(|member| is_section(member)) || !members.iter().any(|member| filled(member)) {
            return Some(whole);
        }
        let sections: Vec<_> = members.iter().map(|member| member.key.as_str()).collect();
        findings.problem(
            Place::file(&self.path),
            format!("no section for the environment \"{env}\""),
            format!("the file has sections for {}", sections.join(", ")),
        );
        None
    }
}

/// pomelo takes a section only if JavaScript finds it true.
fn truthy(node: &Node) -> bool {
    match &node.shape {
        Shape::Null | Shape::Bool(false) => false,
        Shape::Text(text) => !text.is_empty(),
        Shape::Number(number) => number.as_f64() != Some(0.0),
        _ => true,
    }
}

type Refusal = (Option<u32>, String, String);

fn read(path: &Path) -> Result<Node, Refusal> {
    let io = |error: std::io::Error| (None, format!("cannot be read: {error}"), "a readable file".to_owned());
    let mut bytes = Vec::new();
    let file = fs::File::open(path).map_err(io)?;
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(io)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err((None, "larger than 16 MiB".to_owned(), "a smaller file".to_owned()));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let sound = error.as_bytes().get(..error.utf8_error().valid_up_to()).unwrap_or_default();
        let line = 1 + sound.iter().filter(|&&byte| byte == b'\n').count();
        (u32::try_from(line).ok(), "bytes that are no UTF-8".to_owned(), "text in UTF-8".to_owned())
    })?;
    json::parse(&text).map_err(|error| {
        (Some(error.line), format!("no JSON: found {}", error.found), format!("allowed: {}", error.allowed))
    })
}

/// A key that stands twice would silently lose what the first one says.
fn report_repeats(spot: &Spot<'_>, findings: &mut Findings) {
    match &spot.node.shape {
        Shape::Object(members) => {
            for member in members {
                let child = spot.of(member);
                if let Some(line) = member.repeats {
                    let found = format!("a second time, after line {line}");
                    findings.problem(child.place(), found, "each key stands once");
                }
                report_repeats(&child, findings);
            }
        }
        Shape::List(_) => spot.items().for_each(|item| report_repeats(&item, findings)),
        _ => {}
    }
}
