//! Components: made of core modules, looked into, and put in their place.

use std::fs;
use std::path::Path;

use wasmparser::{Encoding, Parser, Payload};
use wit_bindgen_core::Files;
use wit_bindgen_core::wit_parser::Resolve;
use wit_component::ComponentEncoder;

use crate::ToolchainError;

/// The world of the SDKs.
pub(crate) const WORLD: &str = "sdk-plugin";
/// A plugin imports nothing else.
const CONTRACT: &str = "shaddock:plugin/";

/// Writes the bindings of the SDKs' world for C: a header, a source file, and an object file with the world's type.
pub(crate) fn c_bindings(wit: &Path, to: &Path) -> Result<(), ToolchainError> {
    let text = fs::read_to_string(wit).map_err(ToolchainError::io("reading", wit))?;
    let files =
        generate(wit, &text).map_err(|reason| ToolchainError::NoPlugin { path: wit.to_owned(), reason })?;
    fs::create_dir_all(to).map_err(ToolchainError::io("making", to))?;
    for (name, content) in files.iter() {
        let file = to.join(name);
        fs::write(&file, content).map_err(ToolchainError::io("writing", &file))?;
    }
    Ok(())
}

fn generate(wit: &Path, text: &str) -> Result<Files, String> {
    let mut resolve = Resolve::default();
    let package = resolve.push_str(wit, text).map_err(|error| format!("{error:#}"))?;
    let world = resolve.select_world(&[package], Some(WORLD)).map_err(|error| format!("{error:#}"))?;
    let mut files = Files::default();
    let mut generator = wit_bindgen_c::Opts::default().build();
    generator.generate(&mut resolve, world, &mut files).map_err(|error| format!("{error:#}"))?;
    Ok(files)
}

/// Puts what was built in its place, made a component if it is none yet. It has to import the contract and nothing else.
///
/// A file that has not changed stays untouched; one that has is replaced at once, so that nobody ever reads half of it.
/// Answers whether it changed.
pub(crate) fn publish(built: &Path, to: &Path) -> Result<bool, ToolchainError> {
    let binary = fs::read(built).map_err(ToolchainError::io("reading", built))?;
    let no_plugin = |reason| ToolchainError::NoPlugin { path: built.to_owned(), reason };
    let component = componentize(binary).map_err(no_plugin)?;
    let imports = imports(&component).map_err(no_plugin)?;
    if let Some(foreign) = imports.iter().find(|name| !name.starts_with(CONTRACT)) {
        return Err(no_plugin(format!(
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
