//! The examples in languages beside Rust: `shaddock toolchain` and `shaddock build` do the work.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::SystemTime;

use anyhow::{Context, Result, anyhow, bail};

use crate::needs::{self, Need};
use crate::plugins::{self, Which};
use crate::program;
use crate::progress::headline;
use crate::workspace::{Workspace, run};

const RUST: &str = "rust";

/// What there is in a language.
#[derive(Clone, Copy)]
struct Project {
    /// Where, each in the directory of the language's name.
    dir: &'static str,
    /// How its component is called.
    what: &'static str,
    /// With many calls in flight, which follows both names.
    is_async: bool,
}

const GAME: Project = Project { dir: "plugins/examples", what: "guess", is_async: false };
const CASES: Project = Project { dir: "tests/guests/conformance", what: "conformance", is_async: false };
const ASYNC_CASES: Project = Project { is_async: true, ..CASES };

/// What there is in every language.
const PROJECTS: &[Project] = &[GAME, CASES];
/// What there is in languages that know `async func`.
const ASYNC_PROJECTS: &[Project] = &[GAME, CASES, ASYNC_CASES];

/// A language whose tools do not come with the host's.
struct Language {
    /// As the command line and its directory have it.
    name: &'static str,
    shown: &'static str,
    projects: &'static [Project],
    /// Sees to it that the package manager of its tools is there.
    prepare: fn(),
}

const LANGUAGES: [Language; 6] = [
    Language { name: "javascript", shown: "JavaScript", projects: PROJECTS, prepare: needs::npm },
    Language { name: "typescript", shown: "TypeScript", projects: PROJECTS, prepare: needs::npm },
    Language { name: "c", shown: "C", projects: ASYNC_PROJECTS, prepare: needs::venv },
    Language { name: "zig", shown: "Zig", projects: PROJECTS, prepare: needs::venv },
    Language { name: "go", shown: "Go", projects: PROJECTS, prepare: needs::venv },
    Language { name: "python", shown: "Python", projects: ASYNC_PROJECTS, prepare: needs::venv },
];

/// Builds the plugins in the languages named, or in all whose tools can be had, and says where they are.
pub(crate) fn build(workspace: &Workspace, named: &[String]) -> Result<()> {
    let known = |name: &str| name == RUST || LANGUAGES.iter().any(|example| example.name == name);
    if let Some(unknown) = named.iter().find(|name| !known(name)) {
        let names: Vec<_> = LANGUAGES.iter().map(|example| example.name).collect();
        bail!("unknown language {unknown:?}: it is one of {RUST}, {}", names.join(", "));
    }
    let all = named.is_empty();
    let wanted = |name: &str| all || named.iter().any(|named| named == name);
    if wanted(RUST) {
        for component in plugins::build(workspace, Which::All)? {
            println!("{}", component.display());
        }
    }
    let languages: Vec<_> = LANGUAGES.iter().filter(|language| wanted(language.name)).collect();
    if !languages.is_empty() {
        headline("building the program that builds plugins (the first time this takes minutes)");
        program::build(workspace)?;
    }
    for language in languages {
        for project in language.projects {
            match language.build(workspace, project)? {
                Ok(component) => println!("{}", component.display()),
                Err(why) if all => println!("skipped {}: {why:#}", language.shown),
                Err(why) => return Err(why.context(format!("{} in {}", project.what, language.shown))),
            }
        }
    }
    Ok(())
}

/// Builds all projects for the tests: for each its component, or why there is none.
pub(crate) fn all(workspace: &Workspace) -> Result<Vec<Need>> {
    let mut needs = Vec::new();
    for language in &LANGUAGES {
        for project in language.projects {
            let name = project.component(language.name).to_uppercase();
            needs.push(Need::new(name, language.shown, language.build(workspace, project)?));
        }
    }
    Ok(needs)
}

impl Project {
    /// The directory of a language's one.
    fn sources(&self, language: &str) -> String {
        format!("{}/{language}{}", self.dir, if self.is_async { "-async" } else { "" })
    }

    /// The name of a language's one.
    fn component(&self, language: &str) -> String {
        format!("{}_{language}{}", self.what, if self.is_async { "_async" } else { "" })
    }
}

impl Language {
    /// A project's component; inside, why its tools cannot be had. What is up to date stays.
    fn build(&self, workspace: &Workspace, project: &Project) -> Result<Result<PathBuf>> {
        let name = self.name;
        let sources = workspace.path(&project.sources(name));
        let component = workspace.components().join(format!("{}.wasm", project.component(name)));
        let sdk = if name == "typescript" { "javascript" } else { name };
        let how = [format!("plugins/sdk-{sdk}"), "wit".to_owned(), "host/toolchain/src".to_owned()];
        // What has many calls in flight shares cases with what has not.
        let shared = Project { is_async: false, ..*project }.sources(name);
        let how = how.iter().chain([&shared]).map(|path| workspace.path(path));
        let inputs = how.chain([sources.clone()]);
        let newest = inputs.map(|path| modified(&path)).collect::<Result<Vec<_>>>()?.into_iter().max();
        if fs::metadata(&component).and_then(|file| file.modified()).ok() > newest {
            return Ok(Ok(component));
        }
        (self.prepare)();
        headline(format_args!("building {} in {}", project.component(name), self.shown));
        let mut toolchain = shaddock(workspace);
        let installed = toolchain.args(["toolchain", name]).output().context("starting shaddock")?;
        if !installed.status.success() {
            return Ok(Err(anyhow!("{}", String::from_utf8_lossy(&installed.stderr).trim())));
        }
        run(shaddock(workspace).arg("build").arg(&sources).stdout(Stdio::null()))?;
        let file = fs::File::open(&component).with_context(|| format!("opening {}", component.display()))?;
        file.set_modified(SystemTime::now()).with_context(|| format!("touching {}", component.display()))?;
        Ok(Ok(component))
    }
}

/// The program, with tools in a place of this checkout.
fn shaddock(workspace: &Workspace) -> Command {
    let mut shaddock = Command::new(workspace.program());
    shaddock.env("SHADDOCK_TOOLCHAIN_DIR", workspace.toolchains());
    shaddock
}

/// When a file was changed last, or the youngest of those in a directory.
fn modified(path: &Path) -> Result<SystemTime> {
    let asking = || format!("asking for the age of {}", path.display());
    let data = fs::metadata(path).with_context(asking)?;
    let mut newest = data.modified().with_context(asking)?;
    if !data.is_dir() {
        return Ok(newest);
    }
    for entry in fs::read_dir(path).with_context(asking)? {
        let entry = entry.with_context(asking)?;
        // What a build leaves behind is younger than what it is built from.
        if entry.file_name() != "build" {
            newest = newest.max(modified(&entry.path())?);
        }
    }
    Ok(newest)
}
