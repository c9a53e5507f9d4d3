//! Files that are there as a whole or not at all, whatever happens while they are written.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::MasterError;

/// End of the names of files that are being written.
const UNFINISHED: &str = "tmp";

/// Makes a directory for the owner alone, if it is not there.
pub(super) fn private_dir(path: &Path) -> Result<(), MasterError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|source| MasterError::file("create", path, source))
}

/// Writes a file for the owner alone. When this returns without an error, the disk has it.
///
/// There is one writer per path at a time.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), MasterError> {
    let unfinished = unfinished(path);
    let written = write_new(&unfinished, bytes)
        .and_then(|()| fs::rename(&unfinished, path))
        .and_then(|()| path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all()));
    written.map_err(|source| {
        let _ = fs::remove_file(&unfinished);
        MasterError::file("write", path, source)
    })
}

/// Removes what a process that was killed while writing left behind.
pub(super) fn remove_unfinished(dir: &Path) {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    for path in entries.filter(|path| path.extension().is_some_and(|end| end == UNFINISHED)) {
        if let Err(error) = fs::remove_file(&path) {
            tracing::debug!(path = %path.display(), %error, "unfinished file not removed");
        }
    }
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // What a writer that was killed left behind may be anybody's to read.
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn unfinished(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(UNFINISHED);
    name.into()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_file_is_replaced_as_a_whole_and_private() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("record.json");
        write(&path, b"old").unwrap();
        // What a writer that was killed left behind.
        fs::write(unfinished(&path), b"ne").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"old");
        write(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_was_not_finished_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a.wasm.tmp"), b"half").unwrap();
        fs::write(dir.path().join("b.wasm"), b"whole").unwrap();
        remove_unfinished(dir.path());
        let left: Vec<_> =
            fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["b.wasm"]);
    }
}
