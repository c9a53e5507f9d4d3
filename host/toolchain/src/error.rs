//! What goes wrong, in words that say what to do.

use std::io;
use std::path::{Path, PathBuf};

use crate::Language;

/// Why a project could not be made or built, or tools not be installed.
#[derive(Debug, thiserror::Error)]
pub enum ToolchainError {
    /// No such language.
    #[error("unknown language {name:?}: it is one of {}", names())]
    UnknownLanguage {
        /// What was asked for.
        name: String,
    },
    /// A file or directory that cannot be read or written.
    #[error("{doing} {}: {source}", path.display())]
    Io {
        /// What was being done.
        doing: &'static str,
        /// To what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A directory without a manifest.
    #[error(
        "{} is no plugin project, it has no shaddock.json; name the project's directory, or make one with `shaddock new NAME --lang LANG`",
        dir.display()
    )]
    NoProject {
        /// The directory.
        dir: PathBuf,
    },
    /// A manifest that makes no sense.
    #[error("{}: {reason}", path.display())]
    Manifest {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The tools of a language have not been installed.
    #[error("the tools for {language} are not installed; install them with `shaddock toolchain {}`", language.name())]
    NotInstalled {
        /// The language.
        language: Language,
    },
    /// The tools of a language cannot be installed.
    #[error("the tools for {language} cannot be installed: {reason}; {fix}, then run `shaddock toolchain {}`", language.name())]
    CannotInstall {
        /// The language.
        language: Language,
        /// Why not.
        reason: String,
        /// What to do.
        fix: String,
    },
    /// A tool that did not succeed, such as a compiler that found an error.
    #[error("{tool} failed\n{output}")]
    Failed {
        /// Its name.
        tool: String,
        /// What it said.
        output: String,
    },
    /// A program that could not be started.
    #[error("cannot start {tool}: {source}")]
    Start {
        /// Its name.
        tool: String,
        /// Why not.
        source: io::Error,
    },
    /// What was built is no plugin.
    #[error("{}: {reason}", path.display())]
    NoPlugin {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A project cannot be made there, or not under that name.
    #[error("{0}")]
    Refused(String),
}

fn names() -> String {
    Language::ALL.map(Language::name).join(", ")
}

impl ToolchainError {
    /// Says what was being done to which file.
    pub(crate) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { doing, path: path.to_owned(), source }
    }
}
