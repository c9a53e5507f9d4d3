//! The tools of languages, in a cache of their own.

mod npm;
mod pip;
mod rust;

pub(crate) use rust::TARGET;

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::{Language, ToolchainError, carried};

/// Where the tools of all languages are.
#[derive(Clone, Debug)]
pub struct Toolchains {
    dir: PathBuf,
}

/// The tools of one language, ready to be used.
#[derive(Clone, Debug)]
pub struct Tools {
    /// The directory of its programs.
    pub(crate) programs: PathBuf,
    /// Rust: a compiler in place of the ordinary one.
    pub(crate) rustc: Option<PathBuf>,
    /// For what the tools keep between builds.
    pub(crate) cache: PathBuf,
}

/// What an installation did.
#[derive(Debug)]
pub struct Installed {
    /// What can be used now.
    pub tools: Tools,
    /// What that is, in words.
    pub what: String,
    /// Where it is.
    pub place: String,
    /// Whether it was there already.
    pub already: bool,
}

impl Tools {
    /// The bundler itself: what npm has under its name starts it by way of Node.js, which takes its time, and tells of its
    /// failures in words of its own.
    pub(crate) fn esbuild(&self) -> PathBuf {
        let packages = self.programs.with_file_name("@esbuild");
        let of_platform = fs::read_dir(packages).into_iter().flatten().flatten();
        let mut programs = of_platform.map(|package| package.path().join("bin/esbuild"));
        programs.find(|program| program.is_file()).unwrap_or_else(|| self.programs.join("esbuild"))
    }

    /// A Rust compiler that has to be used in place of the ordinary one.
    pub fn rustc(&self) -> Option<&Path> {
        self.rustc.as_deref()
    }
}

impl Toolchains {
    /// Those in this directory, which is made when something is installed.
    pub fn at(dir: impl Into<PathBuf>) -> Toolchains {
        Toolchains { dir: dir.into() }
    }

    /// The tools of a language.
    ///
    /// # Errors
    /// [`ToolchainError::NotInstalled`].
    pub fn find(&self, language: Language) -> Result<Tools, ToolchainError> {
        match language {
            Language::Rust => rust::find(&self.dir),
            _ => self.set(language).found().ok_or(ToolchainError::NotInstalled { language }),
        }
    }

    /// Installs the tools of a language if they are not there yet. Of several who do so at a time one does, and the others
    /// wait.
    ///
    /// # Errors
    /// What is missing and how to get it, or what the package manager said.
    pub fn install(&self, language: Language) -> Result<Installed, ToolchainError> {
        fs::create_dir_all(&self.dir).map_err(ToolchainError::io("making", &self.dir))?;
        let lock = self.dir.join(format!("{}.lock", language.name()));
        let file = File::create(&lock).map_err(ToolchainError::io("making", &lock))?;
        file.lock().map_err(ToolchainError::io("locking", &lock))?;
        match language {
            Language::Rust => rust::install(&self.dir),
            _ => self.set(language).install(),
        }
    }

    fn set(&self, language: Language) -> Set {
        let (kind, wanted) = match language {
            Language::Javascript | Language::Typescript => (Kind::Npm, &npm::WANTED[..]),
            _ => (Kind::Pip, &pip::WANTED[..]),
        };
        let sdk = carried::sdk(language);
        let files: Vec<_> = wanted.iter().map(|name| (*name, carried::text(sdk, name))).collect();
        let mut hash = Sha256::new();
        for (_, text) in &files {
            hash.update(text);
        }
        let digest: String = hash.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect();
        let name = match language {
            Language::Typescript => "javascript",
            Language::C | Language::Zig => "ziglang",
            other => other.name(),
        };
        Set { language, kind, files, dir: self.dir.join(format!("{name}-{digest}")) }
    }
}

/// Who installs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Npm,
    Pip,
}

/// Packages that are installed together, in a directory that is named by what they are.
struct Set {
    language: Language,
    kind: Kind,
    /// The package manager's own files, by name.
    files: Vec<(&'static str, &'static str)>,
    dir: PathBuf,
}

impl Set {
    fn programs(&self) -> PathBuf {
        match self.kind {
            Kind::Npm => self.dir.join("node_modules/.bin"),
            Kind::Pip => self.dir.join("venv/bin"),
        }
    }

    /// Written last.
    fn stamp(&self) -> PathBuf {
        self.dir.join(".complete")
    }

    fn found(&self) -> Option<Tools> {
        self.stamp().is_file().then(|| Tools {
            programs: self.programs(),
            rustc: None,
            cache: self.dir.join("cache"),
        })
    }

    fn install(&self) -> Result<Installed, ToolchainError> {
        let already = self.stamp().is_file();
        if !already {
            fs::create_dir_all(&self.dir).map_err(ToolchainError::io("making", &self.dir))?;
            for (name, text) in &self.files {
                let path = self.dir.join(name);
                fs::write(&path, text).map_err(ToolchainError::io("writing", &path))?;
            }
            match self.kind {
                Kind::Npm => npm::install(self.language, &self.dir)?,
                Kind::Pip => pip::install(self.language, &self.dir)?,
            }
            let stamp = self.stamp();
            fs::write(&stamp, "").map_err(ToolchainError::io("writing", &stamp))?;
        }
        let tools = self.found().ok_or(ToolchainError::NotInstalled { language: self.language })?;
        let what = match self.kind {
            Kind::Npm => npm::what(&self.files),
            Kind::Pip => pip::what(&self.files),
        };
        Ok(Installed { tools, what, place: self.dir.display().to_string(), already })
    }
}
