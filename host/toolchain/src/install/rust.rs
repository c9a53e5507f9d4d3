//! The user's own cargo, and a compiler that has the target of guests.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Installed, Tools};
use crate::process::{failed, on_path, said, start};
use crate::{Language, ToolchainError, carried};

/// What guests are built for.
pub(crate) const TARGET: &str = "wasm32-unknown-unknown";

const SCRIPT: &str = "install-wasm-rust.sh";

/// Cargo, and a compiler in this order: `WASM_RUSTC`; the ordinary one; one that was unpacked earlier.
pub(super) fn find(dir: &Path) -> Result<Tools, ToolchainError> {
    let language = Language::Rust;
    if on_path("cargo").is_none() {
        return Err(no_cargo());
    }
    let rustc = match own_choice() {
        Some(rustc) => Some(rustc),
        None if ordinary_has_target() => None,
        None => ask(dir, true)?.ok_or(ToolchainError::NotInstalled { language })?,
    };
    Ok(tools(dir, rustc))
}

/// The same, and else gets the target: by `rustup target add`, or on Debian as a package that is unpacked beside.
pub(super) fn install(dir: &Path) -> Result<Installed, ToolchainError> {
    match find(dir) {
        Err(ToolchainError::NotInstalled { .. }) => {}
        Err(error) => return Err(error),
        Ok(tools) => return Ok(installed(tools, true)),
    }
    let rustc = ask(dir, false)?.ok_or_else(|| ToolchainError::CannotInstall {
        language: Language::Rust,
        reason: format!("the Rust compiler has no target {TARGET}, and it cannot be added"),
        fix: format!("run `rustup target add {TARGET}`"),
    })?;
    Ok(installed(tools(dir, rustc), false))
}

fn no_cargo() -> ToolchainError {
    ToolchainError::CannotInstall {
        language: Language::Rust,
        reason: "there is no program `cargo` on the PATH".to_owned(),
        fix: "install Rust 1.85 or newer with rustup".to_owned(),
    }
}

fn tools(dir: &Path, rustc: Option<PathBuf>) -> Tools {
    Tools { programs: PathBuf::new(), rustc, cache: dir.join("rust") }
}

fn installed(tools: Tools, already: bool) -> Installed {
    let place = match &tools.rustc {
        Some(rustc) => rustc.display().to_string(),
        None => "the Rust that is installed".to_owned(),
    };
    Installed { tools, what: format!("the Rust target {TARGET}"), place, already }
}

fn own_choice() -> Option<PathBuf> {
    env::var_os("WASM_RUSTC").filter(|path| !path.is_empty()).map(PathBuf::from)
}

fn ordinary_has_target() -> bool {
    let asked = Command::new("rustc").args(["--print", "target-libdir", "--target", TARGET]).output();
    let Ok(out) = asked else { return false };
    out.status.success() && Path::new(String::from_utf8_lossy(&out.stdout).trim_end()).is_dir()
}

/// Runs the script. `Some` is its answer, in which `None` is the ordinary compiler; `None`: it found no compiler.
fn ask(dir: &Path, only_look: bool) -> Result<Option<Option<PathBuf>>, ToolchainError> {
    let home = dir.join("rust");
    fs::create_dir_all(&home).map_err(ToolchainError::io("making", &home))?;
    let script = home.join(SCRIPT);
    fs::write(&script, carried::RUST_SCRIPT).map_err(ToolchainError::io("writing", &script))?;
    let mut bash = Command::new("bash");
    bash.arg(&script).args(only_look.then_some("--check")).env("WASM_RUST_TARGETS", TARGET);
    let out = start(&mut bash)?;
    if !out.status.success() {
        if only_look {
            return Ok(None);
        }
        return Err(ToolchainError::CannotInstall {
            language: Language::Rust,
            reason: format!("no compiler with the target {TARGET} was found:\n{}", said(&out)),
            fix: format!("run `rustup target add {TARGET}`"),
        });
    }
    let text = String::from_utf8_lossy(&out.stdout);
    let path = text.lines().last().and_then(|line| line.strip_prefix("WASM_RUSTC="));
    let path = path.ok_or_else(|| failed(&bash, &out))?;
    Ok(Some((!path.is_empty()).then(|| path.into())))
}
