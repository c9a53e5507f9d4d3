//! `shaddock plugin`: versions of plugins in the running cluster.

pub(crate) mod args;
mod diff;
mod history;
mod list;
mod record;
mod trace;

use std::time::Duration;

use anyhow::Context;
use serde_json::json;
use shaddock_cluster::ClusterError;
use shaddock_master::control::{
    Action, HistoryEntry, PluginListing, PluginRequest, Progress, Refusal, Started, ToolRequest, Traced,
};

use crate::args::ToolArgs;
use crate::exit::{Code, Failure};
use crate::screen;
use crate::tools::{self, ANSWER_TIMEOUT, Master};
use args::{DeployArgs, PluginCommand};

/// A component is read and stored, or servers are asked, before the master answers.
const LONG_TIMEOUT: Duration = Duration::from_secs(60);

/// Carries out a command.
pub(crate) fn run(command: &PluginCommand) -> Result<(), Failure> {
    let tool = command.tool();
    match command {
        PluginCommand::Deploy(args) => deploy(args),
        PluginCommand::Rollback(args) => {
            let (plugin, version) = (args.name.clone(), args.version.clone());
            change(tool, PluginRequest::Rollback { plugin, version, by: user() })
        }
        PluginCommand::Promote(args) => {
            change(tool, PluginRequest::Promote { plugin: args.name.clone(), by: user() })
        }
        PluginCommand::Abort(args) => {
            change(tool, PluginRequest::Abort { plugin: args.name.clone(), by: user() })
        }
        PluginCommand::List(_) => {
            let listing: PluginListing = tools::ask(tool, &plugin(PluginRequest::List), ANSWER_TIMEOUT)?;
            tools::print(tool, &listing, || list::text(&listing))
        }
        PluginCommand::History(args) => {
            let request = PluginRequest::History { plugin: args.name.clone() };
            let entries: Vec<HistoryEntry> = tools::ask(tool, &plugin(request), ANSWER_TIMEOUT)?;
            tools::print(tool, &json!({ "history": entries }), || history::text(&entries))
        }
        PluginCommand::Diff(args) => {
            let request = PluginRequest::Diff { a: args.a.clone(), b: args.b.clone() };
            let compared = tools::ask(tool, &plugin(request), ANSWER_TIMEOUT).map_err(unknown)?;
            tools::print(tool, &diff::json(&compared), || diff::text(&compared))
        }
        PluginCommand::Trace(args) => trace(tool, &args.uid),
        PluginCommand::Record(args) => record::run(args),
    }
}

fn deploy(args: &DeployArgs) -> Result<(), Failure> {
    // The master has a working directory of its own.
    let file = args.file.canonicalize().map_err(|error| {
        Failure::message(Code::Usage, format_args!("component {}: {error}", args.file.display()))
    })?;
    let request = PluginRequest::Deploy {
        plugin: args.name.clone(),
        file,
        canary: args.canary,
        force: args.force,
        settle_ms: args.settle.map(|seconds| seconds.saturating_mul(1000)),
        by: user(),
    };
    change(&args.tool, request)
}

/// Asks for something that takes a while, and shows how it goes until it is over.
fn change(tool: &ToolArgs, request: PluginRequest) -> Result<(), Failure> {
    let master = Master::connect(tool)?;
    match master.ask(&plugin(request), LONG_TIMEOUT)? {
        Started::Unchanged { digest } => {
            let text = || format!("{} runs already, nothing to do", digest.short());
            tools::print(tool, &json!({ "unchanged": true, "digest": digest }), text)
        }
        Started::Refused { refusal, error } => {
            let code = match refusal {
                Refusal::Unknown => Code::NoMatch,
                Refusal::Usage => Code::Usage,
                Refusal::Busy | Refusal::Failed => Code::Failed,
            };
            Err(Failure::message(code, error))
        }
        Started::Started { number } => {
            let entry = follow(&master, number, tool.json.json)?;
            report(tool, &entry)
        }
    }
}

/// Shows the steps of a deployment until it is over, however long that takes.
fn follow(master: &Master, number: u64, quiet: bool) -> Result<HistoryEntry, Failure> {
    let mut seen = 0;
    loop {
        let request = plugin(PluginRequest::Follow { number, seen });
        let progress: Progress = master.ask(&request, ANSWER_TIMEOUT).map_err(|failure| {
            let what = format!(
                "lost sight of deployment {number}, which may go on; see `shaddock plugin list` and `shaddock plugin history`"
            );
            Failure::new(failure.code, failure.error.context(what))
        })?;
        seen += progress.steps.len();
        for step in progress.steps.iter().filter(|_| !quiet) {
            screen::line(step);
        }
        if let Some(entry) = progress.end {
            return Ok(entry);
        }
    }
}

fn report(tool: &ToolArgs, entry: &HistoryEntry) -> Result<(), Failure> {
    let (plugin, digest) = (&entry.plugin, entry.digest.short());
    if !entry.done {
        let reason = entry.reason.as_deref().unwrap_or("no reason was given");
        let text = format!("{} of {plugin} to {digest} failed: {reason}", entry.action.name());
        return Err(Failure::message(Code::Failed, text).with_details(json!({ "deployment": entry })));
    }
    for id in entry.skipped.iter().filter(|_| !tool.json.json) {
        screen::line(format_args!("{id} is not ready; it comes up with the version that counts"));
    }
    tools::print(tool, entry, || match entry.action {
        Action::Canary => format!(
            "{plugin} runs {digest} as a canary (deployment {}); end it with `shaddock plugin promote {plugin}` or \
             `shaddock plugin abort {plugin}`",
            entry.number
        ),
        Action::Abort => format!("{plugin} runs no canary any more (deployment {})", entry.number),
        _ => format!("{plugin} runs {digest} (deployment {})", entry.number),
    })
}

fn trace(tool: &ToolArgs, uid: &str) -> Result<(), Failure> {
    let request = plugin(PluginRequest::Trace { uid: uid.to_owned() });
    let traced: Traced = tools::ask(tool, &request, ANSWER_TIMEOUT)?;
    tools::print(tool, &traced, || trace::text(&traced))?;
    let json = tool.json.json;
    if !traced.unanswered.is_empty() {
        let failed = traced.unanswered.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        return Err(Failure::message(Code::Failed, format_args!("no answer from\n{failed}")).printed(json));
    }
    if traced.calls.is_empty() {
        return Err(
            Failure::message(Code::NoMatch, format_args!("no call of {uid:?} is known")).printed(json)
        );
    }
    Ok(())
}

fn plugin(request: PluginRequest) -> ToolRequest {
    ToolRequest::Plugin { request }
}

/// What the master answers with an error, it does not know.
fn unknown(failure: Failure) -> Failure {
    match failure.error.downcast_ref() {
        Some(ClusterError::Answer(_)) => Failure::new(Code::NoMatch, failure.error),
        _ => failure,
    }
}

/// Who asks, for the history: a name, not a proof.
fn user() -> String {
    let name = std::env::var("USER").context("no name").ok().filter(|name| !name.is_empty());
    name.unwrap_or_else(|| format!("uid {}", rustix::process::getuid().as_raw()))
}
