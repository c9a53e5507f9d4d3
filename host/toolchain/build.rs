//! Finds the Go packages that the generator of Go's bindings comes with, so that the program can carry them.

use std::env;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=Cargo.toml");
    let from = source_of("wit-bindgen-go")?.join("src/pkg");
    let to = PathBuf::from(env::var_os("OUT_DIR").ok_or("no OUT_DIR")?).join("go-pkg");
    for part in ["go.mod", "LICENSE", "wit"] {
        copy(&from.join(part), &to.join(part))?;
    }
    Ok(())
}

/// The directory of a package that this crate is built from.
fn source_of(package: &str) -> Result<PathBuf, Box<dyn Error>> {
    let manifest =
        Path::new(&env::var_os("CARGO_MANIFEST_DIR").ok_or("no CARGO_MANIFEST_DIR")?).join("Cargo.toml");
    let mut metadata = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    metadata.args(["metadata", "--format-version=1", "--locked", "--manifest-path"]).arg(manifest);
    let output = metadata.output()?;
    if !output.status.success() {
        return Err(format!("cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    let told: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let packages = told
        .get("packages")
        .and_then(serde_json::Value::as_array)
        .ok_or("cargo metadata names no packages")?;
    let found = packages.iter().find(|known| known.get("name").is_some_and(|name| name == package));
    let manifest = found.and_then(|known| known.get("manifest_path")?.as_str()).map(Path::new);
    let dir = manifest.and_then(Path::parent);
    Ok(dir.ok_or_else(|| format!("cargo metadata does not know {package}"))?.to_owned())
}

/// Copies a file, or a directory with all that is in it.
fn copy(from: &Path, to: &Path) -> Result<(), Box<dyn Error>> {
    if from.is_dir() {
        for entry in fs::read_dir(from)? {
            let name = entry?.file_name();
            copy(&from.join(&name), &to.join(&name))?;
        }
        return Ok(());
    }
    if let Some(dir) = to.parent() {
        fs::create_dir_all(dir)?;
    }
    fs::copy(from, to)?;
    Ok(())
}
