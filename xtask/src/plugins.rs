//! Builds the guests into components.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::component;
use crate::progress::headline;
use crate::wasm;
use crate::workspace::{Workspace, run};

/// The contract; a component of ours imports nothing else.
const CONTRACT: &str = "shaddock:plugin/";

/// Which guests.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    /// The default members of the guests' workspace: what the shipped configuration runs.
    Shipped,
    /// Those that only tests use, too.
    All,
}

/// Builds components into `plugins/target/components/` and answers their paths.
///
/// A component that has not changed keeps its file untouched; one that has is replaced at once, so that a running
/// server never reads half of it.
pub(crate) fn build(workspace: &Workspace, which: Which) -> Result<Vec<PathBuf>> {
    let compiler = wasm::compiler(workspace)?;
    headline("building the plugins");
    let built = workspace.path("plugins/target").join(wasm::TARGET).join("release");
    // Those of crates that are no more; cargo puts the others back.
    for stale in wasm_files(&built)? {
        fs::remove_file(&stale).with_context(|| format!("removing {}", stale.display()))?;
    }
    let mut cargo = workspace.guest_cargo();
    cargo.args(["build", "--release"]);
    if which == Which::All {
        cargo.arg("--workspace");
    }
    if let Some(compiler) = compiler {
        cargo.env("RUSTC", compiler);
    }
    run(&mut cargo)?;
    wasm_files(&built)?.iter().map(|file| publish(workspace, file)).collect()
}

/// Puts a component in its place, if it imports nothing but the contract; answers its path there.
pub(crate) fn publish(workspace: &Workspace, built: &Path) -> Result<PathBuf> {
    let target = workspace.components();
    fs::create_dir_all(&target).with_context(|| format!("making {}", target.display()))?;
    let binary = fs::read(built).with_context(|| format!("reading {}", built.display()))?;
    let imports = component::imports(&binary).with_context(|| built.display().to_string())?;
    if let Some(foreign) = imports.iter().find(|name| !name.starts_with(CONTRACT)) {
        bail!("{} imports {foreign}: a plugin has only {CONTRACT}*", built.display());
    }
    let to = target.join(built.file_name().context("a component without a name")?);
    if fs::read(&to).ok().as_deref() != Some(&binary) {
        let draft = to.with_extension("wasm.new");
        fs::write(&draft, &binary).with_context(|| format!("writing {}", draft.display()))?;
        fs::rename(&draft, &to).with_context(|| format!("replacing {}", to.display()))?;
    }
    Ok(to)
}

fn wasm_files(dir: &Path) -> Result<Vec<PathBuf>> {
    if !dir.is_dir() {
        return Ok(Vec::new());
    }
    let entries = fs::read_dir(dir).with_context(|| format!("reading {}", dir.display()))?;
    let paths: Vec<PathBuf> = entries.map(|entry| entry.map(|e| e.path())).collect::<std::io::Result<_>>()?;
    let mut files: Vec<PathBuf> =
        paths.into_iter().filter(|path| path.extension().is_some_and(|ext| ext == "wasm")).collect();
    files.sort();
    Ok(files)
}
