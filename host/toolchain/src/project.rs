//! A plugin project: a directory with a `shaddock.json`.

use std::fs;
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};

use serde::Deserialize;

use crate::component::{CONCURRENT_WORLD, WORLD};
use crate::{Language, ToolchainError};

/// The manifest's name.
pub const MANIFEST: &str = "shaddock.json";

/// Where a project leaves what it is built from and into, if it lies nowhere else.
pub(crate) const WORK_DIR: &str = "build";

/// The manifest as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    language: String,
    entry: PathBuf,
    output: PathBuf,
    #[serde(default = "sdk")]
    sdk: PathBuf,
    #[serde(default = "wit")]
    wit: PathBuf,
    #[serde(default = "config")]
    config: PathBuf,
    #[serde(default)]
    concurrent: bool,
}

fn sdk() -> PathBuf {
    "sdk".into()
}

fn wit() -> PathBuf {
    "wit".into()
}

fn config() -> PathBuf {
    "config".into()
}

/// A plugin project. All paths are absolute.
#[derive(Clone, Debug)]
pub struct Project {
    /// Its directory.
    pub dir: PathBuf,
    /// What it is written in.
    pub language: Language,
    /// The file that a build begins with: `Cargo.toml` for Rust, else the source file with the plugin's exports.
    pub entry: PathBuf,
    /// The component that it is built into.
    pub output: PathBuf,
    /// The SDK of its language.
    pub sdk: PathBuf,
    /// The directory of the contract.
    pub wit: PathBuf,
    /// The configuration of the cluster that it is tried out in.
    pub config: PathBuf,
    /// Whether it is one with many calls in flight in one instance.
    pub concurrent: bool,
}

impl Project {
    /// Reads the manifest of the project in `dir`.
    ///
    /// # Errors
    /// There is none, or it makes no sense.
    pub fn open(dir: &Path) -> Result<Project, ToolchainError> {
        let dir = dir.canonicalize().map_err(ToolchainError::io("opening the project", dir))?;
        let path = dir.join(MANIFEST);
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(ToolchainError::NoProject { dir });
            }
            read => read.map_err(ToolchainError::io("reading", &path))?,
        };
        let bad = |reason: String| ToolchainError::Manifest { path: path.clone(), reason };
        let manifest: Manifest = serde_json::from_str(&text).map_err(|error| bad(error.to_string()))?;
        let language = manifest.language.parse().map_err(|error: ToolchainError| bad(error.to_string()))?;
        let entry = join(&dir, &manifest.entry);
        if !entry.is_file() {
            return Err(bad(format!("there is no file {}, which `entry` names", entry.display())));
        }
        let output = join(&dir, &manifest.output);
        if output.extension().is_none_or(|extension| extension != "wasm") {
            return Err(bad("`output` names the component, a file ending in .wasm".to_owned()));
        }
        let [sdk, wit, config] =
            [manifest.sdk, manifest.wit, manifest.config].map(|below| join(&dir, &below));
        for (name, wanted) in [("sdk", &sdk), ("wit", &wit)] {
            if !wanted.is_dir() {
                return Err(bad(format!("there is no directory {}, which `{name}` names", wanted.display())));
            }
        }
        let concurrent = manifest.concurrent;
        if concurrent && ![Language::C, Language::Python].contains(&language) {
            return Err(bad(format!(
                "`concurrent`: the SDK for {language} has no such plugins; those for C and Python have, and in Rust they are made with \
                 `concurrent_plugin!`"
            )));
        }
        Ok(Project { dir, language, entry, output, sdk, wit, config, concurrent })
    }

    /// The world of the contract that it is built for.
    pub(crate) fn world(&self) -> &'static str {
        if self.concurrent { CONCURRENT_WORLD } else { WORLD }
    }

    /// A place for what is left behind on the way.
    pub(crate) fn work_dir(&self) -> PathBuf {
        self.dir.join(WORK_DIR)
    }
}

/// The path without `..` where that can be seen from the path alone, so that it reads well.
fn join(dir: &Path, below: &Path) -> PathBuf {
    let mut path = dir.to_owned();
    for component in below.components() {
        match component {
            Component::ParentDir => drop(path.pop()),
            Component::CurDir => {}
            other => path.push(other),
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(manifest: &str) -> Result<Project, String> {
        let dir = tempfile::tempdir().unwrap();
        for name in ["sdk", "wit"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        fs::write(dir.path().join("area.js"), "").unwrap();
        fs::write(dir.path().join(MANIFEST), manifest).unwrap();
        let shown = dir.path().canonicalize().unwrap();
        Project::open(dir.path())
            .map_err(|error| error.to_string().replace(&shown.display().to_string(), "DIR"))
    }

    #[test]
    fn a_manifest_names_what_there_is() {
        let project =
            open(r#"{ "language": "javascript", "entry": "area.js", "output": "../x/a.wasm" }"#).unwrap();
        assert_eq!(project.language, Language::Javascript);
        assert_eq!(project.output, project.dir.parent().unwrap().join("x/a.wasm"));
        assert_eq!(project.config, project.dir.join("config"));
    }

    #[test]
    fn what_is_wrong_with_a_manifest_is_said() {
        for (manifest, expected) in [
            ("{", "DIR/shaddock.json: EOF while parsing"),
            (r#"{ "language": "c", "entry": "a.c" }"#, "missing field `output`"),
            (
                r#"{ "language": "b", "entry": "area.js", "output": "a.wasm" }"#,
                "unknown language \"b\": it is one of",
            ),
            (
                r#"{ "language": "c", "entry": "a.c", "output": "a.wasm" }"#,
                "no file DIR/a.c, which `entry` names",
            ),
            (r#"{ "language": "c", "entry": "area.js", "output": "a" }"#, "a file ending in .wasm"),
            (
                r#"{ "language": "c", "entry": "area.js", "output": "a.wasm", "name": 1 }"#,
                "unknown field `name`",
            ),
            (
                r#"{ "language": "go", "entry": "area.js", "output": "a.wasm", "concurrent": true }"#,
                "`concurrent`: the SDK for Go has no such plugins; those for C and Python have",
            ),
            (
                r#"{ "language": "c", "entry": "area.js", "output": "a.wasm", "sdk": "../s" }"#,
                "s, which `sdk` names",
            ),
        ] {
            let error = open(manifest).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn a_directory_without_a_manifest_is_no_project() {
        let dir = tempfile::tempdir().unwrap();
        let error = Project::open(dir.path()).unwrap_err().to_string();
        assert!(error.contains("is no plugin project") && error.contains("shaddock new"), "{error}");
    }
}
