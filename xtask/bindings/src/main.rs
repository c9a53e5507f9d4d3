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
    let source = root.join("plugins/sdk/src");
    let mut written = 0;
    for (file, generated) in shaddock_bindings::generate(&root.join("wit/plugin.wit"))? {
        let target = source.join(&file);
        if std::fs::read_to_string(&target).unwrap_or_default() == generated {
            continue;
        }
        if check {
            bail!(
                "plugins/sdk/src/{} does not fit wit/plugin.wit: run `cargo xtask bindings`",
                file.display()
            );
        }
        std::fs::create_dir_all(target.parent().unwrap_or(&source))?;
        std::fs::write(&target, generated).with_context(|| format!("writing {}", target.display()))?;
        println!("wrote plugins/sdk/src/{}", file.display());
        written += 1;
    }
    if written == 0 {
        println!("the bindings in plugins/sdk/src are up to date");
    }
    Ok(())
}
