//! Plugin projects as a newcomer makes them, each in a directory of its own.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::finished::wait;
use crate::{Finished, Ports, Signal, program, root, signal, wait_for};

/// Longest run of a command: a first build in Rust compiles the SDK and what it needs, and tools come from a registry.
const COMMAND_TIME_MAX: Duration = Duration::from_secs(600);
/// How long `dev` may take for anything.
const DEV_TIME_MAX: Duration = Duration::from_secs(300);

/// An empty directory, and an environment in which nothing of the user's own is touched.
#[derive(Debug)]
pub struct Workshop {
    dir: TempDir,
}

impl Default for Workshop {
    fn default() -> Self {
        Self::new()
    }
}

impl Workshop {
    /// An empty one.
    pub fn new() -> Workshop {
        Workshop { dir: tempfile::Builder::new().prefix("shaddock-test-").tempdir().unwrap() }
    }

    /// With a project of this name.
    pub fn with_project(name: &str, language: &str) -> Workshop {
        let workshop = Workshop::new();
        workshop.run(&["new", name, "--lang", language]).expect(0);
        workshop
    }

    /// Where commands run, and projects are made.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The program with these arguments, not yet run.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program());
        self.prepare(command.args(arguments));
        command
    }

    /// Any command, made to run here with the program on its PATH.
    pub fn prepare<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        let toolchains = std::env::var_os("SHADDOCK_TOOLCHAIN_DIR").map(PathBuf::from);
        let path = std::env::var("PATH").unwrap();
        command
            .current_dir(self.path())
            .env("PATH", format!("{}:{path}", program().parent().unwrap().display()))
            .env("SHADDOCK_TOOLCHAIN_DIR", toolchains.unwrap_or_else(|| root().join("target/toolchains")))
            .env("SHADDOCK_CACHE_DIR", program().with_file_name("test-cache"))
            .env("XDG_STATE_HOME", self.path().join("state"));
        // What cargo tells its tests is none of the projects' business.
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("CARGO") && text != "CARGO_HOME" || text.starts_with("RUST_LOG") {
                command.env_remove(name);
            }
        }
        command
    }

    /// Runs the program here to its end.
    pub fn run(&self, arguments: &[&str]) -> Finished {
        Finished::run(&mut self.command(arguments), COMMAND_TIME_MAX)
    }

    /// Runs a command made by [`Workshop::command`] or [`Workshop::prepare`] to its end.
    pub fn run_command(&self, command: &mut Command) -> Finished {
        Finished::run(command, COMMAND_TIME_MAX)
    }

    /// Gives the servers of a project free ports; they are its own as long as what this answers lives.
    pub fn exchange_ports(&self, project: &str) -> Ports {
        let mut ports = Ports::take(8);
        for (file, fields) in
            [("master.json", &["port", "webPort"][..]), ("servers.json", &["port", "clientPort"])]
        {
            let path = self.path().join(project).join("config").join(file);
            let mut content: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
            let entry = match file {
                "master.json" => &mut content["development"],
                _ => &mut content["development"]["connector"][0],
            };
            for field in fields {
                entry[*field] = ports.pick().into();
            }
            fs::write(&path, content.to_string()).unwrap();
        }
        ports
    }

    /// A port of a project's file: `clientPort` of the connector in servers.json, for one.
    pub fn port(&self, project: &str, file: &str, field: &str) -> u16 {
        let path = self.path().join(project).join("config").join(file);
        let content: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        let entry = &content["development"];
        let entry = if entry[field].is_null() { &entry["connector"][0] } else { entry };
        u16::try_from(entry[field].as_u64().unwrap()).unwrap()
    }

    /// Puts a text in the place of another in a file of a project.
    pub fn replace(&self, file: &str, from: &str, to: &str) {
        let path = self.path().join(file);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{file} has no {from:?}: {text}");
        fs::write(&path, text.replace(from, to)).unwrap();
    }
}

/// A running `shaddock dev`.
#[derive(Debug)]
pub struct Dev {
    child: Child,
    log: PathBuf,
}

impl Dev {
    /// Starts it for a project; it need not have built anything yet.
    pub fn start(workshop: &Workshop, project: &str) -> Dev {
        let log = workshop.path().join("dev.log");
        let (out, err) = (File::create(&log).unwrap(), File::options().append(true).open(&log).unwrap());
        let mut command = workshop.command(&["dev", project]);
        let child =
            command.stdin(Stdio::null()).stdout(err.try_clone().unwrap()).stderr(err).spawn().unwrap();
        drop(out);
        Dev { child, log }
    }

    /// Everything that it wrote so far.
    pub fn said(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap()).into_owned()
    }

    /// Waits until a text was written so many times.
    #[track_caller]
    pub fn says(&mut self, text: &str, times: usize) {
        wait_for(&format!("{text:?} in {}", self.log.display()), DEV_TIME_MAX, || {
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("it ended ({status}) before {text:?}: {}", self.said());
            }
            self.said().matches(text).count() >= times
        });
    }

    /// Ends it as Ctrl-C does; answers its exit code.
    pub fn stop(mut self) -> Option<i32> {
        signal(self.child.id(), Signal::INT);
        wait(&mut self.child, Duration::from_secs(30)).flatten()
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
