//! Versions of plugins in a cluster of servers that pretend to run them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use shaddock_master::Saved;
use shaddock_master::control::{
    Action, Compared, PluginRequest, PluginState, Refusal, Started, Stopped, ToolRequest, Traced,
};
use shaddock_rollout::{Ask, CHUNK_BYTES_MAX, ComponentChunk, Targets};
use support::rig::{Deploy, FOREVER_MS, Rig, number, refusal};

fn settling() -> Deploy<'static> {
    Deploy { settle_ms: FOREVER_MS, ..Deploy::default() }
}

fn canary() -> Deploy<'static> {
    Deploy { canary: Some("5%"), ..Deploy::default() }
}

fn rollback() -> PluginRequest {
    PluginRequest::Rollback { plugin: "chat".into(), version: None, by: "ann".into() }
}

fn promote() -> PluginRequest {
    PluginRequest::Promote { plugin: "chat".into(), by: "ann".into() }
}

fn abort() -> PluginRequest {
    PluginRequest::Abort { plugin: "chat".into(), by: "ann".into() }
}

#[tokio::test]
async fn a_version_comes_in_on_one_server_first_and_then_on_all() {
    let rig = Rig::new().await;
    let started = rig.begin(settling()).await;
    rig.until_step(&started, "settling").await;
    let (old, new) = (rig.digest("old.wasm"), rig.digest("new.wasm"));
    let now: Vec<_> = rig.fakes.iter().map(|fake| fake.runs("chat")).collect();
    assert_eq!(now, [(new.clone(), false), (old.clone(), true), (old.clone(), true)]);
    let refused = rig.begin_of("solo", Deploy::default()).await;
    let (kind, error) = refusal(&refused);
    assert_eq!(kind, Refusal::Busy);
    assert!(error.contains("deployment 1 is under way (deploy of chat"), "{error}");
    rig.fakes[0].note_over_budget(1, "chat", "errors: 9 of 9 calls");
    assert!(!rig.end(&started).await.done);
    rig.assert_all_run("old.wasm");

    let entry = rig.deploy(Deploy::default()).await;
    assert!(entry.done && entry.number == 2 && entry.by == "ann", "{entry:?}");
    assert_eq!((entry.digest, entry.from), (new.clone(), Some(old.clone())));
    rig.assert_all_run("new.wasm");
    for fake in &rig.fakes {
        let log = fake.take_log();
        let last: Vec<_> = log.iter().rev().take(3).rev().map(String::as_str).collect();
        assert_eq!(last, ["plugin_prepare 2", "plugin_switch 2", "plugin_commit 2"], "{}", fake.id);
    }
    let listing = rig.list().await;
    let chat = &listing.plugins[0];
    assert_eq!((&chat.stable.digest, chat.stable.servers.len()), (&new, 3));
    assert_eq!((chat.stable.figures.calls, &chat.state), (30, &PluginState::Probation));
    assert_eq!(rig.begin(Deploy::default()).await, Started::Unchanged { digest: new });

    let entry = rig.change(rollback()).await;
    assert!(entry.done && entry.action == Action::Rollback, "{entry:?}");
    rig.assert_all_run("old.wasm");
    let again = rig.plugin(rollback()).await;
    assert!(refusal(&again).1.contains("rolled back already: name the version"), "{again:?}");
}

#[tokio::test]
async fn a_version_that_one_server_cannot_prepare_comes_nowhere() {
    let rig = Rig::new().await;
    rig.fakes[1].fail("plugin_prepare", "it imports rpc, which plugins.json does not grant");
    let entry = rig.deploy(Deploy::default()).await;
    let reason = entry.reason.unwrap();
    assert_eq!(reason, "chat-2: it imports rpc, which plugins.json does not grant");
    rig.assert_all_run("old.wasm");
    assert!(!rig.fakes[0].take_log().contains(&"plugin_switch 1".to_owned()), "nothing was switched");
    rig.fakes[1].heal("plugin_prepare");
    assert!(rig.deploy(Deploy::default()).await.done);
}

#[tokio::test]
async fn a_switch_that_fails_on_the_third_of_three_is_taken_back_on_all() {
    let rig = Rig::new().await;
    rig.fakes[2].fail("plugin_switch", "the state is too large");
    let entry = rig.deploy(Deploy::default()).await;
    assert_eq!((entry.done, entry.reason.as_deref()), (false, Some("chat-3: the state is too large")));
    rig.assert_all_run("old.wasm");
}

#[tokio::test]
async fn a_server_that_cannot_go_back_is_named_and_brought_back_later() {
    let rig = Rig::new().await;
    rig.fakes[2].fail("plugin_switch", "no");
    rig.fakes[0].fail("plugin_revert", "it hangs");
    let entry = rig.deploy(Deploy::default()).await;
    let reason = entry.reason.unwrap();
    assert_eq!(reason, "chat-3: no; not back yet, and brought back as soon as can be: chat-1: it hangs");
    rig.until_listed("the problem is told", |listing| {
        listing.plugins[0]
            .differing
            .iter()
            .any(|server| server.id == "chat-1" && server.error.contains("it hangs"))
    })
    .await;
    rig.fakes[0].heal("plugin_revert");
    rig.until_all_run("old.wasm").await;
    rig.until_listed("nothing differs", |listing| listing.plugins[0].differing.is_empty()).await;
}

#[tokio::test]
async fn the_loss_of_the_first_server_while_it_settles_takes_the_version_back() {
    let rig = Rig::new().await;
    let started = rig.begin(settling()).await;
    rig.until_step(&started, "settling").await;
    rig.fakes[0].kill();
    let entry = rig.end(&started).await;
    assert!(entry.reason.unwrap().starts_with("chat-1: it was lost while it settled"));
    // It comes back as it was, and then as a new process.
    rig.start_fake(0).await;
    rig.until_all_run("old.wasm").await;
    rig.fakes[0].kill();
    rig.fakes[0].forget();
    rig.start_fake(0).await;
    rig.assert_all_run("old.wasm");
}

#[tokio::test]
async fn a_version_over_its_budget_while_it_settles_is_taken_back() {
    let rig = Rig::new().await;
    let started = rig.begin(settling()).await;
    rig.until_step(&started, "settling").await;
    rig.fakes[0].note_over_budget(number(&started), "chat", "errors: 9 of 10 calls");
    let entry = rig.end(&started).await;
    assert_eq!(entry.reason.as_deref(), Some("errors: 9 of 10 calls (on chat-1)"));
    rig.assert_all_run("old.wasm");
}

#[tokio::test]
async fn a_version_over_its_budget_after_the_commit_is_left_on_all_servers_and_once() {
    let rig = Rig::new().await;
    let entry = rig.deploy(Deploy::default()).await;
    for fake in &rig.fakes {
        fake.note_over_budget(entry.number, "chat", "errors: 9 of 10 calls");
    }
    rig.until_all_run("old.wasm").await;
    rig.until_listed("it is told", |listing| {
        let reason = match &listing.plugins[0].state {
            PluginState::RolledBack { reason, .. } => reason.clone().unwrap_or_default(),
            _ => String::new(),
        };
        reason.starts_with("errors: 9 of 10 calls (on chat-")
    })
    .await;
    let history = rig.history().await;
    let actions: Vec<_> = history.iter().map(|entry| (entry.action, entry.by.as_str())).collect();
    assert_eq!(actions, [(Action::Deploy, "ann"), (Action::AutomaticRollback, "budget")]);
    let number = history[1].number;
    rig.fakes[0].note_over_budget(number, "chat", "p99: 9 ms, was 1 ms");
    // What comes after the note on the same link has been answered after it.
    let targets = serde_json::to_value(Ask::PluginTargets).unwrap();
    let targets = rig.fakes[0].client().request(&targets, std::time::Duration::from_secs(9)).await.unwrap();
    let targets: Targets = serde_json::from_value(targets).unwrap();
    assert_eq!(targets.plugins["chat"].digest, rig.digest("old.wasm"));
    assert_eq!(rig.history().await.len(), 2);
    rig.assert_all_run("old.wasm");
}

#[tokio::test]
async fn an_automatic_rollback_does_not_wait_for_a_server_that_fails() {
    let rig = Rig::new().await;
    let entry = rig.deploy(Deploy::default()).await;
    rig.fakes[1].fail("plugin_prepare", "no memory");
    rig.fakes[0].note_over_budget(entry.number, "chat", "errors: 9 of 10 calls");
    let old = (rig.digest("old.wasm"), true);
    for index in [0, 2] {
        rig.fakes[index].until("it is back", |fake| fake.runs("chat") == old).await;
    }
    rig.fakes[1].heal("plugin_prepare");
    rig.until_all_run("old.wasm").await;
}

#[tokio::test]
async fn an_automatic_rollback_ends_a_canary_that_is_in_its_way() {
    let rig = Rig::new().await;
    let first = rig.deploy(Deploy::default()).await;
    rig.component("third.wasm", &["a.b.c", "a.b.d"]);
    assert!(rig.deploy(Deploy { file: "third.wasm", ..canary() }).await.done);
    rig.fakes[0].note_over_budget(first.number, "chat", "errors: 9 of 10 calls");
    rig.until_all_run("old.wasm").await;
    rig.assert_all_run("old.wasm");
    let actions: Vec<_> = rig.history().await.iter().map(|entry| entry.action).collect();
    assert_eq!(actions, [Action::Deploy, Action::Canary, Action::Abort, Action::AutomaticRollback]);
}

#[tokio::test]
async fn what_vanishes_needs_force() {
    let rig = Rig::new().await;
    rig.component("poor.wasm", &["a.b.d"]);
    let entry = rig.deploy(Deploy { file: "poor.wasm", ..Deploy::default() }).await;
    let reason = entry.reason.unwrap();
    assert!(reason.contains("lacks what the running one offers: route a.b.c; deploy it anyway"), "{reason}");
    rig.assert_all_run("old.wasm");
    assert!(rig.deploy(Deploy { file: "poor.wasm", force: true, ..Deploy::default() }).await.done);
    rig.assert_all_run("poor.wasm");
    // The way back is no question.
    assert!(rig.change(rollback()).await.done);
    let poor = rig.digest("poor.wasm");
    let request = PluginRequest::Diff { a: poor.short().into(), b: rig.digest("old.wasm").to_string() };
    let compared: Compared = rig.plugin(request).await;
    assert_eq!(
        (compared.a.summary.routes, compared.b.summary.routes),
        (vec!["a.b.d".into()], vec!["a.b.c".into()])
    );
    for prefix in ["abc", "0000000000", "../../x"] {
        let request = PluginRequest::Diff { a: prefix.into(), b: poor.short().into() };
        rig.try_ask::<Compared>(&ToolRequest::Plugin { request }).await.unwrap_err();
    }
}

#[tokio::test]
async fn what_cannot_be_deployed_is_refused_with_the_reason() {
    let rig = Rig::new().await;
    let named = |file| Deploy { file, ..Deploy::default() };
    let unknown = rig.begin_of("nobody", Deploy::default()).await;
    assert_eq!(
        refusal(&unknown),
        (Refusal::Unknown, "plugins.json has no plugin \"nobody\"; it has: chat, solo")
    );
    let single = rig.begin_of("solo", canary()).await;
    assert!(refusal(&single).0 == Refusal::Usage && refusal(&single).1.contains("single"), "{single:?}");
    assert_eq!(refusal(&rig.begin(named("missing.wasm")).await).0, Refusal::Failed);
    std::fs::write(rig.file("huge.wasm"), vec![0; 1001]).unwrap();
    let huge = rig.begin(named("huge.wasm")).await;
    assert!(refusal(&huge).1.contains("larger than a component may be"), "{huge:?}");
    for request in [promote(), abort()] {
        assert_eq!(refusal(&rig.plugin(request).await).0, Refusal::Usage);
    }
    assert_eq!(refusal(&rig.plugin(rollback()).await).0, Refusal::Unknown);
    std::fs::write(rig.file("broken.wasm"), "broken").unwrap();
    let entry = rig.deploy(named("broken.wasm")).await;
    assert_eq!(entry.reason.as_deref(), Some("it does not compile"));
    for fake in &rig.fakes {
        assert!(!fake.take_log().iter().any(|order| order.starts_with("plugin_prepare")), "{}", fake.id);
    }
    rig.assert_all_run("old.wasm");
}

#[tokio::test]
async fn a_server_that_is_away_is_skipped_and_comes_up_with_the_deployed_version() {
    let rig = Rig::new().await;
    rig.fakes[2].kill();
    rig.until_listed("it is away", |listing| listing.plugins[0].stable.servers.len() == 2).await;
    let entry = rig.deploy(Deploy::default()).await;
    assert_eq!((entry.done, entry.skipped), (true, vec!["chat-3".to_owned()]));
    // The process has lived on without its link, with the version before.
    rig.start_fake(2).await;
    rig.until_all_run("new.wasm").await;
    rig.fakes[2].take_log();
    rig.fakes[2].kill();
    rig.fakes[2].forget();
    rig.start_fake(2).await;
    rig.assert_all_run("new.wasm");
    let orders = rig.fakes[2].take_log();
    assert!(
        !orders.iter().any(|order| order.starts_with("plugin_prepare")),
        "it had come up with it: {orders:?}"
    );
}

#[tokio::test]
async fn a_server_that_comes_while_another_settles_gets_the_version_afterwards() {
    let rig = Rig::new().await;
    rig.fakes[2].kill();
    rig.until_listed("it is away", |listing| listing.plugins[0].stable.servers.len() == 2).await;
    rig.fakes[1].hang("plugin_commit");
    let started = rig.begin(Deploy { settle_ms: 300, ..Deploy::default() }).await;
    rig.until_step(&started, "settling").await;
    rig.fakes[2].forget();
    rig.start_fake(2).await;
    assert!(rig.end(&started).await.done);
    rig.fakes[2]
        .until("it has the version", |fake| fake.runs("chat") == (rig.digest("new.wasm"), true))
        .await;
}

#[tokio::test]
async fn a_master_that_dies_in_the_middle_never_deployed() {
    let rig = Rig::new().await;
    let started = rig.begin(settling()).await;
    rig.until_step(&started, "settling").await;
    rig.restart_master().await;
    for index in 0..3 {
        rig.start_fake(index).await;
    }
    rig.until_all_run("old.wasm").await;
    let history = rig.history().await;
    assert_eq!(history.len(), 1);
    assert!(!history[0].done && history[0].by == "master", "{history:?}");
    assert_eq!(history[0].reason.as_deref(), Some("the master ended before it was committed"));
    // And the next one has another number.
    let entry = rig.deploy(Deploy::default()).await;
    assert!(entry.done && entry.number > number(&started), "{entry:?}");
}

#[tokio::test]
async fn a_master_that_dies_after_the_commit_has_deployed() {
    let rig = Rig::new().await;
    for fake in &rig.fakes {
        fake.hang("plugin_commit");
    }
    let started = rig.begin(Deploy::default()).await;
    rig.until_step(&started, "committed").await;
    rig.restart_master().await;
    let fakes = rig.fakes.clone();
    let new = rig.digest("new.wasm");
    assert!(fakes.iter().all(|fake| fake.runs("chat") == (new.clone(), false)));
    // One has gone back by itself, one has been started anew, one holds what it was not told to be final.
    fakes[0].forget();
    for index in 0..3 {
        rig.start_fake(index).await;
    }
    rig.fakes[1].until("it is told", |fake| fake.take_log().contains(&"plugin_commit 1".to_owned())).await;
    assert_eq!(fakes[0].runs("chat"), (new, true));
}

#[tokio::test]
async fn a_changed_file_counts_after_a_restart_and_not_before() {
    let rig = Rig::new().await;
    assert!(rig.deploy(Deploy::default()).await.done);
    rig.restart_master().await;
    for fake in &rig.fakes {
        fake.forget();
    }
    for index in 0..3 {
        rig.start_fake(index).await;
    }
    rig.assert_all_run("new.wasm");
    rig.component("old.wasm", &["a.b.c", "changed"]);
    rig.fakes[0].kill();
    rig.fakes[0].forget();
    rig.start_fake(0).await;
    rig.assert_all_run("new.wasm");
    rig.restart_master().await;
    for fake in &rig.fakes {
        fake.forget();
    }
    for index in 0..3 {
        rig.start_fake(index).await;
    }
    rig.assert_all_run("old.wasm");
    assert_eq!(rig.history().await.last().unwrap().action, Action::ConfigChanged);
}

#[tokio::test]
async fn a_file_that_changes_while_the_cluster_runs_does_not_split_it() {
    let rig = Rig::new().await;
    let started_with = rig.digest("old.wasm");
    rig.component("old.wasm", &["a.b.c", "changed"]);
    rig.fakes[0].kill();
    rig.fakes[0].forget();
    rig.start_fake(0).await;
    for fake in &rig.fakes {
        assert_eq!(fake.runs("chat").0, started_with, "{}", fake.id);
    }
}

#[tokio::test]
async fn a_canary_runs_until_it_is_promoted() {
    let rig = Rig::new().await;
    let entry = rig.deploy(canary()).await;
    assert!(entry.done && entry.action == Action::Canary, "{entry:?}");
    let new = rig.digest("new.wasm");
    for fake in &rig.fakes {
        assert_eq!(
            (fake.runs("chat").0, fake.canary("chat")),
            (rig.digest("old.wasm"), Some((new.clone(), 500)))
        );
    }
    let chat = &rig.list().await.plugins[0];
    let share_bp = "5%".parse().unwrap();
    assert_eq!(chat.state, PluginState::Canary { number: 1, share_bp, digest: new.clone() });
    let beside = chat.canary.as_ref().unwrap();
    assert_eq!((beside.servers.len(), beside.figures.calls, chat.stable.figures.calls), (3, 30, 30));
    let refused = rig.begin_of("solo", Deploy::default()).await;
    assert!(refusal(&refused).1.contains("runs as a canary; end it with `shaddock plugin promote chat`"));
    // One that comes anew gets it too, and one that has lost it gets it again.
    rig.fakes[2].kill();
    rig.fakes[2].forget();
    rig.start_fake(2).await;
    rig.fakes[2].until("it has the canary", |fake| fake.canary("chat").is_some()).await;
    let entry = rig.change(promote()).await;
    assert!(entry.done && entry.action == Action::Promote && entry.number == 1, "{entry:?}");
    rig.assert_all_run("new.wasm");
}

#[tokio::test]
async fn a_canary_is_ended_by_its_user_by_its_budget_and_by_a_new_master() {
    let rig = Rig::new().await;
    assert!(rig.deploy(canary()).await.done);
    assert!(rig.change(abort()).await.done);
    rig.assert_all_run("old.wasm");

    let entry = rig.deploy(canary()).await;
    rig.fakes[1].note_over_budget(entry.number, "chat", "deadline misses: 5 of 9 calls");
    for fake in &rig.fakes {
        fake.until("the canary has ended", |fake| fake.canary("chat").is_none()).await;
    }
    rig.until_listed("it is over", |listing| listing.plugins[0].state == PluginState::Stable).await;
    let last = rig.history().await.pop().unwrap();
    assert_eq!((last.action, last.by.as_str()), (Action::Abort, "budget"));
    assert_eq!(last.reason.as_deref(), Some("deadline misses: 5 of 9 calls (on chat-2)"));

    assert!(rig.deploy(canary()).await.done);
    rig.restart_master().await;
    for index in 0..3 {
        rig.start_fake(index).await;
    }
    for fake in &rig.fakes {
        fake.until("the canary has ended", |fake| fake.canary("chat").is_none()).await;
    }
    rig.assert_all_run("old.wasm");
    let last = rig.history().await.pop().unwrap();
    assert_eq!((last.action, last.by.as_str(), last.done), (Action::Abort, "master", true));
}

#[tokio::test]
async fn a_promotion_that_fails_ends_the_canary() {
    let rig = Rig::new().await;
    assert!(rig.deploy(canary()).await.done);
    rig.fakes[1].fail("plugin_switch", "no");
    let entry = rig.change(promote()).await;
    assert_eq!(entry.reason.as_deref(), Some("chat-2: no; the canary has ended"));
    rig.assert_all_run("old.wasm");
}

#[tokio::test]
async fn stopping_the_cluster_ends_a_deployment_in_good_order() {
    let rig = Rig::new().await;
    let started = rig.begin(settling()).await;
    rig.until_step(&started, "settling").await;
    let stopped: Stopped = rig.ask(&ToolRequest::Stop { ids: Vec::new() }).await;
    assert!(stopped.master && stopped.stopped.len() == 3, "{stopped:?}");
    rig.state().master_gone(std::time::Duration::from_secs(9)).await.unwrap();
    let record = std::fs::read_to_string(rig.record()).unwrap();
    assert!(record.contains("the cluster is stopping") && record.contains("\"under_way\": null"), "{record}");
}

#[tokio::test]
async fn a_damaged_record_or_component_keeps_the_master_from_starting() {
    let rig = Rig::without_master().await;
    std::fs::create_dir_all(rig.record().parent().unwrap()).unwrap();
    std::fs::write(rig.record(), "{").unwrap();
    let error = rig.start_master().await.unwrap_err().to_string();
    assert!(error.contains("record.json is damaged") && error.contains("move it away"), "{error}");
    std::fs::remove_file(rig.record()).unwrap();
    rig.start_master().await.unwrap();
}

#[tokio::test]
async fn what_is_saved_is_deployed_and_what_is_wrong_is_told() {
    let rig = Rig::new().await;
    let plugins = rig.plugins();
    let Saved::Ended(entry) = plugins.saved("chat", &rig.file("new.wasm")).await else { panic!("not ended") };
    assert!(entry.done && entry.by == "watcher", "{entry:?}");
    std::fs::write(rig.file("broken.wasm"), "broken").unwrap();
    let broken = plugins.saved("chat", &rig.file("broken.wasm")).await;
    assert_eq!(broken.error().as_deref(), Some("it does not compile"));
    rig.assert_all_run("new.wasm");
    assert_eq!(rig.list().await.plugins[0].watch_error.as_deref(), Some("it does not compile"));
    assert_eq!(plugins.saved("chat", &rig.file("new.wasm")).await, Saved::Unchanged);
    assert_eq!(rig.list().await.plugins[0].watch_error, None);
    let started =
        rig.begin(Deploy { file: "old.wasm", force: true, settle_ms: FOREVER_MS, ..settling() }).await;
    rig.until_step(&started, "settling").await;
    let busy = plugins.saved("chat", &rig.file("old.wasm")).await;
    assert!(matches!(busy, Saved::Busy(_)), "{busy:?}");
}

#[tokio::test]
async fn servers_fetch_components_and_tell_of_calls() {
    let rig = Rig::new().await;
    let digest = rig.digest("old.wasm");
    let limit = std::time::Duration::from_secs(9);
    let ask = |ask: Ask| serde_json::to_value(ask).unwrap();
    let client = rig.fakes[0].client();
    let chunk = client.request(&ask(Ask::PluginComponent { digest, offset: 0 }), limit).await.unwrap();
    let chunk: ComponentChunk = serde_json::from_value(chunk).unwrap();
    assert!(chunk.size == 14 && chunk.data.len() < CHUNK_BYTES_MAX, "{chunk:?}");
    let unknown = Ask::PluginComponent { digest: "0".repeat(64).parse().unwrap(), offset: 0 };
    client.request(&ask(unknown), limit).await.unwrap_err();
    rig.fakes[1].hang("plugin_trace");
    let traced: Traced = rig.plugin(PluginRequest::Trace { uid: "u".into() }).await;
    assert_eq!(traced.unanswered[0].id, "chat-2");
    let servers: Vec<_> = traced.calls.iter().map(|call| (call.call.at_ms, call.server.as_str())).collect();
    assert_eq!(servers, [(1000, "chat-1"), (1000, "chat-3"), (1001, "chat-1"), (1001, "chat-3")]);
}

#[tokio::test]
async fn old_versions_leave_the_store() {
    let rig = Rig::new().await;
    for name in ["1.wasm", "2.wasm", "3.wasm", "4.wasm"] {
        rig.component(name, &["a.b.c"]);
        assert!(rig.deploy(Deploy { file: name, ..Deploy::default() }).await.done);
    }
    let digest = |name: &str| rig.digest(name);
    let kept = |name: &str| {
        rig.record().with_file_name("components").join(format!("{}.wasm", digest(name))).exists()
    };
    let kept: Vec<_> = ["old.wasm", "1.wasm", "2.wasm", "3.wasm", "4.wasm"].map(kept).into();
    assert_eq!(kept, [true, false, false, true, true], "the file of the configuration and the last two stay");
    let version = Some(digest("1.wasm").short().to_owned());
    let request = PluginRequest::Rollback { plugin: "chat".into(), version, by: "ann".into() };
    assert_eq!(refusal(&rig.plugin(request).await).0, Refusal::Unknown);
    let version = Some(digest("old.wasm").short().to_owned());
    let request = PluginRequest::Rollback { plugin: "chat".into(), version, by: "ann".into() };
    assert!(rig.change(request).await.done);
    rig.assert_all_run("old.wasm");
}
