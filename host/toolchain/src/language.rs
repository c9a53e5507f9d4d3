//! The languages that plugins are written in.

use std::fmt;
use std::str::FromStr;

use crate::ToolchainError;

/// A language that plugins are written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// Compiled by the user's own cargo.
    Rust,
    /// Runs in QuickJS.
    Javascript,
    /// The same, and checked by tsc.
    Typescript,
    /// Compiled by the C compiler in Zig.
    C,
    /// Compiled by Zig.
    Zig,
    /// Compiled by Go.
    Go,
    /// Runs in CPython.
    Python,
}

impl Language {
    /// All of them, in the order in which they are listed.
    pub const ALL: [Language; 7] = [
        Language::Rust,
        Language::Javascript,
        Language::Typescript,
        Language::C,
        Language::Zig,
        Language::Go,
        Language::Python,
    ];

    /// As the command line and manifests have it.
    pub fn name(self) -> &'static str {
        match self {
            Language::Rust => "rust",
            Language::Javascript => "javascript",
            Language::Typescript => "typescript",
            Language::C => "c",
            Language::Zig => "zig",
            Language::Go => "go",
            Language::Python => "python",
        }
    }

    /// As people write it.
    pub fn shown(self) -> &'static str {
        match self {
            Language::Rust => "Rust",
            Language::Javascript => "JavaScript",
            Language::Typescript => "TypeScript",
            Language::C => "C",
            Language::Zig => "Zig",
            Language::Go => "Go",
            Language::Python => "Python",
        }
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.shown())
    }
}

impl FromStr for Language {
    type Err = ToolchainError;

    fn from_str(name: &str) -> Result<Self, ToolchainError> {
        let wanted = name.to_ascii_lowercase();
        let full = match wanted.as_str() {
            "js" => "javascript",
            "ts" => "typescript",
            "py" => "python",
            other => other,
        };
        let found = Language::ALL.into_iter().find(|language| language.name() == full);
        found.ok_or_else(|| ToolchainError::UnknownLanguage { name: name.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_language_is_found_by_its_name_and_its_short_form() {
        for language in Language::ALL {
            assert_eq!(language.name().parse::<Language>().unwrap(), language);
        }
        assert_eq!("JS".parse::<Language>().unwrap(), Language::Javascript);
        let error = "cobol".parse::<Language>().unwrap_err().to_string();
        assert_eq!(
            error,
            "unknown language \"cobol\": it is one of rust, javascript, typescript, c, zig, go, python"
        );
    }
}
