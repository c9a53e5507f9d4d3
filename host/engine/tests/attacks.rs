//! Plugins that do what they should not: each costs its own call and nothing else.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs, reason = "tests")]

mod support;

use std::time::{Duration, Instant};

use shaddock_engine::{Call, CallError, Plugin, PluginLimits, PluginSpec};
use support::{call, handle, probe, probe_with, session, spec};

/// The attack ends in an error that `expected` accepts, the instance is gone, and the next caller is served as if
/// nothing had happened.
async fn survives(
    plugin: &Plugin,
    what: &str,
    body: &str,
    expected: impl Fn(&CallError) -> bool,
) -> CallError {
    let before = plugin.stats();
    let error = handle(plugin, what, body).await.unwrap_err();
    assert!(expected(&error), "{what}: {error:?}");
    let after = plugin.stats();
    assert_eq!(after.instances_live, before.instances_live - 1, "{what}: the instance lives on");
    assert_eq!(handle(plugin, "count", "").await.unwrap(), "1", "{what}: not a new instance");
    error
}

fn trapped_with(text: &str) -> impl Fn(&CallError) -> bool {
    move |error| matches!(error, CallError::Trap { message, .. } if message.contains(text))
}

#[tokio::test]
async fn a_panic_is_told_with_its_text_and_its_place() {
    let (plugin, host) = probe().await;
    let error = survives(&plugin, "panic", "{}", trapped_with("unreachable")).await;
    assert_eq!((error.code(), error.retryable()), (500, false));
    assert!(
        error.backtrace().contains("shaddock:plugin/handler@0.1.0#handle"),
        "names in the backtrace:\n{}",
        error.backtrace()
    );
    assert!(host.take()[0].contains("the probe was asked to panic"));
}

#[tokio::test]
async fn garbage_results_are_refused() {
    let (plugin, _) = probe().await;
    survives(&plugin, "outOfBounds", "{}", |error| matches!(error, CallError::Trap { .. })).await;
    survives(&plugin, "notUtf8", "{}", trapped_with("utf-8")).await;
    let start = Instant::now();
    survives(&plugin, "hugeList", "{}", |error| {
        matches!(error, CallError::Trap { .. } | CallError::ValueTooLarge { .. })
    })
    .await;
    survives(&plugin, "big", "20000000", |error| matches!(error, CallError::ValueTooLarge { .. })).await;
    assert!(start.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn one_hundred_megabytes_are_refused_without_a_copy() {
    let limits = PluginLimits { memory_bytes_max: 250 << 20, ..spec().limits };
    let (plugin, _) = probe_with(PluginSpec { limits, ..spec() }).await;
    survives(&plugin, "big", "100000000", |error| matches!(error, CallError::ValueTooLarge { .. })).await;
}

#[tokio::test]
async fn recursion_ends_at_the_stack() {
    let (plugin, _) = probe().await;
    let error = survives(&plugin, "recurse", "{}", trapped_with("stack")).await;
    assert!(error.backtrace().lines().count() <= 33, "{}", error.backtrace());
}

#[tokio::test]
async fn memory_ends_at_its_limit() {
    let bytes_max = 16 << 20;
    let limits = PluginLimits { memory_bytes_max: bytes_max, ..spec().limits };
    let (plugin, _) = probe_with(PluginSpec { limits, ..spec() }).await;
    survives(&plugin, "eat", "{}", |error| matches!(error, CallError::Memory { bytes_max: 16777216, .. }))
        .await;
    let peak = plugin.stats().memory_bytes_peak;
    assert!(peak <= bytes_max && peak > bytes_max - (2 << 20), "{peak}");
}

#[tokio::test]
async fn computing_ends_at_the_budget_and_others_run_meanwhile() {
    let limits = PluginLimits { cpu_ms_max: 100, ..spec().limits };
    let (plugin, _) = probe_with(PluginSpec { limits, ..spec() }).await;
    // One thread: the looping guest has to give way.
    let others = tokio::spawn(async {
        let mut turns = 0;
        loop {
            tokio::time::sleep(Duration::from_millis(1)).await;
            turns += 1;
            if turns == 20 {
                return;
            }
        }
    });
    let start = Instant::now();
    survives(&plugin, "spin", "{}", |error| *error == CallError::CpuBudget).await;
    assert!(others.is_finished(), "nobody else had a turn");
    assert!(start.elapsed() >= Duration::from_millis(90), "{:?}", start.elapsed());
    // The budget is per call, not per instance.
    for _ in 0..5 {
        handle(&plugin, "work", "1000000").await.unwrap();
    }
}

#[tokio::test]
async fn a_looping_call_ends_at_its_deadline_before_its_budget() {
    let (plugin, _) = probe().await;
    let soon = Call::new(tokio::time::Instant::now() + Duration::from_millis(50));
    let start = Instant::now();
    let error = plugin.handle(soon, "probe.t.spin", b"", session()).await.unwrap_err();
    assert_eq!((error.code(), &error), (504, &CallError::Deadline));
    assert!(start.elapsed() < Duration::from_millis(1_500), "{:?}", start.elapsed());
    assert_eq!(plugin.stats().instances_live, 0);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waits_in_the_host_ends_at_its_deadline() {
    let (plugin, _) = probe().await;
    let start = tokio::time::Instant::now();
    assert_eq!(handle(&plugin, "call", "sleep").await, Err(CallError::Deadline));
    assert_eq!(start.elapsed().as_millis(), 5_000, "the plugin's own deadline comes first");
    let soon = Call::new(tokio::time::Instant::now() + Duration::from_millis(300));
    let start = tokio::time::Instant::now();
    assert_eq!(plugin.handle(soon, "probe.t.call", b"sleep", session()).await, Err(CallError::Deadline));
    assert_eq!(start.elapsed().as_millis(), 300, "the caller's deadline comes first");
    assert_eq!(plugin.stats().instances_live, 0);
    let late = Call::new(tokio::time::Instant::now());
    assert_eq!(plugin.handle(late, "probe.t.echo", b"", session()).await, Err(CallError::Deadline));
    assert_eq!(plugin.stats().instances_created, 2, "late work is not started");
}

#[tokio::test]
async fn a_call_that_is_given_up_takes_its_instance_along() {
    let (plugin, _) = probe().await;
    let given_up = {
        let call = plugin.handle(call(), "probe.t.call", b"sleep", session());
        tokio::time::timeout(Duration::from_millis(20), call).await
    };
    assert!(given_up.is_err());
    assert_eq!(plugin.stats().instances_live, 0);
    assert_eq!(handle(&plugin, "count", "").await.unwrap(), "1");
}

#[tokio::test]
async fn a_panic_in_the_host_takes_the_instance_along() {
    let (plugin, _) = probe().await;
    let of_task = plugin.clone();
    let task = tokio::spawn(async move { handle(&of_task, "call", "panic").await });
    assert!(task.await.unwrap_err().is_panic());
    assert_eq!(plugin.stats().instances_live, 0);
    assert_eq!(handle(&plugin, "count", "").await.unwrap(), "1");
}
