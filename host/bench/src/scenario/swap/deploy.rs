//! Versions of the chat plugin, and bringing them in.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::cluster::{Application, Cluster};

/// A deployment that takes longer, its settle time apart, is not waited for. Its version is compiled with lowered
/// priority on a machine that has little to spare.
const TIME_MAX: Duration = Duration::from_secs(180);
/// Any other command.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(30);
/// What `plugin deploy` says on standard error when a server has changed its pointer.
const CHANGED: &str = "switched on ";
const CUSTOM_SECTION: u8 = 0;

/// One component in as many versions as are wanted.
pub(super) struct Versions {
    component: Vec<u8>,
    file: PathBuf,
    /// Sets them apart from those of other runs.
    run: u128,
}

/// A deployment that is over.
pub(super) struct Deployed {
    /// When the command began.
    pub(super) begun: Instant,
    /// When the command told of each server that it runs the new version, in order.
    pub(super) changes: Vec<Instant>,
    pub(super) ended: Instant,
    /// Why it failed.
    pub(super) error: Option<String>,
    /// Whether it goes on, although nobody waits any more.
    pub(super) goes_on: bool,
}

impl Versions {
    /// Versions of a component, written into a directory that goes with the cluster.
    pub(super) fn of(component: &Path, directory: &Path) -> Result<Self> {
        let bytes =
            std::fs::read(component).with_context(|| format!("reading component {}", component.display()))?;
        ensure!(bytes.starts_with(b"\0asm"), "{} is no WebAssembly component", component.display());
        let run = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        Ok(Self { component: bytes, file: directory.join("version.wasm"), run })
    }

    /// Deploys one version on the cluster.
    ///
    /// # Errors
    /// If the command cannot be run. What the cluster makes of it is in the result.
    pub(super) async fn deploy(&self, cluster: &Cluster, number: u32, settle_s: u64) -> Result<Deployed> {
        let mark = format!("version {number} of run {}", self.run);
        tokio::fs::write(&self.file, with_custom_section(&self.component, mark.as_bytes())).await?;
        let mut command = cluster.command(&["plugin", "deploy", Application::Chat.plugin()])?;
        command.arg(&self.file).args(["--settle", &settle_s.to_string()]);
        let begun = Instant::now();
        let mut child = command
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("running `shaddock plugin deploy`")?;
        let stderr = child.stderr.take().context("the command has no standard error")?;
        let mut lines = BufReader::new(stderr).lines();
        let (mut changes, mut last) = (Vec::new(), String::new());
        let steps = async {
            while let Some(line) = lines.next_line().await? {
                if line.starts_with(CHANGED) {
                    changes.push(Instant::now());
                }
                last = line;
            }
            child.wait().await
        };
        let status = tokio::time::timeout(TIME_MAX + Duration::from_secs(settle_s), steps).await;
        let goes_on = status.is_err();
        let error = match status {
            Ok(status) => (!status?.success()).then_some(last),
            Err(_) => Some(format!("not done after {} s; its last step: {last}", TIME_MAX.as_secs())),
        };
        Ok(Deployed { begun, changes, ended: Instant::now(), error, goes_on })
    }
}

/// How often the cluster went back to a version before by itself.
pub(super) async fn automatic_rollbacks(cluster: &Cluster) -> Result<u64> {
    let mut command = cluster.command(&["plugin", "history", "--json"])?;
    let output = tokio::time::timeout(ANSWER_TIME_MAX, command.kill_on_drop(true).output());
    let output = output.await.context("`shaddock plugin history` has not ended in time")??;
    let history: Value =
        serde_json::from_slice(&output.stdout).context("what `shaddock plugin history` prints")?;
    let entries = history.get("history").and_then(Value::as_array).context("a list of deployments")?;
    let is_it = |entry: &&Value| entry.get("action").is_some_and(|action| action == "automatic_rollback");
    Ok(entries.iter().filter(is_it).count() as u64)
}

/// The same component with a section that means nothing, and so with another digest.
fn with_custom_section(component: &[u8], payload: &[u8]) -> Vec<u8> {
    const NAME: &[u8] = b"shaddock-bench";
    let mut content = Vec::new();
    put_leb128(NAME.len(), &mut content);
    content.extend_from_slice(NAME);
    content.extend_from_slice(payload);
    let mut out = component.to_vec();
    out.push(CUSTOM_SECTION);
    put_leb128(content.len(), &mut out);
    out.extend_from_slice(&content);
    out
}

/// The variable-length form of numbers in WebAssembly.
fn put_leb128(mut number: usize, out: &mut Vec<u8>) {
    while number > 0x7f {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_the_component_and_a_section_of_the_right_length() {
        let component = b"\0asm\x0d\0\x01\0";
        let version = with_custom_section(component, &[7; 200]);
        let section = version.strip_prefix(component).unwrap();
        // Id, the length 1 + 14 + 200 in two bytes, the name with its length.
        assert_eq!(section[..4], [0, 0xd7, 0x01, 14]);
        assert_eq!(section[3..].len(), 0x57 + 128);
        assert!(section[4..].starts_with(b"shaddock-bench\x07"));
    }

    #[test]
    fn what_is_no_component_is_refused_before_a_load_starts() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("chat.wasm");
        std::fs::write(&file, "(module)").unwrap();
        let error = Versions::of(&file, directory.path()).err().unwrap();
        assert!(error.to_string().contains("chat.wasm"), "{error}");
    }
}
