//! What is refused before any call, and in which words.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs, reason = "tests")]

mod support;

use std::path::Path;
use std::sync::Arc;

use shaddock_engine::{EngineError, Grants, PluginLimits, PluginSpec, compile, limits};
use support::{ALL_GRANTS, TestHost, cache, component, load, load_file, spec, wat};

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
        ("foreign", "acme:things/stuff@1.0.0", "app, sessions, channels and rpc"),
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
    ] {
        let import = format!("shaddock:plugin/{name}@0.1.0");
        let grant = format!("\"{name}\": true");
        refused(
            &component("probe.wasm"),
            PluginSpec { grants, ..spec() },
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
        (instance $h (export "stop" (func $f)))
        (export "shaddock:plugin/lifecycle@0.1.0" (instance $h)))"#
    )
}

#[tokio::test]
async fn a_start_function_is_bounded_too() {
    let quick = PluginLimits { cpu_ms_max: 20, ..PluginLimits::default() };
    let module = "(func $s (loop br 0)) (start $s)";
    // The lifecycle lacks functions; a complete one would behave the same, since `start` runs before types are looked at.
    let file = wat("start", &with_module(module));
    let error =
        load_file(&file, PluginSpec { limits: quick, ..spec() }, &Arc::new(TestHost::default())).await;
    assert!(error.is_err());
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
