//! Programs that are run to their end.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::ToolchainError;

/// What one build hands down in the environment and no other build may see.
const INHERITED: [&str; 8] = [
    "RUSTC",
    "RUSTC_WRAPPER",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUSTFLAGS",
    "RUSTDOCFLAGS",
    "CARGO_ENCODED_RUSTFLAGS",
    "CARGO_BUILD_RUSTFLAGS",
    "CARGO_BUILD_TARGET",
];

/// Cargo, with nothing of an outer build.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new("cargo");
    for name in INHERITED {
        command.env_remove(name);
    }
    command
}

/// Runs a program to its end; it must succeed. Answers what it printed.
pub(crate) fn run(command: &mut Command) -> Result<Output, ToolchainError> {
    let output = start(command.stdin(Stdio::null()))?;
    if output.status.success() { Ok(output) } else { Err(failed(command, &output)) }
}

/// Starts a program and waits for its end.
pub(crate) fn start(command: &mut Command) -> Result<Output, ToolchainError> {
    command.output().map_err(|source| ToolchainError::Start { tool: name(command), source })
}

/// The failure of a program that has ended.
pub(crate) fn failed(command: &Command, output: &Output) -> ToolchainError {
    let said = said(output);
    let output = if said.is_empty() { format!("it said nothing ({})", output.status) } else { said };
    ToolchainError::Failed { tool: name(command), output }
}

/// What it said to people, warnings among it.
pub(crate) fn said(output: &Output) -> String {
    let texts = [&output.stderr, &output.stdout].map(|bytes| String::from_utf8_lossy(bytes));
    texts.iter().map(|text| text.trim()).filter(|text| !text.is_empty()).collect::<Vec<_>>().join("\n")
}

pub(crate) fn name(command: &Command) -> String {
    let program = Path::new(command.get_program());
    program.file_name().unwrap_or(command.get_program()).to_string_lossy().into_owned()
}

/// A program that is on the PATH.
pub(crate) fn on_path(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|dir| dir.join(name)).find(|file| file.is_file())
}
