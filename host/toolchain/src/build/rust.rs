//! Rust: what cargo builds.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{Job, Made, Profile};
use crate::ToolchainError;
use crate::install::TARGET;
use crate::process::{cargo, failed, start};

impl Job<'_> {
    pub(super) fn cargo(&self) -> Made {
        let mut cargo = cargo();
        cargo.current_dir(&self.project.dir).arg("build").arg("--manifest-path").arg(&self.project.entry);
        cargo.args(["--target", TARGET, "--lib", "--quiet", "--message-format=json-render-diagnostics"]);
        if self.profile == Profile::Release {
            cargo.arg("--release");
        }
        if let Some(rustc) = self.tools.rustc() {
            cargo.env("RUSTC", rustc);
        }
        let mut out = start(&mut cargo)?;
        let messages = String::from_utf8_lossy(&out.stdout).into_owned();
        out.stdout.clear();
        if !out.status.success() {
            return Err(failed(&cargo, &out));
        }
        let module = messages.lines().rev().find_map(|line| module(line, &self.project.entry));
        let module = module.ok_or_else(|| ToolchainError::Manifest {
            path: self.project.entry.clone(),
            reason:
                "cargo built no library for WebAssembly: `[lib]` needs `crate-type = [\"cdylib\", \"rlib\"]`"
                    .to_owned(),
        })?;
        Ok((module, String::from_utf8_lossy(&out.stderr).trim().to_owned()))
    }
}

/// The module that a message of cargo tells of, if it is that of this manifest.
fn module(line: &str, manifest: &Path) -> Option<PathBuf> {
    let message: Value = serde_json::from_str(line).ok()?;
    if message.get("reason")? != "compiler-artifact"
        || Path::new(message.get("manifest_path")?.as_str()?) != manifest
    {
        return None;
    }
    let files = message.get("filenames")?.as_array()?.iter().filter_map(Value::as_str);
    files.map(PathBuf::from).find(|file| file.extension().is_some_and(|extension| extension == "wasm"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_module_is_that_of_the_projects_own_package() {
        let line = |manifest: &str, file: &str| {
            serde_json::json!({ "reason": "compiler-artifact", "manifest_path": manifest, "filenames": [file] })
                .to_string()
        };
        let own = Path::new("/p/Cargo.toml");
        assert_eq!(module(&line("/p/Cargo.toml", "/t/a.wasm"), own), Some("/t/a.wasm".into()));
        assert_eq!(module(&line("/p/Cargo.toml", "/t/a.rlib"), own), None);
        assert_eq!(module(&line("/p/sdk/Cargo.toml", "/t/a.wasm"), own), None);
        assert_eq!(module("warning: no JSON", own), None);
    }
}
