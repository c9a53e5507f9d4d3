//! What tests need from outside: a browser, and clients in other languages.
//!
//! A test learns about a need from the environment: `SHADDOCK_<NAME>` is the program to run, or `SHADDOCK_NO_<NAME>`
//! says why there is none and what to do.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::progress::headline;
use crate::workspace::{Workspace, run};

/// One need: the program, or why there is none and what to do.
pub(crate) struct Need {
    name: String,
    pub(crate) what: &'static str,
    pub(crate) found: Result<PathBuf, String>,
}

impl Need {
    pub(crate) fn new(name: impl Into<String>, what: &'static str, found: Result<PathBuf>) -> Self {
        Self { name: name.into(), what, found: found.map_err(|e| format!("{e:#}")) }
    }

    /// Tells the tests that a command runs.
    pub(crate) fn tell(&self, tests: &mut Command) {
        match &self.found {
            Ok(program) => tests.env(format!("SHADDOCK_{}", self.name), program),
            Err(why) => tests.env(format!("SHADDOCK_NO_{}", self.name), why),
        };
    }
}

/// Finds what tests need, and installs what is missing where that can be done.
pub(crate) fn provide(workspace: &Workspace) -> Result<Vec<Need>> {
    headline("looking for what the tests need from outside");
    Ok(vec![
        Need::new("CHROMIUM", "a browser", browser()),
        Need::new("NODE", "clients in JavaScript", node(&workspace.path("tests/clients/node"))),
        Need::new("PYTHON", "clients in Python", {
            let dir = workspace.path("tests/clients/python");
            python(&dir.join("requirements.txt"), &dir.join(".venv"))
        }),
    ])
}

fn browser() -> Result<PathBuf> {
    let names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"];
    if let Some(named) = env::var_os("SHADDOCK_CHROMIUM").filter(|path| !path.is_empty()) {
        return Ok(named.into());
    }
    let on_macos = Path::new("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome");
    if on_macos.exists() {
        return Ok(on_macos.to_owned());
    }
    if let Some(program) = program(&names) {
        return Ok(program);
    }
    install(&["chromium"]);
    program(&names).context("no Chromium: install it, or name it in SHADDOCK_CHROMIUM")
}

/// Gets npm where one may.
pub(crate) fn npm() {
    if program(&["node"]).is_none() || program(&["npm"]).is_none() {
        install(&["nodejs", "npm"]);
    }
}

/// Gets a Python that can make virtual environments where one may.
pub(crate) fn venv() {
    if !program(&["python3"]).is_some_and(|python| makes_venvs(&python)) {
        install(&["python3", "python3-venv"]);
    }
}

fn makes_venvs(python: &Path) -> bool {
    let asked = Command::new(python).args(["-c", "import venv, ensurepip"]).stderr(Stdio::null()).status();
    asked.is_ok_and(|status| status.success())
}

/// Node.js, with the packages of `dir` installed as its lock file says.
fn node(dir: &Path) -> Result<PathBuf> {
    self::npm();
    let node = program(&["node"]).context("no Node.js: install node and npm")?;
    let npm = program(&["npm"]).context("no npm: install it")?;
    let wanted = dir.join("package-lock.json");
    unless_done(&wanted, &dir.join("node_modules/.shaddock-installed"), || {
        let mut npm = Command::new(npm);
        npm.args(["ci", "--no-audit", "--no-fund"]).current_dir(dir).stdout(Stdio::null());
        run(&mut npm)
    })?;
    Ok(node)
}

/// The Python of the virtual environment `venv`, which has the packages of the file `wanted`.
fn python(wanted: &Path, venv: &Path) -> Result<PathBuf> {
    let python = venv.join("bin/python");
    unless_done(wanted, &venv.join(".shaddock-installed"), || {
        self::venv();
        let system = program(&["python3"]).filter(|python| makes_venvs(python));
        let system = system
            .context("no Python 3 that can make virtual environments: install python3 and python3-venv")?;
        run(Command::new(system).args(["-m", "venv", "--clear"]).arg(venv))?;
        let mut pip = Command::new(&python);
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"]);
        run(pip.arg(wanted))
    })?;
    Ok(python)
}

/// Does something once per content of the file `wanted`; `stamp` keeps the content for which it was done.
fn unless_done(wanted: &Path, stamp: &Path, work: impl FnOnce() -> Result<()>) -> Result<()> {
    let content = fs::read(wanted).with_context(|| format!("reading {}", wanted.display()))?;
    if fs::read(stamp).ok().as_ref() == Some(&content) {
        return Ok(());
    }
    headline(format_args!("installing the packages of {}", wanted.display()));
    work()?;
    fs::write(stamp, content).with_context(|| format!("writing {}", stamp.display()))
}

/// The first of these programs that is on the PATH.
fn program(names: &[&str]) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    let dirs: Vec<PathBuf> = env::split_paths(&path).collect();
    names.iter().find_map(|name| dirs.iter().map(|dir| dir.join(name)).find(|file| file.is_file()))
}

/// Installs packages of Debian where one may: as root. Elsewhere, or if it fails, whoever needs them finds out.
fn install(packages: &[&str]) {
    let is_root = Command::new("id").arg("-u").output().is_ok_and(|out| out.stdout.trim_ascii() == b"0");
    if !is_root || program(&["apt-get"]).is_none() {
        return;
    }
    headline(format_args!("installing {}", packages.join(" ")));
    let apt = || {
        let mut apt = Command::new("apt-get");
        apt.args(["-qq", "-o", "Dpkg::Use-Pty=0"])
            .env("DEBIAN_FRONTEND", "noninteractive")
            .stdout(Stdio::null());
        apt
    };
    let installed = run(apt().arg("update"))
        .and_then(|()| run(apt().args(["install", "--yes", "--no-install-recommends"]).args(packages)));
    if let Err(e) = installed {
        eprintln!("{e:#}");
    }
}
