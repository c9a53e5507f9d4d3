//! What a call costs: the numbers that BENCHMARKS.md quotes.

#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark")]

use std::sync::Arc;
use std::time::Duration;

use criterion::measurement::{Measurement, ValueFormatter, WallTime};
use criterion::{Criterion, criterion_group, criterion_main};
use rustix::time::{ClockId, clock_gettime};
use shaddock_engine::types::RouteKey;
use shaddock_engine::{Plugin, PluginSpec, PoolPolicy};
use support::{TestHost, call, component, load_file, server, session, spec};

#[path = "../tests/support/mod.rs"]
mod support;

/// CPU time of this thread: what else runs on the machine disturbs it least.
struct CpuTime;

impl Measurement for CpuTime {
    type Intermediate = Duration;
    type Value = Duration;
    fn start(&self) -> Duration {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        Duration::new(time.tv_sec.try_into().unwrap(), time.tv_nsec.try_into().unwrap())
    }
    fn end(&self, start: Duration) -> Duration {
        self.start() - start
    }
    fn add(&self, a: &Duration, b: &Duration) -> Duration {
        *a + *b
    }
    fn zero(&self) -> Duration {
        Duration::ZERO
    }
    fn to_f64(&self, time: &Duration) -> f64 {
        time.as_nanos() as f64
    }
    fn formatter(&self) -> &dyn ValueFormatter {
        WallTime.formatter()
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn load(spec: PluginSpec) -> Plugin {
    let host = Arc::new(TestHost::default());
    runtime().block_on(load_file(&component("echo.wasm"), spec, &host)).unwrap()
}

/// A 64-byte message through a handler, with the pool, the limits and the deadline of a real call.
fn handler(c: &mut Criterion<CpuTime>) {
    let body = [b'x'; 64];
    for (name, pool) in
        [("warm", PoolPolicy::Warm), ("single", PoolPolicy::Single), ("fresh", PoolPolicy::Fresh)]
    {
        let plugin = load(PluginSpec { pool, ..spec() });
        let session = session();
        c.bench_function(&format!("handle, {name} instance"), |b| {
            b.to_async(runtime()).iter(|| async {
                plugin.handle(call(), "probe.t.echo", &body, session.clone()).await.unwrap()
            });
        });
    }
}

fn route(c: &mut Criterion<CpuTime>) {
    let plugin = load(spec());
    plugin.set_servers("chat", ["chat-1", "chat-2", "chat-3"].map(server).into());
    let (session, value) = (RouteKey::Session(session()), RouteKey::Value("room-1".into()));
    for (name, key) in [("session", session), ("value", value)] {
        c.bench_function(&format!("route by {name}"), |b| {
            b.iter(|| plugin.route("chat", &key, "chatHandler.send").unwrap());
        });
    }
}

/// A filter that lets a 64-byte message pass, as a global filter in front of every request.
fn filter(c: &mut Criterion<CpuTime>) {
    let host = Arc::new(TestHost::default());
    let server_types = ["connector", "backend"].map(str::to_owned).to_vec();
    let spec = PluginSpec { server_types, ..spec() };
    let plugin = runtime().block_on(load_file(&component("roles.wasm"), spec, &host)).unwrap();
    let name = plugin.filters().iter().find(|name| &***name == "passes").unwrap();
    let body = [b'x'; 64];
    let session = session();
    c.bench_function("filter before, passes", |b| {
        b.to_async(runtime()).iter(|| async {
            plugin.filter_before(call(), name, "chat.chatHandler.send", &body, session.clone()).await.unwrap()
        });
    });
}

/// A plugin with many calls in flight: by the clock, since its instance has a task of its own.
fn concurrent(c: &mut Criterion) {
    let host = Arc::new(TestHost::default());
    let runtime = runtime();
    let plugin = runtime.block_on(load_file(&component("crowd.wasm"), spec(), &host)).unwrap();
    let session = session();
    for (name, route, body) in [
        ("handle, an instance with a task of its own", "probe.t.echo", &[b'x'; 64][..]),
        ("100 calls of other servers of 5 ms each, awaited together", "probe.t.gather", b"100"),
    ] {
        c.bench_function(name, |b| {
            b.to_async(&runtime)
                .iter(|| async { plugin.handle(call(), route, body, session.clone()).await.unwrap() });
        });
    }
}

criterion_group!(by_the_clock, concurrent);
criterion_group! {
    name = benches;
    config = Criterion::default().with_measurement(CpuTime);
    targets = handler, route, filter
}
criterion_main!(benches, by_the_clock);
