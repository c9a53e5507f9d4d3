//! What the program carries: the contract, the SDKs, the files of a new project.

use std::fs;
use std::path::Path;

use include_dir::{Dir, include_dir};

use crate::{Language, ToolchainError};

/// The contract.
pub(crate) static WIT: &str = include_str!("../../../wit/plugin.wit");
/// Descriptions of the configuration files, for editors.
pub(crate) static SCHEMAS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../config/schema");
/// Looks for a Rust compiler that can build guests, and gets one.
pub(crate) static RUST_SCRIPT: &str = include_str!("../../../scripts/install-wasm-rust.sh");
/// What the bindings for Go use: packages of their generator.
pub(crate) static GO_PACKAGES: Dir<'_> = include_dir!("$OUT_DIR/go-pkg");
/// What new projects have in common, and in a directory each what only those of one language have.
pub(crate) static TEMPLATES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/templates");

/// The versions of the crates that the Rust SDK was tested with.
pub(crate) static RUST_LOCK: &str = include_str!("../../../plugins/Cargo.lock");
/// What the manifest of the Rust SDK takes over.
pub(crate) static RUST_WORKSPACE: &str = include_str!("../../../plugins/Cargo.toml");

static SDK_RUST: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../plugins/sdk");
static SDK_JAVASCRIPT: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../plugins/sdk-javascript");
static SDK_C: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../plugins/sdk-c");
static SDK_ZIG: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../plugins/sdk-zig");
static SDK_GO: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../plugins/sdk-go");
static SDK_PYTHON: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../plugins/sdk-python");

/// What a source directory may have beside what belongs to it.
const LEFT_BEHIND: [&str; 3] = ["node_modules", "__pycache__", "target"];

/// The SDK of a language.
pub(crate) fn sdk(language: Language) -> &'static Dir<'static> {
    match language {
        Language::Rust => &SDK_RUST,
        Language::Javascript | Language::Typescript => &SDK_JAVASCRIPT,
        Language::C => &SDK_C,
        Language::Zig => &SDK_ZIG,
        Language::Go => &SDK_GO,
        Language::Python => &SDK_PYTHON,
    }
}

/// The text of a file that is carried along.
pub(crate) fn text(dir: &'static Dir<'static>, name: &str) -> &'static str {
    dir.get_file(name).and_then(|file| file.contents_utf8()).unwrap_or_default()
}

/// Writes all files of a directory.
pub(crate) fn write_all(dir: &Dir<'_>, to: &Path) -> Result<(), ToolchainError> {
    fs::create_dir_all(to).map_err(ToolchainError::io("making", to))?;
    for file in dir.files() {
        if let Some(name) = file.path().file_name() {
            let path = to.join(name);
            fs::write(&path, file.contents()).map_err(ToolchainError::io("writing", &path))?;
        }
    }
    for below in dir.dirs() {
        let name = below.path().file_name().unwrap_or_default();
        if !LEFT_BEHIND.iter().any(|left| *left == name) {
            write_all(below, &to.join(name))?;
        }
    }
    Ok(())
}
