//! `shaddock-component`: for languages whose compiler knows core modules only.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, anyhow, bail};
use wit_bindgen_core::wit_parser::{Resolve, WorldId};
use wit_bindgen_core::{Files, WorldGenerator};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};

const USAGE: &str = "usage: shaddock-component c-bindings WIT WORLD DIR | go-bindings WIT WORLD DIR | \
                     new MODULE COMPONENT | new-over WIT WORLD SYSTEM MODULE COMPONENT";

/// What a module takes for its operating system, and `new-over` puts in the place of one.
const SYSTEM: &str = "wasi_snapshot_preview1";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments[..] {
        ["c-bindings", wit, world, dir] => c_bindings(wit.as_ref(), world, dir.as_ref()),
        ["go-bindings", wit, world, dir] => go_bindings(wit.as_ref(), world, dir.as_ref()),
        ["new", module, component] => new(module.as_ref(), component.as_ref()),
        ["new-over", wit, world, system, module, component] => {
            new_over(wit.as_ref(), world, system.as_ref(), module.as_ref(), component.as_ref())
        }
        _ => Err(anyhow!(USAGE)),
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
    write_bindings(wit, world, &mut *wit_bindgen_c::Opts::default().build(), dir)
}

/// Writes the bindings of a world for Go as packages of a module `wit_component`, which calls the SDK (`shaddock/exports`).
/// Beside it, in `pkg`, comes the module with the types of both; it is the generator's, so that no module proxy is needed.
fn go_bindings(wit: &Path, world: &str, dir: &Path) -> Result<()> {
    let options = wit_bindgen_go::Opts {
        format: wit_bindgen_go::Format::False,
        pkg_name: Some("wit_component".to_owned()),
        export_pkg_name: Some("shaddock/exports".to_owned()),
        ..Default::default()
    };
    write_bindings(wit, world, &mut *options.build(), dir)?;
    write(&dir.join("go.mod"), b"module wit_component\n\ngo 1.25\n")?;
    let runtime = source_of("wit-bindgen-go")?.join("src/pkg");
    for part in ["go.mod", "LICENSE", "wit"] {
        copy(&runtime.join(part), &dir.join("pkg").join(part))?;
    }
    Ok(())
}

/// Generates the bindings of a world into a directory.
fn write_bindings(wit: &Path, world: &str, generator: &mut dyn WorldGenerator, dir: &Path) -> Result<()> {
    let (mut resolve, world) = parse(wit, world)?;
    let mut files = Files::default();
    generator.generate(&mut resolve, world, &mut files).map_err(|e| anyhow!("{e:#}"))?;
    for (name, content) in files.iter() {
        write(&dir.join(name), content)?;
    }
    Ok(())
}

fn parse(wit: &Path, world: &str) -> Result<(Resolve, WorldId)> {
    let text = fs::read_to_string(wit).with_context(|| format!("reading {}", wit.display()))?;
    let mut resolve = Resolve::default();
    let package = resolve.push_str(wit, &text).map_err(|e| anyhow!("{e:#}"))?;
    let world = resolve.select_world(&[package], Some(world)).map_err(|e| anyhow!("{e:#}"))?;
    Ok((resolve, world))
}

/// The directory of a package that this program is built from.
fn source_of(package: &str) -> Result<PathBuf> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut metadata = Command::new(cargo);
    metadata.args(["metadata", "--format-version=1", "--locked", "--manifest-path"]).arg(manifest);
    let output = metadata.output().context("starting cargo")?;
    if !output.status.success() {
        bail!("cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).context("cargo metadata")?;
    let packages = told["packages"].as_array().context("cargo metadata names no packages")?;
    let found = packages.iter().find(|known| known["name"] == package);
    let manifest = found.and_then(|known| known["manifest_path"].as_str());
    let dir = manifest.and_then(|path| Path::new(path).parent());
    Ok(dir.with_context(|| format!("cargo metadata does not know {package}"))?.to_owned())
}

/// Copies a file, or a directory with all that is in it.
fn copy(from: &Path, to: &Path) -> Result<()> {
    if !from.is_dir() {
        return write(to, &fs::read(from).with_context(|| format!("reading {}", from.display()))?);
    }
    for entry in fs::read_dir(from).with_context(|| format!("reading {}", from.display()))? {
        let name = entry.with_context(|| format!("reading {}", from.display()))?.file_name();
        copy(&from.join(&name), &to.join(&name))?;
    }
    Ok(())
}

fn write(file: &Path, content: &[u8]) -> Result<()> {
    if let Some(dir) = file.parent() {
        fs::create_dir_all(dir).with_context(|| format!("making {}", dir.display()))?;
    }
    fs::write(file, content).with_context(|| format!("writing {}", file.display()))
}

/// Makes a component of a module that carries its world's type.
fn new(module: &Path, component: &Path) -> Result<()> {
    let binary = fs::read(module).with_context(|| format!("reading {}", module.display()))?;
    encode(&mut ComponentEncoder::default(), &binary, module, component)
}

/// Makes a component of a module that carries no type, and expects the operating system WASI. It gets another module in
/// its place, `system` as text, which is made of the contract's `app`, so that the component has no import of WASI.
fn new_over(wit: &Path, world: &str, system: &Path, module: &Path, component: &Path) -> Result<()> {
    let (mut resolve, world) = parse(wit, world)?;
    let mut binary = fs::read(module).with_context(|| format!("reading {}", module.display()))?;
    embed_component_metadata(&mut binary, &resolve, world, StringEncoding::UTF8)?;
    let mut adapter = wat::parse_file(system)?;
    let only_app = "package shaddock:system; world system { import shaddock:plugin/app@0.1.0; }";
    let package = resolve.push_str("system.wit", only_app).map_err(|e| anyhow!("{e:#}"))?;
    let world = resolve.select_world(&[package], None).map_err(|e| anyhow!("{e:#}"))?;
    embed_component_metadata(&mut adapter, &resolve, world, StringEncoding::UTF8)?;
    let mut encoder = ComponentEncoder::default();
    encoder.adapter(SYSTEM, &adapter).map_err(|e| anyhow!("{}: {e:#}", system.display()))?;
    encode(&mut encoder, &binary, module, component)
}

fn encode(encoder: &mut ComponentEncoder, binary: &[u8], module: &Path, component: &Path) -> Result<()> {
    let encoded = encoder.validate(true).module(binary).and_then(ComponentEncoder::encode);
    write(component, &encoded.map_err(|e| anyhow!("{}: {e:#}", module.display()))?)
}
