//! What enters guests is taken down, and played to guests again.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs, reason = "tests")]

mod support;

use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};
use shaddock_engine::types::RouteKey;
use shaddock_engine::{
    HandOverLimits, Plugin, PluginLimits, PluginSpec, PoolPolicy, Recorder, Recording, Replayed, Track,
};
use support::{
    TestHost, call, compiled, component, engine, handle, load_file, server, session, spec, versioned,
};

const BYTES_MAX: u64 = 1 << 20;

fn conformance(recorder: &Arc<Recorder>) -> PluginSpec {
    PluginSpec {
        server_types: ["connector", "conform"].map(str::to_owned).to_vec(),
        limits: PluginLimits { deadline_ms: 1_000, cpu_ms_max: 100, ..PluginLimits::default() },
        recorder: Some(recorder.clone()),
        ..spec()
    }
}

async fn load(file: &str, spec: PluginSpec) -> Plugin {
    load_file(&component(file), spec, &Arc::new(TestHost::default())).await.unwrap()
}

/// The whole recording, fetched in small pieces.
fn finished(recorder: &Recorder) -> String {
    recorder.finish();
    let mut text = String::new();
    loop {
        let piece = recorder.piece(text.len(), 700);
        if piece.is_empty() {
            return text;
        }
        text += &piece;
    }
}

async fn replay(text: &str, file: &Path) -> Replayed {
    Recording::parse(text).unwrap().replay(&engine(), &compiled(file)).await.unwrap()
}

/// The lines of calls, by the name under which they ran.
fn named(text: &str, name: &str) -> Vec<Value> {
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter(|line| line["name"] == name).collect()
}

/// All kinds of calls of the cases of conformance.
async fn cases(plugin: &Plugin) {
    let ask = async |what: &str, body: &str| {
        let done = plugin.handle(call(), what, body.as_bytes(), session()).await;
        done.map(|answer| String::from_utf8(answer).unwrap()).map_err(|error| error.kind())
    };
    ask("connector.caseHandler.enter", r#"{"name":"zoe","to":"conform-2"}"#).await.unwrap();
    let relay = r#"{"method":"yield","args":{"text":"ü 🎲"}}"#;
    assert_eq!(ask("connector.caseHandler.relay", relay).await.unwrap(), r#"{"answer":{"text":"ü 🎲"}}"#);
    ask("conform.caseHandler.join", "{}").await.unwrap();
    ask("conform.caseHandler.note", r#"{"text":"hello"}"#).await.unwrap();
    ask("conform.caseHandler.where", "{}").await.unwrap();
    ask("conform.caseHandler.chance", "{}").await.unwrap();
    ask("conform.caseHandler.print", r#"{"text":"a line"}"#).await.unwrap();
    assert_eq!(ask("conform.caseHandler.fail", r#"{"code":418,"message":"no"}"#).await, Err("failure"));
    assert_eq!(ask("conform.caseHandler.crash", r#"{"text":"bang"}"#).await, Err("failure"));
    assert_eq!(ask("conform.caseHandler.trap", "{}").await, Err("trap"));
    assert_eq!(ask("conform.caseHandler.spin", "{}").await, Err("cpu_budget"));
    let never = r#"{"method":"sleep","args":1}"#;
    assert_eq!(ask("connector.caseHandler.relay", never).await, Err("deadline"));
    plugin.remote(call(), "conform.caseRemote.echo", b"\"once\"").await.unwrap();
    plugin.set_servers("conform", [server("conform-1"), server("conform-2")].into());
    assert_eq!(
        &*plugin.route("conform", &RouteKey::Session(session()), "conform.caseHandler.echo").unwrap(),
        "conform-1"
    );
}

#[tokio::test]
async fn the_same_component_does_the_same_again() {
    let recorder = Recorder::new(BYTES_MAX);
    let plugin = load("conformance_rust.wasm", conformance(&recorder)).await;
    cases(&plugin).await;
    let text = finished(&recorder);
    assert!(text.lines().last().unwrap().contains(r#""is_full":false,"left_out":0"#), "{text}");

    let chance = &named(&text, "conform.caseHandler.chance")[0];
    assert_eq!(
        (&chance["host"][0]["do"], &chance["host"][0]["with"]),
        (&json!("app.random-bytes"), &json!({ "len": 4 }))
    );
    let relay = named(&text, "connector.caseHandler.relay");
    assert_eq!(relay[0]["host"][0]["answer"], json!({ "ok": "{\"text\":\"ü 🎲\"}" }));
    assert_eq!((&relay[1]["outcome"], relay[1]["host"][0].get("answer")), (&json!("given-up"), None));
    let [init, trap] = ["init", "conform.caseHandler.trap"].map(|name| named(&text, name));
    // The first one, and after each of three bad ends another one; the remote takes the last.
    assert_eq!((init.len(), &trap[0]["outcome"]["error"]["kind"]), (4, &json!("trap")));

    for _ in 0..2 {
        let replayed = replay(&text, &component("conformance_rust.wasm")).await;
        assert!(replayed.differences.is_empty(), "{:#?}", replayed.differences);
        assert_eq!(replayed.calls, text.lines().count() as u64 - 2, "all but the first line and the last");
        assert_eq!(replayed.instances, 5, "one of them for the route function");
    }
}

#[tokio::test]
async fn a_component_in_another_language_does_the_same() {
    let recorder = Recorder::new(BYTES_MAX);
    let plugin = load("conformance_rust.wasm", conformance(&recorder)).await;
    cases(&plugin).await;
    let text = finished(&recorder);
    for language in ["c", "javascript"] {
        let replayed = replay(&text, &component(&format!("conformance_{language}.wasm"))).await;
        let mut different = replayed.differences.iter().map(|one| &one.name);
        // Each draws random numbers and words errors in its own way.
        let allowed = ["chance", "crash", "fail", "trap"].map(|name| format!("conform.caseHandler.{name}"));
        assert!(different.all(|name| allowed.contains(name)), "{language}: {:#?}", replayed.differences);
    }
}

#[tokio::test]
async fn what_another_version_does_differently_is_shown() {
    let recorder = Recorder::new(BYTES_MAX);
    let plugin = load("conformance_rust.wasm", conformance(&recorder)).await;
    let ask = async |what: &str, body: &str| plugin.handle(call(), what, body.as_bytes(), session()).await;
    ask("conform.caseHandler.note", r#"{"text":"hello"}"#).await.unwrap();
    ask("conform.caseHandler.echo", r#"{"a":1,"b":2}"#).await.unwrap();
    ask("conform.caseHandler.join", "{}").await.unwrap();
    let text = finished(&recorder);
    // The recording of a version that pushed something else, answered something else, and left a channel.
    let altered = text
        .lines()
        .map(|line| {
            let mut line: Value = serde_json::from_str(line).unwrap();
            match line["name"].as_str() {
                Some("conform.caseHandler.note") => {
                    line["host"][0]["with"]["body"] = json!(r#"{"text":"bye"}"#);
                }
                Some("conform.caseHandler.echo") => line["outcome"]["ok"] = json!(r#"{"b":2,"a":3}"#),
                Some("conform.caseHandler.join") => line["host"][0]["do"] = json!("channels.destroy"),
                _ => {}
            }
            format!("{line}\n")
        })
        .collect::<String>();
    let replayed = replay(&altered, &component("conformance_rust.wasm")).await;
    let [note, echo, join] = replayed.differences.as_slice() else { panic!("{:#?}", replayed.differences) };
    let body = |asked: &shaddock_engine::Asked| asked.arguments["body"].as_str().unwrap().to_owned();
    assert_eq!(note.outcome, None);
    assert!(body(&note.missing[0]).contains("bye") && body(&note.added[0]).contains("hello"), "{note:?}");
    let (then, now) = echo.outcome.as_ref().unwrap();
    assert_eq!((&then["ok"], &now["ok"]), (&json!(r#"{"b":2,"a":3}"#), &json!(r#"{"a":1,"b":2}"#)));
    let functions = [&join.missing[0].function, &join.added[0].function];
    assert_eq!(functions, ["channels.destroy", "channels.join"]);
}

#[tokio::test]
async fn a_state_that_was_handed_over_is_part_of_it() {
    let single = |recorder| {
        let limits = PluginLimits { deadline_ms: 20_000, ..spec().limits };
        PluginSpec {
            server_types: vec!["versioned".into()],
            pool: PoolPolicy::Single,
            limits,
            recorder,
            ..spec()
        }
    };
    let file = versioned(1, &[]);
    let load =
        async |recorder| load_file(&file, single(recorder), &Arc::new(TestHost::default())).await.unwrap();
    let recorder = Recorder::new(BYTES_MAX);
    let (plain, twin) = (load(None).await, load(Some(recorder.clone())).await);
    let count = async |plugin: &Plugin| {
        let answer = plugin.handle(call(), "versioned.versioned.count", b"{}", session()).await.unwrap();
        serde_json::from_slice::<Value>(&answer).unwrap()["count"].as_u64().unwrap()
    };
    assert_eq!((count(&plain).await, count(&plain).await), (1, 2));
    let limits = HandOverLimits { hold: std::time::Duration::from_secs(5), state_bytes_max: 1 << 20 };
    plain.hand_over(&twin, limits).await.unwrap();
    assert_eq!(count(&twin).await, 3);
    let text = finished(&recorder);
    assert_eq!(named(&text, "load-state").len(), 1);
    let replayed = replay(&text, &file).await;
    assert!(replayed.differences.is_empty(), "{:#?}", replayed.differences);
    let replayed = replay(&text, &versioned(2, &[])).await;
    let [count] = replayed.differences.as_slice() else { panic!("{:#?}", replayed.differences) };
    assert!(count.outcome.as_ref().unwrap().1.to_string().contains("VERSION-0002"), "{count:?}");
}

#[tokio::test]
async fn calls_in_flight_together_are_told_apart() {
    let recorder = Recorder::new(BYTES_MAX);
    let plugin = load("crowd.wasm", PluginSpec { recorder: Some(recorder.clone()), ..spec() }).await;
    let (a, b, c) = tokio::join!(
        handle(&plugin, "wait", "30"),
        handle(&plugin, "gather", "5"),
        handle(&plugin, "set", "\"x\"")
    );
    assert!(a.is_ok() && b.is_ok() && c.is_ok(), "{a:?} {b:?} {c:?}");
    plugin.fire_timer(Track::UNDECIDED, &"again".into(), 4, b"\xff\x00").await.unwrap();
    assert!(handle(&plugin, "trap", "").await.is_err());
    let text = finished(&recorder);
    assert_eq!(named(&text, "probe.t.wait")[0]["host"].as_array().unwrap().len(), 1);
    assert_eq!(named(&text, "probe.t.gather")[0]["host"].as_array().unwrap().len(), 5);
    assert_eq!(named(&text, "again")[0]["input"]["timer"]["payload"], json!({ "base64": "/wA=" }));
    let replayed = replay(&text, &component("crowd.wasm")).await;
    assert!(replayed.differences.is_empty(), "{:#?}", replayed.differences);
    assert_eq!((replayed.calls, replayed.instances), (6, 1));
}

#[tokio::test]
async fn a_full_recording_ends_and_the_plugin_goes_on() {
    let recorder = Recorder::new(20_000);
    let plugin = load("conformance_rust.wasm", conformance(&recorder)).await;
    let body = format!(r#"{{"text":"{}"}}"#, "x".repeat(1_000));
    for _ in 0..50 {
        plugin.handle(call(), "conform.caseHandler.echo", body.as_bytes(), session()).await.unwrap();
    }
    assert!(recorder.is_over());
    let text = finished(&recorder);
    assert!(text.len() < 30_000, "{}", text.len());
    let recording = Recording::parse(&text).unwrap();
    assert!(recording.incomplete().unwrap().contains("full"), "{:?}", recording.incomplete());
    let replayed = replay(&text, &component("conformance_rust.wasm")).await;
    assert!(replayed.differences.is_empty() && replayed.calls == recorder.calls() && replayed.calls > 5);
}
