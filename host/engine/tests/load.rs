//! What is refused before any call, and in which words.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs, reason = "tests")]

mod support;

use std::path::Path;
use std::sync::Arc;

use shaddock_engine::types::RouteKey;
use shaddock_engine::{
    Engine, EngineError, EngineSettings, Grants, PluginLimits, PluginSpec, compile, limits,
};
use support::{ALL_GRANTS, TestHost, cache, component, handle, load, load_file, server, spec, wat};

/// Everything that `text` must say is named in `parts`.
fn says(error: &EngineError, parts: &[&str]) {
    let text = error.to_string();
    for part in parts {
        assert!(text.contains(part), "{text:?} does not say {part:?}");
    }
}

async fn refused(file: &Path, spec: PluginSpec, parts: &[&str]) {
    let error = load_file(file, spec, &Arc::new(TestHost::default())).await.unwrap_err();
    says(&error, parts);
}

fn not_compiled(bytes: &[u8], parts: &[&str]) {
    let file = tempfile::Builder::new().suffix(".wasm").tempfile().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    let error = compile::compile(file.path(), &cache()).unwrap_err();
    says(&error, parts);
    says(&error, &[&file.path().display().to_string()]);
}

#[test]
fn a_file_that_is_no_component_is_told_by_what_it_is() {
    let probe = std::fs::read(component("probe.wasm")).unwrap();
    not_compiled(b"", &["empty"]);
    not_compiled(b"#!/bin/sh\n", &["does not begin as WebAssembly"]);
    not_compiled(b"(component)", &["does not begin as WebAssembly"]);
    not_compiled(&wat::parse_str("(module)").unwrap(), &["core module", "wasm-component-ld"]);
    not_compiled(b"\0asm", &["cut off"]);
    not_compiled(b"\0asm\x0e\0\x01\0", &["version"]);
    not_compiled(&probe[..probe.len() / 2], &["compilation failed", "out of bounds"]);
    let mut damaged = probe.clone();
    damaged[probe.len() / 3..probe.len() / 3 + 64].fill(0xff);
    not_compiled(&damaged, &["compilation failed"]);
}

#[test]
fn a_component_has_at_most_32_mib() {
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(limits::COMPONENT_BYTES_MAX + 1).unwrap();
    let error = compile::compile(file.path(), &cache()).unwrap_err();
    says(&error, &["33554433 bytes", "at most 33554432"]);
    file.as_file().set_len(limits::COMPONENT_BYTES_MAX).unwrap();
    let error = compile::compile(file.path(), &cache()).unwrap_err();
    says(&error, &["not a WebAssembly component"]);
}

#[test]
fn a_missing_file_and_a_directory_are_told() {
    says(
        &compile::compile(Path::new("/nowhere/x.wasm"), &cache()).unwrap_err(),
        &["/nowhere/x.wasm", "No such file"],
    );
    says(&compile::compile(Path::new("/tmp"), &cache()).unwrap_err(), &["/tmp"]);
}

#[tokio::test]
async fn imports_that_the_host_does_not_have_are_named() {
    let import = |name: &str| format!("(component (import \"{name}\" (instance (export \"f\" (func)))))");
    for (file, name, hint) in [
        ("wasi", "wasi:cli/environment@0.2.3", "wasm32-unknown-unknown"),
        ("foreign", "acme:things/stuff@1.0.0", "app, sessions, channels, rpc and timers"),
        ("future", "shaddock:plugin/app@0.2.0", "this host has shaddock:plugin@0.1"),
        ("unknown", "shaddock:plugin/timers@0.1.0", "wit/ of this version"),
    ] {
        refused(&wat(file, &import(name)), spec(), &["plugin probe", name, hint]).await;
    }
    let later = "(component (import \"shaddock:plugin/app@0.1.5\" (instance (export \"later\" (func)))))";
    refused(&wat("later", later), spec(), &["does not fit the contract", "later"]).await;
    let plain = "(component (import \"f\" (func)))";
    refused(&wat("plain", plain), spec(), &["imports f,"]).await;
}

#[tokio::test]
async fn an_import_needs_its_grant() {
    for (grants, name) in [
        (Grants { sessions: false, ..ALL_GRANTS }, "sessions"),
        (Grants { channels: false, ..ALL_GRANTS }, "channels"),
        (Grants { rpc: false, ..ALL_GRANTS }, "rpc"),
        (Grants { timers: false, ..ALL_GRANTS }, "timers"),
    ] {
        // the plugin that has timers, and all the others too
        let server_types = ["connector", "backend"].map(str::to_owned).to_vec();
        let import = format!("shaddock:plugin/{name}@0.1.0");
        let grant = format!("add \"{name}\"");
        refused(
            &component("roles.wasm"),
            PluginSpec { grants, server_types, ..spec() },
            &[&import, &grant, "plugins.json"],
        )
        .await;
    }
}

#[tokio::test]
async fn a_component_without_a_role_is_refused() {
    refused(&wat("none", "(component)"), spec(), &["exports none of", "it exports nothing"]).await;
    let other = "(component (core module $m) (export \"acme:x/y@1.0.0\" (core module $m)))";
    refused(&wat("other", other), spec(), &["exports none of", "acme:x/y@1.0.0"]).await;
}

#[tokio::test]
async fn exports_must_have_the_types_of_the_contract() {
    let wrong = r#"(component
        (core module $m (func (export "f")))
        (core instance $i (instantiate $m))
        (func $f (canon lift (core func $i "f")))
        (instance $h (export "routes" (func $f)) (export "handle" (func $f)))
        (export "shaddock:plugin/handler@0.1.0" (instance $h)))"#;
    refused(
        &wat("types", wrong),
        spec(),
        &["shaddock:plugin/handler@0.1.0", "does not fit the contract", "wit/"],
    )
    .await;
    let missing = r#"(component
        (core module $m (func (export "f")))
        (core instance $i (instantiate $m))
        (func $f (canon lift (core func $i "f")))
        (instance $h (export "handle" (func $f)))
        (export "shaddock:plugin/handler@0.1.0" (instance $h)))"#;
    refused(&wat("missing", missing), spec(), &["shaddock:plugin/handler@0.1.0", "routes"]).await;
}

fn with_module(module: &str) -> String {
    format!(
        r#"(component
        (core module $m {module} (func (export "f")))
        (core instance $i (instantiate $m))
        (func $f (canon lift (core func $i "f")))
        (instance $h (export "init" (func $f)) (export "start" (func $f)) (export "session-closed" (func $f))
            (export "stop" (func $f)))
        (export "shaddock:plugin/lifecycle@0.1.0" (instance $h)))"#
    )
}

#[tokio::test]
async fn a_start_function_is_bounded_too() {
    let limits = PluginLimits { cpu_ms_max: 20, ..PluginLimits::default() };
    let file = wat("start", &with_module("(func $s (loop br 0)) (start $s)"));
    refused(&file, PluginSpec { limits, ..spec() }, &["the first instance", "CPU budget"]).await;
}

#[tokio::test]
async fn init_decides_whether_the_plugin_is_usable() {
    let quick = PluginLimits { cpu_ms_max: 20, ..PluginLimits::default() };
    for (init, parts) in [
        ("fail", ["init in the first instance", "init was asked to fail"]),
        ("panic", ["init in the first instance", "unreachable"]),
        ("spin", ["init in the first instance", "CPU budget"]),
    ] {
        let settings = format!("{{\"init\": \"{init}\"}}");
        let host = Arc::new(TestHost::default());
        let error = load(PluginSpec { settings, limits: quick.clone(), ..spec() }, &host).await.unwrap_err();
        says(&error, &parts);
        if init == "panic" {
            assert!(
                host.take().concat().contains("init was asked to panic"),
                "the panic's text went to the log"
            );
        }
    }
}

#[tokio::test]
async fn memory_at_the_start_counts() {
    let limits = PluginLimits { memory_bytes_max: 1 << 20, ..PluginLimits::default() };
    let error = load(PluginSpec { limits, ..spec() }, &Arc::new(TestHost::default())).await.unwrap_err();
    says(&error, &["the first instance", "memory"]);
}

#[tokio::test]
async fn memory_beyond_what_the_engine_reserves_is_told() {
    let file = wat("vast", &with_module("(memory 5000)"));
    refused(&file, spec(), &["plugin probe", "cannot be loaded", "memory"]).await;
}

#[tokio::test]
async fn components_of_a_later_compatible_contract_are_served() {
    let bytes = std::fs::read(component("probe.wasm")).unwrap();
    let built_with = |version: &str| {
        let mut bytes = bytes.clone();
        let places: Vec<usize> =
            (0..bytes.len() - 6).filter(|place| &bytes[*place..place + 6] == b"@0.1.0").collect();
        for place in places {
            bytes[place + 1..place + 6].copy_from_slice(version.as_bytes());
        }
        let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("probe-{version}.wasm"));
        std::fs::write(&file, bytes).unwrap();
        file
    };
    let (host, settings) = (Arc::new(TestHost::default()), "{\"routerTypes\": [\"chat\"]}".into());
    let plugin = load_file(&built_with("0.1.3"), PluginSpec { settings, ..spec() }, &host).await.unwrap();
    assert_eq!(handle(&plugin, "echo", "x").await.unwrap(), "x");
    plugin.start().await.unwrap();
    plugin.set_servers("chat", [server("chat-1")].into());
    let key = RouteKey::Value("a".into());
    assert_eq!(&*plugin.route("chat", &key, "t.byKey").unwrap(), "chat-1");
    refused(&built_with("0.2.0"), spec(), &["shaddock:plugin/", "@0.2.0", "wit/ of this version"]).await;
}

#[tokio::test]
async fn without_address_space_for_the_pool_it_still_works() {
    // More than 128 TiB, which no x86-64 or ARM process has.
    let settings = EngineSettings { instances_max: 100_000, ..EngineSettings::default() };
    let engine = Engine::new(&settings).unwrap();
    let compiled = cache().require(&component("probe.wasm"));
    let compiled = compiled.or_else(|_| compile::compile(&component("probe.wasm"), &cache())).unwrap();
    let plugin = engine.load(spec(), &compiled, Arc::new(TestHost::default())).await.unwrap();
    assert_eq!(handle(&plugin, "echo", "x").await.unwrap(), "x");
}

#[tokio::test]
async fn routes_methods_and_types_are_checked() {
    let long = format!("probe.t.{}", "x".repeat(limits::ROUTE_BYTES_MAX - 7));
    let fits = &long[..limits::ROUTE_BYTES_MAX];
    let cases: [(&str, &[&str], Option<&str>); 14] = [
        ("routes", &["probe.t.a", "probe.t.b"], None),
        ("routes", &[fits], None),
        ("routes", &[&long], Some("at most 255 bytes")),
        ("routes", &["probe.t"], Some("three parts")),
        ("routes", &["probe.t.a.b"], Some("three parts")),
        ("routes", &["probe..a"], Some("three parts")),
        ("routes", &["probe.t."], Some("three parts")),
        ("routes", &["chat.t.a"], Some("serves the types probe only")),
        ("routes", &["probe.t.a", "probe.t.a"], Some("listed twice")),
        ("routes", &["probe.t.a b"], Some("spaces")),
        ("methods", &["chat.r.a"], Some("remote.methods")),
        ("methods", &["probe.r.a"], None),
        ("routerTypes", &["a.b"], Some("router.server-types")),
        ("routerTypes", &["chat", "chat"], Some("listed twice")),
    ];
    for (list, names, expected) in cases {
        let names: Vec<String> = names.iter().map(|name| format!("{name:?}")).collect();
        let settings = format!("{{\"{list}\": [{}]}}", names.join(","));
        let loaded = load(PluginSpec { settings, ..spec() }, &Arc::new(TestHost::default())).await;
        match (loaded, expected) {
            (Ok(_), None) => {}
            (Err(error), Some(expected)) => says(&error, &[expected]),
            (loaded, expected) => panic!("{names:?}: expected {expected:?}, got {loaded:?}"),
        }
    }
}

#[tokio::test]
async fn the_number_of_routes_is_bounded() {
    let load_many = async |count: usize| {
        let names: Vec<String> = (0..count).map(|number| format!("\"probe.t.r{number}\"")).collect();
        let settings = format!("{{\"routes\": [{}]}}", names.join(","));
        load(PluginSpec { settings, ..spec() }, &Arc::new(TestHost::default())).await
    };
    assert_eq!(load_many(limits::ROUTES_MAX).await.unwrap().routes().len(), limits::ROUTES_MAX);
    says(&load_many(limits::ROUTES_MAX + 1).await.unwrap_err(), &["at most 4096 entries"]);
}

#[tokio::test]
async fn settings_are_a_json_object() {
    for settings in ["", "[]", "{", "null"] {
        let spec = PluginSpec { settings: settings.into(), ..spec() };
        refused(&component("probe.wasm"), spec, &["plugin probe", "not a JSON object"]).await;
    }
}

#[tokio::test]
async fn a_route_function_whose_init_wants_imports_is_refused() {
    let settings = "{\"routerTypes\": [\"chat\"], \"init\": \"clock\"}".into();
    let host = Arc::new(TestHost::default());
    let error = load(PluginSpec { settings, ..spec() }, &host).await.unwrap_err();
    says(&error, &["the instance for route functions", "route functions have no imports", "now-ms"]);
    // Without a route function the same init is fine.
    load(PluginSpec { settings: "{\"init\": \"clock\"}".into(), ..spec() }, &host).await.unwrap();
}
