//! Components: made of core modules, looked into, and put in their place.

use std::fs;
use std::path::Path;

use wasmparser::{Encoding, Parser, Payload};
use wit_bindgen_core::wit_parser::{Resolve, WorldId};
use wit_bindgen_core::{Files, WorldGenerator};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};

use crate::{ToolchainError, carried};

/// The world of the SDKs.
pub(crate) const WORLD: &str = "sdk-plugin";
/// Their world for plugins with many calls in flight.
pub(crate) const CONCURRENT_WORLD: &str = "async-sdk-plugin";
/// A plugin imports nothing else.
const CONTRACT: &str = "shaddock:plugin/";
/// What a module takes for its operating system.
const SYSTEM: &str = "wasi_snapshot_preview1";

/// Writes the bindings of a world of the SDKs for C: a header, a source file, and an object file with the world's type.
/// They have the names of [`WORLD`], whichever it is.
pub(crate) fn c_bindings(wit: &Path, world: &str, to: &Path) -> Result<(), ToolchainError> {
    let options = wit_bindgen_c::Opts { rename_world: Some(WORLD.to_owned()), ..Default::default() };
    write_bindings(wit, world, &mut *options.build(), to)
}

/// Writes the bindings of that world for Go as packages of a module `wit_component`, which calls the SDK
/// (`shaddock/exports`). Beside it, in `pkg`, comes the module with the types of both; it is the generator's, so that no
/// module proxy is needed.
pub(crate) fn go_bindings(wit: &Path, to: &Path) -> Result<(), ToolchainError> {
    let options = wit_bindgen_go::Opts {
        format: wit_bindgen_go::Format::False,
        pkg_name: Some("wit_component".to_owned()),
        export_pkg_name: Some("shaddock/exports".to_owned()),
        ..Default::default()
    };
    write_bindings(wit, WORLD, &mut *options.build(), to)?;
    let manifest = to.join("go.mod");
    fs::write(&manifest, "module wit_component\n\ngo 1.25\n")
        .map_err(ToolchainError::io("writing", &manifest))?;
    carried::write_all(&carried::GO_PACKAGES, &to.join("pkg"))
}

/// Generates the bindings of a world into a directory.
fn write_bindings(
    wit: &Path,
    world: &str,
    generator: &mut dyn WorldGenerator,
    to: &Path,
) -> Result<(), ToolchainError> {
    let (mut resolve, world) = parse(wit, world)?;
    let mut files = Files::default();
    generator.generate(&mut resolve, world, &mut files).map_err(no_plugin(wit))?;
    for (name, content) in files.iter() {
        let file = to.join(name);
        if let Some(dir) = file.parent() {
            fs::create_dir_all(dir).map_err(ToolchainError::io("making", dir))?;
        }
        fs::write(&file, content).map_err(ToolchainError::io("writing", &file))?;
    }
    Ok(())
}

/// The contract, and the SDKs' world in it.
fn parse(wit: &Path, world: &str) -> Result<(Resolve, WorldId), ToolchainError> {
    let text = fs::read_to_string(wit).map_err(ToolchainError::io("reading", wit))?;
    let mut resolve = Resolve::default();
    let package = resolve.push_str(wit, &text).map_err(no_plugin(wit))?;
    let world = resolve.select_world(&[package], Some(world)).map_err(no_plugin(wit))?;
    Ok((resolve, world))
}

/// Makes a component of a module that carries no type, and expects the operating system WASI. It gets another module in
/// its place, `system` as text, which is made of the contract's `app`, so that the component has no import of WASI.
pub(crate) fn over_system(wit: &Path, system: &Path, module: &Path, to: &Path) -> Result<(), ToolchainError> {
    let (mut resolve, world) = parse(wit, WORLD)?;
    let mut binary = fs::read(module).map_err(ToolchainError::io("reading", module))?;
    embed_component_metadata(&mut binary, &resolve, world, StringEncoding::UTF8)
        .map_err(no_plugin(module))?;
    let mut stand_in = wat::parse_file(system).map_err(no_plugin(system))?;
    let only_app = "package shaddock:system; world system { import shaddock:plugin/app@0.1.0; }";
    let package = resolve.push_str("system.wit", only_app).map_err(no_plugin(system))?;
    let world = resolve.select_world(&[package], None).map_err(no_plugin(system))?;
    embed_component_metadata(&mut stand_in, &resolve, world, StringEncoding::UTF8)
        .map_err(no_plugin(system))?;
    let mut encoder = ComponentEncoder::default();
    encoder.adapter(SYSTEM, &stand_in).map_err(no_plugin(system))?;
    let encoded = encoder.validate(true).module(&binary).and_then(ComponentEncoder::encode);
    let encoded = encoded.map_err(no_plugin(module))?;
    fs::write(to, encoded).map_err(ToolchainError::io("writing", to))
}

/// Says what is wrong with a file.
fn no_plugin<E: std::fmt::Display>(path: &Path) -> impl FnOnce(E) -> ToolchainError {
    move |error| ToolchainError::NoPlugin { path: path.to_owned(), reason: format!("{error:#}") }
}

/// Puts what was built in its place, made a component if it is none yet. It has to import the contract and nothing else.
///
/// A file that has not changed stays untouched; one that has is replaced at once, so that nobody ever reads half of it.
/// Answers whether it changed.
pub(crate) fn publish(built: &Path, to: &Path) -> Result<bool, ToolchainError> {
    let binary = fs::read(built).map_err(ToolchainError::io("reading", built))?;
    let component = componentize(binary).map_err(no_plugin(built))?;
    let imports = imports(&component).map_err(no_plugin(built))?;
    if let Some(foreign) = imports.iter().find(|name| !name.starts_with(CONTRACT)) {
        return Err(no_plugin(built)(format!(
            "it imports {foreign}, and a plugin has only {CONTRACT}*; leave out what needs files, clocks, sockets or \
             threads of an operating system: the SDK has time, random numbers and the log"
        )));
    }
    if fs::read(to).ok().as_deref() == Some(&component) {
        return Ok(false);
    }
    if let Some(dir) = to.parent() {
        fs::create_dir_all(dir).map_err(ToolchainError::io("making", dir))?;
    }
    let draft = to.with_extension("wasm.new");
    fs::write(&draft, &component).map_err(ToolchainError::io("writing", &draft))?;
    fs::rename(&draft, to).map_err(ToolchainError::io("replacing", to))?;
    Ok(true)
}

/// A module that carries its world's type becomes a component; a component stays as it is.
fn componentize(binary: Vec<u8>) -> Result<Vec<u8>, String> {
    if !Parser::is_core_wasm(&binary) {
        return Ok(binary);
    }
    let mut encoder = ComponentEncoder::default();
    let encoded = encoder.validate(true).module(&binary).and_then(ComponentEncoder::encode);
    encoded.map_err(|error| format!("this module cannot be made a component: {error:#}"))
}

/// The names that a component imports, in its own order.
fn imports(binary: &[u8]) -> Result<Vec<String>, String> {
    if !Parser::is_component(binary) {
        return Err("it is no WebAssembly component".to_owned());
    }
    let mut names = Vec::new();
    // What lies in the component has imports of its own, which are none of ours.
    let mut depth = 0_u32;
    for payload in Parser::new(0).parse_all(binary) {
        match payload.map_err(|error| error.to_string())? {
            Payload::Version { encoding: Encoding::Module, .. } if depth == 0 => {
                return Err("it is no WebAssembly component".to_owned());
            }
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 0 => {
                for import in section {
                    names.push(import.map_err(|error| error.to_string())?.name.name.to_owned());
                }
            }
            _ => {}
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A component with these sections.
    fn component(sections: &[u8]) -> Vec<u8> {
        [b"\0asm\x0d\x00\x01\x00", sections].concat()
    }

    #[test]
    fn only_what_the_component_itself_imports_counts() {
        let inner = component(b"\x0a\x06\x01\x00\x01z\x01\x00");
        let nested = [&[4, u8::try_from(inner.len()).unwrap()], &inner[..]].concat();
        // A type of an instance without anything, and two imports of it.
        let sections =
            [&b"\x07\x03\x01\x42\x00"[..], &nested, b"\x0a\x0b\x02\x00\x01a\x05\x00\x00\x01b\x05\x00"];
        assert_eq!(imports(&component(&sections.concat())).unwrap(), ["a", "b"]);
    }

    #[test]
    fn what_is_no_plugin_is_said_and_does_not_take_its_place() {
        let dir = tempfile::tempdir().unwrap();
        let (built, to) = (dir.path().join("module.wasm"), dir.path().join("out/plugin.wasm"));
        for (binary, expected) in [
            (&b"hello"[..], "it is no WebAssembly component"),
            (b"\0asm\x01\0\0\0\x7f", "this module cannot be made a component"),
            (&component(b"\x07\x03\x01\x42\x00\x0a\x0c\x01\x00\x07wasi:io\x05\x00"), "it imports wasi:io"),
        ] {
            fs::write(&built, binary).unwrap();
            let error = publish(&built, &to).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
            assert!(!to.exists());
        }
        fs::write(&built, component(b"")).unwrap();
        assert!(publish(&built, &to).unwrap());
        assert!(!publish(&built, &to).unwrap(), "nothing has changed");
    }
}
