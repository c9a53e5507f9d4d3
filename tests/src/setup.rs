//! A cluster on disk: a configuration with free ports, and directories of its own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::config::ENV;
use crate::{Config, Finished, Ports, Signal, directory, processes, program, root, wait_for};

/// Longest run of any command of a test: a start on a slow machine, compiling included.
const COMMAND_TIME_MAX: Duration = Duration::from_secs(120);

/// Free ports for a configuration directory that is copied.
const PORTS_OF_DIRECTORY: usize = 24;

/// Compiled plugins that tests share.
fn shared_cache() -> PathBuf {
    program().parent().unwrap_or(root()).join("test-cache")
}

/// A configuration on disk. Dropping it ends every process that was started with it.
#[derive(Debug)]
pub struct Setup {
    dir: TempDir,
    cache: PathBuf,
    ports: Ports,
    exchanged: BTreeMap<u16, u16>,
}

impl Setup {
    /// Writes `config`. Compiled plugins are shared with other tests.
    pub fn new(config: &Config) -> Setup {
        let dir = tempfile::Builder::new().prefix("shaddock-test-").tempdir().unwrap();
        let mut ports = Ports::take(config.ports());
        config.write(&dir.path().join("config"), &mut ports);
        Setup { dir, cache: shared_cache(), ports, exchanged: BTreeMap::new() }
    }

    /// Copies a configuration directory, whose ports become free ones.
    pub fn of_directory(from: &Path) -> Setup {
        let dir = tempfile::Builder::new().prefix("shaddock-test-").tempdir().unwrap();
        let mut ports = Ports::take(PORTS_OF_DIRECTORY);
        let exchanged = directory::copy(from, &dir.path().join("config"), &mut ports);
        Setup { dir, cache: shared_cache(), ports, exchanged }
    }

    /// The ports of the directory that was copied, and what they are here.
    pub fn exchanged_ports(&self) -> &BTreeMap<u16, u16> {
        &self.exchanged
    }

    /// The same with a cache of compiled plugins of its own, empty at first.
    pub fn with_empty_cache(config: &Config) -> Setup {
        let mut setup = Setup::new(config);
        setup.cache = setup.dir.path().join("cache");
        setup
    }

    /// The configuration directory.
    pub fn config_dir(&self) -> PathBuf {
        self.dir.path().join("config")
    }

    /// The state directory.
    pub fn state_dir(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    /// The cache of compiled plugins.
    pub fn cache_dir(&self) -> &Path {
        &self.cache
    }

    /// A file of the configuration.
    pub fn read(&self, name: &str) -> Value {
        crate::config::read(&self.config_dir(), name)
    }

    /// Changes a file of the configuration.
    pub fn edit(&self, name: &str, edit: impl FnOnce(&mut Value)) {
        let mut content = self.read(name);
        edit(&mut content);
        crate::config::write(&self.config_dir(), name, &content);
    }

    /// A free port that no server of this cluster uses.
    pub fn another_port(&mut self) -> u16 {
        self.ports.pick()
    }

    /// The program with these arguments, for this cluster, not yet run.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.bare_command(arguments);
        command.arg("--config").arg(self.config_dir()).arg("--state-dir").arg(self.state_dir());
        command
    }

    /// As [`Setup::command`], without naming configuration and state directory.
    pub fn bare_command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program());
        command.args(arguments).env("SHADDOCK_CACHE_DIR", &self.cache);
        for variable in
            ["SHADDOCK_CONFIG", "SHADDOCK_ENV", "SHADDOCK_STATE_DIR", "SHADDOCK_LOG_FORMAT", "RUST_LOG"]
        {
            command.env_remove(variable);
        }
        command
    }

    /// Runs the program with these arguments, for this cluster, to its end.
    pub fn run(&self, arguments: &[&str]) -> Finished {
        Finished::run(&mut self.command(arguments), COMMAND_TIME_MAX)
    }

    /// Runs a command made by [`Setup::command`] or [`Setup::bare_command`] to its end.
    pub fn run_command(&self, command: &mut Command) -> Finished {
        Finished::run(command, COMMAND_TIME_MAX)
    }

    /// `list --json`; fails if no cluster runs.
    pub fn list(&self) -> Value {
        self.run(&["list", "--json"]).expect(0).json()
    }

    /// A server's entry in [`Setup::list`].
    #[track_caller]
    pub fn status(&self, id: &str) -> Value {
        let list = self.list();
        let servers = list["servers"].as_array().unwrap();
        servers.iter().find(|server| server["id"] == id).unwrap_or_else(|| panic!("no {id}: {list}")).clone()
    }

    /// The port `field` of a server in servers.json.
    pub fn port(&self, id: &str, field: &str) -> u16 {
        let servers = self.read("servers.json");
        let all = servers[ENV].as_object().unwrap().values().flat_map(|list| list.as_array().unwrap());
        let entry = all.clone().find(|server| server["id"] == id).unwrap_or_else(|| panic!("no server {id}"));
        u16::try_from(entry[field].as_u64().unwrap_or_else(|| panic!("{id} has no {field}"))).unwrap()
    }

    /// All ports of master.json and servers.json.
    pub fn all_ports(&self) -> Vec<u16> {
        let of = |entry: &Value, fields: &[&str]| {
            fields
                .iter()
                .filter_map(|field| entry[*field].as_u64())
                .map(|p| u16::try_from(p).unwrap())
                .collect::<Vec<_>>()
        };
        let mut ports = of(&self.read("master.json")[ENV], &["port", "webPort"]);
        for list in self.read("servers.json")[ENV].as_object().unwrap().values() {
            ports.extend(
                list.as_array().unwrap().iter().flat_map(|server| of(server, &["port", "clientPort"])),
            );
        }
        ports
    }

    /// The port of the first gate for clients.
    pub fn gate_port(&self) -> u16 {
        self.port("gate-server-1", "clientPort")
    }

    /// The port of a connector for clients; counted from 1.
    pub fn connector_port(&self, number: usize) -> u16 {
        self.port(&format!("connector-server-{number}"), "clientPort")
    }

    /// The port of the page.
    pub fn web_port(&self) -> u16 {
        u16::try_from(self.read("master.json")[ENV]["webPort"].as_u64().unwrap()).unwrap()
    }

    /// The port of the master for servers and tools.
    pub fn master_port(&self) -> u16 {
        u16::try_from(self.read("master.json")[ENV]["port"].as_u64().unwrap()).unwrap()
    }

    /// Ids of all processes that run with this state directory.
    pub fn processes(&self) -> Vec<u32> {
        processes::with_argument(&self.state_dir())
    }

    /// Fails unless no process is left and every port is free again, soon.
    #[track_caller]
    pub fn nothing_runs(&self) {
        wait_for("the end of all processes", Duration::from_secs(2), || self.processes().is_empty());
        let taken: Vec<u16> = self.all_ports().into_iter().filter(|port| !crate::is_free(*port)).collect();
        assert!(taken.is_empty(), "ports still taken: {taken:?}");
    }
}

impl Drop for Setup {
    fn drop(&mut self) {
        for pid in self.processes() {
            processes::signal(pid, Signal::KILL);
        }
    }
}
