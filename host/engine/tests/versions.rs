//! What a version tells of itself, how it is tried out, and how it ends.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs, reason = "tests")]

mod support;

use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use shaddock_engine::{
    Call, CallError, EngineError, Grants, Plugin, PluginLimits, PluginSpec, PoolPolicy, Summary, Track,
    compile,
};
use support::{ALL_GRANTS, TestHost, cache, call, component, engine, handle, load_file, probe_with, session};
use support::{load_alone, spec, versioned};

fn of_versioned() -> PluginSpec {
    PluginSpec { server_types: vec!["versioned".into()], ..spec() }
}

async fn version(number: u32, marks: &[&str]) -> Result<Plugin, EngineError> {
    load_file(&versioned(number, marks), of_versioned(), &Arc::new(TestHost::default())).await
}

#[tokio::test]
async fn a_version_says_what_it_offers_and_asks_for() {
    let plugin = version(1, &["ROUTES-MORE"]).await.unwrap();
    let summary = plugin.summary();
    assert_eq!(summary.routes.len(), 8);
    assert_eq!(summary.routes[0], "versioned.afirst.version");
    assert!(summary.routes.is_sorted() && summary.methods.is_sorted());
    assert_eq!(summary.bytes, fs::metadata(versioned(1, &["ROUTES-MORE"])).unwrap().len());
    assert!(summary.self_test && summary.state);
    assert_eq!(summary.imports, ["shaddock:plugin/app@0.1.0", "shaddock:plugin/rpc@0.1.0"]);
    assert!(summary.exports.contains(&"shaddock:plugin/self-test@0.1.0".to_owned()), "{summary:?}");
    let json = serde_json::to_string(summary).unwrap();
    assert_eq!(serde_json::from_str::<Summary>(&json).unwrap(), *summary);
    let less = version(2, &["ROUTES-LESS"]).await.unwrap();
    assert_eq!(less.summary().routes.len(), 6);
    assert_ne!(plugin.name().digest, less.name().digest);
    let (probe, _) = probe_with(spec()).await;
    assert!(!probe.summary().self_test && !probe.summary().state);
}

#[tokio::test]
async fn the_tag_is_the_digests_beginning() {
    let name = version(1, &[]).await.unwrap().name().clone();
    assert_eq!(format!("{:012x}", name.tag()), *name.version);
}

#[tokio::test]
async fn a_version_tests_itself_in_an_instance_of_its_own() {
    let brief = PluginLimits { cpu_ms_max: 50, ..spec().limits };
    let verdict = async |marks: &[&str]| {
        let spec = PluginSpec { limits: brief.clone(), ..of_versioned() };
        let plugin = load_file(&versioned(1, marks), spec, &Arc::new(TestHost::default())).await.unwrap();
        let verdict = plugin.self_test().await;
        assert_eq!(plugin.stats().instances_live, 1, "only that of the load is left");
        verdict
    };
    assert_eq!(verdict(&[]).await, Ok(()));
    assert_eq!(verdict(&["SELFTEST-TRAP"]).await.unwrap_err().kind(), "trap");
    assert_eq!(verdict(&["SELFTEST-HANG"]).await, Err(CallError::CpuBudget));
    let failure = verdict(&["SELFTEST-FAIL"]).await.unwrap_err();
    assert!(matches!(failure, CallError::Failure(_)), "{failure}");
    let (probe, _) = probe_with(spec()).await;
    assert_eq!(probe.self_test().await, Ok(()), "it has none");
}

#[tokio::test]
async fn a_self_test_has_the_imports_of_the_plugin() {
    let plugin = version(1, &["SELFTEST-CALL"]).await.unwrap();
    // The host of the tests takes every call for one of the probe.
    assert!(matches!(plugin.self_test().await, Err(CallError::Failure(failure)) if failure.code == 404));
}

#[tokio::test]
async fn a_component_that_is_no_version_is_told_from_one_that_is() {
    let good = fs::read(versioned(1, &[])).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let refused = |name: &str, bytes: &[u8]| {
        let file = dir.path().join(name);
        fs::write(&file, bytes).unwrap();
        compile::compile(&file, &cache()).unwrap_err()
    };
    for cut in [0, 4, 100, good.len() / 2, good.len() - 1] {
        let error = refused("truncated.wasm", &good[..cut]);
        assert!(
            matches!(error, EngineError::Compile { .. } | EngineError::NotAComponent { .. }),
            "cut at {cut}: {error}"
        );
    }
    // Built for another contract.
    let other = String::from_utf8_lossy(&good).contains("shaddock:plugin/app@0.1.0");
    assert!(other, "the component names its imports");
    let mut bytes = good.clone();
    let places: Vec<usize> = bytes
        .windows(25)
        .enumerate()
        .filter(|(_, at)| *at == b"shaddock:plugin/rpc@0.1.0")
        .map(|(place, _)| place)
        .collect();
    for place in places {
        bytes[place + 22] = b'9';
    }
    let file = dir.path().join("other.wasm");
    fs::write(&file, bytes).unwrap();
    let loaded = match compile::compile(&file, &cache()) {
        Ok(compiled) => {
            engine().load(of_versioned(), &compiled, Arc::new(TestHost::default())).await.map(drop)
        }
        Err(error) => Err(error),
    };
    let error = loaded.unwrap_err().to_string();
    assert!(error.contains("rpc@0.9.0") || error.contains("other.wasm"), "{error}");
    // More than its grants.
    let spec = PluginSpec { grants: Grants { rpc: false, ..ALL_GRANTS }, ..of_versioned() };
    let loaded = load_file(&versioned(1, &[]), spec, &Arc::new(TestHost::default())).await;
    assert!(matches!(loaded, Err(EngineError::NotGranted { grant: "rpc", .. })), "{loaded:?}");
    let loaded = version(1, &["INIT-FAIL"]).await;
    assert!(matches!(loaded, Err(EngineError::FirstInstance { .. })), "{loaded:?}");
}

#[tokio::test]
async fn compiled_code_is_found_by_digest_without_the_component() {
    let file = versioned(77, &[]);
    let compiled = support::compiled(&file);
    let found = cache().require_digest(compiled.digest()).unwrap();
    assert_eq!(
        (found.code(), found.component_bytes()),
        (compiled.code(), fs::metadata(&file).unwrap().len())
    );
    engine().load(of_versioned(), &found, Arc::new(TestHost::default())).await.unwrap();
    for absent in [&"0".repeat(64), "", "../../etc/passwd", &"é".repeat(100)] {
        let error = cache().require_digest(absent).unwrap_err();
        assert!(matches!(error, EngineError::NotInCache { .. }), "{error}");
    }
}

#[tokio::test]
async fn the_track_goes_along_with_nested_calls() {
    for track in [Track::UNDECIDED, Track::stable(7), Track::canary(7)] {
        let (plugin, host) = probe_with(spec()).await;
        plugin.handle(Call { track, ..call() }, "probe.t.call", b"yield", session()).await.unwrap();
        assert_eq!(host.scope.lock().unwrap().as_ref().unwrap().nested().track, track);
    }
}

#[tokio::test]
async fn times_of_calls_are_kept_by_version() {
    let plugin = version(1, &["RISKY-SLOW"]).await.unwrap();
    assert_eq!((plugin.stats().p50, plugin.stats().p99), (None, None));
    let ask = async |what: &str| {
        plugin.handle(call(), &format!("versioned.versioned.{what}"), b"{}", session()).await.unwrap();
    };
    for _ in 0..90 {
        ask("version").await;
    }
    for _ in 0..10 {
        ask("risky").await;
    }
    let stats = plugin.stats();
    assert!(stats.p50.unwrap() < Duration::from_millis(10), "{stats:?}");
    assert!(stats.p99.unwrap() >= Duration::from_millis(30), "{stats:?}");
}

fn with(pool: PoolPolicy) -> PluginSpec {
    PluginSpec {
        pool,
        limits: PluginLimits { queue_ms_max: 60_000, instances_max: 1, ..spec().limits },
        ..spec()
    }
}

#[tokio::test(start_paused = true)]
async fn a_version_that_is_retired_ends_its_calls_after_a_grace() {
    for pool in [PoolPolicy::Warm, PoolPolicy::Single, PoolPolicy::Fresh] {
        let limits = PluginLimits { deadline_ms: 60_000, ..with(pool).limits };
        let (plugin, _) = probe_with(PluginSpec { limits, ..with(pool) }).await;
        let call = |what: &'static str| {
            let plugin = plugin.clone();
            tokio::spawn(async move {
                let begun = tokio::time::Instant::now();
                (handle(&plugin, "call", what).await, begun.elapsed())
            })
        };
        let running = call("sleep");
        tokio::task::yield_now().await;
        let waits = call("yield");
        tokio::task::yield_now().await;
        tokio::join!(plugin.clone().retire(Duration::from_secs(3)), async {
            tokio::time::sleep(Duration::from_secs(2)).await;
            assert!(!running.is_finished() && !waits.is_finished(), "they have their grace");
        });
        let (result, lasted) = running.await.unwrap();
        assert_eq!(
            (result, lasted),
            (Err(CallError::Replaced { begun: true }), Duration::from_secs(3)),
            "{pool:?}"
        );
        let (result, _) = waits.await.unwrap();
        assert_eq!(result, Err(CallError::Replaced { begun: false }), "{pool:?}");
        let error = handle(&plugin, "echo", "x").await.unwrap_err();
        assert_eq!((error.code(), error.retryable(), error.kind()), (503, true, "replaced"));
        assert_eq!(error.to_string(), "the version was replaced");
        assert_eq!(plugin.stats().instances_live, 0, "{pool:?}");
    }
}

#[tokio::test]
async fn within_the_grace_calls_are_served_but_no_instance_is_kept() {
    let plugin = load_alone(&component("probe.wasm"), spec()).await;
    let retired = tokio::spawn(plugin.clone().retire(Duration::from_secs(60)));
    tokio::task::yield_now().await;
    assert_eq!(plugin.stats().instances_live, 0);
    assert_eq!(handle(&plugin, "echo", "x").await.unwrap(), "x");
    assert_eq!(plugin.stats().instances_live, 0);
    // When the last one who has it lets go, it is gone, and nobody waits for the grace to end.
    let begun = Instant::now();
    drop(plugin);
    retired.await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_busy_version_is_cut_off_too() {
    let limits = PluginLimits { cpu_ms_max: 60_000, deadline_ms: 60_000, ..spec().limits };
    let spec = PluginSpec { limits, ..of_versioned() };
    let plugin =
        load_file(&versioned(1, &["RISKY-HANG"]), spec, &Arc::new(TestHost::default())).await.unwrap();
    let of_call = plugin.clone();
    let hangs =
        tokio::spawn(
            async move { of_call.handle(call(), "versioned.versioned.risky", b"{}", session()).await },
        );
    tokio::time::sleep(Duration::from_millis(50)).await;
    plugin.retire(Duration::from_millis(50)).await;
    assert_eq!(hangs.await.unwrap(), Err(CallError::Replaced { begun: true }));
}

#[tokio::test]
async fn the_first_version_of_the_guest_is_what_was_built() {
    assert_eq!(fs::read(versioned(0, &[])).unwrap(), fs::read(component("versioned.wasm")).unwrap());
}
