//! What plugins in every language cost: the table in docs/languages.md, which `cargo xtask conformance` writes.
//!
//! Each language is measured in a process of its own, so that none finds what another one has left in memory.

#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark")]

use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use shaddock_engine::{Cache, Plugin, PluginSpec, PoolPolicy, compile};
use support::{TestHost, call, component, engine, session, spec};
use tokio::runtime::Runtime;

#[path = "../tests/support/mod.rs"]
mod support;

/// As the components are called, and as people write them.
const LANGUAGES: [(&str, &str); 7] = [
    ("rust", "Rust"),
    ("c", "C"),
    ("zig", "Zig"),
    ("go", "Go"),
    ("javascript", "JavaScript"),
    ("typescript", "TypeScript"),
    ("python", "Python"),
];

/// Reads a message, makes a call that yields once, and answers what came of it.
const ROUTE: &str = "connector.caseHandler.relay";
const CALLS: &[u8] = br#"{"method":"yield","args":{"name":"Zoe","numbers":[1,2,3]}}"#;
/// The same, and the call never ends.
const WAITS: &[u8] = br#"{"method":"sleep","args":null}"#;

fn main() {
    // Cargo passes options of its own.
    let named = std::env::args().nth(1);
    if let Some((name, shown)) = LANGUAGES.into_iter().find(|(name, _)| named.as_deref() == Some(*name)) {
        return println!("{}", row(name, shown));
    }
    let this = std::env::current_exe().unwrap();
    for (name, _) in LANGUAGES {
        let measured = Command::new(&this).arg(name).output().unwrap();
        assert!(measured.status.success(), "{}", String::from_utf8_lossy(&measured.stderr));
        print!("{}", String::from_utf8_lossy(&measured.stdout));
    }
}

/// A row of the table.
fn row(name: &str, shown: &str) -> String {
    let file = component(&format!("conformance_{name}.wasm"));
    let size = std::fs::metadata(&file).unwrap().len() as f64 / 1e6;
    let (runtime, engine, host) = (runtime(), engine(), Arc::new(TestHost::default()));
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::open(&dir.path().join("compiled")).unwrap();
    let begun = Instant::now();
    let digest = compile::compile(&file, &cache).unwrap().digest().clone();
    let compiled = begun.elapsed();
    let load = |pool| {
        let server_types = ["connector", "conform"].map(str::to_owned).to_vec();
        let spec = PluginSpec { server_types, pool, ..spec() };
        let code = cache.require_digest(&digest).unwrap();
        runtime.block_on(engine.load(spec, &code, host.clone())).unwrap()
    };
    let loads = sorted((0..9).map(|_| time(|| drop(load(PoolPolicy::Warm)))).collect());
    let fresh = load(PoolPolicy::Fresh);
    let fresh = calls(&runtime, &fresh, 300);
    let warm = load(PoolPolicy::Warm);
    calls(&runtime, &warm, 1_000);
    let times = calls(&runtime, &warm, 100_000);
    let memory = memory_per_instance(&runtime, &warm);
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    let us = |time: Duration| time.as_secs_f64() * 1e6;
    format!(
        "| {shown} | {size:.2} | {:.0} | {:.1} | {:.0} | {:.0} | {:.0} | {memory} |",
        ms(compiled),
        ms(percentile(&loads, 50)),
        us(percentile(&fresh, 50)),
        us(percentile(&times, 50)),
        us(percentile(&times, 99)),
    )
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn time(work: impl FnOnce()) -> Duration {
    let begun = Instant::now();
    work();
    begun.elapsed()
}

fn sorted(mut times: Vec<Duration>) -> Vec<Duration> {
    times.sort_unstable();
    times
}

fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    *sorted.get(sorted.len() * percent / 100).unwrap()
}

/// How long so many calls take, one after the other.
fn calls(runtime: &Runtime, plugin: &Plugin, count: usize) -> Vec<Duration> {
    let session = session();
    let once = || {
        let begun = Instant::now();
        runtime.block_on(plugin.handle(call(), ROUTE, CALLS, session.clone())).unwrap();
        begun.elapsed()
    };
    sorted(std::iter::repeat_with(once).take(count).collect())
}

/// KiB that this process alone has, by the number of instances that wait in a call.
fn memory_per_instance(runtime: &Runtime, plugin: &Plugin) -> u64 {
    const INSTANCES: u64 = 7;
    runtime.block_on(async {
        let live = plugin.stats().instances_live;
        let before = private_dirty_kib();
        let mut waiting = tokio::task::JoinSet::new();
        for _ in 0..=INSTANCES {
            let plugin = plugin.clone();
            waiting.spawn(async move { plugin.handle(call(), ROUTE, WAITS, session()).await.map(drop) });
        }
        while plugin.stats().instances_live < live + INSTANCES {
            assert!(waiting.try_join_next().is_none(), "a call that is to wait has ended");
            tokio::task::yield_now().await;
        }
        (private_dirty_kib() - before) / INSTANCES
    })
}

fn private_dirty_kib() -> u64 {
    let text = std::fs::read_to_string("/proc/self/smaps_rollup").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("Private_Dirty:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
