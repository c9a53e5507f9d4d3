//! Clusters whose plugins are replaced while they run.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use crate::{Cluster, Config, Finished, Setup, versioned, wait_for};

/// Longest wait for the versions that are asked for.
const PATIENCE: Duration = Duration::from_secs(30);

/// An entry of plugins.json for the guest `versioned`, version 1.
pub fn entry(server_types: &[&str]) -> Value {
    json!({
        "component": versioned(1, &[]),
        "serverTypes": server_types,
        "grants": ["rpc"],
        "settings": { "serverTypes": server_types },
        "limits": { "deadlineMs": 500, "cpuMsMax": 400 },
    })
}

/// The same with one instance, which keeps a count.
pub fn stateful(server_types: &[&str]) -> Value {
    let mut entry = entry(server_types);
    entry["pool"] = json!({ "policy": "single" });
    entry
}

/// The chat application with the guest `versioned` beside it, on so many connectors and chat servers: its routes are
/// `connector.versioned.…` and `chat.versioned.…`.
pub fn versioned_cluster(connectors: usize, chats: usize) -> Config {
    Config::chat(1, connectors, chats).plugin("versioned", entry(&["connector", "chat"]))
}

/// Runs `shaddock plugin` with these words.
pub fn plugin(setup: &Setup, words: &[&str]) -> Finished {
    let words: Vec<&str> = ["plugin"].iter().chain(words).copied().collect();
    setup.run(&words)
}

/// Deploys a file without a settle time.
pub fn deploy(setup: &Setup, name: &str, file: &Path) -> Finished {
    plugin(setup, &["deploy", name, file.to_str().unwrap(), "--settle", "0"])
}

/// The entry of a plugin in `plugin list`.
pub fn listed(setup: &Setup, name: &str) -> Value {
    let listing = plugin(setup, &["list", "--json"]).expect(0).json();
    let plugins = listing["plugins"].as_array().unwrap();
    plugins.iter().find(|entry| entry["plugin"] == name).unwrap_or_else(|| panic!("{listing}")).clone()
}

/// Whether every server of the cluster runs one and the same version, and that is the one in `file`.
pub fn runs_everywhere(setup: &Setup, name: &str, file: &Path) -> bool {
    let digest = digest(file);
    let entry = listed(setup, name);
    let ready = setup.list()["servers"].as_array().unwrap().iter().filter(|s| s["phase"] == "ready").count();
    let stable = &entry["stable"];
    stable["digest"] == digest.as_str()
        && stable["servers"].as_array().is_some_and(|servers| servers.len() == ready)
        && entry["canary"].is_null()
}

/// Waits until it does.
#[track_caller]
pub fn wait_until_everywhere(cluster: &Cluster, name: &str, file: &Path) {
    let what = format!("{} everywhere", file.display());
    wait_for(&what, PATIENCE, || runs_everywhere(cluster, name, file));
}

/// Another version of a component that does the same: `file` with a custom section more, in `dir`.
pub fn variant(file: &Path, dir: &Path) -> PathBuf {
    let mut bytes = std::fs::read(file).unwrap();
    // a custom section with the name `v` and nothing else
    bytes.extend_from_slice(&[0, 2, 1, b'v']);
    let path = dir.join(file.file_name().unwrap());
    std::fs::write(&path, bytes).unwrap();
    path
}

/// sha256 of a file, in hex.
pub fn digest(file: &Path) -> String {
    use sha2::{Digest, Sha256};
    Sha256::digest(std::fs::read(file).unwrap()).iter().map(|byte| format!("{byte:02x}")).collect()
}
