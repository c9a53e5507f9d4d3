//! What it costs to bring a plugin up from the cache of compiled code, and to hand over from one version to another.

#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use shaddock_engine::{Grants, HandOverLimits, Plugin, PluginSpec, PoolPolicy};
use support::{ALL_GRANTS, TestHost, cache, compiled, component, engine, spec, versioned};
use tokio::runtime::Runtime;

#[path = "../tests/support/mod.rs"]
mod support;

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// From a digest to a plugin that serves: the chat application, and the plainest plugin.
fn load(c: &mut Criterion) {
    let (engine, cache) = (engine(), cache());
    let host = Arc::new(TestHost::default());
    let server_types = ["gate", "connector", "chat", "probe"].map(str::to_owned).to_vec();
    let grants = Grants { timers: false, ..ALL_GRANTS };
    for name in ["chat", "echo"] {
        let digest = compiled(&component(&format!("{name}.wasm"))).digest().clone();
        let spec = PluginSpec { server_types: server_types.clone(), grants, ..spec() };
        let runtime = runtime();
        c.bench_function(&format!("load {name}"), |b| {
            // The time of what a load leaves behind, once it is dropped, is not the load's.
            b.iter_custom(|times| {
                let mut sum = Duration::ZERO;
                for _ in 0..times {
                    let begun = Instant::now();
                    let code = cache.require_digest(&digest).unwrap();
                    let plugin = runtime.block_on(engine.load(spec.clone(), &code, host.clone())).unwrap();
                    sum += begun.elapsed();
                    drop(plugin);
                }
                sum
            });
        });
    }
}

/// There and back, with a counter for a state: what calls are held for is half of it.
fn hand_over(c: &mut Criterion) {
    let runtime = runtime();
    let host = Arc::new(TestHost::default());
    let spec = PluginSpec { server_types: vec!["versioned".into()], pool: PoolPolicy::Single, ..spec() };
    let version = |number| {
        let code = compiled(&versioned(number, &[]));
        runtime.block_on(engine().load(spec.clone(), &code, host.clone())).unwrap()
    };
    let (one, other) = (version(1), version(2));
    let limits = HandOverLimits { hold: Duration::from_secs(1), state_bytes_max: 1 << 20 };
    let change = async |from: &Plugin, to: &Plugin| from.hand_over(to, limits).await.unwrap();
    c.bench_function("hand over there and back", |b| {
        b.iter(|| {
            runtime.block_on(async {
                change(&one, &other).await;
                change(&other, &one).await;
            });
        });
    });
}

criterion_group!(benches, load, hand_over);
criterion_main!(benches);
