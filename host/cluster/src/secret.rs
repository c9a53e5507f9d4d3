use std::{
    fmt,
    fs::{self, OpenOptions},
    io::{Read, Write},
    path::Path,
};

use crate::ClusterError;

const LEN: usize = 32;

/// The cluster's shared secret: 32 random bytes that prove membership and are never sent.
///
/// The master makes one at start and hands its file to its children and tools.
#[derive(Clone)]
pub struct Secret([u8; LEN]);

impl Secret {
    /// A fresh secret from the operating system's random source.
    ///
    /// # Errors
    /// [`ClusterError::Random`] if there is no such source.
    pub fn generate() -> Result<Self, ClusterError> {
        Ok(Self(random()?))
    }

    /// Reads the secret from a file that only its owner can read.
    ///
    /// # Errors
    /// [`ClusterError::SecretFile`] if it cannot be read, is readable for others, or has another length
    /// than 32 bytes.
    pub fn load(path: &Path) -> Result<Self, ClusterError> {
        let fail = |reason: String| ClusterError::SecretFile { path: path.to_owned(), reason };
        let mut file = fs::File::open(path).map_err(|error| fail(format!("cannot be read: {error}")))?;
        let meta = file.metadata().map_err(|error| fail(format!("cannot be read: {error}")))?;
        check_mode(&meta).map_err(&fail)?;
        if meta.len() != LEN as u64 {
            return Err(fail(format!("has {} bytes, a secret has {LEN}; start the master anew", meta.len())));
        }
        let mut bytes = [0; LEN];
        file.read_exact(&mut bytes).map_err(|error| fail(format!("cannot be read: {error}")))?;
        Ok(Self(bytes))
    }

    /// Writes the secret to a file with mode 0600, replacing one that is there.
    ///
    /// The file is complete before it gets its name, and never readable for others.
    ///
    /// # Errors
    /// [`ClusterError::SecretFile`] if it cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), ClusterError> {
        let fail = |reason: String| ClusterError::SecretFile { path: path.to_owned(), reason };
        let name = path.file_name().ok_or_else(|| fail("is no file name".to_owned()))?;
        let mut new_name = std::ffi::OsString::from(".");
        new_name.push(name);
        new_name.push(format!(".{:016x}", u64::from_le_bytes(random()?)));
        let new = path.with_file_name(new_name);
        let written = self.write_new(&new).and_then(|()| fs::rename(&new, path));
        written.map_err(|error| {
            // Best effort: the error that counts is the first one.
            let _ = fs::remove_file(&new);
            fail(format!("cannot be written: {error}"))
        })
    }

    fn write_new(&self, path: &Path) -> std::io::Result<()> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(path)?;
        file.write_all(&self.0)?;
        file.sync_all()
    }

    pub(crate) fn bytes(&self) -> &[u8; LEN] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(redacted)")
    }
}

/// Random bytes from the operating system.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], ClusterError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| ClusterError::Random(error.to_string()))?;
    Ok(bytes)
}

#[cfg(unix)]
fn check_mode(meta: &fs::Metadata) -> Result<(), String> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = meta.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(format!("has mode {mode:04o}, so others may know it; start the master anew"));
    }
    Ok(())
}

#[cfg(not(unix))]
fn check_mode(_: &fs::Metadata) -> Result<(), String> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn what_is_saved_is_loaded_and_only_the_owner_may_read_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        fs::write(&path, "an old one, readable for all").unwrap();
        let secret = Secret::generate().unwrap();
        secret.save(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(Secret::load(&path).unwrap().0, secret.0);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "no temporary file is left");
    }

    #[test]
    fn a_file_that_others_can_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        Secret::generate().unwrap().save(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let error = Secret::load(&path).unwrap_err().to_string();
        assert!(error.contains("mode 0640"), "{error}");
    }

    #[test]
    fn a_file_of_another_length_and_no_file_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        let error = Secret::load(&path).unwrap_err().to_string();
        assert!(error.contains("cannot be read") && error.contains("secret"), "{error}");
        Secret::generate().unwrap().save(&path).unwrap();
        fs::write(&path, "short").unwrap();
        let error = Secret::load(&path).unwrap_err().to_string();
        assert!(error.contains("has 5 bytes"), "{error}");
    }

    #[test]
    fn a_failed_save_says_where_and_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("missing/secret");
        let error = Secret::generate().unwrap().save(&path).unwrap_err().to_string();
        assert!(error.contains("missing/secret") && error.contains("cannot be written"), "{error}");
    }

    #[test]
    fn debug_shows_nothing() {
        let secret = Secret([7; LEN]);
        assert_eq!(format!("{secret:?}"), "Secret(redacted)");
    }

    #[test]
    fn two_secrets_differ() {
        assert_ne!(Secret::generate().unwrap().0, Secret::generate().unwrap().0);
    }
}
