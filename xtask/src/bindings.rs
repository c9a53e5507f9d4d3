//! Runs the generator of the SDK's bindings (`xtask/bindings`).

use anyhow::Result;

use crate::progress::headline;
use crate::workspace::{Workspace, run};

/// Writes the bindings, or with `check` only says whether they are up to date.
pub(crate) fn write(workspace: &Workspace, check: bool) -> Result<()> {
    headline("generating the bindings of wit/plugin.wit");
    let mut cargo = workspace.bindings_cargo();
    run(cargo.args(["run", "--locked", "--"]).args(check.then_some("--check")))
}
