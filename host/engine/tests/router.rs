//! Route functions.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs, reason = "tests")]

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use shaddock_engine::types::{RouteKey, ServerInfo};
use shaddock_engine::{CallError, Plugin, PluginLimits, PluginSpec};
use support::{TestHost, probe_with, server, session, spec};

async fn router() -> (Plugin, Arc<TestHost>) {
    let settings = "{\"routerTypes\": [\"chat\", \"area\"]}".into();
    let (plugin, host) = probe_with(PluginSpec { settings, ..spec() }).await;
    plugin.set_servers("chat", servers(&["chat-1", "chat-2", "chat-3"]));
    (plugin, host)
}

fn servers(ids: &[&str]) -> Arc<[Arc<ServerInfo>]> {
    ids.iter().map(|id| server(id)).collect()
}

fn route(plugin: &Plugin, key: &str, method: &str) -> Result<String, CallError> {
    plugin.route("chat", &RouteKey::Value(key.into()), method).map(|id| id.to_string())
}

#[tokio::test]
async fn its_instances_are_replaced_after_so_many_calls() {
    let settings = "{\"routerTypes\": [\"chat\"]}".into();
    let limits = PluginLimits { recycle_calls: 2, ..spec().limits };
    let (plugin, _) = probe_with(PluginSpec { settings, limits, ..spec() }).await;
    plugin.set_servers("chat", servers(&["chat-1", "chat-2"]));
    for _ in 0..5 {
        // The new one has been told of the servers, too: '1' is 49, so 49 % 2 = 1.
        assert_eq!(route(&plugin, "1", "t.byKey").unwrap(), "chat-2");
    }
    assert_eq!(plugin.stats().instances_recycled, 2);
}

#[tokio::test]
async fn it_picks_by_key_among_the_servers_last_told() {
    let (plugin, _) = router().await;
    assert_eq!(plugin.router_types().len(), 2);
    // '1' is 49, so 49 % 3 = 1.
    assert_eq!(route(&plugin, "1", "t.byKey").unwrap(), "chat-2");
    assert_eq!(route(&plugin, "2", "t.byKey").unwrap(), "chat-3");
    let by_session = plugin.route("chat", &RouteKey::Session(session()), "t.byKey").unwrap();
    assert_eq!(&*by_session, "chat-3", "alice ends with e, 101 % 3 = 2");
    plugin.set_servers("chat", servers(&["chat-9"]));
    assert_eq!(route(&plugin, "2", "t.byKey").unwrap(), "chat-9");
    assert_eq!(route(&plugin, "chat-9", "t.byId").unwrap(), "chat-9");
}

#[tokio::test]
async fn every_thread_has_an_instance_of_its_own_and_hears_the_news() {
    let (plugin, _) = router().await;
    assert_eq!(route(&plugin, "", "t.count").unwrap(), "chat-1");
    assert_eq!(route(&plugin, "", "t.count").unwrap(), "chat-2");
    let other = plugin.clone();
    std::thread::spawn(move || assert_eq!(route(&other, "", "t.count").unwrap(), "chat-1")).join().unwrap();
    plugin.set_servers("chat", servers(&["chat-7", "chat-8", "chat-9"]));
    assert_eq!(route(&plugin, "", "t.count").unwrap(), "chat-9", "told, not made anew");
}

#[tokio::test]
async fn targets_that_are_not_there_are_errors() {
    let (plugin, _) = router().await;
    let error = route(&plugin, "1", "t.beyond").unwrap_err();
    assert_eq!(error, CallError::UnknownTarget("number 3 of 3 servers".into()));
    assert_eq!(route(&plugin, "chat-4", "t.byId").unwrap_err(), CallError::UnknownTarget("chat-4".into()));
    plugin.set_servers("chat", servers(&[]));
    assert!(route(&plugin, "1", "t.byKey").is_err(), "a modulo zero in the guest");
    let area = plugin.route("area", &RouteKey::Value("a".into()), "t.beyond");
    assert_eq!(area.unwrap_err(), CallError::UnknownTarget("number 0 of 0 servers".into()));
}

#[tokio::test]
async fn a_failing_route_function_costs_its_instance_and_works_again() {
    let (plugin, host) = router().await;
    assert!(matches!(route(&plugin, "1", "t.fail"), Err(CallError::Failure(_))));
    assert!(matches!(route(&plugin, "1", "t.panic"), Err(CallError::Trap { .. })));
    assert!(host.take().concat().contains("the route function was asked to panic"), "log is there");
    let start = Instant::now();
    assert_eq!(route(&plugin, "1", "t.spin"), Err(CallError::CpuBudget));
    assert!(start.elapsed() < Duration::from_millis(500), "{:?}", start.elapsed());
    let Err(CallError::Trap { message, .. }) = route(&plugin, "1", "t.clock") else { panic!() };
    assert!(message.contains("route functions have no imports") && message.contains("now-ms"), "{message}");
    assert_eq!(route(&plugin, "", "t.count").unwrap(), "chat-1", "a new instance");
    assert_eq!(route(&plugin, "1", "t.log").unwrap(), "chat-1");
    assert_eq!(host.take(), ["Info router routed"]);
    let stats = plugin.stats();
    assert_eq!(stats.routings, 6);
    assert_eq!(stats.errors, [("failure", 1), ("trap", 2), ("cpu_budget", 1)]);
}

#[tokio::test]
async fn a_plugin_without_server_types_has_no_route_function() {
    let (plugin, _) = probe_with(spec()).await;
    assert!(plugin.router_types().is_empty());
    assert_eq!(route(&plugin, "1", "t.byKey"), Err(CallError::UnknownRoute("chat".into())));
    plugin.set_servers("chat", servers(&["chat-1"]));
}
