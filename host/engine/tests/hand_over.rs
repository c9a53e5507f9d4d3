//! One version of a stateful plugin gives its place to another one.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs, reason = "tests")]

mod support;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use shaddock_engine::{
    CallError, HandOverError, HandOverLimits, Plugin, PluginLimits, PluginSpec, PoolPolicy, SavedState,
};
use support::{TestHost, call, load_alone, load_file, session, spec, versioned};
use tokio::task::JoinSet;

const LIMITS: HandOverLimits = HandOverLimits { hold: Duration::from_secs(5), state_bytes_max: 16 << 20 };

fn single() -> PluginSpec {
    let limits = PluginLimits { queue_ms_max: 20_000, deadline_ms: 20_000, ..spec().limits };
    PluginSpec { server_types: vec!["versioned".into()], pool: PoolPolicy::Single, limits, ..spec() }
}

async fn version(number: u32, marks: &[&str]) -> Plugin {
    version_with(number, marks, single()).await
}

async fn version_with(number: u32, marks: &[&str], spec: PluginSpec) -> Plugin {
    load_file(&versioned(number, marks), spec, &Arc::new(TestHost::default())).await.unwrap()
}

async fn ask(plugin: &Plugin, what: &str) -> Result<(u32, u64), CallError> {
    let answer = plugin.handle(call(), &format!("versioned.versioned.{what}"), b"{}", session()).await?;
    let answer: Value = serde_json::from_slice(&answer).unwrap();
    let version = answer["version"].as_str().unwrap().strip_prefix("VERSION-").unwrap().parse().unwrap();
    Ok((version, answer["count"].as_u64().unwrap_or_default()))
}

async fn count(plugin: &Plugin) -> (u32, u64) {
    ask(plugin, "count").await.unwrap()
}

#[tokio::test]
async fn the_state_and_all_later_calls_go_over() {
    let (old, new) = (version(1, &[]).await, version(2, &[]).await);
    for expected in 1..=3 {
        assert_eq!(count(&old).await, (1, expected));
    }
    let done = old.hand_over(&new, LIMITS).await.unwrap();
    assert_eq!(done.state, Some(SavedState { schema_version: 1, bytes: 3u64.to_le_bytes().to_vec() }));
    assert!(done.held > Duration::ZERO && done.held < LIMITS.hold, "{:?}", done.held);
    assert_eq!(count(&new).await, (2, 4));
    assert_eq!(count(&old).await, (2, 5), "who still has the old one is served by the new one");
    assert_eq!((old.stats().instances_live, new.stats().instances_live), (0, 1));
    // What the old version does not have any more is none of its errors, and neither are calls of the new one.
    assert_eq!(ask(&old, "trap").await.unwrap_err().kind(), "trap");
    assert_eq!((old.stats().errors, new.stats().errors), (vec![], vec![("trap", 1)]));
}

#[tokio::test]
async fn the_way_back_takes_the_state_along() {
    let (old, new) = (version(1, &[]).await, version(2, &[]).await);
    count(&old).await;
    old.hand_over(&new, LIMITS).await.unwrap();
    assert_eq!(count(&new).await, (2, 2));
    new.hand_over(&old, LIMITS).await.unwrap();
    assert_eq!(count(&new).await, (1, 3));
    assert_eq!(count(&old).await, (1, 4));
    // And forward once more, by a third one.
    let third = version(3, &[]).await;
    let error = new.hand_over(&third, LIMITS).await.unwrap_err();
    assert!(error.to_string().contains("replaced already"), "{error}");
    old.hand_over(&third, LIMITS).await.unwrap();
    for plugin in [&old, &new, &third] {
        assert_eq!(count(plugin).await.0, 3);
    }
    assert_eq!(count(&third).await, (3, 8));
}

#[tokio::test]
async fn a_version_that_cannot_save_gives_way_to_a_state_at_hand() {
    let (old, bad) = (version(1, &[]).await, version(2, &["SAVE-TRAP"]).await);
    count(&old).await;
    let state = old.hand_over(&bad, LIMITS).await.unwrap().state;
    assert_eq!(count(&bad).await, (2, 2));
    bad.hand_over(&old, LIMITS).await.unwrap_err();
    old.load_saved(&bad, state, LIMITS).await.unwrap();
    assert_eq!(count(&bad).await, (1, 2));
    // Without a state it begins anew.
    let third = version(3, &["LOAD-FAIL"]).await;
    third.load_saved(&old, None, LIMITS).await.unwrap();
    assert_eq!(count(&old).await, (3, 1));
}

/// A hand-over that fails, with a word of its error. The old instance goes on as it was.
async fn fails(old: &[&str], new: &[&str], limits: HandOverLimits, word: &str) -> HandOverError {
    let (old, new) = (version(1, old).await, version(2, new).await);
    assert_eq!((count(&old).await, count(&old).await), ((1, 1), (1, 2)));
    let error = old.hand_over(&new, limits).await.unwrap_err();
    assert!(error.to_string().contains(word), "{error}");
    assert_eq!(count(&old).await, (1, 3), "{error}");
    assert_eq!(old.stats().instances_created, 1, "{error}");
    // The new one can still be used, and the old one can still hand over.
    assert_eq!(count(&new).await, (2, 1));
    error
}

#[tokio::test]
async fn whatever_save_state_does_the_old_instance_goes_on() {
    let brief = HandOverLimits { hold: Duration::from_millis(300), ..LIMITS };
    fails(&["SAVE-TRAP"], &[], LIMITS, "save-state trapped").await;
    fails(&["SAVE-FAIL"], &[], LIMITS, "save-state failed: a failure was asked for").await;
    fails(&["SAVE-HUGE"], &[], LIMITS, "more than the 16777216 bytes").await;
    fails(&["SAVE-GROW"], &[], LIMITS, "save-state trapped").await;
    fails(&["SAVE-HOST"], &[], LIMITS, "it called an import").await;
    let begun = Instant::now();
    let error = fails(&["SAVE-HANG"], &[], brief, "save-state took longer than the 300 ms").await;
    assert!(matches!(error, HandOverError::TimedOut { .. }));
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn whatever_load_state_does_the_old_instance_goes_on() {
    let brief = HandOverLimits { hold: Duration::from_millis(300), ..LIMITS };
    fails(&[], &["LOAD-FAIL"], LIMITS, "load-state: a failure was asked for").await;
    fails(&[], &["LOAD-TRAP"], LIMITS, "load-state").await;
    fails(&["SCHEMA-0002"], &[], LIMITS, "a state of schema 2, I know 1").await;
    fails(&[], &["LOAD-HANG"], brief, "load-state").await;
}

#[tokio::test]
async fn a_large_state_goes_over_if_it_may() {
    let limits = HandOverLimits { hold: Duration::from_secs(20), state_bytes_max: 64 << 20 };
    let roomy =
        PluginSpec { limits: PluginLimits { memory_bytes_max: 256 << 20, ..single().limits }, ..single() };
    let old = version_with(1, &["SAVE-HUGE"], roomy.clone()).await;
    let new = version_with(2, &[], roomy).await;
    count(&old).await;
    let done = old.hand_over(&new, limits).await.unwrap();
    assert_eq!(done.state.unwrap().bytes.len(), 48 << 20);
    assert_eq!(count(&old).await, (2, 2));
}

#[tokio::test]
async fn save_state_leaves_no_trace_in_the_process() {
    let host = Arc::new(TestHost::default());
    let old = load_file(&versioned(1, &[]), single(), &host).await.unwrap();
    let new = load_file(&versioned(2, &["LOAD-FAIL"]), single(), &host).await.unwrap();
    count(&old).await;
    old.hand_over(&new, LIMITS).await.unwrap_err();
    assert_eq!(host.take(), Vec::<String>::new(), "its log lines are dropped");
    assert_eq!(count(&old).await, (1, 2), "it changed its counter, but not here");
    #[cfg(target_os = "linux")]
    assert_eq!(dead_children(), 0);
}

/// Processes that this one has begun, that have ended and that it has not reaped.
#[cfg(target_os = "linux")]
fn dead_children() -> usize {
    let own = std::process::id().to_string();
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let stats = processes.filter_map(|process| std::fs::read_to_string(process.path().join("stat")).ok());
    // The name before it may have spaces; the fields behind it have none.
    let parent = |stat: &str| stat.rsplit(") ").next()?.split(' ').nth(1).map(str::to_owned);
    stats.filter(|stat| parent(stat).as_deref() == Some(&own) && stat.contains(") Z")).count()
}

#[tokio::test]
async fn without_state_on_either_side() {
    let echo = support::component("echo.wasm");
    let host = Arc::new(TestHost::default());
    let plain = |pool| PluginSpec { pool, ..spec() };
    let old = load_file(&echo, plain(PoolPolicy::Single), &host).await.unwrap();
    let new = load_file(&echo, plain(PoolPolicy::Single), &host).await.unwrap();
    let done = old.hand_over(&new, LIMITS).await.unwrap();
    assert_eq!(done.state, None);
    assert_eq!(support::handle(&old, "echo", "x").await.unwrap(), "x");
    assert_eq!(new.stats().calls, 1);
    // A state that nobody would take is not thrown away silently.
    let stateful = version(1, &[]).await;
    count(&stateful).await;
    let error = stateful.hand_over(&new, LIMITS).await.unwrap_err();
    assert!(error.to_string().contains("has no load-state"), "{error}");
    assert_eq!(count(&stateful).await, (1, 2));
}

#[tokio::test]
async fn what_makes_no_sense_is_refused() {
    let (one, other) = (version(1, &[]).await, version(2, &[]).await);
    let warm = version_with(3, &[], PluginSpec { pool: PoolPolicy::Warm, ..single() }).await;
    let error = async |from: &Plugin, to: &Plugin| from.hand_over(to, LIMITS).await.unwrap_err().to_string();
    assert!(error(&one, &one).await.contains("they are one"));
    assert!(error(&one, &warm).await.contains("policies differ"));
    other.clone().retire(Duration::ZERO).await;
    assert!(error(&one, &other).await.contains("retired"));
    assert_eq!(count(&one).await, (1, 1));
    let done = warm.hand_over(&warm.clone(), LIMITS).await.unwrap();
    assert_eq!((done.held, done.state), (Duration::ZERO, None));
}

#[tokio::test]
async fn after_a_trap_there_is_no_state_to_hand_over() {
    let (old, new) = (version(1, &[]).await, version(2, &[]).await);
    count(&old).await;
    ask(&old, "trap").await.unwrap_err();
    assert_eq!(old.hand_over(&new, LIMITS).await.unwrap().state, None);
    assert_eq!(count(&old).await, (2, 1));
}

/// Callers on several threads, all the time, while versions change: every call is answered, each count is given once,
/// and in the end the count is the number of calls.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn calls_during_hand_overs_are_answered_by_exactly_one_version() {
    const CALLS: u64 = 400;
    let mut versions = Vec::new();
    for number in 1..=4 {
        versions.push(version(number, &[]).await);
    }
    let mut callers = JoinSet::new();
    for caller in 0..4 {
        let entrance = versions[caller % 2].clone();
        callers.spawn(async move {
            let mut seen = Vec::new();
            for _ in 0..CALLS {
                seen.push(count(&entrance).await);
            }
            seen
        });
        // Those of the second version come when the first one has given it its state.
        if caller == 0 {
            versions[0].hand_over(&versions[1], LIMITS).await.unwrap();
        }
    }
    for pair in [(1, 2), (2, 3), (3, 0), (0, 2)] {
        versions[pair.0].hand_over(&versions[pair.1], LIMITS).await.unwrap();
    }
    let mut counts = BTreeSet::new();
    while let Some(seen) = callers.join_next().await {
        let seen = seen.unwrap();
        assert!(seen.is_sorted_by_key(|(_, count)| *count), "a caller's calls run in their order");
        counts.extend(seen.iter().map(|(_, count)| *count));
    }
    assert_eq!(counts, (1..=4 * CALLS).collect());
    assert_eq!(count(&versions[0]).await, (3, 4 * CALLS + 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_wait_keep_their_order_and_their_deadlines() {
    let (old, new) = (version(1, &[]).await, version(2, &[]).await);
    let work = old.clone();
    let busy = tokio::spawn(async move {
        work.handle(call(), "versioned.versioned.work", br#"{"ms":300}"#, session()).await.unwrap();
    });
    tokio::time::sleep(Duration::from_millis(20)).await;
    let (of_hand_over, successor) = (old.clone(), new.clone());
    let mut order = JoinSet::new();
    order.spawn(async move { (99, of_hand_over.hand_over(&successor, LIMITS).await.is_ok().into()) });
    tokio::time::sleep(Duration::from_millis(20)).await;
    for number in 0..5 {
        let plugin = old.clone();
        order.spawn(async move { (number, count(&plugin).await.1) });
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let late = shaddock_engine::Call::new(tokio::time::Instant::now() + Duration::from_millis(30));
    let error = old.handle(late, "versioned.versioned.count", b"{}", session()).await.unwrap_err();
    assert_eq!(error, CallError::Deadline, "while it waited");
    busy.await.unwrap();
    let mut seen = order.join_all().await;
    seen.sort_unstable();
    assert_eq!(seen, [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (99, 1)]);
}

#[tokio::test]
async fn a_hand_over_that_is_given_up_changes_nothing() {
    let (old, new) = (version(1, &["SAVE-HANG"]).await, version(2, &[]).await);
    count(&old).await;
    let given_up = tokio::time::timeout(Duration::from_millis(100), old.hand_over(&new, LIMITS)).await;
    assert!(given_up.is_err());
    assert_eq!(count(&old).await, (1, 2));
    assert_eq!(count(&new).await, (2, 1));
}

#[tokio::test]
async fn a_route_that_is_gone_in_the_new_version_is_unknown() {
    let (old, new) = (version(1, &[]).await, version(2, &["ROUTES-LESS"]).await);
    assert_eq!(ask(&old, "zlast").await.unwrap().0, 1);
    old.hand_over(&new, LIMITS).await.unwrap();
    let error = ask(&old, "zlast").await.unwrap_err();
    assert_eq!((error.kind(), error.code()), ("unknown_route", 404));
}

#[tokio::test]
async fn an_old_version_goes_when_nobody_has_it() {
    let (old, new) = (load_alone(&versioned(1, &[]), single()).await, version(2, &[]).await);
    old.hand_over(&new, LIMITS).await.unwrap();
    let begun = Instant::now();
    old.retire(Duration::from_secs(60)).await;
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert_eq!(count(&new).await, (2, 1));
}
