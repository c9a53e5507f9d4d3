//! `start --watch`: what is saved while a plugin is developed runs at once.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use shaddock_config::Config;
use shaddock_master::{Plugins, Saved};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::exit::Failure;
use crate::screen;

/// A file that has not changed for so long is complete: compilers write in one go.
const QUIET: Duration = Duration::from_millis(200);
/// While something else is deployed.
const BUSY: Duration = Duration::from_millis(500);

/// The component files of all plugins, watched before they are read for the first time: whatever is saved from then on
/// is noticed.
pub(crate) struct Watched {
    known: BTreeMap<String, (PathBuf, Option<Stamp>)>,
    bell: mpsc::Receiver<()>,
    watcher: RecommendedWatcher,
}

/// Deploys what is saved until it is dropped.
pub(crate) struct Watch {
    _watcher: RecommendedWatcher,
    task: JoinHandle<()>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Begins to watch the component files of all plugins.
pub(crate) fn open(config: &Config) -> Result<Watched, Failure> {
    let files: BTreeMap<String, PathBuf> =
        config.plugins.iter().map(|plugin| (plugin.name.clone(), plugin.component.clone())).collect();
    // One that is full has rung already.
    let (ring, bell) = mpsc::channel(1);
    let mut watcher = notify::recommended_watcher(move |_| {
        let _ = ring.try_send(());
    })
    .context("--watch")?;
    // Directories: a file is often replaced by another one of its name.
    let dirs: BTreeSet<&Path> = files.values().filter_map(|file| file.parent()).collect();
    for dir in dirs {
        let watched = watcher.watch(dir, RecursiveMode::NonRecursive);
        watched.with_context(|| format!("--watch: {}", dir.display()))?;
    }
    Ok(Watched { known: stamps(files), bell, watcher })
}

impl Watched {
    /// Begins to deploy what has been saved and what will be.
    pub(crate) fn deploy_with(self, plugins: Plugins) -> Watch {
        screen::line("watching the components of plugins.json");
        let task = tokio::spawn(follow(self.known, self.bell, async move |plugin: &str, file: &Path| {
            let saved = plugins.saved(plugin, file).await;
            tell(plugin, &saved);
            matches!(saved, Saved::Busy(_))
        }));
        Watch { _watcher: self.watcher, task }
    }
}

fn stamps(files: BTreeMap<String, PathBuf>) -> BTreeMap<String, (PathBuf, Option<Stamp>)> {
    let stamped = |(plugin, file): (String, PathBuf)| {
        let stamp = Stamp::of(&file);
        (plugin, (file, stamp))
    };
    files.into_iter().map(stamped).collect()
}

/// Deploys each file that has changed when it is complete; `deploy` says whether to try again a little later.
async fn follow(
    mut known: BTreeMap<String, (PathBuf, Option<Stamp>)>,
    mut bell: mpsc::Receiver<()>,
    deploy: impl AsyncFn(&str, &Path) -> bool,
) {
    while bell.recv().await.is_some() {
        for (plugin, (file, known)) in &mut known {
            while let Some(stamp) = complete(file).await.filter(|now| *known != Some(*now)) {
                if deploy(plugin, file).await {
                    sleep(BUSY).await;
                } else {
                    *known = Some(stamp);
                }
            }
        }
    }
}

/// What a change to a file changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    file: u64,
    bytes: u64,
    changed: (i64, i64),
}

impl Stamp {
    fn of(file: &Path) -> Option<Stamp> {
        let metadata = fs::metadata(file).ok()?;
        let changed = (metadata.mtime(), metadata.mtime_nsec());
        Some(Stamp { file: metadata.ino(), bytes: metadata.len(), changed })
    }
}

/// Waits until a file has been left alone for a while; none if it is not there, and the bell rings when it comes.
async fn complete(file: &Path) -> Option<Stamp> {
    let mut before = Stamp::of(file)?;
    loop {
        sleep(QUIET).await;
        let now = Stamp::of(file)?;
        if now == before {
            return Some(now);
        }
        before = now;
    }
}

fn tell(plugin: &str, saved: &Saved) {
    match saved {
        Saved::Ended(entry) if entry.done => {
            screen::line(format_args!(
                "plugin {plugin}: runs {} (deployment {})",
                entry.digest.short(),
                entry.number
            ));
        }
        Saved::Unchanged => screen::line(format_args!("plugin {plugin}: saved without a change")),
        Saved::Busy(_) => {}
        Saved::Ended(_) | Saved::Refused(_) => {
            let error = saved.error().unwrap_or_default();
            screen::line(format_args!("plugin {plugin}: the version before runs on: {error}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_file_is_deployed_once_it_is_complete() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("chat.wasm");
        fs::write(&file, "old").unwrap();
        let (ring, bell) = mpsc::channel(1);
        let (seen, mut deployed) = mpsc::channel(9);
        let busy = Arc::new(Mutex::new(2));
        let files = BTreeMap::from([("chat".to_owned(), file.clone())]);
        let task = tokio::spawn(follow(stamps(files), bell, async move |plugin: &str, file: &Path| {
            let tries_left = { std::mem::replace(&mut *busy.lock().unwrap(), 0) };
            if tries_left > 0 {
                return true;
            }
            seen.send(format!("{plugin}: {}", fs::read_to_string(file).unwrap())).await.unwrap();
            false
        }));
        ring.send(()).await.unwrap();
        sleep(QUIET * 3).await;
        fs::remove_file(&file).unwrap();
        ring.send(()).await.unwrap();
        sleep(QUIET * 3).await;
        fs::write(&file, "ne").unwrap();
        ring.send(()).await.unwrap();
        sleep(QUIET / 2).await;
        fs::write(&file, "new one").unwrap();
        assert_eq!(deployed.recv().await.unwrap(), "chat: new one");
        ring.send(()).await.unwrap();
        sleep(QUIET * 3).await;
        assert!(deployed.try_recv().is_err(), "nothing has changed");
        task.abort();
    }
}
