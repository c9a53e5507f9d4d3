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

/// The example in a language whose tools do not come with the host's.
struct Example {
    /// As the command line and its directory have it.
    name: &'static str,
    shown: &'static str,
    /// What the tests know its component by.
    need: &'static str,
    /// Sees to it that the package manager of its tools is there.
    prepare: fn(),
}

const EXAMPLES: [Example; 6] = [
    Example { name: "javascript", shown: "JavaScript", need: "GUESS_JAVASCRIPT", prepare: needs::npm },
    Example { name: "typescript", shown: "TypeScript", need: "GUESS_TYPESCRIPT", prepare: needs::npm },
    Example { name: "c", shown: "C", need: "GUESS_C", prepare: needs::venv },
    Example { name: "zig", shown: "Zig", need: "GUESS_ZIG", prepare: needs::venv },
    Example { name: "go", shown: "Go", need: "GUESS_GO", prepare: needs::venv },
    Example { name: "python", shown: "Python", need: "GUESS_PYTHON", prepare: needs::venv },
];

/// Builds the plugins in the languages named, or in all whose tools can be had, and says where they are.
pub(crate) fn build(workspace: &Workspace, named: &[String]) -> Result<()> {
    let known = |name: &str| name == RUST || EXAMPLES.iter().any(|example| example.name == name);
    if let Some(unknown) = named.iter().find(|name| !known(name)) {
        let names: Vec<_> = EXAMPLES.iter().map(|example| example.name).collect();
        bail!("unknown language {unknown:?}: it is one of {RUST}, {}", names.join(", "));
    }
    let all = named.is_empty();
    let wanted = |name: &str| all || named.iter().any(|named| named == name);
    if wanted(RUST) {
        for component in plugins::build(workspace, Which::All)? {
            println!("{}", component.display());
        }
    }
    let examples: Vec<_> = EXAMPLES.iter().filter(|example| wanted(example.name)).collect();
    if !examples.is_empty() {
        headline("building the program that builds plugins (the first time this takes minutes)");
        program::build(workspace)?;
    }
    for example in examples {
        match example.build(workspace)? {
            Ok(component) => println!("{}", component.display()),
            Err(why) if all => println!("skipped {}: {why:#}", example.shown),
            Err(why) => return Err(why.context(format!("the example in {}", example.shown))),
        }
    }
    Ok(())
}

/// Builds the examples for the tests: for each its component, or why there is none.
pub(crate) fn examples(workspace: &Workspace) -> Result<Vec<Need>> {
    let need = |example: &Example| Ok(Need::new(example.need, example.shown, example.build(workspace)?));
    EXAMPLES.iter().map(need).collect()
}

impl Example {
    /// Its component; inside, why its tools cannot be had. What is up to date stays.
    fn build(&self, workspace: &Workspace) -> Result<Result<PathBuf>> {
        let name = self.name;
        let sources = workspace.path("plugins/examples").join(name);
        let component = workspace.components().join(format!("guess_{name}.wasm"));
        let sdk = if name == "typescript" { "javascript" } else { name };
        let how = [format!("plugins/sdk-{sdk}"), "wit".to_owned(), "host/toolchain/src".to_owned()];
        let inputs = how.iter().map(|path| workspace.path(path)).chain([sources.clone()]);
        let newest = inputs.map(|path| modified(&path)).collect::<Result<Vec<_>>>()?.into_iter().max();
        if fs::metadata(&component).and_then(|file| file.modified()).ok() > newest {
            return Ok(Ok(component));
        }
        (self.prepare)();
        headline(format_args!("building the example in {}", self.shown));
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
