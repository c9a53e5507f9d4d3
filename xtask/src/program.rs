//! Builds the `shaddock` program.

use std::env;

use anyhow::Result;

use crate::workspace::{Workspace, run};

/// Builds it, optimised as a whole: calls into plugins cross several crates, and gain a fifth of their speed.
///
/// Only the program is: a profile with `lto` would do the same to each program of the tests, for minutes each, and
/// would compile wasmtime once more. `.cargo/config.toml` has the libraries keep what this needs.
pub(crate) fn build(workspace: &Workspace) -> Result<()> {
    let mut cargo = workspace.host_cargo();
    cargo.args(["rustc", "--release", "--package", "shaddock", "--bin", "shaddock"]);
    // Flags of the user's own replace those of .cargo/config.toml.
    if env::var_os("RUSTFLAGS").is_none() && env::var_os("CARGO_ENCODED_RUSTFLAGS").is_none() {
        cargo.args(["--", "-C", "lto=thin"]);
    }
    run(&mut cargo)
}
