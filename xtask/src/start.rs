//! `cargo xtask start`.

use std::process::Command;

use anyhow::{Context, Result};

use crate::plugins::{self, Which};
use crate::program;
use crate::progress::headline;
use crate::workspace::Workspace;
#[cfg(not(unix))]
use crate::workspace::run;

/// Builds everything and becomes `shaddock start`, on the shipped configuration unless the options name another.
pub(crate) fn start(workspace: &Workspace, options: &[String]) -> Result<()> {
    plugins::build(workspace, Which::Shipped)?;
    headline("building the host (the first time this takes minutes)");
    program::build(workspace)?;
    let mut shaddock = Command::new(workspace.program());
    shaddock.arg("start");
    if !options.iter().any(|option| option == "--config" || option.starts_with("--config=")) {
        shaddock.arg("--config").arg(workspace.path("config"));
    }
    shaddock.args(options);
    become_it(shaddock)
}

/// Signals reach the program itself, with no process between it and the shell.
#[cfg(unix)]
fn become_it(mut command: Command) -> Result<()> {
    use std::os::unix::process::CommandExt;
    Err(command.exec()).with_context(|| format!("starting {}", command.get_program().display()))
}

#[cfg(not(unix))]
fn become_it(mut command: Command) -> Result<()> {
    run(&mut command)
}
