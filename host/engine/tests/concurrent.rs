//! Plugins with many calls in flight in one instance.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "tests")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use shaddock_engine::types::{Session, SessionId, Setting};
use shaddock_engine::{Call, CallError, Plugin, PluginLimits, PluginSpec, PoolPolicy, Track};
use support::{TestHost, call, component, handle, load_file, session, spec};
use tokio::task::JoinSet;
use tokio::time::Instant;

async fn crowd_with(spec: PluginSpec) -> (Plugin, Arc<TestHost>) {
    let host = Arc::new(TestHost::default());
    let plugin = load_file(&component("crowd.wasm"), spec, &host).await.unwrap();
    host.take();
    (plugin, host)
}

async fn crowd() -> (Plugin, Arc<TestHost>) {
    crowd_with(spec()).await
}

fn numbered(number: u64) -> Arc<Session> {
    Arc::new(Session { id: SessionId { number, ..session().id.clone() }, ..(*session()).clone() })
}

async fn refused(limits: PluginLimits, pool: PoolPolicy, settings: &str) -> String {
    let host = Arc::new(TestHost::default());
    let spec = PluginSpec { limits, pool, settings: settings.into(), ..spec() };
    load_file(&component("crowd.wasm"), spec, &host).await.unwrap_err().to_string()
}

#[tokio::test]
async fn it_says_what_it_serves_and_answers() {
    let (plugin, host) = crowd().await;
    assert!(plugin.routes().iter().any(|route| &**route == "probe.t.echo"));
    assert_eq!(plugin.methods().len(), 1);
    assert_eq!(handle(&plugin, "echo", "{\"é\": \"🎲\"}").await.unwrap(), "{\"é\": \"🎲\"}");
    assert_eq!(plugin.remote(call(), "probe.r.echo", b"args").await.unwrap(), b"args");
    let failure = handle(&plugin, "fail", "").await.unwrap_err();
    assert!(matches!(failure, CallError::Failure(failure) if failure.code == 418 && failure.retryable));
    assert!(matches!(handle(&plugin, "nowhere", "").await, Err(CallError::UnknownRoute(_))));
    plugin.start().await.unwrap();
    plugin.session_closed(session(), "gone").await.unwrap();
    plugin.fire_timer(Track::UNDECIDED, &"again".into(), 4, b"abc").await.unwrap();
    plugin.stop().await.unwrap();
    assert_eq!(
        host.take(),
        ["Info start start", "Info session-closed closed 7 gone", "Info again again 4 3", "Info stop stop"]
    );
    assert_eq!(plugin.stats().instances_created, 1);
}

#[tokio::test]
async fn one_call_waits_for_a_hundred_others_at_once() {
    let (plugin, _) = crowd().await;
    assert_eq!(handle(&plugin, "gather", "100").await.unwrap(), "100");
    assert_eq!(handle(&plugin, "ask", "50").await.unwrap(), "50", "of its own instance");
}

#[tokio::test]
async fn a_hundred_calls_are_in_flight_in_one_instance_and_kept_apart() {
    let (plugin, host) = crowd().await;
    let mut calls = JoinSet::new();
    for number in 0..100 {
        let plugin = plugin.clone();
        calls.spawn(async move {
            let body = number.to_string();
            let own = numbered(number);
            plugin.handle(call(), "probe.t.copies", body.as_bytes(), own).await.unwrap();
        });
    }
    while let Some(done) = calls.join_next().await {
        done.unwrap();
    }
    let mut lines = host.take();
    lines.sort();
    let mut expected: Vec<_> =
        (0..100).map(|number| format!("push {number} rid=\"red\",key={number}")).collect();
    expected.sort();
    assert_eq!(lines, expected, "each pushed what it had set itself");
    assert_eq!(handle(&plugin, "most", "").await.unwrap(), "100");
    assert_eq!(plugin.stats().instances_live, 1);
}

#[tokio::test]
async fn lines_of_the_log_carry_the_route_of_their_call() {
    let (plugin, host) = crowd().await;
    let (log, gather) = (handle(&plugin, "log", "hello"), handle(&plugin, "gather", "3"));
    let (log, gather) = tokio::join!(log, gather);
    assert_eq!((log.unwrap(), gather.unwrap()), (String::new(), "3".to_owned()));
    assert_eq!(host.take(), ["Info probe.t.log hello", "Info probe.t.log hello"]);
}

#[tokio::test]
async fn host_functions_work_as_for_other_plugins() {
    let (plugin, host) = crowd().await;
    assert_eq!(handle(&plugin, "push", "{}").await.unwrap(), "0");
    handle(&plugin, "set", "\"new\"").await.unwrap();
    handle(&plugin, "bind", "carol").await.unwrap();
    handle(&plugin, "fetch", "").await.unwrap();
    assert_eq!(
        host.take(),
        [
            "join room alice/connector-1",
            "channel push room onTest 2",
            "timer again 1000 None 7",
            "push 7 key=\"new\"",
            "bind 7 carol",
        ]
    );
    let scope = host.scope.lock().unwrap().clone();
    assert!(scope.is_none(), "no RPC so far");
    handle(&plugin, "wait", "1").await.unwrap();
    let scope = host.scope.lock().unwrap().clone().unwrap();
    assert_eq!((&*scope.route, scope.depth), ("probe.t.wait", 0));
}

#[tokio::test]
async fn a_nested_call_gets_into_the_instance_that_waits_for_it() {
    let limits = PluginLimits { instances_max: 1, calls_per_instance_max: 2, ..spec().limits };
    let (plugin, _) = crowd_with(PluginSpec { limits, pool: PoolPolicy::Single, ..spec() }).await;
    let nested = Call { depth: 1, ..call() };
    let waiting = plugin.clone();
    let waiting = tokio::spawn(async move { handle(&waiting, "wait", "100").await });
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(plugin.remote(nested, "probe.r.echo", b"in").await.unwrap(), b"in");
    assert_eq!(waiting.await.unwrap().unwrap(), "100");
    assert_eq!(plugin.stats().instances_created, 1);
}

#[tokio::test]
async fn full_instances_get_company_and_a_full_crowd_refuses() {
    let limits =
        PluginLimits { instances_max: 2, calls_per_instance_max: 2, queue_ms_max: 0, ..spec().limits };
    let (plugin, _) = crowd_with(PluginSpec { limits, ..spec() }).await;
    let mut calls = JoinSet::new();
    for _ in 0..4 {
        let plugin = plugin.clone();
        calls.spawn(async move { handle(&plugin, "wait", "300").await });
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(plugin.stats().instances_live, 2);
    let error = handle(&plugin, "echo", "").await.unwrap_err();
    assert!(matches!(error, CallError::Overloaded(_)), "{error}");
    let nested = plugin.remote(Call { depth: 1, ..call() }, "probe.r.echo", b"").await.unwrap_err();
    assert!(matches!(nested, CallError::Overloaded(_)), "{nested}");
    while let Some(done) = calls.join_next().await {
        done.unwrap().unwrap();
    }
    assert_eq!(handle(&plugin, "echo", "x").await.unwrap(), "x");
}

/// Ends one instance by `what` while another call is in flight there.
async fn ended_by(what: &'static str, limits: PluginLimits) -> [CallError; 2] {
    let (plugin, _) = crowd_with(PluginSpec { limits, ..spec() }).await;
    let other = plugin.clone();
    let other = tokio::spawn(async move { handle(&other, "wait", "60000").await });
    tokio::time::sleep(Duration::from_millis(50)).await;
    let own = handle(&plugin, what, "").await.unwrap_err();
    let other = other.await.unwrap().unwrap_err();
    assert_eq!(handle(&plugin, "count", "").await.unwrap(), "1", "{what}: another instance");
    assert_eq!((plugin.stats().instances_live, plugin.stats().instances_created), (1, 2), "{what}");
    [own, other]
}

#[tokio::test]
async fn a_trap_ends_the_calls_of_that_instance_and_no_other() {
    for error in ended_by("trap", spec().limits).await {
        assert!(matches!(&error, CallError::Trap { .. }), "{error:?}");
    }
    let limits = PluginLimits { cpu_ms_max: 50, ..spec().limits };
    for error in ended_by("spin", limits).await {
        assert_eq!(error, CallError::CpuBudget);
    }
    for error in ended_by("eat", spec().limits).await {
        assert!(matches!(error, CallError::Memory { .. } | CallError::Trap { .. }), "{error:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_on_another_thread_is_told_the_trap_too() {
    let (plugin, _) = crowd().await;
    for _ in 0..200 {
        let error = handle(&plugin, "trap", "").await.unwrap_err();
        let CallError::Trap { message, .. } = &error else { panic!("{error:?}") };
        assert!(message.contains("unreachable"), "{message}");
    }
}

#[tokio::test]
async fn a_call_without_time_ends_and_its_instance_takes_no_more() {
    let (plugin, _) = crowd().await;
    let other = plugin.clone();
    let other = tokio::spawn(async move { handle(&other, "wait", "300").await });
    tokio::time::sleep(Duration::from_millis(50)).await;
    let late = Call::new(Instant::now() + Duration::from_millis(50));
    let error = plugin.handle(late, "probe.t.wait", b"forever", session()).await.unwrap_err();
    assert_eq!(error, CallError::Deadline);
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(handle(&plugin, "count", "").await.unwrap(), "1", "in another instance");
    assert_eq!(other.await.unwrap().unwrap(), "300", "those in flight end as they would");
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(plugin.stats().instances_live, 1);
}

#[tokio::test]
async fn values_are_bounded_and_worn_out_instances_replaced() {
    let limits = PluginLimits { value_bytes_max: 1_000, recycle_calls: 3, ..spec().limits };
    let (plugin, _) = crowd_with(PluginSpec { limits, ..spec() }).await;
    let error = handle(&plugin, "big", "1001").await.unwrap_err();
    assert!(matches!(error, CallError::ValueTooLarge { what: "result", .. }), "{error}");
    let error = handle(&plugin, "echo", &"x".repeat(1_001)).await.unwrap_err();
    assert!(matches!(error, CallError::ValueTooLarge { what: "body", .. }), "{error}");
    assert_eq!(handle(&plugin, "big", "1000").await.unwrap().len(), 1_000);
    assert_eq!(handle(&plugin, "count", "").await.unwrap(), "3");
    assert_eq!(handle(&plugin, "count", "").await.unwrap(), "1");
    assert_eq!(plugin.stats().instances_recycled, 1);
}

#[tokio::test]
async fn a_version_that_is_replaced_ends_with_its_last_call() {
    let (plugin, host) = crowd().await;
    let waiting = plugin.clone();
    let waiting = tokio::spawn(async move { handle(&waiting, "wait", "100").await });
    tokio::time::sleep(Duration::from_millis(20)).await;
    drop(host);
    let endless = plugin.clone();
    let endless = tokio::spawn(async move { handle(&endless, "wait", "forever").await });
    tokio::time::sleep(Duration::from_millis(20)).await;
    plugin.retire(Duration::from_millis(300)).await;
    assert_eq!(waiting.await.unwrap().unwrap(), "100");
    assert_eq!(endless.await.unwrap().unwrap_err(), CallError::Replaced { begun: true });
}

#[tokio::test]
async fn what_it_cannot_be_is_refused_at_load() {
    let limits = spec().limits;
    let error = refused(limits.clone(), PoolPolicy::Fresh, "{}").await;
    assert!(error.contains("\"fresh\"") && error.contains("use \"warm\""), "{error}");
    let error = refused(limits, PoolPolicy::Warm, "{\"failInit\": true}").await;
    assert!(error.contains("init failed: asked to fail"), "{error}");
    let host = Arc::new(TestHost::default());
    let none = shaddock_engine::Grants::default();
    let error = load_file(&component("crowd.wasm"), PluginSpec { grants: none, ..spec() }, &host).await;
    assert!(error.unwrap_err().to_string().contains("without the grant"));
}

#[tokio::test]
async fn the_session_is_the_one_that_came_with_the_call() {
    let (plugin, _) = crowd().await;
    let settings = [Setting { key: "a".into(), value: "1".into() }].into();
    let own = Arc::new(Session { settings, ..(*session()).clone() });
    let seen = plugin.handle(call(), "probe.t.see", b"", own).await.unwrap();
    assert_eq!(seen, b"1");
}
