//! The directory in which a running cluster keeps its secret, its run files and its logs.

use std::fs::DirBuilder;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::MasterError;

/// Private directory (mode 0700) of one cluster on one machine:
/// `secret`, `master` (its address), `run/<id>` (a locked file per running process), `log/<id>.log` (daemon mode),
/// `plugins/` (versions of plugins: `record.json`, and `components/<digest>.wasm`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateDir {
    path: PathBuf,
}

/// Name of the run file of the master; no server may claim it because server ids never start with a dot.
const MASTER_RUN_FILE: &str = ".master";

impl StateDir {
    /// Names the directory without touching the disk.
    pub fn at(path: impl Into<PathBuf>) -> StateDir {
        StateDir { path: path.into() }
    }

    /// Makes the directory and its rooms if they are missing, readable by the owner alone.
    ///
    /// # Errors
    /// [`MasterError::File`] if a directory cannot be made or its mode cannot be set.
    pub fn create(&self) -> Result<(), MasterError> {
        for dir in [self.path.clone(), self.run_dir(), self.log_dir()] {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&dir)
                .map_err(|source| MasterError::file("create", &dir, source))?;
        }
        // The mode above is for new directories only.
        std::fs::set_permissions(&self.path, PermissionsExt::from_mode(0o700))
            .map_err(|source| MasterError::file("make private", &self.path, source))
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The cluster secret: made anew by each start of a master, mode 0600.
    pub fn secret(&self) -> PathBuf {
        self.path.join("secret")
    }

    /// Where log files are kept in daemon mode.
    pub fn log_dir(&self) -> PathBuf {
        self.path.join("log")
    }

    /// Log file of the server `id`.
    pub fn server_log(&self, id: &str) -> PathBuf {
        self.log_dir().join(format!("{}.log", file_name(id)))
    }

    /// Log file of the master.
    pub fn master_log(&self) -> PathBuf {
        self.log_dir().join("master.log")
    }

    /// The file that the running master holds locked.
    pub fn master_run_file(&self) -> PathBuf {
        self.run_dir().join(MASTER_RUN_FILE)
    }

    /// The file that the running server `id` holds locked.
    pub fn server_run_file(&self, id: &str) -> PathBuf {
        self.run_dir().join(file_name(id))
    }

    /// Where the running master listens for tools: host and port, if one has started here.
    pub fn master_address(&self) -> Option<(String, u16)> {
        let text = std::fs::read_to_string(self.path.join(ADDRESS_FILE)).ok()?;
        let (host, port) = text.trim().rsplit_once(' ')?;
        Some((host.to_owned(), port.parse().ok()?))
    }

    /// Writes down where the running master listens, so that tools find it whatever the configuration says by then.
    pub(crate) fn set_master_address(&self, host: &str, port: u16) -> Result<(), MasterError> {
        let path = self.path.join(ADDRESS_FILE);
        std::fs::write(&path, format!("{host} {port}\n"))
            .map_err(|source| MasterError::file("write", &path, source))
    }

    /// Where the versions of plugins are kept, and what is known of them.
    pub(crate) fn plugin_dir(&self) -> PathBuf {
        self.path.join("plugins")
    }

    /// Where run files are.
    pub(crate) fn run_dir(&self) -> PathBuf {
        self.path.join("run")
    }
}

/// Name of the file with the master's address.
const ADDRESS_FILE: &str = "master";

/// A server id as a file name: what could leave the directory or hide the file is percent-encoded.
fn file_name(id: &str) -> String {
    let mut name = String::with_capacity(id.len());
    for (index, byte) in id.bytes().enumerate() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => name.push(char::from(byte)),
            b'.' if index > 0 => name.push('.'),
            _ => name.push_str(&format!("%{byte:02X}")),
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_cannot_leave_the_directory_or_pose_as_the_master() {
        for (id, expected) in [
            ("connector-server-1", "connector-server-1"),
            ("a.b", "a.b"),
            (".master", "%2Emaster"),
            ("../secret", "%2E.%2Fsecret"),
            ("über", "%C3%BCber"),
        ] {
            assert_eq!(file_name(id), expected);
        }
    }

    #[test]
    fn the_directory_is_private_even_if_it_was_not_before() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::at(dir.path().join("s"));
        std::fs::create_dir(state.path()).unwrap();
        std::fs::set_permissions(state.path(), PermissionsExt::from_mode(0o755)).unwrap();
        state.create().unwrap();
        let mode = std::fs::metadata(state.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }

    #[test]
    fn the_masters_address_is_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::at(dir.path());
        assert_eq!(state.master_address(), None);
        state.set_master_address("::1", 3005).unwrap();
        assert_eq!(state.master_address(), Some(("::1".to_owned(), 3005)));
    }
}
