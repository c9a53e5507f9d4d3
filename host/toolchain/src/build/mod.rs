//! Building a project into a component.

mod c;
mod go;
mod javascript;
mod python;
mod rust;
mod zig;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Language, Project, ToolchainError, Tools, component};

/// What a build is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// It is there soon.
    Dev,
    /// It is fast.
    Release,
}

/// What a build has made.
#[derive(Debug)]
pub struct Built {
    /// The component.
    pub component: PathBuf,
    /// Whether it is another one than before.
    pub changed: bool,
    /// What the compiler said although it succeeded: warnings. Mostly empty.
    pub said: String,
}

impl Tools {
    /// Builds a project.
    ///
    /// # Errors
    /// What the compiler said; or the result is no component, or imports what a plugin does not have.
    pub fn build(&self, project: &Project, profile: Profile) -> Result<Built, ToolchainError> {
        let work = project.work_dir();
        fs::create_dir_all(&work).map_err(ToolchainError::io("making", &work))?;
        let job = Job { tools: self, project, profile, work };
        let (built, said) = match project.language {
            Language::Rust => job.cargo()?,
            Language::Javascript => job.javascript()?,
            Language::Typescript => job.typescript()?,
            Language::C => job.c()?,
            Language::Zig => job.zig()?,
            Language::Go => job.go()?,
            Language::Python => job.python()?,
        };
        let changed = component::publish(&built, &project.output)?;
        Ok(Built { component: project.output.clone(), changed, said })
    }
}

/// One build.
struct Job<'a> {
    tools: &'a Tools,
    project: &'a Project,
    profile: Profile,
    /// For what is left behind on the way.
    work: PathBuf,
}

/// A component or module, and what the compiler said.
type Made = Result<(PathBuf, String), ToolchainError>;

impl Job<'_> {
    fn tool(&self, name: &str) -> Command {
        self.command(&self.tools.programs.join(name))
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.project.dir);
        command
    }
}
