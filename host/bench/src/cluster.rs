//! A cluster of its own for a measurement: configuration, processes, and their end.

mod layout;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};

pub(crate) use layout::{Application, Layout};

use crate::process::{Descendant, descendants};

/// A cold start compiles the plugin; on a busy machine that takes a while.
const READY_TIME_MAX: Duration = Duration::from_secs(120);
/// A cluster has to stop within 5 s; after this it is killed.
const STOP_TIME_MAX: Duration = Duration::from_secs(10);

/// A running cluster. Dropping it without [`Cluster::stop`] asks it to stop but does not wait.
pub(crate) struct Cluster {
    child: Child,
    /// Kept open: a program whose standard output is gone may stumble when it prints.
    _stdout: BufReader<ChildStdout>,
    directory: TempDir,
    backend: &'static str,
    client_ports: Vec<u16>,
    processes: Vec<(String, u32)>,
    ready_after: Duration,
}

impl Cluster {
    /// Writes a configuration with free ports into a temporary directory, starts this program with it, and waits until
    /// all servers are ready.
    pub(crate) async fn start(layout: Layout, component: &Path) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("shaddock-bench-").tempdir()?;
        let config = directory.path().join("config");
        let client_ports = layout.write(&config, component)?;
        let log = std::fs::File::create(directory.path().join("log"))?;
        let mut command = command_for(directory.path(), &["start", "--json", "--ready-timeout", "120"])?;
        if layout.application == Application::Chat {
            // Versions that nobody will run again have no place in the user's cache.
            command.arg("--cache-dir").arg(directory.path().join("cache"));
        }

        let started = Instant::now();
        let mut child = command.stdout(Stdio::piped()).stderr(log).spawn().context("starting the cluster")?;
        let mut stdout = BufReader::new(child.stdout.take().context("the cluster has no standard output")?);
        let ready = tokio::time::timeout(READY_TIME_MAX, until_ready(&mut stdout)).await;
        let ready_after = started.elapsed();
        let root = child.id().context("the cluster ended at once")?;
        let processes = named(root, descendants(root));
        let backend = layout.application.backend();
        let mut cluster =
            Self { child, _stdout: stdout, directory, backend, client_ports, processes, ready_after };
        if let Err(error) = ready.context("the cluster was not ready in time").flatten() {
            let log = cluster.log_tail();
            cluster.end().await?;
            let error = error.context("starting a cluster to measure");
            return Err(if log.is_empty() {
                error
            } else {
                error.context(format!("its log ends with:\n{log}\n"))
            });
        }
        Ok(cluster)
    }

    /// From starting the program to all servers ready.
    pub(crate) fn ready_after(&self) -> Duration {
        self.ready_after
    }

    /// Server ids (the master's is `master`) with their process ids, the master first, then sorted by id.
    pub(crate) fn processes(&self) -> &[(String, u32)] {
        &self.processes
    }

    /// Where clients connect.
    pub(crate) fn client_addresses(&self) -> Vec<SocketAddr> {
        self.client_ports.iter().map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, *port))).collect()
    }

    /// The processes that serve: frontends first, then backends; not the master.
    pub(crate) fn server_pids(&self) -> Vec<u32> {
        let of = |kind: &'static str| self.processes.iter().filter(move |(id, _)| id.starts_with(kind));
        of(layout::FRONTEND).chain(of(self.backend)).map(|(_, pid)| *pid).collect()
    }

    /// This program with a command for this cluster, not yet run.
    pub(crate) fn command(&self, arguments: &[&str]) -> Result<Command> {
        command_for(self.directory.path(), arguments)
    }

    /// A directory that goes with the cluster.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Stops the cluster and removes its files.
    pub(crate) async fn stop(mut self) -> Result<()> {
        self.end().await
    }

    async fn end(&mut self) -> Result<()> {
        self.signal(Signal::TERM);
        let Ok(ended) = tokio::time::timeout(STOP_TIME_MAX, self.child.wait()).await else {
            for (_, pid) in self.processes.iter().rev() {
                kill(*pid, Signal::KILL);
            }
            self.child.kill().await.context("killing the cluster")?;
            bail!("the cluster did not stop within {} s of SIGTERM and was killed", STOP_TIME_MAX.as_secs());
        };
        ended.context("waiting for the end of the cluster")?;
        Ok(())
    }

    fn signal(&self, signal: Signal) {
        // `None` once the child has been waited for: its number may belong to another process by then.
        if let Some(pid) = self.child.id() {
            kill(pid, signal);
        }
    }

    fn log_tail(&self) -> String {
        const LINES: usize = 20;
        let log = std::fs::read(self.directory.path().join("log")).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let skipped = log.lines().count().saturating_sub(LINES);
        log.lines().skip(skipped).collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.signal(Signal::TERM);
    }
}

/// This program with a command for the cluster whose files are in `directory`.
fn command_for(directory: &Path, arguments: &[&str]) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe().context("finding this program's own file")?);
    command
        .args(arguments)
        .args(["--env", layout::ENVIRONMENT])
        .arg("--config")
        .arg(directory.join("config"));
    command.arg("--state-dir").arg(directory.join("state")).env_remove("RUST_LOG").stdin(Stdio::null());
    Ok(command)
}

fn kill(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        // It may have ended in this very moment, which is what was wanted.
        let _ = kill_process(pid, signal);
    }
}

/// `start --json` prints one JSON object when all servers are ready; other lines are progress.
async fn until_ready(stdout: &mut BufReader<ChildStdout>) -> Result<()> {
    let mut line = String::new();
    loop {
        line.clear();
        if stdout.read_line(&mut line).await? == 0 {
            bail!("the cluster ended before it was ready");
        }
        let Ok(message) = serde_json::from_str::<serde_json::Value>(&line) else { continue };
        if let Some(error) = message.get("error") {
            bail!("the cluster did not start: {error}");
        }
        if message.get("ready").is_some_and(|ready| ready == true) {
            return Ok(());
        }
    }
}

/// Names processes by the id on their command line.
fn named(root: u32, below: Vec<Descendant>) -> Vec<(String, u32)> {
    let id_of = |arguments: &[String]| {
        let at = arguments.iter().position(|argument| argument == "--id")?;
        arguments.get(at + 1).cloned()
    };
    let mut servers: Vec<_> =
        below.into_iter().filter_map(|process| Some((id_of(&process.arguments)?, process.pid))).collect();
    servers.sort();
    servers.insert(0, ("master".to_owned(), root));
    servers
}

/// The component of an application's plugin: as given, else beside this program or in a build directory above it.
pub(crate) fn find_component(application: Application, given: Option<&Path>) -> Result<PathBuf> {
    if let Some(file) = given {
        anyhow::ensure!(file.is_file(), "there is no component {}", file.display());
        return Ok(std::path::absolute(file)?);
    }
    let program = std::env::current_exe().context("finding this program's own file")?;
    let name = application.plugin();
    let places = program.ancestors().skip(1).take(4).flat_map(|directory| {
        ["", "plugins/target/components/"].map(|below| directory.join(format!("{below}{name}.wasm")))
    });
    places.into_iter().find(|file| file.is_file()).with_context(|| {
        format!(
            "the {name} plugin was not found near {}; build it (`cargo xtask plugins`) or name it with --component FILE",
            program.display()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_known_by_the_id_on_their_command_line() {
        let below =
            |pid, line: &str| Descendant { pid, arguments: line.split(' ').map(str::to_owned).collect() };
        let processes = named(
            10,
            vec![
                below(13, "shaddock server --config c --id connector-1"),
                below(11, "shaddock compile bench.wasm"),
                below(12, "shaddock server --id backend-1 --supervised"),
            ],
        );
        let expected = [("master", 10), ("backend-1", 12), ("connector-1", 13)];
        assert_eq!(processes, expected.map(|(id, pid)| (id.to_owned(), pid)));
    }

    #[test]
    fn a_component_that_is_not_there_is_named() {
        let error = find_component(Application::Bench, Some(Path::new("/nowhere/bench.wasm"))).unwrap_err();
        assert!(error.to_string().contains("/nowhere/bench.wasm"), "{error}");
    }
}
