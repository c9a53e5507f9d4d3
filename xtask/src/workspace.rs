//! The cargo workspaces of the repository, and commands that run in them.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// What one build hands down in the environment and no other build may see: the guests have a compiler, a target and
/// flags of their own.
const INHERITED: [&str; 9] = [
    "RUSTC",
    "RUSTC_WRAPPER",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUSTFLAGS",
    "RUSTDOCFLAGS",
    "CARGO_ENCODED_RUSTFLAGS",
    "CARGO_BUILD_RUSTFLAGS",
    "CARGO_BUILD_TARGET",
    "CARGO_TARGET_DIR",
];

/// Where everything is.
pub(crate) struct Workspace {
    root: PathBuf,
    target: PathBuf,
}

impl Workspace {
    /// The repository that this program was started from. (Asked at run time: a path baked in at compile time would
    /// be that of another checkout after `target/` was copied.)
    pub(crate) fn locate() -> Result<Self> {
        let here = env::var_os("CARGO_MANIFEST_DIR").context("run this as `cargo xtask`")?;
        let root = Path::new(&here).parent().context("xtask/ has no parent")?.to_owned();
        let target = match env::var_os("CARGO_TARGET_DIR").filter(|dir| !dir.is_empty()) {
            Some(dir) => std::path::absolute(dir).context("CARGO_TARGET_DIR")?,
            None => root.join("target"),
        };
        Ok(Self { root, target })
    }

    /// A path below the root of the repository.
    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.root.join(below)
    }

    /// The `shaddock` program.
    pub(crate) fn program(&self) -> PathBuf {
        self.target.join("release").join(format!("shaddock{}", env::consts::EXE_SUFFIX))
    }

    /// Where the tools of languages are.
    pub(crate) fn toolchains(&self) -> PathBuf {
        self.target.join("toolchains")
    }

    /// Where the built components are.
    pub(crate) fn components(&self) -> PathBuf {
        self.path("plugins/target/components")
    }

    /// Cargo in the host's workspace.
    pub(crate) fn host_cargo(&self) -> Command {
        let mut command = cargo();
        command.current_dir(&self.root).env("CARGO_TARGET_DIR", &self.target);
        command
    }

    /// Cargo for what loom checks, which is compiled in a way of its own.
    pub(crate) fn loom_cargo(&self) -> Command {
        let mut command = self.host_cargo();
        command.env_remove("CARGO_ENCODED_RUSTFLAGS").env("RUSTFLAGS", "--cfg loom");
        command.env("CARGO_TARGET_DIR", self.target.join("loom"));
        command
    }

    /// Cargo for the generator of the SDK's bindings, which is a workspace of its own.
    pub(crate) fn bindings_cargo(&self) -> Command {
        let mut command = cargo();
        command
            .current_dir(self.path("xtask/bindings"))
            .env("CARGO_TARGET_DIR", self.target.join("bindings"));
        command
    }

    /// Cargo in the guests' workspace, with nothing of the outer build; `.cargo/config.toml` there sets the target.
    pub(crate) fn guest_cargo(&self) -> Command {
        let mut command = cargo();
        for name in INHERITED {
            command.env_remove(name);
        }
        command.current_dir(self.path("plugins"));
        command
    }

    /// Cargo in the guests' workspace, but for this machine: for tests, lints and documentation.
    ///
    /// A target directory of its own, since the compiler for guests can be another one.
    pub(crate) fn native_guest_cargo(&self, subcommand: &str) -> Result<Command> {
        let mut command = self.guest_cargo();
        command.env("CARGO_TARGET_DIR", self.path("plugins/target/native"));
        command.args([subcommand, "--target", &machine()?]);
        Ok(command)
    }
}

fn cargo() -> Command {
    Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// The target triple of this machine.
fn machine() -> Result<String> {
    let out = Command::new("rustc").arg("-vV").output().context("starting rustc")?;
    let text = String::from_utf8_lossy(&out.stdout);
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("`rustc -vV` names no host")?.to_owned())
}

/// Runs a command to its end; it must succeed.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let shown = shown(command);
    let status = command.status().with_context(|| format!("starting {shown}"))?;
    if !status.success() {
        bail!("{shown} failed ({status})");
    }
    Ok(())
}

/// A command as one would type it.
pub(crate) fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    let words = std::iter::once(program).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}
