//! `shaddock compile`: one component into the cache, in this process.

use std::time::Instant;

use anyhow::Context;
use serde_json::json;
use shaddock_engine::{Cache, compile};

use crate::args::CompileArgs;
use crate::exit::Failure;
use crate::{paths, screen};

/// Compiles the component and prints its digest, sizes and the time it took.
pub(crate) fn run(args: &CompileArgs) -> Result<(), Failure> {
    let cache = Cache::open(&paths::cache_dir(args.cache.cache_dir.as_deref())?)?;
    let start = Instant::now();
    let compiled = compile::compile(&args.file, &cache)?;
    let compile_ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
    let file = args.file.display();
    let component_bytes = std::fs::metadata(&args.file).with_context(|| file.to_string())?.len();
    let digest = compiled.digest();
    if args.json.json {
        screen::print(
            json!({ "digest": digest, "component_bytes": component_bytes, "compile_ms": compile_ms }),
        );
    } else {
        screen::print(format_args!("{digest}  {file}  {component_bytes} bytes  {compile_ms} ms"));
    }
    Ok(())
}
