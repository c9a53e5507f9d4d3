//! Tools from npm.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::process::{on_path, run};
use crate::{Language, ToolchainError};

/// The files of an SDK that say what is needed.
pub(super) const WANTED: [&str; 3] = ["package.json", "package-lock.json", ".npmrc"];

/// Installs the packages of the lock file in `dir`.
///
/// By `install`, since `ci` refuses a lock file without the optional packages that a registry does not have.
pub(super) fn install(language: Language, dir: &Path) -> Result<(), ToolchainError> {
    let missing = |reason: &str| ToolchainError::CannotInstall {
        language,
        reason: reason.to_owned(),
        fix: "install Node.js 20 or newer together with npm (Debian: `apt-get install nodejs npm`)"
            .to_owned(),
    };
    if on_path("node").is_none() {
        return Err(missing("there is no program `node` on the PATH"));
    }
    let npm = on_path("npm").ok_or_else(|| missing("there is no program `npm` on the PATH"))?;
    let mut npm = Command::new(npm);
    npm.args(["install", "--no-audit", "--no-fund"]).current_dir(dir);
    run(&mut npm).map(drop).map_err(|error| ToolchainError::CannotInstall {
        language,
        reason: error.to_string(),
        fix: "see what npm says, and whether it reaches its registry".to_owned(),
    })
}

/// The packages by name and version.
pub(super) fn what(files: &[(&str, &str)]) -> String {
    let manifest = files.iter().find(|(name, _)| *name == "package.json");
    let manifest: Value = manifest.and_then(|(_, text)| serde_json::from_str(text).ok()).unwrap_or_default();
    let packages = manifest.get("devDependencies").and_then(Value::as_object);
    let shown = packages.into_iter().flatten().map(|(name, version)| match version.as_str() {
        Some(version) => format!("{name} {version}"),
        None => name.clone(),
    });
    format!("{} from npm", shown.collect::<Vec<_>>().join(", "))
}
