//! Writes the Rust SDK's bindings from `wit/plugin.wit`.
//!
//! The bindings are checked in (`plugins/sdk/src/bindings.rs`), so that a plugin needs neither the generator nor its
//! dependencies. A workspace of its own: nobody else has to compile it.

use std::path::Path;

use anyhow::{Context, Result, anyhow};
use wit_bindgen_core::wit_parser::Resolve;
use wit_bindgen_core::{Files, WorldGenerator};

/// The world that the SDK implements: it fills in the roles that a plugin leaves out.
const WORLD: &str = "full-plugin";

/// What every type of the contract has beside `Clone` and `Debug`.
const DERIVES: [&str; 4] = ["PartialEq", "Eq", "serde::Serialize", "serde::Deserialize"];

/// The source text of the bindings for the contract in `wit`.
pub fn generate(wit: &Path) -> Result<String> {
    let text = std::fs::read_to_string(wit).with_context(|| format!("reading {}", wit.display()))?;
    let mut resolve = Resolve::default();
    let package = resolve.push_str(wit, &text).map_err(|e| anyhow!("{e:#}"))?;
    let world = resolve.select_world(&[package], Some(WORLD)).map_err(|e| anyhow!("{e:#}"))?;
    let options = wit_bindgen_rust::Opts {
        generate_all: true,
        format: true,
        pub_export_macro: true,
        additional_derive_attributes: DERIVES.iter().map(|&name| name.to_owned()).collect(),
        ..Default::default()
    };
    let mut files = Files::default();
    options.build().generate(&mut resolve, world, &mut files).map_err(|e| anyhow!("{e:#}"))?;
    let (_, source) =
        files.iter().find(|(name, _)| name.ends_with(".rs")).context("the generator wrote no Rust file")?;
    Ok(std::str::from_utf8(source)?.to_owned())
}
