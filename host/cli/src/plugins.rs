//! Compiling plugins: what the cache does not have yet, each in a child process.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use serde::Serialize;
use shaddock_config::Config;
use shaddock_engine::compile::{CompileLimits, in_child};
use shaddock_engine::limits::COMPONENT_BYTES_MAX;
use shaddock_engine::{Cache, Compiled};
use shaddock_master::{Compile, Components};

use crate::exit::Failure;
use crate::screen::{self, Task};

/// A plugin whose compiled code is in the cache.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Prepared {
    /// Name in plugins.json.
    pub(crate) name: String,
    /// sha256 of the component file.
    pub(crate) digest: String,
    /// How long it took to compile; none: it was in the cache already.
    pub(crate) compile_ms: Option<u64>,
}

/// Sees to it that the cache has the compiled code of every plugin of `config`.
pub(crate) async fn prepare(config: &Config, cache: &Cache, quiet: bool) -> Result<Vec<Prepared>, Failure> {
    let mut prepared = Vec::with_capacity(config.plugins.len());
    for plugin in &config.plugins {
        let (compiled, time) = compile(&plugin.name, &plugin.component, cache, quiet).await?;
        let digest = compiled.digest().to_string();
        let compile_ms = time.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
        prepared.push(Prepared { name: plugin.name.clone(), digest, compile_ms });
    }
    Ok(prepared)
}

/// How the master has versions compiled that come while it runs: in a child, as at the start.
pub(crate) fn components(cache: &Cache) -> Result<Components, Failure> {
    let program = std::env::current_exe().context("finding this program's own file")?;
    let cache = cache.clone();
    let compile: Compile = Arc::new(move |file| {
        let (program, cache) = (program.clone(), cache.clone());
        Box::pin(async move {
            let compiled = in_child(&program, &file, &cache, &CompileLimits::default()).await;
            compiled.map(drop).map_err(|error| error.to_string())
        })
    });
    Ok(Components { compile, bytes_max: COMPONENT_BYTES_MAX })
}

/// The compiled code of a component file.
pub(crate) async fn compiled(
    name: &str,
    file: &Path,
    cache: &Cache,
    quiet: bool,
) -> Result<Compiled, Failure> {
    Ok(compile(name, file, cache, quiet).await?.0)
}

/// Also answers how long it took; none: it was in the cache already.
async fn compile(
    name: &str,
    file: &Path,
    cache: &Cache,
    quiet: bool,
) -> Result<(Compiled, Option<Duration>), Failure> {
    if let Some(compiled) = cache.lookup(file).with_context(|| format!("plugin {name}"))? {
        return Ok((compiled, None));
    }
    let program = std::env::current_exe().context("finding this program's own file")?;
    let task = Task::begin(format!("compiling plugin {name}"), quiet);
    let start = Instant::now();
    let compiled = in_child(&program, file, cache, &CompileLimits::default())
        .await
        .with_context(|| format!("compiling plugin {name}"))?;
    let time = start.elapsed();
    drop(task);
    if !quiet {
        screen::line(format_args!("compiled plugin {name} in {:.1} s", time.as_secs_f64()));
    }
    Ok((compiled, Some(time)))
}
