//! `shaddock-component`: for languages whose compiler knows core modules only.

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow};
use wit_bindgen_core::Files;
use wit_bindgen_core::wit_parser::Resolve;
use wit_component::ComponentEncoder;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments[..] {
        ["c-bindings", wit, world, dir] => c_bindings(wit.as_ref(), world, dir.as_ref()),
        ["new", module, component] => new(module.as_ref(), component.as_ref()),
        _ => Err(anyhow!("usage: shaddock-component c-bindings WIT WORLD DIR | new MODULE COMPONENT")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("error: {e:#}");
            ExitCode::FAILURE
        }
    }
}

/// Writes the bindings of a world for C: a header, a source file, and an object file with the world's type.
fn c_bindings(wit: &Path, world: &str, dir: &Path) -> Result<()> {
    let text = fs::read_to_string(wit).with_context(|| format!("reading {}", wit.display()))?;
    let mut resolve = Resolve::default();
    let package = resolve.push_str(wit, &text).map_err(|e| anyhow!("{e:#}"))?;
    let world = resolve.select_world(&[package], Some(world)).map_err(|e| anyhow!("{e:#}"))?;
    let mut files = Files::default();
    let options = wit_bindgen_c::Opts::default();
    options.build().generate(&mut resolve, world, &mut files).map_err(|e| anyhow!("{e:#}"))?;
    fs::create_dir_all(dir).with_context(|| format!("making {}", dir.display()))?;
    for (name, content) in files.iter() {
        let file = dir.join(name);
        fs::write(&file, content).with_context(|| format!("writing {}", file.display()))?;
    }
    Ok(())
}

/// Makes a component of a module that carries its world's type.
fn new(module: &Path, component: &Path) -> Result<()> {
    let binary = fs::read(module).with_context(|| format!("reading {}", module.display()))?;
    let mut encoder = ComponentEncoder::default();
    let encoded = encoder.validate(true).module(&binary).and_then(ComponentEncoder::encode);
    let encoded = encoded.map_err(|e| anyhow!("{}: {e:#}", module.display()))?;
    fs::write(component, encoded).with_context(|| format!("writing {}", component.display()))
}
