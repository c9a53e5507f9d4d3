//! Which instance a call gets, and when it gets none.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs, reason = "tests")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use shaddock_engine::{
    Call, CallError, Chain, Engine, EngineSettings, PluginLimits, PluginSpec, PoolPolicy, limits,
};
use support::{TestHost, call, compiled, component, handle, probe, probe_with, session, spec};
use tokio::task::JoinSet;

fn with(pool: PoolPolicy, limits: PluginLimits) -> PluginSpec {
    PluginSpec { pool, limits, ..spec() }
}

#[tokio::test]
async fn warm_instances_are_used_again() {
    let (plugin, _) = probe().await;
    for expected in ["1", "2", "3"] {
        assert_eq!(handle(&plugin, "count", "").await.unwrap(), expected);
    }
    assert_eq!(plugin.stats().instances_created, 1, "the instance of the load serves calls");
}

#[tokio::test]
async fn fresh_instances_share_nothing() {
    let (plugin, _) = probe_with(with(PoolPolicy::Fresh, spec().limits)).await;
    for _ in 0..3 {
        assert_eq!(handle(&plugin, "count", "").await.unwrap(), "1");
    }
    let stats = plugin.stats();
    assert_eq!((stats.instances_created, stats.instances_live), (4, 0));
}

#[tokio::test]
async fn a_call_may_call_its_own_plugin_up_to_a_depth() {
    let (plugin, _) = probe().await;
    assert_eq!(handle(&plugin, "call", "r.echo").await.unwrap(), "args");
    let error = handle(&plugin, "call", "r.nest").await.unwrap_err();
    assert!(error.to_string().contains("nested too deeply"), "{error}");
    // The call of depth 0 and those of 1 to 8 each had an instance of their own.
    assert_eq!(plugin.stats().instances_created, u64::from(limits::CALL_DEPTH_MAX) + 1);
    let deep = Call { depth: limits::CALL_DEPTH_MAX + 1, ..call() };
    assert_eq!(plugin.remote(deep, "probe.r.echo", b"").await, Err(CallError::TooDeep));
}

#[tokio::test]
async fn calls_within_calls_do_not_block_each_other() {
    let limits = PluginLimits { instances_max: 4, nested_instances_max: 50, ..spec().limits };
    let (plugin, _) = probe_with(with(PoolPolicy::Warm, limits)).await;
    let mut calls = JoinSet::new();
    for _ in 0..50 {
        let plugin = plugin.clone();
        calls.spawn(async move { handle(&plugin, "call", "r.echo").await });
    }
    while let Some(result) = calls.join_next().await {
        assert_eq!(result.unwrap().unwrap(), "args");
    }
    assert!(plugin.stats().instances_created <= 8, "{:?}", plugin.stats());
}

#[tokio::test(start_paused = true)]
async fn calls_wait_for_an_instance_but_not_for_long() {
    let limits = PluginLimits {
        instances_max: 2,
        nested_instances_max: 1,
        queue_ms_max: 100,
        queued_calls_max: 1,
        ..spec().limits
    };
    let (plugin, _) = probe_with(with(PoolPolicy::Warm, limits)).await;
    let mut busy = JoinSet::new();
    for _ in 0..2 {
        let plugin = plugin.clone();
        busy.spawn(async move { handle(&plugin, "call", "sleep").await });
    }
    tokio::task::yield_now().await;
    let (waits, refused) = tokio::join!(handle(&plugin, "echo", "x"), handle(&plugin, "echo", "x"));
    let error = waits.unwrap_err();
    assert_eq!(error, CallError::Overloaded("no instance became free in time"));
    assert_eq!((error.code(), error.retryable()), (503, true));
    assert_eq!(refused, Err(CallError::Overloaded("too many calls wait for an instance")));
    // A nested call has a place of its own, and does not wait for a second one.
    let nested = |of_call: Call| Call { depth: 1, ..of_call };
    assert_eq!(plugin.remote(nested(call()), "probe.r.echo", b"y").await.unwrap(), b"y");
    let mut more = JoinSet::new();
    let of_task = plugin.clone();
    more.spawn(async move { of_task.handle(nested(call()), "probe.t.call", b"sleep", session()).await });
    tokio::task::yield_now().await;
    let error = plugin.remote(nested(call()), "probe.r.echo", b"y").await.unwrap_err();
    assert_eq!(error, CallError::Overloaded("no instance is free for a nested call"));
    // When one of the busy is done, the next is served.
    while busy.join_next().await.is_some() {}
    assert_eq!(handle(&plugin, "echo", "x").await.unwrap(), "x");
}

#[tokio::test(start_paused = true)]
async fn waiting_calls_are_served_in_order() {
    let limits = PluginLimits { queue_ms_max: 10_000, ..spec().limits };
    let (plugin, _) = probe_with(with(PoolPolicy::Single, limits)).await;
    let order = Arc::new(std::sync::Mutex::new(Vec::new()));
    let mut calls = JoinSet::new();
    for number in 0..20 {
        let (plugin, order) = (plugin.clone(), order.clone());
        calls.spawn(async move {
            handle(&plugin, "call", "yield").await.unwrap();
            order.lock().unwrap().push(number);
        });
    }
    while let Some(done) = calls.join_next().await {
        done.unwrap();
    }
    assert_eq!(*order.lock().unwrap(), (0..20).collect::<Vec<_>>());
    assert_eq!(plugin.stats().instances_created, 1);
}

#[tokio::test]
async fn a_single_instance_keeps_its_state_until_it_traps() {
    let (plugin, _) = probe_with(with(PoolPolicy::Single, spec().limits)).await;
    let mut calls = JoinSet::new();
    for _ in 0..10 {
        let plugin = plugin.clone();
        calls.spawn(async move { handle(&plugin, "count", "").await.unwrap() });
    }
    while calls.join_next().await.is_some() {}
    assert_eq!(handle(&plugin, "count", "").await.unwrap(), "11");
    handle(&plugin, "panic", "").await.unwrap_err();
    assert_eq!(handle(&plugin, "count", "").await.unwrap(), "1");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_reaches_its_own_single_instance_is_an_error_at_once() {
    let (plugin, _) = probe_with(with(PoolPolicy::Single, spec().limits)).await;
    let start = tokio::time::Instant::now();
    let error = handle(&plugin, "call", "r.echo").await.unwrap_err();
    assert!(error.to_string().contains("came back to the stateful plugin"), "{error}");
    assert_eq!(start.elapsed(), Duration::ZERO, "it did not wait");
    // The outer call had the failure as its answer, so the instance lives.
    assert_eq!(handle(&plugin, "count", "").await.unwrap(), "1");
    assert_eq!(plugin.stats().instances_created, 1);
    // A nested call of somebody else waits its turn like any other.
    let other = Call { depth: 3, chain: Chain::from_ids(&[1, 2, 3]), ..call() };
    assert_eq!(plugin.remote(other, "probe.r.echo", b"x").await.unwrap(), b"x");
}

#[tokio::test(start_paused = true)]
async fn when_the_engine_is_full_calls_fail_at_once() {
    let settings = EngineSettings { instances_max: 3, ..EngineSettings::default() };
    let engine = Engine::new(&settings).unwrap();
    let host = Arc::new(TestHost::default());
    let plugin = engine.load(spec(), &compiled(&component("probe.wasm")), host).await.unwrap();
    let mut busy = JoinSet::new();
    for _ in 0..3 {
        let plugin = plugin.clone();
        busy.spawn(async move { handle(&plugin, "call", "sleep").await });
    }
    tokio::task::yield_now().await;
    let error = handle(&plugin, "echo", "x").await.unwrap_err();
    assert!(matches!(error, CallError::Overloaded(_)), "{error}");
    while busy.join_next().await.is_some() {}
    assert_eq!(handle(&plugin, "echo", "x").await.unwrap(), "x");
}

#[tokio::test]
async fn idle_instances_go_after_a_burst() {
    let limits = PluginLimits { idle_instances_min: 1, idle_ms_max: 0, ..spec().limits };
    let (plugin, _) = probe_with(with(PoolPolicy::Warm, limits)).await;
    let mut calls = JoinSet::new();
    for _ in 0..10 {
        let plugin = plugin.clone();
        calls.spawn(async move { handle(&plugin, "call", "yield").await });
    }
    while calls.join_next().await.is_some() {}
    assert!(plugin.stats().instances_created >= 10);
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_millis(1)).await;
        handle(&plugin, "echo", "").await.unwrap();
    }
    assert_eq!(plugin.stats().instances_live, 1);
}

#[tokio::test]
async fn instances_are_replaced_after_so_many_calls_or_when_they_have_grown() {
    let limits = PluginLimits { recycle_calls: 3, ..spec().limits };
    let (plugin, _) = probe_with(with(PoolPolicy::Warm, limits)).await;
    for nth in ["1", "2", "3", "1", "2", "3", "1"] {
        assert_eq!(handle(&plugin, "count", "").await.unwrap(), nth);
    }
    assert_eq!((plugin.stats().instances_recycled, plugin.stats().instances_live), (2, 1));

    let limits = PluginLimits { recycle_bytes: Some(64 << 10), ..spec().limits };
    let (plugin, _) = probe_with(with(PoolPolicy::Warm, limits.clone())).await;
    for _ in 0..3 {
        assert_eq!(handle(&plugin, "count", "").await.unwrap(), "1", "no instance is so small");
    }
    assert_eq!((plugin.stats().instances_recycled, plugin.stats().instances_live), (3, 0));

    let (plugin, _) = probe_with(with(PoolPolicy::Single, limits)).await;
    for nth in ["1", "2"] {
        assert_eq!(handle(&plugin, "count", "").await.unwrap(), nth, "its memory is its state");
    }
}

#[tokio::test]
async fn a_quiet_server_can_trim() {
    let (plugin, _) = probe().await;
    let mut calls = JoinSet::new();
    for _ in 0..10 {
        let plugin = plugin.clone();
        calls.spawn(async move { handle(&plugin, "call", "yield").await });
    }
    while calls.join_next().await.is_some() {}
    plugin.trim(Duration::from_secs(60));
    assert_eq!(plugin.stats().instances_idle, 10);
    tokio::time::sleep(Duration::from_millis(2)).await;
    plugin.trim(Duration::from_millis(1));
    assert_eq!(plugin.stats().instances_idle, 2, "idle_instances_min stay");
}
