//! What the master knows of versions, durably: what counts after a crash.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use shaddock_rollout::{Digest, Share, Target};

use super::durable;
use crate::MasterError;
use crate::control::{Action, HistoryEntry};

/// Changes when older programs could not read the record any more.
const FORMAT: u32 = 1;
/// Longest record; far above what the limits below allow.
const BYTES_MAX: u64 = 4 << 20;
/// Entries of the history that are kept.
const HISTORY_MAX: usize = 500;

/// The record. Small, so that it is written as a whole with every change.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Record {
    format: u32,
    /// Number of the next deployment.
    next: u64,
    /// What each plugin runs; one without an entry runs the file of the configuration.
    pub(super) targets: BTreeMap<String, Deployed>,
    /// The deployment that is neither committed nor given up.
    pub(super) under_way: Option<UnderWay>,
    /// Versions that each plugin has run, the last one last.
    versions: BTreeMap<String, Vec<Digest>>,
    history: VecDeque<HistoryEntry>,
}

/// A version that was deployed and committed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Deployed {
    pub(super) digest: Digest,
    pub(super) deployment: u64,
    pub(super) since_ms: u64,
    /// What ran before.
    pub(super) previous: Digest,
    /// The digest that the file of the configuration had: while it has, this counts and not the file.
    pub(super) file: Digest,
    pub(super) action: Action,
    pub(super) reason: Option<String>,
}

/// A deployment under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct UnderWay {
    pub(super) number: u64,
    pub(super) plugin: String,
    pub(super) digest: Digest,
    pub(super) from: Digest,
    pub(super) action: Action,
    pub(super) by: String,
    pub(super) since_ms: u64,
    /// The canary's share, once it runs as one.
    pub(super) canary: Option<Share>,
}

impl Default for Record {
    fn default() -> Record {
        Record {
            format: FORMAT,
            next: 1,
            targets: BTreeMap::new(),
            under_way: None,
            versions: BTreeMap::new(),
            history: VecDeque::new(),
        }
    }
}

impl Record {
    /// Reads the record; an empty one if there is none.
    ///
    /// # Errors
    /// If it cannot be read, or cannot be what a master wrote.
    pub(super) fn load(path: &Path) -> Result<Record, MasterError> {
        let failed = |source| MasterError::file("read", path, source);
        match fs::metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Record::default()),
            Err(error) => return Err(failed(error)),
            Ok(metadata) if metadata.len() > BYTES_MAX => {
                return Err(damaged(path, format!("it has {} bytes", metadata.len())));
            }
            Ok(_) => {}
        }
        let bytes = fs::read(path).map_err(failed)?;
        let record: Record =
            serde_json::from_slice(&bytes).map_err(|error| damaged(path, error.to_string()))?;
        record.check().map_err(|reason| damaged(path, reason))?;
        Ok(record)
    }

    /// Writes it; when this returns without an error, the disk has it.
    pub(super) fn save(&self, path: &Path) -> Result<(), MasterError> {
        let bytes = serde_json::to_vec_pretty(self);
        durable::write(path, &bytes.map_err(|error| MasterError::file("write", path, error.into()))?)
    }

    /// A number that no deployment has had.
    pub(super) fn draw(&mut self) -> u64 {
        let number = self.next;
        self.next = self.next.saturating_add(1);
        number
    }

    /// What servers are to load.
    pub(super) fn target(&self, plugin: &str) -> Option<Target> {
        let deployed = self.targets.get(plugin)?;
        Some(Target { digest: deployed.digest.clone(), deployment: deployed.deployment })
    }

    /// Notes that a plugin runs, or is to run, a version.
    pub(super) fn remember(&mut self, plugin: &str, digest: &Digest) {
        let versions = self.versions.entry(plugin.to_owned()).or_default();
        versions.retain(|known| known != digest);
        versions.push(digest.clone());
    }

    /// The same, unless that is known.
    pub(super) fn remember_first(&mut self, plugin: &str, digest: &Digest) {
        if !self.versions.get(plugin).is_some_and(|versions| versions.contains(digest)) {
            self.remember(plugin, digest);
        }
    }

    /// All versions that are known, with their plugins.
    pub(super) fn versions(&self) -> impl Iterator<Item = (&str, &Digest)> {
        self.versions
            .iter()
            .flat_map(|(plugin, digests)| digests.iter().map(move |digest| (plugin.as_str(), digest)))
    }

    /// Forgets all but the last `keep` versions of each plugin, but none that is used; gives those that are left.
    pub(super) fn prune(&mut self, keep: usize, used: &BTreeSet<Digest>) -> BTreeSet<Digest> {
        let mut left = used.clone();
        for digest in self.targets.values().flat_map(|target| [&target.digest, &target.previous]) {
            left.insert(digest.clone());
        }
        for digest in self.under_way.iter().flat_map(|under_way| [&under_way.digest, &under_way.from]) {
            left.insert(digest.clone());
        }
        for versions in self.versions.values_mut() {
            let oldest = versions.len().saturating_sub(keep);
            let mut index = 0;
            versions.retain(|digest| {
                index += 1;
                index > oldest || left.contains(digest)
            });
        }
        left.extend(self.versions.values().flatten().cloned());
        left
    }

    /// Adds to the history.
    pub(super) fn note(&mut self, entry: HistoryEntry) {
        if self.history.len() >= HISTORY_MAX {
            self.history.pop_front();
        }
        self.history.push_back(entry);
    }

    /// The history, oldest first.
    pub(super) fn history(&self) -> impl DoubleEndedIterator<Item = &HistoryEntry> {
        self.history.iter()
    }

    fn check(&self) -> Result<(), String> {
        if self.format != FORMAT {
            return Err(format!("its format is {}, and this program knows {FORMAT}", self.format));
        }
        let numbers = self.targets.values().map(|target| target.deployment);
        let numbers = numbers.chain(self.under_way.iter().map(|under_way| under_way.number));
        match numbers.chain(self.history.iter().map(|entry| entry.number)).max() {
            Some(number) if number >= self.next => {
                Err(format!("it has a deployment {number}, but says that the next one is {}", self.next))
            }
            _ => Ok(()),
        }
    }
}

fn damaged(path: &Path, reason: String) -> MasterError {
    MasterError::Record { path: PathBuf::from(path), reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(digit: char) -> Digest {
        digit.to_string().repeat(64).parse().unwrap()
    }

    fn deployed(now: char, before: char, deployment: u64) -> Deployed {
        Deployed {
            digest: digest(now),
            deployment,
            since_ms: 5,
            previous: digest(before),
            file: digest('f'),
            action: Action::Deploy,
            reason: None,
        }
    }

    fn entry(number: u64) -> HistoryEntry {
        HistoryEntry {
            number,
            at_ms: 1,
            plugin: "chat".into(),
            action: Action::Deploy,
            digest: digest('a'),
            from: None,
            done: true,
            reason: None,
            by: "ann".into(),
            skipped: Vec::new(),
        }
    }

    #[test]
    fn what_is_written_is_read_again_and_numbers_go_on() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("record.json");
        let mut record = Record::load(&path).unwrap();
        assert_eq!((record.draw(), record.draw()), (1, 2));
        record.targets.insert("chat".into(), deployed('a', 'b', 2));
        record.note(entry(2));
        record.save(&path).unwrap();
        let mut again = Record::load(&path).unwrap();
        assert_eq!(again.targets, record.targets);
        assert!(again.history().eq(record.history()));
        assert_eq!(again.draw(), 3);
    }

    #[test]
    fn a_damaged_record_is_refused_with_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("record.json");
        let mut record = Record::default();
        record.draw();
        record.targets.insert("chat".into(), deployed('a', 'b', 1));
        record.save(&path).unwrap();
        let good = fs::read_to_string(&path).unwrap();
        for bad in [
            &good[..good.len() / 2],
            "",
            "[]",
            &good.replace("\"next\": 2", "\"next\": 1"),
            &good.replace("\"format\": 1", "\"format\": 2"),
            &good.replace(&"a".repeat(64), "../../x"),
        ] {
            fs::write(&path, bad).unwrap();
            let error = Record::load(&path).unwrap_err().to_string();
            assert!(error.contains("record.json") && error.contains("move it away"), "{error}");
        }
        fs::File::create(&path).unwrap().set_len(BYTES_MAX + 1).unwrap();
        Record::load(&path).unwrap_err();
    }

    #[test]
    fn old_versions_go_and_those_in_use_stay() {
        let mut record = Record::default();
        for digit in "123456".chars() {
            record.remember("chat", &digest(digit));
        }
        record.remember("chat", &digest('3'));
        record.remember_first("chat", &digest('1'));
        record.targets.insert("chat".into(), deployed('2', '1', 1));
        let left = record.prune(2, &BTreeSet::from([digest('9')]));
        assert_eq!(left, ['1', '2', '3', '6', '9'].map(digest).into());
        let known: Vec<_> = record.versions().map(|(_, digest)| digest.clone()).collect();
        assert_eq!(known, ['1', '2', '6', '3'].map(digest));
    }

    #[test]
    fn the_history_is_bounded() {
        let mut record = Record::default();
        for number in 0..=HISTORY_MAX as u64 {
            record.note(entry(number));
        }
        assert_eq!(record.history().count(), HISTORY_MAX);
        assert_eq!(record.history().next().unwrap().number, 1);
    }
}
