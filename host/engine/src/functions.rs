//! The cache of compiled functions: what makes the next version of a plugin compile in half the time, as most of its
//! functions are those of the version before, or a language runtime's.
//!
//! One file for each set of compiler settings, `<settings>.functions` in the directory of compiled code: sha256 of the
//! rest, then the functions, those that were used last in front, each as two lengths (32 bits, little endian), key and
//! code. Keys are the compiler's own: a digest of a function and of all that goes into its code.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use sha2::{Digest, Sha256};
use wasmtime::CacheStore;

/// The file's size. Twice what the largest language runtime (Python's) takes.
const BYTES_MAX: usize = 64 << 20;
const SUM_BYTES: usize = 32;

/// The functions that are known when a component is compiled, and those that are new.
#[derive(Debug, Default)]
pub(crate) struct Functions {
    bytes: Vec<u8>,
    known: HashMap<Vec<u8>, Known>,
    new: Mutex<Vec<u8>>,
}

#[derive(Debug)]
struct Known {
    code: Range<usize>,
    was_used: AtomicBool,
}

impl Functions {
    /// Reads the content of a file. One that is damaged has no functions.
    pub(crate) fn parse(bytes: Vec<u8>) -> Self {
        let sum = bytes.get(..SUM_BYTES).unwrap_or_default();
        let entries = bytes.get(SUM_BYTES..).unwrap_or_default();
        let known = if sum == Sha256::digest(entries).as_slice() { index(&bytes) } else { HashMap::new() };
        Self { bytes, known, new: Mutex::default() }
    }

    /// What the file shall contain from now on, if that is something else.
    pub(crate) fn write(&self) -> Option<Vec<u8>> {
        let new = self.new.lock().unwrap_or_else(PoisonError::into_inner);
        if new.is_empty() {
            return None;
        }
        let mut content = vec![0; SUM_BYTES];
        for was_used in [true, false] {
            if was_used {
                content.extend_from_slice(&new);
            }
            for (key, known) in &self.known {
                let code = self.bytes.get(known.code.clone()).unwrap_or_default();
                let is_its_turn = known.was_used.load(Ordering::Relaxed) == was_used;
                if is_its_turn && content.len() + key.len() + code.len() < BYTES_MAX {
                    push(&mut content, key, code);
                }
            }
        }
        let sum = Sha256::digest(content.get(SUM_BYTES..)?);
        content.get_mut(..SUM_BYTES)?.copy_from_slice(&sum);
        Some(content)
    }
}

impl CacheStore for Functions {
    fn get(&self, key: &[u8]) -> Option<Cow<'_, [u8]>> {
        let known = self.known.get(key)?;
        known.was_used.store(true, Ordering::Relaxed);
        self.bytes.get(known.code.clone()).map(Cow::Borrowed)
    }

    fn insert(&self, key: &[u8], code: Vec<u8>) -> bool {
        let mut new = self.new.lock().unwrap_or_else(PoisonError::into_inner);
        let has_room = new.len() + key.len() + code.len() < BYTES_MAX / 2;
        if has_room {
            push(&mut new, key, &code);
        }
        has_room
    }
}

fn push(content: &mut Vec<u8>, key: &[u8], code: &[u8]) {
    // Both are far smaller than `BYTES_MAX`, which fits.
    for part in [key, code] {
        content.extend_from_slice(&u32::try_from(part.len()).unwrap_or_default().to_le_bytes());
    }
    content.extend_from_slice(key);
    content.extend_from_slice(code);
}

fn index(bytes: &[u8]) -> HashMap<Vec<u8>, Known> {
    let mut known = HashMap::new();
    let mut at = SUM_BYTES;
    while let Some((key, code)) = entry(bytes, at) {
        at = code.end;
        if let Some(key) = bytes.get(key) {
            known.insert(key.to_vec(), Known { code, was_used: AtomicBool::new(false) });
        }
    }
    known
}

/// Where the key and the code of an entry are.
fn entry(bytes: &[u8], at: usize) -> Option<(Range<usize>, Range<usize>)> {
    let length = |at: usize| {
        let length = bytes.get(at..at + 4)?.try_into().ok()?;
        usize::try_from(u32::from_le_bytes(length)).ok()
    };
    let key = at + 8..(at + 8).checked_add(length(at)?)?;
    let code = key.end..key.end.checked_add(length(at + 4)?)?;
    (code.end <= bytes.len()).then_some((key, code))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(functions: &Functions, key: &[u8]) -> Option<Vec<u8>> {
        functions.get(key).map(Cow::into_owned)
    }

    #[test]
    fn what_was_inserted_is_there_next_time() {
        let first = Functions::default();
        assert!(first.insert(b"one", b"code 1".to_vec()) && first.insert(b"two", Vec::new()));
        assert_eq!(get(&first, b"one"), None, "a compilation does not ask twice");
        let second = Functions::parse(first.write().unwrap());
        assert_eq!(get(&second, b"one").unwrap(), b"code 1");
        assert_eq!(get(&second, b"two").unwrap(), b"");
        assert_eq!(get(&second, b"three"), None);
        assert_eq!(second.write(), None, "nothing is new");
        assert!(second.insert(b"three", b"code 3".to_vec()));
        let third = Functions::parse(second.write().unwrap());
        assert_eq!(get(&third, b"one").unwrap(), b"code 1");
        assert_eq!(get(&third, b"three").unwrap(), b"code 3");
    }

    #[test]
    fn a_damaged_file_has_no_functions() {
        let functions = Functions::default();
        functions.insert(b"one", b"code 1".to_vec());
        let content = functions.write().unwrap();
        for at in 0..content.len() {
            let mut damaged = content.clone();
            damaged[at] ^= 1;
            assert_eq!(get(&Functions::parse(damaged), b"one"), None, "byte {at}");
            assert_eq!(get(&Functions::parse(content[..at].to_vec()), b"one"), None, "{at} bytes");
        }
    }

    #[test]
    fn the_file_is_bounded_and_keeps_what_was_used_last() {
        const MIB: usize = 1 << 20;
        let first = Functions::default();
        assert!(first.insert(b"idle", vec![1; 20 * MIB]));
        assert!(!first.insert(b"huge", vec![2; BYTES_MAX / 2]));
        let second = Functions::parse(first.write().unwrap());
        assert!(second.insert(b"used", vec![3; 30 * MIB]));
        let third = Functions::parse(second.write().unwrap());
        assert_eq!(get(&third, b"used").unwrap().len(), 30 * MIB);
        assert!(third.insert(b"new", vec![4; 20 * MIB]));
        let content = third.write().unwrap();
        assert!(content.len() <= BYTES_MAX, "{}", content.len());
        let fourth = Functions::parse(content);
        let there = [&b"idle"[..], b"used", b"new"].map(|key| get(&fourth, key).is_some());
        assert_eq!(there, [false, true, true]);
    }
}
