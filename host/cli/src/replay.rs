//! `shaddock replay`: the calls of a recording once more, without a cluster.

use std::path::Path;

use serde_json::{Value, json};
use shaddock_engine::{
    Asked, Cache, Compiled, Difference, Engine, EngineError, EngineSettings, Recording, Replayed,
};

use crate::args::ReplayArgs;
use crate::exit::{Code, Failure};
use crate::{one_thread, paths, plugins, screen};

/// Differences that are shown in full; the others are counted.
const SHOWN_MAX: usize = 20;
/// Characters of a value that are shown.
const VALUE_CHARS_MAX: usize = 400;

/// Replays every file, and ends with an error if anything differs.
pub(crate) fn run(args: &ReplayArgs) -> Result<(), Failure> {
    let cache = Cache::open(&paths::cache_dir(args.cache.cache_dir.as_deref())?)?;
    let is_quiet = args.json.json;
    let runtime = one_thread()?;
    let mut all = Vec::new();
    for file in &args.files {
        let name = file.display().to_string();
        let text = std::fs::read_to_string(file)
            .map_err(|error| Failure::message(Code::Usage, format_args!("recording {name}: {error}")))?;
        let recording = Recording::parse(&text)
            .map_err(|error| Failure::message(Code::Usage, format_args!("recording {name}: {error}")))?;
        let replayed = runtime.block_on(async {
            let compiled = component(args.component.as_deref(), &recording, &cache, is_quiet).await?;
            let settings =
                EngineSettings { instances_max: 16, memory_bytes_max: recording.memory_bytes_max() };
            let engine = Engine::new(&settings)?;
            Ok::<_, Failure>(recording.replay(&engine, &compiled).await?)
        })?;
        all.push((name, recording, replayed));
    }
    let different: usize = all.iter().map(|(_, _, replayed)| replayed.differences.len()).sum();
    if is_quiet {
        let files: Vec<_> =
            all.iter().map(|(name, recording, replayed)| as_json(name, recording, replayed)).collect();
        screen::print(json!({ "recordings": files }));
    } else {
        let texts = all.iter().map(|(name, recording, replayed)| as_text(name, recording, replayed));
        screen::print(texts.collect::<Vec<_>>().join("\n"));
    }
    if different == 0 {
        return Ok(());
    }
    Err(Failure::message(Code::Failed, format_args!("{different} calls differ")).printed(is_quiet))
}

/// The code of the file named, or of the component that was recorded.
async fn component(
    file: Option<&Path>,
    recording: &Recording,
    cache: &Cache,
    is_quiet: bool,
) -> Result<Compiled, Failure> {
    if let Some(file) = file {
        return plugins::compiled(recording.plugin(), file, cache, is_quiet).await;
    }
    cache.require_digest(recording.digest()).map_err(|error| match error {
        EngineError::NotInCache { .. } => Failure::message(
            Code::NoMatch,
            format_args!(
                "the compiled code of {}, which was recorded, is not in {}: name its file with --component",
                recording.digest(),
                cache.dir().display()
            ),
        ),
        other => other.into(),
    })
}

fn as_text(name: &str, recording: &Recording, replayed: &Replayed) -> String {
    let Replayed { calls, instances, differences } = replayed;
    let mut lines: Vec<String> = differences.iter().take(SHOWN_MAX).flat_map(difference).collect();
    if let Some(more @ 1..) = differences.len().checked_sub(SHOWN_MAX) {
        lines.push(format!("… and {more} more; --json has all"));
    }
    let same = calls - differences.len() as u64;
    lines.push(format!(
        "{name}: {} on {}, calls {calls}, instances {instances}: {same} the same, {} different",
        recording.plugin(),
        recording.server(),
        differences.len()
    ));
    if let Some(incomplete) = recording.incomplete() {
        lines.push(incomplete);
    }
    lines.join("\n")
}

fn difference(difference: &Difference) -> Vec<String> {
    let Difference { call, instance, name, input, outcome, missing, added, logs } = difference;
    let mut lines = vec![format!("call {call}, instance {instance}: {name} {}", short(input))];
    if let Some((then, now)) = outcome {
        lines.push(format!("  - gave {}", short(then)));
        lines.push(format!("  + gave {}", short(now)));
    }
    let asked =
        |sign: char, asked: &Asked| format!("  {sign} asked {} {}", asked.function, short(&asked.arguments));
    lines.extend(missing.iter().map(|one| asked('-', one)));
    lines.extend(added.iter().map(|one| asked('+', one)));
    lines.extend(logs.iter().map(|line| format!("  log {line}")));
    lines
}

fn short(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(VALUE_CHARS_MAX) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

fn as_json(name: &str, recording: &Recording, replayed: &Replayed) -> Value {
    let asked = |all: &[Asked]| -> Vec<Value> {
        all.iter().map(|one| json!({ "do": one.function, "with": one.arguments })).collect()
    };
    let differences: Vec<Value> = replayed
        .differences
        .iter()
        .map(|one| {
            json!({
                "call": one.call,
                "instance": one.instance,
                "name": one.name,
                "input": one.input,
                "outcome": one.outcome.as_ref().map(|(then, now)| json!({ "then": then, "now": now })),
                "missing": asked(&one.missing),
                "added": asked(&one.added),
                "logs": one.logs,
            })
        })
        .collect();
    json!({
        "file": name,
        "plugin": recording.plugin(),
        "digest": recording.digest(),
        "server": recording.server(),
        "calls": replayed.calls,
        "instances": replayed.instances,
        "incomplete": recording.incomplete(),
        "differences": differences,
    })
}
