//! A running cluster in the foreground of a child process.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::ops::Deref;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::finished::wait;
use crate::{Config, Setup, Signal, signal};

/// How long a start may take, compiling included.
const START_TIME_MAX: Duration = Duration::from_secs(120);
/// How long a stop may take, with some room above the five seconds that are promised.
const STOP_TIME_MAX: Duration = Duration::from_secs(8);

/// A cluster that runs in the foreground of a child process of the test.
#[derive(Debug)]
pub struct Cluster {
    child: Child,
    started: Value,
    setup: Setup,
}

impl Cluster {
    /// Starts a cluster and waits until all its servers are ready.
    pub fn start(config: &Config) -> Cluster {
        Cluster::of(Setup::new(config))
    }

    /// Starts the cluster of `setup` and waits until all its servers are ready.
    pub fn of(setup: Setup) -> Cluster {
        let command = setup.command(&["start", "--json"]);
        Cluster::run(setup, command)
    }

    /// Starts the cluster of `setup` with a command line of its own, which must contain `start` and `--json`.
    pub fn run(setup: Setup, mut command: Command) -> Cluster {
        let log = File::create(setup.config_dir().with_file_name("log")).unwrap();
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, receiver) = mpsc::channel();
        // Reads on to the end, so that the program never waits for a reader.
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let mut cluster = Cluster { child, started: Value::Null, setup };
        let line = receiver.recv_timeout(START_TIME_MAX).unwrap_or_default();
        let ready = serde_json::from_str::<Value>(&line).ok().filter(|value| value["ready"] == true);
        cluster.started = ready.unwrap_or_else(|| panic!("not started: {line}\n{}", cluster.logs()));
        cluster
    }

    /// What `start --json` printed.
    pub fn started(&self) -> &Value {
        &self.started
    }

    /// Everything that was logged so far, the lines of all servers among it.
    pub fn logs(&self) -> String {
        let log = std::fs::read(self.setup.config_dir().with_file_name("log")).unwrap();
        String::from_utf8_lossy(&log).into_owned()
    }

    /// The process that was started, which is the master.
    pub fn master_pid(&self) -> u32 {
        self.child.id()
    }

    /// The process of a server.
    pub fn pid_of(&self, id: &str) -> u32 {
        let status = self.status(id);
        u32::try_from(status["pid"].as_u64().unwrap_or_else(|| panic!("{status}"))).unwrap()
    }

    /// The port of a server (or of the master) for metrics and health.
    pub fn admin_port(&self, id: &str) -> u16 {
        let list = self.list();
        let entry = if list["master"]["id"] == id { list["master"].clone() } else { self.status(id) };
        u16::try_from(entry["ports"]["admin"].as_u64().unwrap_or_else(|| panic!("{entry}"))).unwrap()
    }

    /// Kills the process of a server, which gets no chance to say goodbye.
    pub fn kill9(&self, id: &str) {
        signal(self.pid_of(id), Signal::KILL);
    }

    /// Sends a signal to the master and waits for its end: the exit code and how long it took.
    pub fn stop_with(&mut self, by: Signal) -> (Option<i32>, Duration) {
        let start = Instant::now();
        signal(self.child.id(), by);
        (self.wait(), start.elapsed())
    }

    /// Waits for the end of the master; its exit code, none if it was ended by a signal.
    pub fn wait(&mut self) -> Option<i32> {
        match wait(&mut self.child, STOP_TIME_MAX) {
            Some(code) => code,
            None => panic!("still running after {STOP_TIME_MAX:?}:\n{}", self.logs()),
        }
    }
}

impl Deref for Cluster {
    type Target = Setup;

    fn deref(&self) -> &Setup {
        &self.setup
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            signal(self.child.id(), Signal::TERM);
            if wait(&mut self.child, STOP_TIME_MAX).is_none() {
                let _ = self.child.kill();
                let _ = self.child.wait();
            }
        }
        if std::thread::panicking() {
            eprintln!("the cluster's log:\n{}", self.logs());
        }
    }
}
