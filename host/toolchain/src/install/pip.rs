//! Tools from PyPI.

use std::path::Path;
use std::process::Command;

use crate::process::{on_path, run, start};
use crate::{Language, ToolchainError};

/// The file of an SDK that says what is needed.
pub(super) const WANTED: [&str; 1] = ["requirements.txt"];

/// Installs the packages of the file in `dir` into a virtual environment beside it.
pub(super) fn install(language: Language, dir: &Path) -> Result<(), ToolchainError> {
    let cannot =
        |reason: String, fix: &str| ToolchainError::CannotInstall { language, reason, fix: fix.to_owned() };
    let fix = "install Python 3 with its module venv (Debian: `apt-get install python3 python3-venv`)";
    let python = on_path("python3")
        .ok_or_else(|| cannot("there is no program `python3` on the PATH".to_owned(), fix))?;
    let asked = start(Command::new(&python).args(["-c", "import venv, ensurepip"]))?;
    if !asked.status.success() {
        let reason = format!("{} cannot make virtual environments", python.display());
        return Err(cannot(reason, fix));
    }
    let venv = dir.join("venv");
    let fix = "see what pip says, and whether it reaches its registry";
    run(Command::new(python).args(["-m", "venv", "--clear"]).arg(&venv))
        .map_err(|error| cannot(error.to_string(), fix))?;
    let mut pip = Command::new(venv.join("bin/python"));
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"]);
    pip.arg(dir.join("requirements.txt"));
    run(&mut pip).map(drop).map_err(|error| cannot(error.to_string(), fix))
}

/// The packages by name and version.
pub(super) fn what(files: &[(&str, &str)]) -> String {
    let text = files.first().map_or("", |(_, text)| text);
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    let shown: Vec<_> = lines.map(|line| line.replace("==", " ")).collect();
    format!("{} from PyPI", shown.join(", "))
}
