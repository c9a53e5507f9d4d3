//! `cargo xtask check`: formatting, lints and documentation, and whether the checked-in bindings are up to date.

use anyhow::Result;

use crate::bindings;
use crate::progress::headline;
use crate::workspace::{Workspace, run};

pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    headline("formatting");
    run(workspace.host_cargo().args(["fmt", "--all", "--check"]))?;
    run(workspace.guest_cargo().args(["fmt", "--all", "--check"]))?;
    run(workspace.bindings_cargo().args(["fmt", "--check"]))?;
    bindings::write(workspace, true)?;

    headline("lints");
    let lints = ["--workspace", "--all-targets", "--locked", "--", "--deny", "warnings"];
    // The release profile: what the tests build is built once.
    run(workspace.host_cargo().args(["clippy", "--release"]).args(lints))?;
    run(workspace.native_guest_cargo("clippy")?.args(lints))?;

    headline("documentation");
    let docs = ["--workspace", "--no-deps", "--locked"];
    run(workspace.host_cargo().args(["doc", "--release"]).args(docs).env("RUSTDOCFLAGS", "--deny warnings"))?;
    run(workspace.native_guest_cargo("doc")?.args(docs).env("RUSTDOCFLAGS", "--deny warnings"))
}
