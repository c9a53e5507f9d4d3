//! The cache of compiled code: one directory, one file per component and compiler settings, and the functions that
//! compilations have in common (`functions.rs`).
//!
//! A file's name is `<sha256 of the component>-<settings>-<bytes of the component>-<sha256 of the content>.cwasm`. So
//! one rename publishes code together with its checksum, and what is loaded is what was written or is refused.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use sha2::{Digest, Sha256};

use crate::error::EngineError;
use crate::functions::Functions;
use crate::kind::Kind;
use crate::limits::COMPONENT_BYTES_MAX;
use crate::wasm;

/// Compiled components that are kept; the ones unused for longest go first.
const ENTRIES_MAX: usize = 64;
/// Files of compiled functions that are kept: for both kinds of components, of two versions of the compiler.
const FUNCTIONS_FILES_MAX: usize = 4;
/// The extensions of the two kinds of files.
const CODE: &str = "cwasm";
const FUNCTIONS: &str = "functions";
/// What a process that was killed while writing leaves behind is removed after this time.
const STALE_AFTER: Duration = Duration::from_secs(3600);

/// The directory of compiled code, private to its user.
#[derive(Clone, Debug)]
pub struct Cache {
    dir: PathBuf,
    keys: Arc<Keys>,
}

/// The settings that code of each kind is compiled with. To know them takes an engine: made when they are asked for.
#[derive(Debug, Default)]
struct Keys {
    plain: OnceLock<String>,
    concurrent: OnceLock<String>,
}

impl Keys {
    fn get(&self, kind: Kind) -> Result<&str, EngineError> {
        let key = match kind {
            Kind::Plain => &self.plain,
            Kind::Concurrent => &self.concurrent,
        };
        match key.get() {
            Some(key) => Ok(key),
            None => {
                let made = wasm::compatibility_key(kind)?;
                Ok(key.get_or_init(|| made))
            }
        }
    }

    /// The kind that has this key. Nearly all code is of the first one.
    fn kind(&self, key: &str) -> Result<Option<Kind>, EngineError> {
        for kind in [Kind::Plain, Kind::Concurrent] {
            if self.get(kind)? == key {
                return Ok(Some(kind));
            }
        }
        Ok(None)
    }
}

/// Compiled code that was found in the cache. It is verified when it is loaded: each file is read once.
#[derive(Clone, Debug)]
pub struct Compiled {
    bytes: u64,
    digest: Arc<str>,
    kind: Kind,
    code: PathBuf,
}

impl Compiled {
    /// The size of the component file.
    pub fn component_bytes(&self) -> u64 {
        self.bytes
    }

    /// sha256 of the component file, 64 hex digits.
    pub fn digest(&self) -> &Arc<str> {
        &self.digest
    }

    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// The file in the cache.
    pub fn code(&self) -> &Path {
        &self.code
    }

    /// Reads the file, just before it is mapped: the time for a change is as short as can be.
    pub(crate) fn verify(&self) -> Result<(), EngineError> {
        verify(&self.code)
    }
}

impl Cache {
    /// Opens the cache, making the directory with mode 0700 if it is not there.
    ///
    /// # Errors
    /// If it cannot be made, belongs to another user or is open to others: then its files cannot be trusted.
    pub fn open(dir: &Path) -> Result<Self, EngineError> {
        let failed = |action| move |source| EngineError::Cache { path: dir.to_owned(), action, source };
        DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed("make the directory"))?;
        let metadata = fs::metadata(dir).map_err(failed("look at the directory"))?;
        if metadata.uid() != rustix::process::geteuid().as_raw() {
            return Err(failed("trust the directory")(io::Error::other("it belongs to another user")));
        }
        if metadata.mode() & 0o022 != 0 {
            let reason = format!(
                "others can write to it (mode {:o}); make it private with chmod 700",
                metadata.mode() & 0o777
            );
            return Err(failed("trust the directory")(io::Error::other(reason)));
        }
        Ok(Self { dir: dir.to_owned(), keys: Arc::default() })
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The compiled code of a component file, if it is there. A damaged file counts as absent, with a warning.
    ///
    /// # Errors
    /// If the component or the cache cannot be read.
    pub fn lookup(&self, file: &Path) -> Result<Option<Compiled>, EngineError> {
        self.find(&component_digest(file)?)
    }

    /// As [`Cache::lookup`], for servers, which never compile: whether the file is damaged is seen when it is loaded.
    ///
    /// # Errors
    /// [`EngineError::NotCompiled`] if it is absent.
    pub fn require(&self, file: &Path) -> Result<Compiled, EngineError> {
        let found = self.entry(&component_digest(file)?)?;
        found.ok_or_else(|| EngineError::NotCompiled { path: file.to_owned() })
    }

    /// As [`Cache::require`], for a component that is known by its digest (sha256, 64 hex digits) only.
    ///
    /// # Errors
    /// [`EngineError::NotInCache`] if it is absent.
    pub fn require_digest(&self, digest: &str) -> Result<Compiled, EngineError> {
        self.entry(digest)?
            .ok_or_else(|| EngineError::NotInCache { digest: digest.chars().take(64).collect() })
    }

    pub(crate) fn find(&self, digest: &str) -> Result<Option<Compiled>, EngineError> {
        let Some(found) = self.entry(digest)? else { return Ok(None) };
        match found.verify() {
            Ok(()) => Ok(Some(found)),
            Err(EngineError::Corrupt { path, reason }) => {
                tracing::warn!(path = %path.display(), reason, "damaged file in the compiled code cache, not used");
                Ok(None)
            }
            Err(other) => Err(other),
        }
    }

    /// Stores code. The caller holds the lock of the digest.
    pub(crate) fn store(
        &self,
        digest: &str,
        kind: Kind,
        bytes: u64,
        code: &[u8],
    ) -> Result<Compiled, EngineError> {
        let sum = wasm::hex(&Sha256::digest(code));
        let path = self.dir.join(format!("{digest}-{}-{bytes}-{sum}.{CODE}", self.keys.get(kind)?));
        let damaged = self.entry(digest)?;
        self.publish(code, &path)?;
        if let Some(damaged) = damaged.filter(|damaged| damaged.code != path) {
            let _ = fs::remove_file(damaged.code);
        }
        self.prune();
        Ok(Compiled { bytes, digest: digest.into(), kind, code: path })
    }

    /// Waits until no other process compiles this component; the lock ends with the returned file.
    pub(crate) fn lock(&self, digest: &str) -> Result<File, EngineError> {
        let path = self.dir.join(format!("{digest}-lock"));
        let failed = |source| EngineError::Cache { path: path.clone(), action: "lock a file", source };
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(failed)?;
        file.lock().map_err(failed)?;
        Ok(file)
    }

    /// The functions that were compiled before, with the settings of this kind. None if the file cannot be read.
    pub(crate) fn functions(&self, kind: Kind) -> Result<Functions, EngineError> {
        Ok(fs::read(self.functions_file(kind)?).map(Functions::parse).unwrap_or_default())
    }

    /// Leaves them for the next compilation. Of two that end at once the later one's stay.
    pub(crate) fn keep_functions(&self, kind: Kind, functions: &Functions) -> Result<(), EngineError> {
        match functions.write() {
            Some(content) => self.publish(&content, &self.functions_file(kind)?),
            None => Ok(()),
        }
    }

    fn functions_file(&self, kind: Kind) -> Result<PathBuf, EngineError> {
        Ok(self.dir.join(format!("{}.{FUNCTIONS}", self.keys.get(kind)?)))
    }

    /// Writes a file that others see as a whole or not at all.
    fn publish(&self, content: &[u8], path: &Path) -> Result<(), EngineError> {
        let temporary = self.write_temporary(content)?;
        fs::rename(&temporary, path).map_err(|source| {
            let _ = fs::remove_file(&temporary);
            EngineError::Cache { path: path.to_owned(), action: "rename a file", source }
        })
    }

    fn write_temporary(&self, code: &[u8]) -> Result<PathBuf, EngineError> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = self.dir.join(format!("tmp-{}-{count}", std::process::id()));
        let written =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).and_then(|mut file| {
                file.write_all(code)?;
                file.sync_all()
            });
        written.map_err(|source| {
            let _ = fs::remove_file(&path);
            EngineError::Cache { path: path.clone(), action: "write a file", source }
        })?;
        Ok(path)
    }

    /// The file of a component, whatever its content.
    fn entry(&self, digest: &str) -> Result<Option<Compiled>, EngineError> {
        for code in self.files()? {
            let Some((key, bytes)) = of_component(&code, digest) else { continue };
            if let Some(kind) = self.keys.kind(key)? {
                return Ok(Some(Compiled { bytes, digest: digest.into(), kind, code }));
            }
        }
        Ok(None)
    }

    fn files(&self) -> Result<Vec<PathBuf>, EngineError> {
        let failed = |source| EngineError::Cache { path: self.dir.clone(), action: "list the files", source };
        fs::read_dir(&self.dir)
            .map_err(failed)?
            .map(|entry| entry.map(|entry| entry.path()).map_err(failed))
            .collect()
    }

    /// Keeps the directory bounded. Only ever in the way of disk space, so failures are not reported.
    fn prune(&self) {
        let age = |path: &Path| {
            let modified = fs::metadata(path).and_then(|metadata| metadata.modified());
            modified.ok().and_then(|then| SystemTime::now().duration_since(then).ok()).unwrap_or_default()
        };
        let extension =
            |path: &Path| path.extension().and_then(|text| text.to_str()).unwrap_or_default().to_owned();
        let mut files: Vec<_> =
            self.files().unwrap_or_default().into_iter().map(|path| (age(&path), path)).collect();
        files.sort();
        let oldest = |kind: &'static str, count: usize| {
            files.iter().filter(move |(_, path)| extension(path) == kind).skip(count)
        };
        let kept = [(CODE, ENTRIES_MAX), (FUNCTIONS, FUNCTIONS_FILES_MAX)];
        let is_temporary = |path: &Path| kept.iter().all(|(kind, _)| extension(path) != *kind);
        let stale = files.iter().filter(|(age, path)| is_temporary(path) && *age > STALE_AFTER);
        for (_, path) in kept.iter().flat_map(|(kind, count)| oldest(kind, *count)).chain(stale) {
            let _ = fs::remove_file(path);
        }
    }
}

/// What the name of a file says, if it is one of this component: with which settings its code was compiled, and the size
/// of the component.
fn of_component<'a>(code: &'a Path, digest: &str) -> Option<(&'a str, u64)> {
    let name = code.file_name()?.to_str()?.strip_suffix(CODE)?.strip_suffix('.')?;
    let (key, rest) = name.strip_prefix(digest)?.strip_prefix('-')?.split_once('-')?;
    let (bytes, _sum) = rest.split_once('-')?;
    Some((key, bytes.parse().ok()?))
}

/// sha256 of a component file, whose size is checked first.
pub(crate) fn component_digest(file: &Path) -> Result<String, EngineError> {
    let failed = |source| EngineError::Read { path: file.to_owned(), source };
    let opened = File::open(file).map_err(failed)?;
    let metadata = opened.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(failed(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")));
    }
    if metadata.len() > COMPONENT_BYTES_MAX {
        return Err(EngineError::TooLarge {
            path: file.to_owned(),
            bytes: metadata.len(),
            bytes_max: COMPONENT_BYTES_MAX,
        });
    }
    sha256(opened).map_err(failed)
}

fn verify(code: &Path) -> Result<(), EngineError> {
    let failed = |source| EngineError::Cache { path: code.to_owned(), action: "read a file", source };
    let actual = sha256(File::open(code).map_err(failed)?).map_err(failed)?;
    let stem = code.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    if stem.rsplit('-').next() == Some(actual.as_str()) {
        Ok(())
    } else {
        Err(EngineError::Corrupt { path: code.to_owned(), reason: "its checksum is wrong".into() })
    }
}

/// In pieces: the file need not be in memory as a whole.
fn sha256(mut file: impl Read) -> io::Result<String> {
    let mut sha = Sha256::new();
    let mut piece = vec![0; 64 * 1024];
    loop {
        let count = file.read(&mut piece)?;
        if count == 0 {
            return Ok(wasm::hex(&sha.finalize()));
        }
        sha.update(piece.get(..count).unwrap_or_default());
    }
}
