//! The walls between the crates, as ARCHITECTURE.md draws them.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The names under `[dependencies]` of a crate's manifest.
fn dependencies(krate: &str) -> Vec<String> {
    let manifest = fs::read_to_string(root().join("host").join(krate).join("Cargo.toml")).unwrap();
    let section = manifest.split("\n[").find(|section| section.starts_with("dependencies]")).unwrap();
    let names = section.lines().skip(1).filter_map(|line| line.split(['.', ' ', '=']).next());
    names.filter(|name| !name.is_empty() && !name.starts_with('#')).map(str::to_owned).collect()
}

fn check(krate: &str, own: &[&str], never: &[&str]) {
    let found = dependencies(krate);
    let ours: Vec<&str> =
        found.iter().map(String::as_str).filter(|name| name.starts_with("shaddock")).collect();
    for name in &ours {
        assert!(own.contains(name), "{krate} depends on {name}, which ARCHITECTURE.md does not allow");
    }
    for name in never {
        assert!(!found.iter().any(|dependency| dependency == name), "{krate} must not know {name}");
    }
    assert!(!found.is_empty(), "{krate}: no dependencies were read, so this test proves nothing");
}

#[test]
fn arrows_point_down() {
    let io = ["tokio", "tokio-tungstenite", "axum", "wasmtime"];
    check("wire", &[], &io);
    check("config", &[], &io);
    check("engine", &["shaddock-handover"], &["tokio-tungstenite", "axum", "socket2"]);
    check("cluster", &[], &["wasmtime", "tokio-tungstenite", "axum"]);
    check("rollout", &[], &io);
    check(
        "server",
        &[
            "shaddock-wire",
            "shaddock-config",
            "shaddock-engine",
            "shaddock-handover",
            "shaddock-cluster",
            "shaddock-rollout",
        ],
        &["wasmtime"],
    );
    check(
        "master",
        &["shaddock-config", "shaddock-cluster", "shaddock-rollout"],
        &["wasmtime", "tokio-tungstenite"],
    );
    check("bench", &["shaddock-wire"], &["wasmtime"]);
    check("toolchain", &[], &["wasmtime", "tokio", "axum"]);
}

#[test]
fn what_loom_checks_has_nothing_that_loom_does_not_know() {
    let manifest = fs::read_to_string(root().join("host/handover/Cargo.toml")).unwrap();
    assert!(manifest.contains("[target.'cfg(loom)'.dependencies]\nloom"), "the manifest was read");
    let (_, dependencies) = manifest.split_once("\n[dependencies]\n").unwrap();
    let first = dependencies.split("\n\n").next().unwrap();
    assert_eq!(first, "arc-swap.workspace = true", "host/handover depends on nothing else but loom");
}

/// Every Rust file below a folder.
fn sources(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

#[test]
fn only_the_engine_has_unsafe_code() {
    for krate in
        ["wire", "config", "handover", "cluster", "rollout", "server", "master", "bench", "toolchain"]
    {
        let lib = fs::read_to_string(root().join("host").join(krate).join("src/lib.rs")).unwrap();
        assert!(lib.contains("#![forbid(unsafe_code)]"), "host/{krate} does not forbid unsafe code");
    }
    for file in sources(&root().join("host/engine/src")) {
        let text = fs::read_to_string(&file).unwrap();
        let blocks = text.matches("unsafe {").count();
        let reasons = text.matches("SAFETY:").count();
        assert!(reasons >= blocks, "{}: {blocks} unsafe blocks, {reasons} reasons", file.display());
    }
}
