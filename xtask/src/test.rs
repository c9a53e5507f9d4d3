//! `cargo xtask test`: sets up and runs every test.

use std::env;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::languages;
use crate::needs::{self, Need};
use crate::plugins::{self, Which};
use crate::program;
use crate::progress::headline;
use crate::workspace::{Workspace, run, shown};

/// Runs the tests whose names contain `filter`, or all.
pub(crate) fn test(workspace: &Workspace, filter: Option<&str>) -> Result<()> {
    let begun = Instant::now();
    plugins::build(workspace, Which::All)?;
    headline("building the host and its tests (the first time this takes minutes)");
    // In one command: the features of what several members depend on are chosen once.
    run(workspace.host_cargo().args(["build", "--release", "--workspace", "--tests"]))?;
    program::build(workspace)?;
    let mut needs = languages::all(workspace)?;
    needs.extend(needs::provide(workspace)?);
    let missing: Vec<&Need> = needs.iter().filter(|need| need.found.is_err()).collect();
    if is_ci() && !missing.is_empty() {
        report(&missing);
        bail!("with CI set, nothing may be skipped");
    }

    let mut tally = Tally::default();
    headline("testing the host");
    let mut cargo = workspace.host_cargo();
    cargo.args(["test", "--release", "--workspace", "--no-fail-fast"]).args(filter);
    cargo.env("SHADDOCK_BIN", workspace.program()).env("SHADDOCK_COMPONENTS", workspace.components());
    cargo.env("SHADDOCK_TOOLCHAIN_DIR", workspace.toolchains());
    for need in &needs {
        need.tell(&mut cargo);
    }
    tally.run(&mut cargo)?;

    headline("trying every order in which calls and a hand-over can meet (loom)");
    let mut cargo = workspace.loom_cargo();
    cargo
        .args(["test", "--release", "--locked", "--package", "shaddock-handover", "--test", "loom"])
        .args(filter);
    tally.run(&mut cargo)?;

    headline("testing the plugins");
    // Only what needs no linking as a component: that is for the guests' own target.
    for what in [["--workspace", "--lib"], ["--package", "shaddock-sdk"]] {
        let mut cargo = workspace.native_guest_cargo("test")?;
        let doc = (what[0] == "--package").then_some("--doc");
        tally.run(cargo.args(["--no-fail-fast"]).args(what).args(doc).args(filter))?;
    }

    report(&missing);
    println!("{} in {} s", tally.shown(), begun.elapsed().as_secs());
    if tally.failed > 0 || !tally.broken.is_empty() {
        bail!("tests failed: {}", tally.broken.join("; "));
    }
    if tally.passed == 0 {
        bail!("no test has a name that contains {}", filter.unwrap_or_default());
    }
    Ok(())
}

fn is_ci() -> bool {
    env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false")
}

fn report(missing: &[&Need]) {
    for need in missing {
        if let Err(why) = &need.found {
            println!("skipped the tests with {}: {why}", need.what);
        }
    }
}

/// The sums of what the test programs report.
#[derive(Default)]
struct Tally {
    passed: u64,
    failed: u64,
    ignored: u64,
    programs: u64,
    /// Commands that did not succeed.
    broken: Vec<String>,
}

impl Tally {
    /// Runs a `cargo test`, shows what it prints, and adds up its results.
    fn run(&mut self, command: &mut Command) -> Result<()> {
        let name = shown(command);
        let mut child = command.stdout(Stdio::piped()).spawn().with_context(|| format!("starting {name}"))?;
        let lines = BufReader::new(child.stdout.take().context("a child without output")?).lines();
        for line in lines {
            let line = line.context("reading the output of the tests")?;
            self.read(&line);
            println!("{line}");
        }
        if !child.wait()?.success() {
            self.broken.push(name);
        }
        Ok(())
    }

    /// `test result: ok. 9 passed; 0 failed; 1 ignored; 0 measured; 3 filtered out; finished in 0.00s`
    fn read(&mut self, line: &str) {
        let Some(counts) = line.strip_prefix("test result: ").and_then(|rest| rest.split_once(". ")) else {
            return;
        };
        self.programs += 1;
        for count in counts.1.split("; ") {
            let Some((number, what)) = count.split_once(' ') else { continue };
            let Ok(number) = number.parse::<u64>() else { continue };
            match what {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" => self.ignored += number,
                _ => {}
            }
        }
    }

    fn shown(&self) -> String {
        let Self { passed, failed, ignored, programs, .. } = self;
        format!("{passed} tests passed, {failed} failed, {ignored} ignored, in {programs} programs")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_added_up() {
        let mut tally = Tally::default();
        for line in [
            "running 3 tests",
            "test result: ok. 9 passed; 0 failed; 1 ignored; 0 measured; 3 filtered out; finished in 0.00s",
            "test a::b ... FAILED",
            "test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.00s",
        ] {
            tally.read(line);
        }
        assert_eq!(tally.shown(), "10 tests passed, 2 failed, 1 ignored, in 2 programs");
    }
}
