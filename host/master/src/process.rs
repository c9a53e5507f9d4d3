//! One server process: started, its output carried on, its end noticed.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;

use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use tokio::io::{AsyncRead, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::mpsc;

use crate::lines::Lines;

/// Takes one line of a server's output: the server's id, the line without its end.
pub type LineSink = Arc<dyn Fn(&str, &str) + Send + Sync>;

/// How server processes are started on this machine.
#[derive(Clone)]
pub struct Launch {
    /// The program to run, normally this very executable.
    pub program: PathBuf,
    /// Arguments before the server's id, which comes last but for `--entry` with the entry of a server that the
    /// configuration files need not have as it is (`["server", "--config", …, "--id"]`).
    pub arguments: Vec<OsString>,
    /// Where output goes, and with it whether servers outlive the master.
    pub output: Output,
}

/// Where the output of server processes goes.
#[derive(Clone)]
pub enum Output {
    /// To the master, line by line (development). Such a server ends when the master ends, however it ends, because
    /// it holds the reading end of a pipe as its standard input.
    Relay(LineSink),
    /// Straight into a log file per server (daemon). Such a server goes on serving when the master dies.
    Files,
}

impl Launch {
    /// Where a server's log is, if it has a file of its own.
    pub(crate) fn log_file(&self, path: PathBuf) -> Option<PathBuf> {
        matches!(self.output, Output::Files).then_some(path)
    }
}

/// What a server process writes to its standard output, as one JSON line, when it cannot start or go on.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Fatal {
    /// The error for people.
    pub(crate) fatal: String,
}

/// How a server process ended.
#[derive(Clone, Debug)]
pub(crate) struct Exit {
    /// Exit code or signal.
    pub(crate) status: ExitStatus,
    /// What it said itself, if it could.
    pub(crate) fatal: Option<String>,
    /// The last lines of its log (relayed output only), for ends without a word.
    pub(crate) last_lines: Vec<String>,
}

/// A running server process. Dropping it closes the lifeline.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    signals: mpsc::Sender<Signal>,
    _lifeline: Option<ChildStdin>,
}

impl Process {
    /// Sends `signal`, unless the process has already ended.
    pub(crate) fn signal(&self, signal: Signal) {
        // Full means that signals are already under way; closed that the process is gone.
        let _ = self.signals.try_send(signal);
    }
}

/// Lines kept of a relayed log.
const LAST_LINES: usize = 8;
/// Longest error a server may report of itself.
const FATAL_BYTES_MAX: usize = 64 * 1024;

/// Starts the server `id`; `entry` is what the process is told of it beside the files. The future runs until the process has ended and must be polled for signals to arrive.
pub(crate) fn spawn(
    launch: &Launch,
    id: &str,
    entry: Option<String>,
    log_file: PathBuf,
) -> io::Result<(Process, impl Future<Output = io::Result<Exit>> + Send + 'static)> {
    let mut command = Command::new(&launch.program);
    // An own process group: Ctrl-C in the terminal reaches the master alone, which stops the servers in order.
    command.args(&launch.arguments).arg(id).stdout(Stdio::piped()).process_group(0);
    if let Some(entry) = entry {
        command.args(["--entry", &entry]);
    }
    let sink = match &launch.output {
        Output::Relay(sink) => {
            command.stdin(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
            Some(sink.clone())
        }
        Output::Files => {
            let file = OpenOptions::new().create(true).append(true).mode(0o600).open(log_file)?;
            command.stdin(Stdio::null()).stderr(file);
            None
        }
    };
    let mut child = command.spawn()?;
    let pid = child.id().ok_or_else(|| io::Error::other("the process ended at once"))?;
    let (signals, receiver) = mpsc::channel(4);
    let process = Process { pid, signals, _lifeline: child.stdin.take() };
    let id: Arc<str> = id.into();
    Ok((process, watch(child, pid, id, sink, receiver)))
}

async fn watch(
    mut child: Child,
    pid: u32,
    id: Arc<str>,
    sink: Option<LineSink>,
    mut signals: mpsc::Receiver<Signal>,
) -> io::Result<Exit> {
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let fatal = read_fatal(stdout);
    let relayed = relay(stderr, &id, sink);
    let wait = async {
        loop {
            tokio::select! {
                status = child.wait() => break status,
                // Not yet waited for, so the process id still belongs to this child.
                Some(signal) = signals.recv() => send(pid, signal),
            }
        }
    };
    // The pipes end with the process, unless it left children behind that hold them: those are not waited for.
    let pipes = async { tokio::join!(fatal, relayed) };
    tokio::pin!(pipes);
    tokio::pin!(wait);
    let mut read = None;
    let status = loop {
        tokio::select! {
            status = &mut wait => break status?,
            done = &mut pipes, if read.is_none() => read = Some(done),
        }
    };
    if read.is_none() {
        read = tokio::time::timeout(std::time::Duration::from_millis(200), pipes).await.ok();
    }
    let (fatal, last_lines) = read.unwrap_or_default();
    Ok(Exit { status, fatal, last_lines })
}

fn send(pid: u32, signal: Signal) {
    let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return };
    if let Err(error) = kill_process(pid, signal) {
        tracing::warn!(pid = pid.as_raw_nonzero(), ?signal, %error, "signal not delivered");
    }
}

async fn read_fatal(pipe: Option<impl AsyncRead + Unpin>) -> Option<String> {
    let mut lines = Lines::new(BufReader::new(pipe?), FATAL_BYTES_MAX);
    let mut fatal = None;
    while let Some(line) = lines.next().await {
        if let Ok(said) = serde_json::from_str::<Fatal>(&line) {
            fatal = Some(said.fatal);
        }
    }
    fatal
}

async fn relay(pipe: Option<impl AsyncRead + Unpin>, id: &str, sink: Option<LineSink>) -> Vec<String> {
    let (Some(pipe), Some(sink)) = (pipe, sink) else { return Vec::new() };
    let mut lines = Lines::new(BufReader::new(pipe), FATAL_BYTES_MAX);
    let mut last = std::collections::VecDeque::with_capacity(LAST_LINES);
    while let Some(line) = lines.next().await {
        sink(id, &line);
        if last.len() == LAST_LINES {
            last.pop_front();
        }
        last.push_back(line);
    }
    last.into()
}

impl Exit {
    /// How the process ended, and what it logged last.
    pub(crate) fn with_last_lines(&self) -> String {
        let mut text = self.how();
        for line in &self.last_lines {
            text.push_str("\n  ");
            text.push_str(line);
        }
        text
    }

    /// "exit code 3" or "signal 9".
    pub(crate) fn how(&self) -> String {
        use std::os::unix::process::ExitStatusExt;
        match (self.status.code(), self.status.signal()) {
            (Some(code), _) => format!("the process ended with exit code {code}"),
            (None, Some(signal)) => format!("the process was ended by signal {signal}"),
            (None, None) => "the process ended".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// Runs `sh -c script ID` as a server would be run.
    async fn run(script: &str, signal: Option<Signal>) -> (Exit, Vec<String>) {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let sink: LineSink = {
            let seen = seen.clone();
            Arc::new(move |id, line| seen.lock().unwrap().push(format!("{id}|{line}")))
        };
        let launch = Launch {
            program: "/bin/sh".into(),
            arguments: vec!["-c".into(), script.into()],
            output: Output::Relay(sink),
        };
        let (process, watch) = spawn(&launch, "gate-1", None, PathBuf::new()).unwrap();
        if let Some(signal) = signal {
            process.signal(signal);
        }
        let exit = watch.await.unwrap();
        let seen = seen.lock().unwrap().clone();
        (exit, seen)
    }

    #[tokio::test]
    async fn a_servers_own_error_is_what_is_told() {
        let (exit, _) = run(r#"echo junk; echo '{"fatal":"port 3014 is taken"}'; exit 1"#, None).await;
        assert_eq!(exit.fatal.as_deref(), Some("port 3014 is taken"));
    }

    #[tokio::test]
    async fn an_end_without_a_word_is_told_with_the_last_lines() {
        let (exit, seen) = run("echo one >&2; echo two >&2; exit 3", None).await;
        assert_eq!(exit.with_last_lines(), "the process ended with exit code 3\n  one\n  two");
        assert_eq!(seen, ["gate-1|one", "gate-1|two"]);
    }

    #[tokio::test]
    async fn a_signal_reaches_the_process() {
        let (exit, _) = run("exec sleep 60", Some(Signal::KILL)).await;
        assert_eq!(exit.how(), "the process was ended by signal 9");
    }

    #[tokio::test]
    async fn a_grandchild_that_holds_the_pipes_does_not_hide_the_end() {
        let started = std::time::Instant::now();
        let (exit, _) = run("sleep 3 & exit 0", None).await;
        assert!(exit.status.success());
        assert!(started.elapsed() < std::time::Duration::from_secs(2));
    }

    #[tokio::test]
    async fn dropping_the_process_closes_its_lifeline() {
        let launch = Launch {
            program: "/bin/sh".into(),
            arguments: vec!["-c".into(), "cat; exit 7".into()],
            output: Output::Relay(Arc::new(|_, _| ())),
        };
        let (process, watch) = spawn(&launch, "gate-1", None, PathBuf::new()).unwrap();
        drop(process);
        assert_eq!(watch.await.unwrap().status.code(), Some(7));
    }
}
