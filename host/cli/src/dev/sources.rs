//! The source files of a project, and who changes them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::Context;
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use shaddock_toolchain::Project;
use tokio::sync::mpsc;
use tokio::time::sleep;

use crate::exit::Failure;

/// What has not changed for so long has been saved completely.
const QUIET: Duration = Duration::from_millis(30);
/// Directories with what is not written by hand, or what a build does not read.
const SKIPPED: [&str; 5] = ["build", "target", "node_modules", "__pycache__", "config"];

/// When each file was changed last, and its size.
type Files = BTreeMap<PathBuf, (SystemTime, u64)>;

/// The source files of a project.
pub(super) struct Sources {
    roots: Vec<PathBuf>,
    shown_from: PathBuf,
    files: Files,
    watched: BTreeSet<PathBuf>,
    watcher: RecommendedWatcher,
    bell: mpsc::Receiver<()>,
}

/// What was saved.
pub(super) struct Change {
    name: String,
    at: Option<SystemTime>,
}

impl Change {
    /// How long ago that was.
    pub(super) fn age(&self) -> Duration {
        self.at.and_then(|at| at.elapsed().ok()).unwrap_or_default()
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl Sources {
    /// Begins to watch.
    pub(super) fn watch(project: &Project) -> Result<Sources, Failure> {
        // One that is full has rung already.
        let (ring, bell) = mpsc::channel(1);
        let watcher = notify::recommended_watcher(move |_| {
            let _ = ring.try_send(());
        });
        let outside = [&project.sdk, &project.wit].into_iter().filter(|dir| !dir.starts_with(&project.dir));
        let mut sources = Sources {
            roots: std::iter::once(&project.dir).chain(outside).cloned().collect(),
            shown_from: project.dir.clone(),
            files: Files::new(),
            watched: BTreeSet::new(),
            watcher: watcher.context("watching for changes")?,
            bell,
        };
        sources.files = sources.scan();
        Ok(sources)
    }

    /// Waits until something has been saved, completely, that was not there when this was called last.
    pub(super) async fn changed(&mut self) -> Change {
        loop {
            let mut found = self.scan();
            while found != self.files {
                sleep(QUIET).await;
                let now = self.scan();
                if now == found {
                    let change = self.difference(&now);
                    self.files = now;
                    return change;
                }
                found = now;
            }
            // The sender lives as long as the watcher, which is ours.
            let _ = self.bell.recv().await;
        }
    }

    /// All files as they are now; directories that are new are watched from now on.
    fn scan(&mut self) -> Files {
        let mut files = Files::new();
        let mut dirs = self.roots.clone();
        while let Some(dir) = dirs.pop() {
            if !self.watched.contains(&dir) && self.watcher.watch(&dir, RecursiveMode::NonRecursive).is_ok() {
                self.watched.insert(dir.clone());
            }
            for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
                let (path, name) = (entry.path(), entry.file_name());
                let name = name.to_string_lossy();
                let Ok(data) = entry.metadata() else { continue };
                if name.starts_with('.') {
                    continue;
                }
                if data.is_dir() {
                    if !SKIPPED.contains(&&*name) {
                        dirs.push(path);
                    }
                } else if let Ok(at) = data.modified() {
                    files.insert(path, (at, data.len()));
                }
            }
        }
        self.watched.retain(|dir| dir.is_dir());
        files
    }

    fn difference(&self, now: &Files) -> Change {
        let changed = now.iter().filter(|(path, stamp)| self.files.get(*path) != Some(stamp));
        match changed.max_by_key(|(_, (at, _))| *at) {
            Some((path, (at, _))) => Change { name: self.shown(path), at: Some(*at) },
            None => {
                let gone = self.files.keys().find(|path| !now.contains_key(*path));
                Change { name: gone.map_or_else(String::new, |path| self.shown(path)), at: None }
            }
        }
    }

    fn shown(&self, path: &Path) -> String {
        path.strip_prefix(&self.shown_from).unwrap_or(path).display().to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn project(dir: &Path) -> Project {
        for below in ["sdk", "wit", "build"] {
            fs::create_dir(dir.join(below)).unwrap();
        }
        fs::write(dir.join("a.js"), "1").unwrap();
        let manifest = r#"{ "language": "javascript", "entry": "a.js", "output": "build/a.wasm" }"#;
        fs::write(dir.join("shaddock.json"), manifest).unwrap();
        Project::open(dir).unwrap()
    }

    #[tokio::test]
    async fn what_is_saved_is_seen_and_what_is_built_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let mut sources = Sources::watch(&project(dir.path())).unwrap();
        fs::write(dir.path().join("build/a.wasm"), "built").unwrap();
        fs::write(dir.path().join(".a.js.swp"), "of an editor").unwrap();
        fs::create_dir_all(dir.path().join("new/deep")).unwrap();
        fs::write(dir.path().join("new/deep/b.js"), "2").unwrap();
        assert_eq!(sources.changed().await.to_string(), "new/deep/b.js");
        fs::write(dir.path().join("new/deep/b.js"), "three").unwrap();
        let change = sources.changed().await;
        assert_eq!(change.to_string(), "new/deep/b.js");
        assert!(change.age() < Duration::from_secs(60));
        fs::remove_file(dir.path().join("a.js")).unwrap();
        assert_eq!(sources.changed().await.to_string(), "a.js");
    }
}
