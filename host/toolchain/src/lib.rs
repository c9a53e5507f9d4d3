//! Plugin projects, the languages that they are written in, and how they become components.
//!
//! [`create`] writes a project, with everything that the program carries for its language. [`Toolchains`] installs the
//! tools of a language from its package registry into a cache, pinned, and finds them there. [`Tools::build`] makes a
//! component of a project, and says what its compiler says; [`Tools::test`] runs its unit tests.
//!
//! **Invariants.** This crate knows neither wasmtime nor servers nor the client protocol, and prints nothing: what there is to
//! say, it answers.
#![forbid(unsafe_code)]

mod build;
mod carried;
mod component;
mod create;
mod error;
mod install;
mod language;
mod process;
mod project;
mod unit_test;

pub use build::{Built, Profile};
pub use create::{Created, create};
pub use error::ToolchainError;
pub use install::{Installed, Toolchains, Tools};
pub use language::Language;
pub use project::{MANIFEST, Project};
