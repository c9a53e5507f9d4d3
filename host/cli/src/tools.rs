//! `shaddock list`, `stop` and `kick`: questions to the running master.

use std::time::Duration;

use anyhow::Context;
use serde::de::DeserializeOwned;
use shaddock_cluster::master_link::Tool;
use shaddock_cluster::{ClusterError, Secret};
use shaddock_master::StateDir;
use shaddock_master::control::{Kicked, Listing, StopTime, Stopped, ToolRequest};
use tokio::runtime::Runtime;

use crate::args::{KickArgs, StopArgs, ToolArgs};
use crate::exit::{Code, Failure};
use crate::{configuration, listing, one_thread, paths, screen};

/// How long the master may take to answer; for what takes its time, so much longer.
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the master's process may take to end after it has stopped all servers.
const MASTER_END: Duration = Duration::from_secs(5);

/// `shaddock list`
pub(crate) fn list(args: &ToolArgs) -> Result<(), Failure> {
    let listing: Listing = ask(args, &ToolRequest::List, ANSWER_TIMEOUT)?;
    print(args, &listing, || listing::full(&listing))
}

/// `shaddock stop [ids…]`
pub(crate) fn stop(args: &StopArgs) -> Result<(), Failure> {
    let everything = args.ids.is_empty();
    let state = state_dir(&args.tool)?;
    let stopped = match ask_to_stop(args) {
        Err(failure) if failure.code == Code::NotRunning && everything => {
            stop_leftovers(&args.tool, &state)?.ok_or(failure)?
        }
        asked => asked?,
    };
    if stopped.master {
        one_thread()?.block_on(state.master_gone(MASTER_END))?;
    }
    let result = print(&args.tool, &stopped, || match stopped.stopped.as_slice() {
        [] => String::new(),
        ids => format!("stopped {}", ids.join(", ")),
    });
    match stopped.unknown.as_slice() {
        [] => result,
        ids => {
            let failure = Failure::message(Code::NoMatch, format_args!("not running: {}", ids.join(", ")));
            Err(failure.printed(args.tool.json.json))
        }
    }
}

/// Waits as long as the master says that the stop may take: plugins may hold it.
fn ask_to_stop(args: &StopArgs) -> Result<Stopped, Failure> {
    let ids = || args.ids.clone();
    let time: StopTime = ask(&args.tool, &ToolRequest::StopTime { ids: ids() }, ANSWER_TIMEOUT)?;
    let limit = Duration::from_millis(time.ms_max) + ANSWER_TIMEOUT;
    ask(&args.tool, &ToolRequest::Stop { ids: ids() }, limit)
}

/// `shaddock kick UID`
pub(crate) fn kick(args: &KickArgs) -> Result<(), Failure> {
    let request = ToolRequest::Kick { uid: args.uid.clone(), reason: args.reason.clone() };
    let kicked: Kicked = ask(&args.tool, &request, ANSWER_TIMEOUT)?;
    print(&args.tool, &kicked, || match kicked.kicked {
        0 => String::new(),
        1 => format!("closed 1 session of {:?}", args.uid),
        count => format!("closed {count} sessions of {:?}", args.uid),
    })?;
    let json = args.tool.json.json;
    if !kicked.failed.is_empty() {
        let failed = kicked.failed.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        return Err(Failure::message(Code::Failed, format_args!("no answer from\n{failed}")).printed(json));
    }
    if kicked.kicked == 0 {
        let text = format_args!("{:?} has no session", args.uid);
        return Err(Failure::message(Code::NoMatch, text).printed(json));
    }
    Ok(())
}

/// Servers that serve on although their master is dead: they are ended by signal.
fn stop_leftovers(args: &ToolArgs, state: &StateDir) -> Result<Option<Stopped>, Failure> {
    // Files that are not valid any more are no reason not to stop.
    let config = configuration::load(&paths::config_dir(&args.cluster)?, &args.cluster.env).ok();
    let hold_ms = |(id, _): (String, u32)| config.as_ref().map(|config| config.stop_hold_ms(&id));
    let hold_ms_max = state.running_servers().into_iter().filter_map(hold_ms).max().unwrap_or_default();
    let ended = one_thread()?.block_on(state.end_leftovers(Duration::from_millis(hold_ms_max)))?;
    Ok((!ended.is_empty()).then(|| Stopped { stopped: ended, unknown: Vec::new(), master: false }))
}

/// Prints the result; nothing if it is empty, since then an error follows.
pub(crate) fn print<T: serde::Serialize>(
    args: &ToolArgs,
    value: &T,
    text: impl FnOnce() -> String,
) -> Result<(), Failure> {
    if args.json.json {
        screen::print(serde_json::to_string(value).context("the answer as JSON")?);
    } else {
        let text = text();
        if !text.is_empty() {
            screen::print(text);
        }
    }
    Ok(())
}

fn state_dir(args: &ToolArgs) -> Result<StateDir, Failure> {
    let config_dir = paths::config_dir(&args.cluster)?;
    paths::state_dir(&args.cluster, &config_dir)
}

/// Asks the master, which may take so long.
pub(crate) fn ask<T: DeserializeOwned>(
    args: &ToolArgs,
    request: &ToolRequest,
    limit: Duration,
) -> Result<T, Failure> {
    Master::connect(args)?.ask(request, limit)
}

/// A connection to the running master.
pub(crate) struct Master {
    tool: Tool,
    runtime: Runtime,
}

impl Master {
    /// Connects to the master of this cluster.
    pub(crate) fn connect(args: &ToolArgs) -> Result<Master, Failure> {
        let state = state_dir(args)?;
        let secret = Secret::load(&state.secret()).map_err(|error| not_running(args, error))?;
        let (host, port) = match state.master_address() {
            Some(address) => address,
            None => {
                let config = configuration::load(&paths::config_dir(&args.cluster)?, &args.cluster.env)?;
                (config.master.host, config.master.port)
            }
        };
        let runtime = one_thread()?;
        let tool = runtime.block_on(Tool::connect(&host, port, &secret)).map_err(|error| match error {
            ClusterError::Connect { .. } => not_running(args, error),
            other => Failure::from(other),
        })?;
        Ok(Master { tool, runtime })
    }

    /// Waits for something else while the connection stands.
    pub(crate) fn run<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    /// Asks the master, which may take so long.
    pub(crate) fn ask<T: DeserializeOwned>(
        &self,
        request: &ToolRequest,
        limit: Duration,
    ) -> Result<T, Failure> {
        let request = serde_json::to_value(request)?;
        let answer = self.runtime.block_on(self.tool.request(&request, limit))?;
        Ok(serde_json::from_value(answer).context("an answer of another version of shaddock")?)
    }
}

fn not_running(args: &ToolArgs, error: ClusterError) -> Failure {
    let what = format!(
        "no cluster runs for {} in the environment {:?}",
        args.cluster.config.display(),
        args.cluster.env
    );
    Failure::new(Code::NotRunning, anyhow::Error::new(error).context(what))
}
