//! The compiler for guests: one that has `wasm32-unknown-unknown`.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::progress::headline;
use crate::workspace::Workspace;

/// What guests are built for.
pub(crate) const TARGET: &str = "wasm32-unknown-unknown";

/// The compiler for guests; `None` is the ordinary one. Installs the target if there is none that has it.
///
/// In this order: `WASM_RUSTC`; the ordinary compiler; one that the script unpacked earlier; `rustup target add`; one
/// that the script finds elsewhere.
pub(crate) fn compiler(workspace: &Workspace) -> Result<Option<PathBuf>> {
    if let Some(compiler) = env::var_os("WASM_RUSTC").filter(|path| !path.is_empty()) {
        return Ok(Some(compiler.into()));
    }
    if ordinary_compiler_has_it() {
        return Ok(None);
    }
    let script = workspace.path("scripts/install-wasm-rust.sh");
    if let Some(answer) = ask(&script, &["--check"], Stdio::null())? {
        return Ok(answer);
    }
    headline(format_args!("getting the Rust target {TARGET}"));
    ask(&script, &[], Stdio::inherit())?.with_context(|| {
        format!(
            "no Rust compiler with the target {TARGET}: run `rustup target add {TARGET}`, then this again"
        )
    })
}

fn ordinary_compiler_has_it() -> bool {
    let asked = Command::new("rustc").args(["--print", "target-libdir", "--target", TARGET]).output();
    let Ok(out) = asked else { return false };
    out.status.success() && Path::new(String::from_utf8_lossy(&out.stdout).trim_end()).is_dir()
}

/// Runs the script. `Some` is its answer, in which `None` is the ordinary compiler; `None`: it found no compiler.
fn ask(script: &Path, args: &[&str], messages: Stdio) -> Result<Option<Option<PathBuf>>> {
    let out = Command::new("bash")
        .arg(script)
        .args(args)
        .env("WASM_RUST_TARGETS", TARGET)
        .stderr(messages)
        .output();
    let out = out.with_context(|| format!("starting bash for {}", script.display()))?;
    if !out.status.success() {
        return Ok(None);
    }
    let text = String::from_utf8_lossy(&out.stdout);
    let Some(path) = text.lines().last().and_then(|line| line.strip_prefix("WASM_RUSTC=")) else {
        bail!("{} did not end with WASM_RUSTC=<path>", script.display());
    };
    Ok(Some((!path.is_empty()).then(|| path.into())))
}
