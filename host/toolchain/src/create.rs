//! A new project: written from what the program carries.

use std::fs;
use std::path::{Path, PathBuf};

use include_dir::Dir;

use crate::{Language, ToolchainError, carried};

/// Longest name of a project.
const NAME_CHARS_MAX: usize = 40;

/// A project that was made.
#[derive(Debug)]
pub struct Created {
    /// Its directory.
    pub dir: PathBuf,
    /// The file to begin with, as seen from there.
    pub entry: &'static str,
}

/// What differs from language to language.
struct Kind {
    /// The manifest's `entry`.
    entry: &'static str,
    /// The file with the handler.
    source: &'static str,
    /// The file with the tests, if the SDK has a host for them.
    tests: Option<&'static str>,
}

fn kind(language: Language) -> Kind {
    let same = |entry, tests| Kind { entry, source: entry, tests };
    match language {
        Language::Rust => Kind { entry: "Cargo.toml", source: "src/lib.rs", tests: Some("src/lib.rs") },
        Language::Javascript => same("handlers.js", Some("test/handlers.test.js")),
        Language::Typescript => same("handlers.ts", Some("test/handlers.test.ts")),
        Language::C => same("handlers.c", Some("test/test_handlers.c")),
        Language::Zig => same("handlers.zig", Some("handlers.zig")),
        Language::Go => same("handlers.go", None),
        Language::Python => same("handlers.py", None),
    }
}

/// Writes a project with one handler into a directory below `at` that has its name. There must be none yet, or an empty one.
///
/// # Errors
/// The name does not fit, the directory has something in it, or cannot be written.
pub fn create(at: &Path, name: &str, language: Language) -> Result<Created, ToolchainError> {
    check_name(name)?;
    let dir = at.join(name);
    if dir.symlink_metadata().is_ok() && !is_empty_dir(&dir) {
        return Err(ToolchainError::Refused(format!(
            "{} is there already and not an empty directory; choose another name, or remove it",
            dir.display()
        )));
    }
    let kind = kind(language);
    let sdk = dir.join("sdk");
    carried::write_all(carried::sdk(language), &sdk)?;
    carried::write_all(&carried::SCHEMAS, &dir.join("config/schema"))?;
    write(&dir.join("wit/plugin.wit"), carried::WIT)?;
    if language == Language::Rust {
        write(&sdk.join("Cargo.toml"), &sdk_manifest())?;
        write(&dir.join("Cargo.lock"), carried::RUST_LOCK)?;
    }
    let words = [
        ("{{name}}", name.to_owned()),
        ("{{crate}}", name.replace('-', "_")),
        ("{{lang}}", language.name().to_owned()),
        ("{{language}}", language.shown().to_owned()),
        ("{{entry}}", kind.entry.to_owned()),
        ("{{source}}", kind.source.to_owned()),
        ("{{tests}}", kind.tests.map_or_else(String::new, tests_row)),
    ];
    for template in ["common", language.name()] {
        if let Some(files) = carried::TEMPLATES.get_dir(template) {
            render(files, &dir, &words)?;
        }
    }
    Ok(Created { dir, entry: kind.source })
}

/// The row of the README's table that tells of the tests.
fn tests_row(file: &str) -> String {
    format!("| `{file}` | its unit tests, which need no server: `shaddock test` runs them |\n")
}

fn check_name(name: &str) -> Result<(), ToolchainError> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let fine = name.len() <= NAME_CHARS_MAX
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && !name.ends_with('-')
        && name.chars().all(fits);
    if fine && !RESERVED.contains(&name) {
        return Ok(());
    }
    Err(ToolchainError::Refused(if fine {
        format!("{name:?} is a name that others need; choose another, such as {name}-game")
    } else {
        format!(
            "{name:?} will not do as a name: it has up to {NAME_CHARS_MAX} small letters, digits and hyphens, and begins with a letter, \
             such as my-game"
        )
    }))
}

/// Names of crates that a project in Rust is built with or from, and names that cargo refuses.
const RESERVED: [&str; 41] = [
    "abstract",
    "alloc",
    "as",
    "async",
    "await",
    "become",
    "break",
    "build",
    "const",
    "continue",
    "core",
    "crate",
    "do",
    "dyn",
    "else",
    "enum",
    "extern",
    "false",
    "fn",
    "for",
    "if",
    "impl",
    "in",
    "let",
    "loop",
    "match",
    "mod",
    "move",
    "proc-macro",
    "self",
    "serde",
    "serde-json",
    "shaddock-sdk",
    "std",
    "struct",
    "super",
    "talc",
    "test",
    "trait",
    "use",
    "wit-bindgen",
];

fn is_empty_dir(dir: &Path) -> bool {
    fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_none())
}

fn write(path: &Path, text: &str) -> Result<(), ToolchainError> {
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir).map_err(ToolchainError::io("making", dir))?;
    }
    fs::write(path, text).map_err(ToolchainError::io("writing", path))
}

fn render(files: &Dir<'_>, to: &Path, words: &[(&str, String)]) -> Result<(), ToolchainError> {
    for file in files.files() {
        let name = file.path().file_name().unwrap_or_default();
        // Under its own name it would count where it is carried from.
        let name = if name == "gitignore" { ".gitignore".as_ref() } else { name };
        let mut text = file.contents_utf8().unwrap_or_default().to_owned();
        for (word, value) in words {
            text = text.replace(word, value);
        }
        write(&to.join(name), &text)?;
    }
    for below in files.dirs() {
        render(below, &to.join(below.path().file_name().unwrap_or_default()), words)?;
    }
    Ok(())
}

/// The manifest of the Rust SDK, with what it takes over from its workspace written out.
fn sdk_manifest() -> String {
    let manifest = carried::text(carried::sdk(Language::Rust), "Cargo.toml");
    let mut written = String::new();
    let mut section = "";
    for line in manifest.lines() {
        if line.starts_with('[') {
            section = line;
        }
        if section == "[lints]" {
            continue;
        }
        let table = if section == "[package]" { "[workspace.package]" } else { "[workspace.dependencies]" };
        let inherited = line.strip_suffix(".workspace = true").and_then(|key| inherited(table, key));
        written.push_str(inherited.unwrap_or(line));
        written.push('\n');
    }
    written
}

/// The line of a key in a table of the guests' workspace.
fn inherited(table: &str, key: &str) -> Option<&'static str> {
    let (_, lines) = carried::RUST_WORKSPACE.split_once(table)?;
    let lines = lines.lines().skip(1).take_while(|line| !line.starts_with('['));
    lines.into_iter().find(|line| line.strip_prefix(key).is_some_and(|rest| rest.starts_with(" =")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Project;

    #[test]
    fn a_project_of_every_language_is_whole() {
        let dir = tempfile::tempdir().unwrap();
        for language in Language::ALL {
            let name = format!("my-{}", language.name());
            let created = create(dir.path(), &name, language).unwrap();
            assert!(created.dir.join(created.entry).is_file());
            let project = Project::open(&created.dir).unwrap();
            assert_eq!(project.language, language);
            for file in [
                "README.md",
                ".gitignore",
                "config/servers.json",
                "config/schema/app.schema.json",
                "wit/plugin.wit",
            ] {
                assert!(created.dir.join(file).is_file(), "{name} has no {file}");
            }
            let unfilled = left_open(&created.dir);
            assert!(unfilled.is_empty(), "{unfilled:?}");
        }
    }

    /// Files with a word that was not put in.
    fn left_open(dir: &Path) -> Vec<PathBuf> {
        let mut found = Vec::new();
        for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if path.is_dir() {
                if entry.file_name() != "sdk" {
                    found.extend(left_open(&path));
                }
            } else if fs::read_to_string(&path)
                .unwrap()
                .split("{{")
                .skip(1)
                .any(|rest| rest.starts_with(char::is_alphabetic))
            {
                found.push(path);
            }
        }
        found
    }

    #[test]
    fn the_manifest_of_the_rust_sdk_stands_alone() {
        let manifest = sdk_manifest();
        assert!(!manifest.contains("workspace"), "{manifest}");
        for line in ["edition = \"2024\"", "serde = { version = \"1\", features = [\"derive\"] }"] {
            assert!(manifest.lines().any(|found| found == line), "{line}: {manifest}");
        }
    }

    #[test]
    fn what_is_there_is_not_written_over() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("empty")).unwrap();
        create(dir.path(), "empty", Language::C).unwrap();
        let error = create(dir.path(), "empty", Language::C).unwrap_err().to_string();
        assert!(error.contains("not an empty directory; choose another name"), "{error}");
        fs::write(dir.path().join("file"), "kept").unwrap();
        create(dir.path(), "file", Language::C).unwrap_err();
        assert_eq!(fs::read_to_string(dir.path().join("file")).unwrap(), "kept");
    }

    #[test]
    fn names_that_would_do_harm_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["", "..", "a/b", "Area", "1st", "-a", "a-", "é", "a b", "serde", "fn", &"a".repeat(41)]
        {
            create(dir.path(), name, Language::Rust).unwrap_err();
        }
        assert!(is_empty_dir(dir.path()));
    }
}
