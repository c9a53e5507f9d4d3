//! What calls bring and give, and what the imports do.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs, reason = "tests")]

mod support;

use shaddock_engine::types::Failure;
use shaddock_engine::{CallError, PluginLimits, PluginSpec, limits};
use support::{call, handle, probe, probe_with, session, spec};

#[tokio::test]
async fn a_handler_gets_the_body_and_the_session() {
    let (plugin, _) = probe().await;
    assert_eq!(handle(&plugin, "echo", "{\"a\":1}").await.unwrap(), "{\"a\":1}");
    assert_eq!(handle(&plugin, "nothing", "{}").await.unwrap(), "");
    assert_eq!(
        handle(&plugin, "session", "{}").await.unwrap(),
        r#"{"frontend":"connector-1","number":7,"uid":"alice","settings":[["rid","\"red\""]]}"#
    );
}

#[tokio::test]
async fn a_remote_answers() {
    let (plugin, _) = probe().await;
    assert_eq!(plugin.remote(call(), "probe.r.echo", b"args").await.unwrap(), b"args");
    assert_eq!(
        plugin.remote(call(), "probe.r.none", b"").await,
        Err(CallError::UnknownRoute("probe.r.none".into()))
    );
}

#[tokio::test]
async fn what_the_plugin_does_not_list_cannot_be_called() {
    let (plugin, _) = probe().await;
    assert_eq!(handle(&plugin, "hidden", "{}").await, Err(CallError::UnknownRoute("probe.t.hidden".into())));
    assert_eq!(plugin.stats().calls, 0, "no instance saw it");
}

#[tokio::test]
async fn a_failure_is_an_answer_and_costs_no_instance() {
    let (plugin, _) = probe().await;
    let failure = Failure { code: 418, message: "a teapot".into(), retryable: true };
    let error = handle(&plugin, "fail", "{}").await.unwrap_err();
    assert_eq!((error.code(), error.retryable()), (418, true));
    assert_eq!(error, CallError::Failure(failure));
    assert_eq!(plugin.stats().instances_created, 1);
    let CallError::Failure(long) = handle(&plugin, "failLong", "{}").await.unwrap_err() else { panic!() };
    assert_eq!(long.message.len(), limits::LOG_BYTES_MAX, "cut at a character's border");
}

#[tokio::test]
async fn app_tells_about_the_server() {
    let (plugin, host) = probe_with(PluginSpec { settings: "{\"motd\": \"hi\"}".into(), ..spec() }).await;
    let about = handle(&plugin, "app", "{}").await.unwrap();
    let about: serde_json::Value = serde_json::from_str(&about).unwrap();
    assert_eq!(about["own"], "probe-1");
    assert_eq!(about["servers"], serde_json::json!(["chat-1", "chat-2"]));
    assert!(about["nowMs"].as_u64().unwrap() > 1_700_000_000_000);
    assert_eq!(handle(&plugin, "settings", "{}").await.unwrap(), "{\"motd\": \"hi\"}");
    plugin.start().await.unwrap();
    plugin.session_closed(session(), "connection lost").await.unwrap();
    plugin.stop().await.unwrap();
    assert_eq!(
        host.take(),
        [
            "Info start start {\"motd\": \"hi\"}",
            "Info session-closed closed 7 connection lost",
            "Info stop stop"
        ]
    );
}

#[tokio::test]
async fn a_failing_start_is_an_error() {
    let (plugin, _) = probe_with(PluginSpec { settings: "{\"start\": \"fail\"}".into(), ..spec() }).await;
    assert!(matches!(plugin.start().await, Err(CallError::Failure(_))));
}

#[tokio::test]
async fn lines_of_the_log_are_cut_and_randomness_is_bounded() {
    let (plugin, host) = probe().await;
    // Two bytes each: one line at the limit, one beyond, cut between characters.
    for (characters, bytes) in [(4096, 8192), (4097, 8192), (100_000, 8192)] {
        handle(&plugin, "log", &characters.to_string()).await.unwrap();
        assert_eq!(host.take()[0].strip_prefix("Warn probe.t.log ").unwrap().len(), bytes);
    }
    let random = plugin.handle(call(), "probe.t.random", b"4096", session()).await.unwrap();
    assert_eq!(random.len(), 4096);
    assert!(random.iter().any(|byte| *byte != random[0]));
    let error = plugin.handle(call(), "probe.t.random", b"4097", session()).await.unwrap_err();
    assert!(error.to_string().contains("at most 4096"), "{error}");
}

#[tokio::test]
async fn a_call_changes_its_own_copy_and_pushes_it() {
    let (plugin, host) = probe().await;
    handle(&plugin, "push", "").await.unwrap();
    handle(&plugin, "push", "room").await.unwrap();
    assert_eq!(host.take(), ["push 7 rid=\"red\",room=\"blue\"", "push 7 room=\"blue\""]);
    let error = handle(&plugin, "push", "nokey").await.unwrap_err();
    assert_eq!(error.code(), 400);
    let error = handle(&plugin, "set", "k=not json").await.unwrap_err();
    assert_eq!(error.code(), 400);
    // The next call has a copy of its own.
    assert!(!handle(&plugin, "session", "").await.unwrap().contains("blue"));
}

#[tokio::test]
async fn sessions_that_were_fetched_can_be_changed_too() {
    let (plugin, host) = probe().await;
    let answer = handle(&plugin, "fetchAndSet", "").await.unwrap();
    assert!(!answer.contains("mine"), "get shows what the frontend has: {answer}");
    assert_eq!(host.take(), ["push 7 mine=1", "push 99 seen=true"]);
}

#[tokio::test]
async fn binding_shows_in_the_copy_that_routes() {
    let (plugin, host) = probe().await;
    let _ = handle(&plugin, "bind", "carol").await;
    let lines = host.take();
    assert_eq!(lines[0], "bind 7 carol");
    assert_eq!(lines[1], "rpc chat by Some(\"carol\") rid=\"red\"");
    assert_eq!(lines[2], "unbind 7 carol");
    assert_eq!(lines[3], "rpc chat by None rid=\"red\"");
}

#[tokio::test]
async fn channels_reach_the_host() {
    let (plugin, host) = probe().await;
    assert_eq!(handle(&plugin, "channels", "").await.unwrap(), "[true,true,1,true,true,false]");
    assert_eq!(
        host.take(),
        [
            "create room",
            "join room bob/connector-1",
            "channel push room onChat 2",
            "broadcast connector onNews true",
            "leave room bob"
        ]
    );
    handle(&plugin, "pushTo", "3").await.unwrap();
    assert_eq!(handle(&plugin, "pushTo", "0").await.unwrap_err().code(), 400);
}

#[tokio::test]
async fn reasons_and_uids_are_bounded() {
    let (plugin, host) = probe().await;
    handle(&plugin, "kick", &"r".repeat(limits::REASON_BYTES_MAX)).await.unwrap();
    assert_eq!(host.take(), ["kick 7 1024"]);
    assert_eq!(
        handle(&plugin, "kick", &"r".repeat(limits::REASON_BYTES_MAX + 1)).await.unwrap_err().code(),
        400
    );
    let error = handle(&plugin, "bind", &"u".repeat(limits::NAME_BYTES_MAX + 1)).await.unwrap_err();
    assert_eq!(error.code(), 400);
    assert!(host.take().is_empty());
}

#[tokio::test]
async fn values_are_bounded_in_both_directions() {
    let limits = PluginLimits { value_bytes_max: 1000, ..spec().limits };
    let (plugin, _) = probe_with(PluginSpec { limits, ..spec() }).await;
    let too_large = |what| CallError::ValueTooLarge { what, bytes_max: 1000 };

    assert_eq!(handle(&plugin, "echo", &"b".repeat(1000)).await.unwrap().len(), 1000);
    let error = handle(&plugin, "echo", &"b".repeat(1001)).await.unwrap_err();
    assert_eq!((error.code(), &error), (413, &too_large("body")));
    assert_eq!(plugin.remote(call(), "probe.r.echo", &[0; 1001]).await, Err(too_large("body")));

    assert_eq!(handle(&plugin, "big", "1000").await.unwrap().len(), 1000);
    let error = handle(&plugin, "big", "1001").await.unwrap_err();
    assert_eq!((error.code(), &error), (500, &too_large("result")));
    // Far beyond, nothing is copied at all, and the instance is gone.
    let created = plugin.stats().instances_created;
    let error = handle(&plugin, "big", "10000000").await.unwrap_err();
    assert!(
        matches!(error, CallError::ValueTooLarge { what: "data of one call from the guest", .. }),
        "{error}"
    );
    handle(&plugin, "echo", "x").await.unwrap();
    assert_eq!(plugin.stats().instances_created, created + 1);

    assert_eq!(handle(&plugin, "callArgs", "1000").await.unwrap(), "1000");
    assert_eq!(handle(&plugin, "callArgs", "1001").await.unwrap_err().code(), 413);
    assert_eq!(handle(&plugin, "call", "answer100k").await.unwrap_err().code(), 413);
    // All answers together have to fit.
    assert_eq!(
        handle(&plugin, "callAll", "").await.unwrap(),
        r#"[["a",600],["b",413,"the results together has 600 bytes; at most 400 are allowed"],["c",503,"gone"]]"#
    );
}

#[tokio::test]
async fn counters_tell_what_happened() {
    let (plugin, _) = probe().await;
    for what in ["echo", "fail", "panic", "echo"] {
        let _ = handle(&plugin, what, "{}").await;
    }
    let stats = plugin.stats();
    assert_eq!(
        (stats.calls, stats.instances_created, stats.instances_live, stats.instances_idle),
        (4, 2, 1, 1)
    );
    assert_eq!(stats.errors, [("failure", 1), ("trap", 1)]);
    assert!(stats.memory_bytes_peak >= 1 << 20, "{stats:?}");
}
