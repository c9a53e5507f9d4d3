//! The command line of `shaddock plugin`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use shaddock_rollout::Share;

use crate::args::{EXIT_CODES, ToolArgs};

#[derive(Debug, Subcommand)]
pub(crate) enum PluginCommand {
    /// Bring a plugin to the version in a file, on all servers, while they serve
    ///
    /// The component is compiled, loaded and checked beside the running version on every server, tests itself if it
    /// can, and then takes over on one server and, after the settle time, on the rest. What is under way finishes on
    /// the old version. If anything fails on any server, all of them go on with the old one.
    #[command(after_help = EXIT_CODES)]
    Deploy(DeployArgs),
    /// Show which versions run, how they came to, and how they do
    #[command(after_help = EXIT_CODES)]
    List(ToolArgs),
    /// Show what has been deployed, rolled back and refused
    #[command(after_help = EXIT_CODES)]
    History(HistoryArgs),
    /// Bring a plugin back to the version before, or to one that the history names
    #[command(after_help = EXIT_CODES)]
    Rollback(RollbackArgs),
    /// Show what two versions offer, import and weigh differently
    #[command(after_help = EXIT_CODES)]
    Diff(DiffArgs),
    /// Let a canary serve all calls
    #[command(after_help = EXIT_CODES)]
    Promote(CanaryArgs),
    /// End a canary
    #[command(after_help = EXIT_CODES)]
    Abort(CanaryArgs),
    /// Show which versions served a user's last calls
    #[command(after_help = EXIT_CODES)]
    Trace(TraceArgs),
    /// Record a plugin's calls, with all that enters its instances, for `shaddock replay`
    ///
    /// Each server begins with new instances of the running version and takes down what they are called with, what the
    /// host answers them, the time and the random bytes that they get, and how the calls end. When the time is over it
    /// goes on as before. What players sent is in the files.
    #[command(after_help = EXIT_CODES)]
    Record(RecordArgs),
}

impl PluginCommand {
    /// Which cluster, and in which form.
    pub(crate) fn tool(&self) -> &ToolArgs {
        match self {
            PluginCommand::Deploy(args) => &args.tool,
            PluginCommand::List(tool) => tool,
            PluginCommand::History(args) => &args.tool,
            PluginCommand::Rollback(args) => &args.tool,
            PluginCommand::Diff(args) => &args.tool,
            PluginCommand::Promote(args) | PluginCommand::Abort(args) => &args.tool,
            PluginCommand::Trace(args) => &args.tool,
            PluginCommand::Record(args) => &args.tool,
        }
    }
}

#[derive(Args, Debug)]
pub(crate) struct DeployArgs {
    #[command(flatten)]
    pub(crate) tool: ToolArgs,
    /// The plugin, a key of plugins.json
    pub(crate) name: String,
    /// The component
    pub(crate) file: PathBuf,
    /// Only for this share of the users (5%, 0.5%), beside the running version, until `promote` or `abort`
    #[arg(long, value_name = "SHARE")]
    pub(crate) canary: Option<Share>,
    /// Even if a route, or something else that the running version offers, has vanished
    #[arg(long)]
    pub(crate) force: bool,
    /// How long the first server runs it before the others [default: settleMs of master.json]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(0..=600))]
    pub(crate) settle: Option<u64>,
}

#[derive(Args, Debug)]
pub(crate) struct HistoryArgs {
    #[command(flatten)]
    pub(crate) tool: ToolArgs,
    /// Only this plugin
    pub(crate) name: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct RollbackArgs {
    #[command(flatten)]
    pub(crate) tool: ToolArgs,
    /// The plugin
    pub(crate) name: String,
    /// First digits of a version's digest [default: the version before the running one, unless that was left already]
    pub(crate) version: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct DiffArgs {
    #[command(flatten)]
    pub(crate) tool: ToolArgs,
    /// First digits of a version's digest
    pub(crate) a: String,
    /// First digits of another one's
    pub(crate) b: String,
}

#[derive(Args, Debug)]
pub(crate) struct CanaryArgs {
    #[command(flatten)]
    pub(crate) tool: ToolArgs,
    /// The plugin
    pub(crate) name: String,
}

#[derive(Args, Debug)]
pub(crate) struct TraceArgs {
    #[command(flatten)]
    pub(crate) tool: ToolArgs,
    /// The user
    pub(crate) uid: String,
}

#[derive(Args, Debug)]
pub(crate) struct RecordArgs {
    #[command(flatten)]
    pub(crate) tool: ToolArgs,
    /// The plugin, a key of plugins.json
    pub(crate) name: String,
    /// Server on which its calls are recorded, may be given several times [default: all that run its handlers]
    #[arg(long, value_name = "ID")]
    pub(crate) server: Vec<String>,
    /// How long; Ctrl-C ends it earlier
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(crate) seconds: u64,
    /// How large the recording of a server may become, in MiB; a full one ends
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u64).range(1..=256))]
    pub(crate) mib: u64,
    /// Directory for the files, NAME-SERVER.jsonl
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub(crate) output: PathBuf,
}
