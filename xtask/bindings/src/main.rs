//! `shaddock-bindings`: writes the SDK's bindings anew, or with `--check` says whether they are up to date.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("error: {e:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let check = match std::env::args().nth(1).as_deref() {
        None => false,
        Some("--check") => true,
        Some(other) => bail!("unknown argument {other}: only --check is known"),
    };
    let here = std::env::var_os("CARGO_MANIFEST_DIR").context("run this as `cargo xtask bindings`")?;
    let root = Path::new(&here).join("../..");
    let target = root.join("plugins/sdk/src/bindings.rs");
    let generated = shaddock_bindings::generate(&root.join("wit/plugin.wit"))?;
    let present = std::fs::read_to_string(&target).unwrap_or_default();
    if generated == present {
        println!("plugins/sdk/src/bindings.rs is up to date");
    } else if check {
        bail!("plugins/sdk/src/bindings.rs does not fit wit/plugin.wit: run `cargo xtask bindings`");
    } else {
        std::fs::write(&target, generated).with_context(|| format!("writing {}", target.display()))?;
        println!("wrote plugins/sdk/src/bindings.rs");
    }
    Ok(())
}
