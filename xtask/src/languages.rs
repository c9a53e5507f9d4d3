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

/// What there is in every language, each a project in the directory of that name: where, and how its component is called.
const PROJECTS: [(&str, &str); 2] =
    [("plugins/examples", "guess"), ("tests/guests/conformance", "conformance")];

/// A language whose tools do not come with the host's.
struct Language {
    /// As the command line and its directory have it.
    name: &'static str,
    shown: &'static str,
    /// Sees to it that the package manager of its tools is there.
    prepare: fn(),
}

const LANGUAGES: [Language; 6] = [
    Language { name: "javascript", shown: "JavaScript", prepare: needs::npm },
    Language { name: "typescript", shown: "TypeScript", prepare: needs::npm },
    Language { name: "c", shown: "C", prepare: needs::venv },
    Language { name: "zig", shown: "Zig", prepare: needs::venv },
    Language { name: "go", shown: "Go", prepare: needs::venv },
    Language { name: "python", shown: "Python", prepare: needs::venv },
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
        for project in PROJECTS {
            match language.build(workspace, project)? {
                Ok(component) => println!("{}", component.display()),
                Err(why) if all => println!("skipped {}: {why:#}", language.shown),
                Err(why) => return Err(why.context(format!("{} in {}", project.1, language.shown))),
            }
        }
    }
    Ok(())
}

/// Builds all projects for the tests: for each its component, or why there is none.
pub(crate) fn all(workspace: &Workspace) -> Result<Vec<Need>> {
    let mut needs = Vec::new();
    for language in &LANGUAGES {
        for project in PROJECTS {
            let name = format!("{}_{}", project.1, language.name).to_uppercase();
            needs.push(Need::new(name, language.shown, language.build(workspace, project)?));
        }
    }
    Ok(needs)
}

impl Language {
    /// A project's component; inside, why its tools cannot be had. What is up to date stays.
    fn build(&self, workspace: &Workspace, project: (&str, &str)) -> Result<Result<PathBuf>> {
        let (name, (dir, what)) = (self.name, project);
        let sources = workspace.path(dir).join(name);
        let component = workspace.components().join(format!("{what}_{name}.wasm"));
        let sdk = if name == "typescript" { "javascript" } else { name };
        let how = [format!("plugins/sdk-{sdk}"), "wit".to_owned(), "host/toolchain/src".to_owned()];
        let inputs = how.iter().map(|path| workspace.path(path)).chain([sources.clone()]);
        let newest = inputs.map(|path| modified(&path)).collect::<Result<Vec<_>>>()?.into_iter().max();
        if fs::metadata(&component).and_then(|file| file.modified()).ok() > newest {
            return Ok(Ok(component));
        }
        (self.prepare)();
        headline(format_args!("building {what} in {}", self.shown));
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
