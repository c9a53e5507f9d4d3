//! A locked file that says "this process is running": the lock lives and dies with the process, so a file that
//! a crash left behind never lies.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::MasterError;

/// A look at a file ([`RunFile::holder`]) locks it for an instant, so one failed try proves nothing.
const CLAIM_TRIES: u32 = 5;
const CLAIM_PAUSE: Duration = Duration::from_millis(10);

/// The claim of one process (the master or one server) on its id within a state directory. It is given up when the
/// value is dropped or the process ends, however it ends.
#[derive(Debug)]
pub struct RunFile {
    file: File,
    path: PathBuf,
}

impl RunFile {
    /// Claims `path` for this process and writes its process id into it.
    ///
    /// # Errors
    /// [`MasterError::Claimed`] with the holder's process id if another process has it; [`MasterError::File`] if the
    /// file cannot be written.
    pub fn claim(path: &Path) -> Result<RunFile, MasterError> {
        let mut file = open(path)?;
        let mut tries_left = CLAIM_TRIES;
        loop {
            tries_left -= 1;
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if tries_left > 0 => std::thread::sleep(CLAIM_PAUSE),
                Err(TryLockError::WouldBlock) => {
                    let pid = read_pid(&mut file);
                    return Err(MasterError::Claimed { path: path.into(), pid });
                }
                Err(TryLockError::Error(source)) => return Err(MasterError::file("lock", path, source)),
            }
        }
        let write = |file: &mut File| {
            file.set_len(0)?;
            writeln!(file, "{}", std::process::id())
        };
        write(&mut file).map_err(|source| MasterError::file("write", path, source))?;
        Ok(RunFile { file, path: path.into() })
    }

    /// The process id of the holder of `path`, or `None` if nobody holds it.
    pub fn holder(path: &Path) -> Option<u32> {
        let mut file = OpenOptions::new().read(true).open(path).ok()?;
        match file.try_lock_shared() {
            Err(TryLockError::WouldBlock) => read_pid(&mut file),
            _ => None,
        }
    }
}

impl Drop for RunFile {
    fn drop(&mut self) {
        // Emptied, not removed: removing a lock file lets two processes hold "the same" lock.
        if let Err(error) = self.file.set_len(0) {
            tracing::debug!(path = %self.path.display(), %error, "run file not emptied");
        }
    }
}

fn open(path: &Path) -> Result<File, MasterError> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(|source| MasterError::file("open", path, source))
}

fn read_pid(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(16).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claimed_file_names_its_holder_and_is_free_after_drop() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("gate-1");
        assert_eq!(RunFile::holder(&path), None, "no file yet");
        let claim = RunFile::claim(&path).unwrap();
        assert_eq!(RunFile::holder(&path), Some(std::process::id()));
        let Err(MasterError::Claimed { pid, .. }) = RunFile::claim(&path) else {
            panic!("a second claim must fail");
        };
        assert_eq!(pid, Some(std::process::id()));
        drop(claim);
        assert_eq!(RunFile::holder(&path), None);
        RunFile::claim(&path).unwrap();
    }

    #[test]
    fn a_stale_pid_in_an_unlocked_file_is_nobody() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("gate-1");
        std::fs::write(&path, "1\n").unwrap();
        assert_eq!(RunFile::holder(&path), None);
        assert!(RunFile::claim(&path).is_ok());
    }
}
