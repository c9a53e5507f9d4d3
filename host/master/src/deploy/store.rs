//! Components by digest, and what each offers, on disk.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};
use shaddock_rollout::{CHUNK_BYTES_MAX, ComponentChunk, Digest, Summary};

use super::durable;
use crate::MasterError;

/// The directory of components: `<digest>.wasm`, and `<digest>.json` with the summary.
#[derive(Clone, Debug)]
pub(super) struct Store {
    dir: PathBuf,
    component_bytes_max: u64,
}

impl Store {
    /// Opens the directory, making it if it is not there.
    pub(super) fn open(dir: PathBuf, component_bytes_max: u64) -> Result<Store, MasterError> {
        durable::private_dir(&dir)?;
        durable::remove_unfinished(&dir);
        Ok(Store { dir, component_bytes_max })
    }

    /// Copies a component file into the store. What is stored is what the digest says, also if the file changes
    /// meanwhile.
    ///
    /// # Errors
    /// If it is no regular file, too large, or cannot be read or written.
    pub(super) fn import(&self, file: &Path) -> Result<Digest, MasterError> {
        let bytes = self.read(file)?;
        let digest = digest_of(&bytes);
        durable::write(&self.component(&digest), &bytes)?;
        Ok(digest)
    }

    /// The digest of a component file.
    pub(super) fn digest_of_file(&self, file: &Path) -> Result<Digest, MasterError> {
        self.read(file).map(|bytes| digest_of(&bytes))
    }

    /// Where a component is.
    pub(super) fn component(&self, digest: &Digest) -> PathBuf {
        self.dir.join(format!("{digest}.wasm"))
    }

    /// Checks that a component is there and undamaged.
    pub(super) fn verify(&self, digest: &Digest) -> Result<(), MasterError> {
        let path = self.component(digest);
        if self.digest_of_file(&path)? == *digest {
            return Ok(());
        }
        let damaged = io::Error::new(io::ErrorKind::InvalidData, "it is damaged: its digest is another one");
        Err(MasterError::file("use", &path, damaged))
    }

    /// A piece of a component.
    pub(super) fn chunk(&self, digest: &Digest, offset: u64) -> Result<ComponentChunk, MasterError> {
        let path = self.component(digest);
        let read = || {
            let mut file = File::open(&path)?;
            let size = file.metadata()?.len();
            file.seek(SeekFrom::Start(offset))?;
            let mut bytes = Vec::new();
            file.take(CHUNK_BYTES_MAX as u64).read_to_end(&mut bytes)?;
            Ok(ComponentChunk { size, data: STANDARD.encode(bytes) })
        };
        read().map_err(|source| MasterError::file("read", &path, source))
    }

    /// Keeps what a version offers.
    pub(super) fn save_summary(&self, digest: &Digest, summary: &Summary) -> Result<(), MasterError> {
        let path = self.summary_file(digest);
        let bytes =
            serde_json::to_vec(summary).map_err(|error| MasterError::file("write", &path, error.into()))?;
        durable::write(&path, &bytes)
    }

    /// What a version offers, if it is known.
    pub(super) fn summary(&self, digest: &Digest) -> Option<Summary> {
        serde_json::from_slice(&fs::read(self.summary_file(digest)).ok()?).ok()
    }

    /// Removes all versions but these. What cannot be removed takes room, and nothing else.
    pub(super) fn retain(&self, keep: &BTreeSet<Digest>) {
        let entries = fs::read_dir(&self.dir).into_iter().flatten().flatten().map(|entry| entry.path());
        let is_kept = |path: &PathBuf| {
            let stem = path.file_stem().and_then(|stem| stem.to_str());
            stem.and_then(|stem| stem.parse().ok()).is_none_or(|digest| keep.contains(&digest))
        };
        for path in entries.filter(|path| !is_kept(path)) {
            if let Err(error) = fs::remove_file(&path) {
                tracing::debug!(path = %path.display(), %error, "old version not removed");
            }
        }
    }

    fn summary_file(&self, digest: &Digest) -> PathBuf {
        self.dir.join(format!("{digest}.json"))
    }

    fn read(&self, file: &Path) -> Result<Vec<u8>, MasterError> {
        let failed = |source| MasterError::file("read", file, source);
        // Asked before it is opened: opening a pipe would wait for somebody to write into it.
        if !fs::metadata(file).map_err(failed)?.is_file() {
            return Err(failed(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file")));
        }
        let mut bytes = Vec::new();
        let opened = File::open(file).map_err(failed)?;
        opened.take(self.component_bytes_max.saturating_add(1)).read_to_end(&mut bytes).map_err(failed)?;
        if bytes.len() as u64 > self.component_bytes_max {
            let reason = format!("it is larger than a component may be ({} bytes)", self.component_bytes_max);
            return Err(failed(io::Error::new(io::ErrorKind::FileTooLarge, reason)));
        }
        Ok(bytes)
    }
}

fn digest_of(bytes: &[u8]) -> Digest {
    let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    #[expect(clippy::expect_used, reason = "32 bytes are 64 digits")]
    hex.parse().expect("a sha256 is a digest")
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Rig {
        dir: tempfile::TempDir,
        store: Store,
    }

    impl Rig {
        fn new(component_bytes_max: u64) -> Rig {
            let dir = tempfile::tempdir().unwrap();
            let store = Store::open(dir.path().join("components"), component_bytes_max).unwrap();
            Rig { dir, store }
        }

        fn import(&self, bytes: &[u8]) -> Result<Digest, MasterError> {
            let file = self.dir.path().join("file.wasm");
            fs::write(&file, bytes).unwrap();
            self.store.import(&file)
        }
    }

    #[test]
    fn a_component_is_kept_by_its_digest_and_given_out_in_pieces() {
        let rig = Rig::new(1 << 20);
        let bytes: Vec<u8> = (0..CHUNK_BYTES_MAX + 5).map(|index| (index % 251) as u8).collect();
        let digest = rig.import(&bytes).unwrap();
        rig.store.verify(&digest).unwrap();
        let mut all = Vec::new();
        loop {
            let chunk = rig.store.chunk(&digest, all.len() as u64).unwrap();
            assert_eq!(chunk.size, bytes.len() as u64);
            let piece = STANDARD.decode(chunk.data).unwrap();
            if piece.is_empty() {
                break;
            }
            assert!(piece.len() <= CHUNK_BYTES_MAX);
            all.extend(piece);
        }
        assert_eq!(all, bytes);
    }

    #[test]
    fn what_is_no_component_file_is_refused_and_leaves_nothing() {
        let rig = Rig::new(4);
        let error = rig.import(b"12345").unwrap_err().to_string();
        assert!(error.contains("larger than a component may be (4 bytes)"), "{error}");
        let error = rig.store.import(rig.dir.path()).unwrap_err().to_string();
        assert!(error.contains("no regular file"), "{error}");
        rig.store.import(&rig.dir.path().join("missing")).unwrap_err();
        assert_eq!(fs::read_dir(rig.dir.path().join("components")).unwrap().count(), 0);
    }

    #[test]
    fn a_damaged_component_is_noticed() {
        let rig = Rig::new(99);
        let digest = rig.import(b"component").unwrap();
        fs::write(rig.store.component(&digest), b"damaged").unwrap();
        let error = rig.store.verify(&digest).unwrap_err().to_string();
        assert!(error.contains("damaged"), "{error}");
    }

    #[test]
    fn only_what_is_asked_for_is_kept() {
        let rig = Rig::new(99);
        let (old, new) = (rig.import(b"old").unwrap(), rig.import(b"new").unwrap());
        let summary = Summary { bytes: 3, ..Summary::default() };
        for digest in [&old, &new] {
            rig.store.save_summary(digest, &summary).unwrap();
        }
        rig.store.retain(&BTreeSet::from([new.clone()]));
        assert_eq!((rig.store.summary(&old), rig.store.summary(&new)), (None, Some(summary)));
        assert!(!rig.store.component(&old).exists() && rig.store.component(&new).exists());
    }
}
