//! `cargo xtask`: builds, runs and tests Shaddock. See `cargo xtask --help`.

mod bindings;
mod check;
mod component;
mod conformance;
mod languages;
mod needs;
mod plugins;
mod program;
mod progress;
mod replay;
mod start;
mod test;
mod wasm;
mod workspace;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::workspace::Workspace;

/// Builds, runs and tests Shaddock.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", max_term_width = 110)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build everything and start the cluster of config/, the chat application
    Start {
        /// Passed on to `shaddock start` (`target/release/shaddock start --help` lists them)
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "OPTIONS")]
        options: Vec<String>,
    },
    /// Set up and run every test
    ///
    /// What tests need from outside (Chromium, Node.js, Python packages) is installed where that is possible; else
    /// these tests are skipped, with the reason and the remedy told at the end. With CI set in the environment a
    /// skipped test is a failure.
    Test {
        /// Run only the tests whose names contain this
        filter: Option<String>,
    },
    /// Build the plugins, the test guests and the examples into plugins/target/components/
    ///
    /// The tools of a language are installed from its package registry into target/toolchains/. A language whose tools
    /// cannot be had is skipped, with the reason and the remedy told; one that was asked for is an error then.
    Plugins {
        /// Only those in these languages
        #[arg(value_name = "LANG")]
        languages: Vec<String>,
    },
    /// Write the Rust SDK's bindings from wit/plugin.wit
    Bindings {
        /// Only say whether they are up to date
        #[arg(long)]
        check: bool,
    },
    /// Put every language to the same cases, measure them, and write the table into docs/languages.md
    Conformance,
    /// Play a recorded client session against a running server, and say what it does otherwise
    Replay(replay::ReplayArgs),
    /// Check formatting, lints, documentation and the checked-in bindings
    Check,
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("error: {e:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<()> {
    let workspace = Workspace::locate()?;
    match command {
        Command::Start { options } => start::start(&workspace, &options),
        Command::Test { filter } => test::test(&workspace, filter.as_deref()),
        Command::Plugins { languages } => languages::build(&workspace, &languages),
        Command::Bindings { check } => bindings::write(&workspace, check),
        Command::Conformance => conformance::conformance(&workspace),
        Command::Replay(args) => replay::run(args),
        Command::Check => check::check(&workspace),
    }
}
