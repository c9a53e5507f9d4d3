//! What is wrong with a configuration, and what is merely idle: one finding per line, with its place.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;
use thiserror::Error;

/// One thing that must be changed before a cluster can start.
///
/// Displayed as `file:line: field: found; allowed`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem(pub Finding);

/// One thing that has no effect or is probably not meant; the cluster starts anyway.
///
/// Displayed as a [`Problem`] is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Warning(pub Finding);

/// A sentence about one place in one file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The file, below the configuration directory as it was given to [`Config::load`](crate::Config::load).
    pub file: PathBuf,
    /// Line of the offending field, counted from 1; none if the whole file is meant.
    pub line: Option<u32>,
    /// Path of the field from the top of the file, such as `development.connector[0].clientPort`;
    /// empty if the whole file is meant.
    pub field: String,
    /// What was found there.
    pub found: String,
    /// What is allowed instead, or what to do.
    pub allowed: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if !self.field.is_empty() {
            write!(f, ": {}", self.field)?;
        }
        write!(f, ": {}; {}", self.found, self.allowed)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Warning {
    /// For what is not in a file.
    pub(crate) fn without_line(self) -> Self {
        Self(Finding { line: None, ..self.0 })
    }
}

/// Why a configuration cannot be used.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The configuration directory cannot be read.
    #[error("cannot read the configuration directory {}: {source}; name it with --config", path.display())]
    Directory {
        /// The directory as given.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The name of the environment cannot be one.
    #[error("\"{0}\" is no environment name; allowed: 1 to 64 letters, digits, '-' and '_'")]
    Environment(String),
    /// Files are missing, malformed, or contradict each other: all that was found, in the order of
    /// files and lines. Displayed one per line.
    #[error("{}", lines(problems))]
    Invalid {
        /// Never empty.
        problems: Vec<Problem>,
        /// What would have been a warning had there been no problems.
        warnings: Vec<Warning>,
    },
}

impl ConfigError {
    /// Everything found in the files; empty unless the error is [`ConfigError::Invalid`].
    pub fn problems(&self) -> &[Problem] {
        match self {
            Self::Invalid { problems, .. } => problems,
            _ => &[],
        }
    }

    /// For what is not in a file.
    pub(crate) fn without_lines(self) -> Self {
        match self {
            Self::Invalid { problems, warnings } => Self::Invalid {
                problems: problems.into_iter().map(|p| Problem(Finding { line: None, ..p.0 })).collect(),
                warnings: warnings.into_iter().map(Warning::without_line).collect(),
            },
            other => other,
        }
    }

    /// The warnings found beside the problems.
    pub fn warnings(&self) -> &[Warning] {
        match self {
            Self::Invalid { warnings, .. } => warnings,
            _ => &[],
        }
    }
}

fn lines(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// Where a finding belongs.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) file: PathBuf,
    pub(crate) line: Option<u32>,
    pub(crate) field: String,
}

impl Place {
    /// A file as a whole.
    pub(crate) fn file(path: &Path) -> Self {
        Self { file: path.to_owned(), line: None, field: String::new() }
    }
}

/// All findings of one load, collected over all files.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    problems: Vec<Problem>,
    warnings: Vec<Warning>,
}

impl Findings {
    pub(crate) fn problem(&mut self, at: Place, found: impl Into<String>, allowed: impl Into<String>) {
        self.problems.push(Problem(finding(at, found.into(), allowed.into())));
    }

    pub(crate) fn warning(&mut self, at: Place, found: impl Into<String>, advice: impl Into<String>) {
        self.warnings.push(Warning(finding(at, found.into(), advice.into())));
    }

    /// How many problems there are so far.
    pub(crate) fn problems(&self) -> usize {
        self.problems.len()
    }

    /// What was loaded and the warnings, if all of it was and there is no problem.
    pub(crate) fn finish<T>(mut self, loaded: Option<T>) -> Result<(T, Vec<Warning>), ConfigError> {
        self.problems.sort_by(|a, b| by_place(&a.0, &b.0));
        self.warnings.sort_by(|a, b| by_place(&a.0, &b.0));
        match loaded {
            Some(loaded) if self.problems.is_empty() => Ok((loaded, self.warnings)),
            _ => Err(ConfigError::Invalid { problems: self.problems, warnings: self.warnings }),
        }
    }
}

fn finding(at: Place, found: String, allowed: String) -> Finding {
    Finding { file: at.file, line: at.line, field: at.field, found, allowed }
}

fn by_place(a: &Finding, b: &Finding) -> std::cmp::Ordering {
    (&a.file, a.line).cmp(&(&b.file, b.line))
}
