//! `shaddock plugin record`: what enters a plugin's guests, in a file for each server.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use serde_json::json;
use shaddock_master::control::{PluginRequest, Recording};
use shaddock_rollout::{Recorded, RecordedPiece};

use super::{LONG_TIMEOUT, plugin, unknown};
use crate::exit::{Code, Failure};
use crate::plugin::args::RecordArgs;
use crate::screen;
use crate::signals;
use crate::tools::{self, ANSWER_TIMEOUT, Master};

/// A file that was written.
struct Written {
    server: String,
    file: PathBuf,
    calls: u64,
    bytes: u64,
}

/// Records until the time is over or Ctrl-C, then fetches what was recorded.
pub(super) fn run(args: &RecordArgs) -> Result<(), Failure> {
    let (tool, name) = (&args.tool, &args.name);
    let is_quiet = tool.json.json;
    std::fs::create_dir_all(&args.output).with_context(|| format!("making {}", args.output.display()))?;
    let master = Master::connect(tool)?;
    let request = PluginRequest::Record {
        plugin: name.clone(),
        servers: args.server.clone(),
        seconds: args.seconds,
        bytes_max: args.mib << 20,
    };
    let recording: Recording = master.ask(&plugin(request), LONG_TIMEOUT).map_err(unknown)?;
    let failed = recording.failed.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    if recording.servers.is_empty() {
        return Err(Failure::message(Code::Failed, format_args!("nothing is recorded: {failed}")));
    }
    if !is_quiet {
        let servers = recording.servers.join(", ");
        screen::line(format_args!(
            "recording {name} on {servers} for {} s; Ctrl-C ends it earlier",
            args.seconds
        ));
    }
    master.run(signals::asked_to_stop(Duration::from_secs(args.seconds)))?;
    let mut written = Vec::new();
    for server in &recording.servers {
        written.push(fetch(&master, server, &args.output, name)?);
    }
    let all: Vec<_> = written
        .iter()
        .map(|one| json!({ "server": one.server, "file": one.file, "calls": one.calls, "bytes": one.bytes }))
        .collect();
    tools::print(tool, &json!({ "recordings": all, "failed": recording.failed }), || {
        let line = |one: &Written| {
            format!("{}: {} calls, {} bytes in {}", one.server, one.calls, one.bytes, one.file.display())
        };
        written.iter().map(line).collect::<Vec<_>>().join("\n")
    })?;
    if recording.failed.is_empty() {
        return Ok(());
    }
    Err(Failure::message(Code::Failed, format_args!("not recorded:\n{failed}")).printed(is_quiet))
}

fn fetch(master: &Master, server: &str, dir: &Path, name: &str) -> Result<Written, Failure> {
    let request = plugin(PluginRequest::RecordEnd { server: server.to_owned() });
    let Recorded { calls } = master.ask(&request, LONG_TIMEOUT)?;
    let file = dir.join(format!("{name}-{server}.jsonl"));
    let writing = || format!("writing {}", file.display());
    let mut out = File::create(&file).with_context(writing)?;
    let mut offset = 0;
    loop {
        let request = plugin(PluginRequest::Recorded { server: server.to_owned(), offset });
        let RecordedPiece { text } = master.ask(&request, ANSWER_TIMEOUT)?;
        if text.is_empty() {
            break;
        }
        out.write_all(text.as_bytes()).with_context(writing)?;
        offset += text.len();
    }
    Ok(Written { server: server.to_owned(), file, calls, bytes: offset as u64 })
}
