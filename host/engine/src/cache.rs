//! (skeleton)
use std::path::{Path, PathBuf};

use crate::error::EngineError;

/// The directory of compiled code.
#[derive(Clone, Debug)]
pub struct Cache {
    dir: PathBuf,
}

/// Compiled code that was found in the cache, verified.
#[derive(Debug)]
pub struct Compiled {
    digest: String,
}

impl Compiled {
    /// sha256 of the component file, 64 hex digits.
    pub fn digest(&self) -> &str {
        &self.digest
    }
}

impl Cache {
    /// Opens the cache, making the directory (mode 0700) if needed.
    pub fn open(dir: &Path) -> Result<Self, EngineError> {
        Ok(Self { dir: dir.to_owned() })
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The compiled code of a component file, if it is there; damaged files count as absent, with a warning.
    pub fn lookup(&self, file: &Path) -> Result<Option<Compiled>, EngineError> {
        let _ = file;
        Ok(None)
    }

    /// As [`Cache::lookup`], for servers: absent is the error [`EngineError::NotCompiled`].
    pub fn require(&self, file: &Path) -> Result<Compiled, EngineError> {
        self.lookup(file)?.ok_or_else(|| EngineError::NotCompiled { path: file.to_owned() })
    }
}
