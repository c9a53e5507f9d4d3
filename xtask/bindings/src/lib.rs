//! Writes the Rust SDK's bindings from `wit/plugin.wit`.
//!
//! The bindings are checked in (`plugins/sdk/src/bindings.rs`, `plugins/sdk/src/roles/`), so that a plugin needs neither
//! the generator nor its dependencies. A workspace of its own: nobody else has to compile it.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use wit_bindgen_core::wit_parser::Resolve;
use wit_bindgen_core::{Files, WorldGenerator};
use wit_bindgen_rust::WithOption;

/// The world that every plugin of the SDK implements: it fills in the roles that a plugin leaves out.
const WORLD: &str = "full-plugin";

/// The world of plugins with many calls in flight, which has interfaces of the other one.
const CONCURRENT: &str = "async-sdk-plugin";

/// What it shares with the other world.
const SHARED: [&str; 4] = ["types", "app", "channels", "timers"];

/// The roles that the SDK adds to a plugin that plays them, each a world `<role>-plugin` of its own.
const ROLES: [&str; 12] = [
    "handshake",
    "filter",
    "error-handler",
    "rpc-filter",
    "broadcast-filter",
    "server-events",
    "session-events",
    "cron",
    "timer",
    "tick",
    "self-test",
    "state",
];

/// What every type of the contract has beside `Clone` and `Debug`.
const DERIVES: [&str; 4] = ["PartialEq", "Eq", "serde::Serialize", "serde::Deserialize"];

/// The source files of the bindings for the contract in `wit`, as seen from the SDK's `src/`.
pub fn generate(wit: &Path) -> Result<Vec<(PathBuf, String)>> {
    let mut files = vec![("bindings.rs".into(), world(wit, WORLD, Vec::new())?)];
    for role in ROLES {
        let file = format!("roles/{}.rs", role.replace('-', "_"));
        files.push((file.into(), world(wit, &format!("{role}-plugin"), shared(&["types"]))?));
    }
    // Both worlds export `lifecycle`, and in a crate a macro has its name alone.
    let (macro_name, own_name) = ("__export_shaddock_plugin_lifecycle", "__export_concurrent_lifecycle");
    let concurrent = world(wit, CONCURRENT, shared(&SHARED))?.replace(macro_name, own_name);
    files.push(("concurrent/bindings.rs".into(), concurrent));
    Ok(files)
}

/// Interfaces that are those of `bindings.rs`.
fn shared(interfaces: &[&str]) -> Vec<(String, WithOption)> {
    let of_bindings = |name: &&str| {
        let path = format!("crate::bindings::shaddock::plugin::{name}");
        (format!("shaddock:plugin/{name}@0.1.0"), WithOption::Path(path))
    };
    interfaces.iter().map(of_bindings).collect()
}

fn world(wit: &Path, world: &str, with: Vec<(String, WithOption)>) -> Result<String> {
    let text = std::fs::read_to_string(wit).with_context(|| format!("reading {}", wit.display()))?;
    let mut resolve = Resolve::default();
    let package = resolve.push_str(wit, &text).map_err(|e| anyhow!("{e:#}"))?;
    let world = resolve.select_world(&[package], Some(world)).map_err(|e| anyhow!("{e:#}"))?;
    let options = wit_bindgen_rust::Opts {
        generate_all: true,
        format: true,
        pub_export_macro: true,
        additional_derive_attributes: DERIVES.iter().map(|&name| name.to_owned()).collect(),
        with,
        ..Default::default()
    };
    let mut files = Files::default();
    options.build().generate(&mut resolve, world, &mut files).map_err(|e| anyhow!("{e:#}"))?;
    let (_, source) =
        files.iter().find(|(name, _)| name.ends_with(".rs")).context("the generator wrote no Rust file")?;
    Ok(std::str::from_utf8(source)?.to_owned())
}
