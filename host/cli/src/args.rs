//! The command line.

use std::path::PathBuf;

use crate::plugin::args::PluginCommand;
use clap::{Args, Parser, Subcommand, ValueEnum};

pub(crate) const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  it could not be done (a server did not start, a port is taken, …)
  2  wrong usage, or a configuration that is not valid
  3  no cluster runs for this configuration and environment
  4  nobody to do it to (unknown server id, uid without a session, unknown plugin or version)
  5  this cluster is running already";

/// A game server host that loads its game logic as WebAssembly components.
#[derive(Debug, Parser)]
#[command(name = "shaddock", version, after_help = EXIT_CODES, max_term_width = 110)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a plugin project: a handler, its test, a configuration to run it with, and the SDK
    ///
    /// Writes into a new directory NAME. Nothing is needed for it but this program; its README says how to go on.
    #[command(after_help = EXIT_CODES)]
    New(NewArgs),
    /// Install what builds plugins in a language
    ///
    /// The tools come from the language's own package registry, in the versions that this program was tested with, into
    /// a directory of their own; nothing else on the machine changes. (For Rust the target wasm32-unknown-unknown is
    /// added to the Rust that is installed.)
    #[command(after_help = EXIT_CODES)]
    Toolchain(ToolchainArgs),
    /// Build a plugin project into its component
    #[command(after_help = EXIT_CODES)]
    Build(BuildArgs),
    /// Run the unit tests of a plugin project, which need no server
    #[command(after_help = EXIT_CODES)]
    Test(TestArgs),
    /// Develop a plugin: build it, start its cluster, and swap in what is saved
    ///
    /// Runs in the foreground until Ctrl-C. When a source file is saved it is built again; if that succeeds the new
    /// version takes over without a lost request, else the compiler's message is shown and the old one runs on. What
    /// handlers log is shown, and so is the address of a page on which requests can be tried out.
    #[command(after_help = EXIT_CODES)]
    Dev(DevArgs),
    /// Send one request to the running cluster, as a client does, and print the answer
    ///
    /// Pushes that come meanwhile are written to standard error. An answer with a `code` of 400 or more ends with exit
    /// code 1.
    #[command(after_help = EXIT_CODES)]
    Call(CallArgs),
    /// Start the master and every server of this machine, and wait until all are ready
    ///
    /// In the foreground the cluster runs until Ctrl-C or SIGTERM. With --daemon the command returns when all
    /// servers are ready; `shaddock stop` stops them.
    #[command(after_help = EXIT_CODES)]
    Start(StartArgs),
    /// Run one server in the foreground
    ///
    /// `start` runs this for every server of the machine. On another machine, run it by hand with a copy of the
    /// cluster's secret.
    #[command(after_help = EXIT_CODES)]
    Server(ServerArgs),
    /// Show the servers of the running cluster
    #[command(after_help = EXIT_CODES)]
    List(ToolArgs),
    /// Stop servers of the running cluster, or all of it
    #[command(after_help = EXIT_CODES)]
    Stop(StopArgs),
    /// Add a server to the running cluster, or start one that has stopped
    ///
    /// The server is described as in servers.json: by options, or by words key=value as in pomelo
    /// (serverType=chat id=chat-server-4 host=127.0.0.1 port=6053; clusterCount=2 port=6053++ for several). It is
    /// checked, started on this machine, and waited for; if it does not get ready, nothing is left of it. With
    /// --id alone a server of the cluster that has stopped is started again.
    #[command(after_help = EXIT_CODES)]
    Add(AddArgs),
    /// Close all sessions of a user
    #[command(after_help = EXIT_CODES)]
    Kick(KickArgs),
    /// Bring new versions of plugins into the running cluster, and back
    #[command(subcommand, after_help = EXIT_CODES)]
    Plugin(PluginCommand),
    /// Make the calls of a recording again, and show what differs
    ///
    /// Needs no cluster: new instances of the recorded component, or of another one, get the calls, the host's answers,
    /// the time and the random bytes from the file. Compared are how the calls end and what they ask of the host.
    #[command(after_help = EXIT_CODES)]
    Replay(ReplayArgs),
    /// Check the configuration and load every plugin once, without starting anything
    #[command(after_help = EXIT_CODES)]
    Check(CheckArgs),
    /// Compile one plugin into the cache
    ///
    /// `start` and `check` run this for every plugin that is not in the cache, with lowered priority and limits on
    /// memory and CPU time.
    #[command(after_help = EXIT_CODES)]
    Compile(CompileArgs),
    /// Put load on a cluster and measure it
    Bench(Box<shaddock_bench::Args>),
    /// A bare server for `bench --baseline` to compare with
    #[command(hide = true)]
    BenchBaseline(shaddock_bench::BaselineArgs),
}

impl Command {
    /// Whether the result, or the error, is wanted as JSON.
    pub(crate) fn json(&self) -> bool {
        match self {
            Command::New(args) => args.json.json,
            Command::Toolchain(args) => args.json.json,
            Command::Build(args) => args.json.json,
            Command::Test(_) => false,
            Command::Call(args) => args.tool.json.json,
            Command::Start(args) => args.json.json,
            Command::List(args) => args.json.json,
            Command::Stop(args) => args.tool.json.json,
            Command::Add(args) => args.tool.json.json,
            Command::Kick(args) => args.tool.json.json,
            Command::Plugin(command) => command.tool().json.json,
            Command::Replay(args) => args.json.json,
            Command::Check(args) => args.json.json,
            Command::Compile(args) => args.json.json,
            Command::Bench(args) => args.json,
            Command::Dev(_) | Command::Server(_) | Command::BenchBaseline(_) => false,
        }
    }
}

/// Which cluster.
#[derive(Args, Clone, Debug)]
pub(crate) struct ClusterArgs {
    /// Configuration directory
    #[arg(long, value_name = "DIR", env = "SHADDOCK_CONFIG", default_value = "config")]
    pub(crate) config: PathBuf,
    /// Environment: a section of the configuration files, or a directory below the configuration directory
    #[arg(long, short, value_name = "ENV", env = "SHADDOCK_ENV", default_value = "development")]
    pub(crate) env: String,
    /// Where the running cluster keeps its secret and logs
    /// [default: one per configuration and environment below $XDG_STATE_HOME/shaddock]
    #[arg(long, value_name = "DIR", env = "SHADDOCK_STATE_DIR")]
    pub(crate) state_dir: Option<PathBuf>,
}

/// Where compiled plugins are kept.
#[derive(Args, Clone, Debug)]
pub(crate) struct CacheArgs {
    /// Cache of compiled plugins [default: $XDG_CACHE_HOME/shaddock/compiled]
    #[arg(long = "cache-dir", alias = "cache", value_name = "DIR", env = "SHADDOCK_CACHE_DIR")]
    pub(crate) cache_dir: Option<PathBuf>,
}

/// Logs go to standard error (with `start --daemon`, into files of the state directory).
#[derive(Args, Clone, Debug)]
pub(crate) struct LogArgs {
    /// What is logged: a level, or levels by crate (info,shaddock_server=debug)
    #[arg(long, value_name = "FILTER", env = "RUST_LOG", default_value = "info")]
    pub(crate) log: String,
    /// Form of a log line
    #[arg(long, value_name = "FORM", env = "SHADDOCK_LOG_FORMAT", default_value = "plain")]
    pub(crate) log_format: LogFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people
    Plain,
    /// One JSON object per line
    Json,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct JsonArgs {
    /// Print the result as JSON, one object on one line
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct StartArgs {
    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,
    #[command(flatten)]
    pub(crate) cache: CacheArgs,
    #[command(flatten)]
    pub(crate) log: LogArgs,
    #[command(flatten)]
    pub(crate) json: JsonArgs,
    /// Return when all servers are ready and leave them running; they log into the state directory
    #[arg(long, short)]
    pub(crate) daemon: bool,
    /// Deploy a plugin when its component file is written: for development
    #[arg(long)]
    pub(crate) watch: bool,
    /// How long the servers may take until all are ready
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(crate) ready_timeout: u64,
    /// This process is the one that `--daemon` leaves running
    #[arg(long, hide = true)]
    pub(crate) detached: bool,
}

/// Where the tools of languages are.
#[derive(Args, Clone, Debug)]
pub(crate) struct ToolchainDirArgs {
    /// Where the tools of languages are [default: $XDG_CACHE_HOME/shaddock/toolchains]
    #[arg(long, value_name = "DIR", env = "SHADDOCK_TOOLCHAIN_DIR")]
    pub(crate) toolchain_dir: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct NewArgs {
    /// Name of the project, its directory and its plugin: small letters, digits and hyphens
    pub(crate) name: String,
    /// What it is written in: rust, javascript, typescript, c, zig, go or python
    #[arg(long, value_name = "LANG", default_value = "rust")]
    pub(crate) lang: String,
    #[command(flatten)]
    pub(crate) json: JsonArgs,
}

#[derive(Args, Debug)]
pub(crate) struct ToolchainArgs {
    /// rust, javascript, typescript, c, zig, go or python
    #[arg(value_name = "LANG")]
    pub(crate) language: String,
    #[command(flatten)]
    pub(crate) dir: ToolchainDirArgs,
    #[command(flatten)]
    pub(crate) json: JsonArgs,
}

#[derive(Args, Debug)]
pub(crate) struct BuildArgs {
    /// The project
    #[arg(value_name = "DIR", default_value = ".")]
    pub(crate) project: PathBuf,
    /// Build it as `shaddock dev` does, so that it is there soon
    #[arg(long)]
    pub(crate) dev: bool,
    #[command(flatten)]
    pub(crate) dir: ToolchainDirArgs,
    #[command(flatten)]
    pub(crate) json: JsonArgs,
}

#[derive(Args, Debug)]
pub(crate) struct TestArgs {
    /// The project
    #[arg(value_name = "DIR", default_value = ".")]
    pub(crate) project: PathBuf,
    #[command(flatten)]
    pub(crate) dir: ToolchainDirArgs,
}

#[derive(Args, Debug)]
pub(crate) struct DevArgs {
    /// The project
    #[arg(value_name = "DIR", default_value = ".")]
    pub(crate) project: PathBuf,
    /// Environment: a section of the configuration files
    #[arg(long, short, value_name = "ENV", env = "SHADDOCK_ENV", default_value = "development")]
    pub(crate) env: String,
    /// Where the running cluster keeps its secret and logs
    /// [default: one per configuration and environment below $XDG_STATE_HOME/shaddock]
    #[arg(long, value_name = "DIR", env = "SHADDOCK_STATE_DIR")]
    pub(crate) state_dir: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) cache: CacheArgs,
    #[command(flatten)]
    pub(crate) log: LogArgs,
    #[command(flatten)]
    pub(crate) dir: ToolchainDirArgs,
}

#[derive(Args, Debug)]
pub(crate) struct CallArgs {
    #[command(flatten)]
    pub(crate) tool: ToolArgs,
    /// Route, `serverType.handler.method`
    pub(crate) route: String,
    /// Body, JSON
    #[arg(value_name = "JSON", default_value = "{}")]
    pub(crate) body: String,
    /// Where to connect, in place of a frontend of the running cluster
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) address: Option<String>,
    /// Send a notify, which has no answer
    #[arg(long)]
    pub(crate) notify: bool,
    /// Stay so many milliseconds longer for pushes
    #[arg(long, value_name = "MS", default_value_t = 0)]
    pub(crate) wait_ms: u64,
}

#[derive(Args, Debug)]
pub(crate) struct ServerArgs {
    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,
    #[command(flatten)]
    pub(crate) cache: CacheArgs,
    #[command(flatten)]
    pub(crate) log: LogArgs,
    /// Which server of servers.json
    #[arg(long, value_name = "ID")]
    pub(crate) id: String,
    /// File with the cluster's secret [default: the one in the state directory]
    #[arg(long, value_name = "FILE")]
    pub(crate) secret: Option<PathBuf>,
    /// Threads that serve; 0: one per core, at most 4
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u16).range(0..=256))]
    pub(crate) threads: u16,
    /// Report a fatal error as a JSON line on standard output, for the master
    #[arg(long, hide = true)]
    pub(crate) supervised: bool,
    /// The server's entry, as JSON, in place of the one of servers.json: the master has checked it
    #[arg(long, hide = true, value_name = "JSON")]
    pub(crate) entry: Option<String>,
    /// Stop when standard input ends: it is a pipe that the master holds open
    #[arg(long, hide = true)]
    pub(crate) lifeline: bool,
}

#[derive(Args, Debug)]
pub(crate) struct ToolArgs {
    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,
    #[command(flatten)]
    pub(crate) json: JsonArgs,
}

#[derive(Args, Debug)]
pub(crate) struct StopArgs {
    #[command(flatten)]
    pub(crate) tool: ToolArgs,
    /// Servers to stop; none: all servers and the master
    #[arg(value_name = "ID")]
    pub(crate) ids: Vec<String>,
}

#[derive(Args, Debug)]
pub(crate) struct AddArgs {
    #[command(flatten)]
    pub(crate) tool: ToolArgs,
    /// Server type, a key of servers.json
    #[arg(long = "type", value_name = "TYPE")]
    pub(crate) server_type: Option<String>,
    /// Id that no other server has
    #[arg(long, value_name = "ID")]
    pub(crate) id: Option<String>,
    /// Where other servers find it: an address of this machine
    #[arg(long, value_name = "HOST")]
    pub(crate) host: Option<String>,
    /// Where other servers call it
    #[arg(long, value_name = "PORT")]
    pub(crate) port: Option<u16>,
    /// Where clients connect
    #[arg(long, value_name = "PORT")]
    pub(crate) client_port: Option<u16>,
    /// Clients connect to it
    #[arg(long)]
    pub(crate) frontend: bool,
    /// Any field of servers.json; the value is JSON, or else a text
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) field: Vec<String>,
    /// How long it may take until it is ready
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(crate) ready_timeout: u64,
    /// The same as --field
    #[arg(value_name = "KEY=VALUE")]
    pub(crate) fields: Vec<String>,
}

#[derive(Args, Debug)]
pub(crate) struct KickArgs {
    #[command(flatten)]
    pub(crate) tool: ToolArgs,
    /// The user
    pub(crate) uid: String,
    /// Told to the client
    #[arg(long, value_name = "TEXT", default_value = "kick")]
    pub(crate) reason: String,
}

#[derive(Args, Debug)]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,
    #[command(flatten)]
    pub(crate) cache: CacheArgs,
    #[command(flatten)]
    pub(crate) log: LogArgs,
    #[command(flatten)]
    pub(crate) json: JsonArgs,
}

#[derive(Args, Debug)]
pub(crate) struct ReplayArgs {
    /// Recordings, files of `shaddock plugin record`
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Component that gets the calls, in whatever language [default: the recorded one, from the cache]
    #[arg(long, value_name = "FILE")]
    pub(crate) component: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) cache: CacheArgs,
    #[command(flatten)]
    pub(crate) json: JsonArgs,
}

#[derive(Args, Debug)]
pub(crate) struct CompileArgs {
    /// The component
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) cache: CacheArgs,
    #[command(flatten)]
    pub(crate) json: JsonArgs,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }
}
