//! Versions of the test guest `versioned`, as files.

use std::fs;
use std::path::PathBuf;

use crate::patch::patched;
use crate::{component, root};

/// The component file of version `number` (0 to 9999; its answers say `VERSION-0007`), with marks set such as
/// `SELFTEST-TRAP` (`tests/guests/versioned/src/marks.rs` lists them). The same arguments give the same file.
pub fn versioned(number: u32, marks: &[&str]) -> PathBuf {
    let bytes = patched(&fs::read(component("versioned")).unwrap(), number, marks);
    let dir = root().join("target/tmp/versioned");
    fs::create_dir_all(&dir).unwrap();
    let name = std::iter::once(format!("{number:04}")).chain(marks.iter().map(|mark| (*mark).to_owned()));
    let file = dir.join(format!("{}.wasm", name.collect::<Vec<_>>().join("_")));
    if fs::read(&file).ok().as_ref() != Some(&bytes) {
        // Others may read it at this moment.
        let draft =
            file.with_extension(format!("new-{}-{:?}", std::process::id(), std::thread::current().id()));
        fs::write(&draft, bytes).unwrap();
        fs::rename(&draft, &file).unwrap();
    }
    file
}
