//! `start --daemon`: a second process of this program becomes the master, cut loose from the terminal.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, anyhow};
use rustix::process::{Pid, Signal, kill_process, setsid};
use serde_json::Value;
use shaddock_master::control::Listing;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;

use crate::exit::Failure;
use crate::screen::Task;
use crate::start::Plan;

/// Lines of the log that are shown if the process ends without a word.
const LOG_TAIL_LINES: usize = 10;

/// In the process that stays: leaves the terminal's session and the working directory.
pub(crate) fn detach() -> Result<(), Failure> {
    setsid().context("leaving the terminal's session")?;
    std::env::set_current_dir("/").context("leaving the working directory")?;
    Ok(())
}

/// Starts the process that stays, and returns when all servers are ready.
pub(crate) async fn start(plan: &Plan<'_>, shutdown: &CancellationToken) -> Result<Listing, Failure> {
    plan.state.create()?;
    let log_path = plan.state.master_log();
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(&log_path)
        .with_context(|| log_path.display().to_string())?;
    let mut child = Command::new(std::env::current_exe().context("finding this program's own file")?)
        .args(["start", "--detached", "--json", "--ready-timeout", &plan.args.ready_timeout.to_string()])
        .args(plan.args.watch.then_some("--watch"))
        .args(plan.cluster_arguments())
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .context("starting the process that stays")?;
    let task = Task::begin(format!("starting {}", plan.config.env), plan.args.json.json);
    let said = answer(&mut child, shutdown).await?;
    drop(task);
    match said {
        Some(said) if said.get("ready").is_some() => Ok(serde_json::from_value(said)?),
        Some(said) => {
            // Nothing of it is left when the error is shown. It has stopped everything before it spoke.
            child.wait().await?;
            Err(Failure::from_json(said))
        }
        None => {
            let status = child.wait().await?;
            Err(anyhow!("the master ended ({status}) without a word; its log says:\n{}", tail(&log_path))
                .into())
        }
    }
}

/// The one line that the process that stays writes: a listing, or an error.
async fn answer(child: &mut Child, shutdown: &CancellationToken) -> Result<Option<Value>, Failure> {
    let stdout = child.stdout.take().context("no pipe to the process that stays")?;
    let mut line = String::new();
    let mut reader = BufReader::new(stdout);
    let read = reader.read_line(&mut line);
    tokio::pin!(read);
    tokio::select! {
        read = &mut read => { read?; }
        () = shutdown.cancelled() => {
            terminate(child);
            read.await?;
            child.wait().await?;
        }
    }
    Ok(serde_json::from_str(&line).ok())
}

fn terminate(child: &Child) {
    if let Some(pid) = child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw) {
        // Gone already is as good.
        let _ = kill_process(pid, Signal::TERM);
    }
}

fn tail(log: &Path) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let skipped = text.lines().count().saturating_sub(LOG_TAIL_LINES);
    text.lines().skip(skipped).collect::<Vec<_>>().join("\n")
}
