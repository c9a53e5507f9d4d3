//! `cargo xtask conformance`: puts every language to the same cases, and writes the table of what each costs.

use std::fs;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::languages;
use crate::plugins::{self, Which};
use crate::program;
use crate::progress::headline;
use crate::workspace::{Workspace, run, shown};

const MANUAL: &str = "docs/languages.md";
const BEGIN: &str = "<!-- conformance -->\n";
const END: &str = "<!-- /conformance -->";
const HEAD: &str = "\
| language | component MB | compile ms | load ms | new instance µs | call µs p50 | p99 | KiB per instance |
|---|--:|--:|--:|--:|--:|--:|--:|
";

/// Builds, tests, measures, and writes the table into the manual.
pub(crate) fn conformance(workspace: &Workspace) -> Result<()> {
    plugins::build(workspace, Which::All)?;
    program::build(workspace)?;
    let needs = languages::all(workspace)?;
    headline("putting every language to the same cases");
    let mut tests = workspace.host_cargo();
    tests.args(["test", "--release", "--workspace", "--test", "conformance", "--", "_conforms"]);
    tests.env("CI", "true").env("SHADDOCK_BIN", workspace.program());
    needs.iter().for_each(|need| need.tell(&mut tests));
    run(&mut tests)?;
    headline("measuring");
    let mut bench = workspace.host_cargo();
    bench.args(["bench", "--workspace", "--bench", "languages"]);
    let rows = output(&mut bench)?;
    let manual = workspace.path(MANUAL);
    let text = fs::read_to_string(&manual).with_context(|| format!("reading {MANUAL}"))?;
    let table = format!("{HEAD}{rows}");
    fs::write(&manual, with_table(&text, &table)?).with_context(|| format!("writing {MANUAL}"))?;
    println!("{table}");
    Ok(())
}

fn output(command: &mut Command) -> Result<String> {
    let name = shown(command);
    let done = command.stderr(Stdio::inherit()).output().with_context(|| format!("starting {name}"))?;
    if !done.status.success() {
        bail!("{name} failed ({})", done.status);
    }
    String::from_utf8(done.stdout).with_context(|| format!("the output of {name}"))
}

/// The manual with another table between its marks.
fn with_table(manual: &str, table: &str) -> Result<String> {
    let (before, rest) = manual.split_once(BEGIN).with_context(|| format!("no {BEGIN:?} in {MANUAL}"))?;
    let (_, after) = rest.split_once(END).with_context(|| format!("no {END:?} in {MANUAL}"))?;
    Ok(format!("{before}{BEGIN}{table}{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_takes_the_place_of_the_one_before() {
        let manual = format!("# Title\n{BEGIN}old\n{END}\nmore\n");
        let written = with_table(&manual, "new\n").unwrap();
        assert_eq!(written, format!("# Title\n{BEGIN}new\n{END}\nmore\n"));
        assert_eq!(with_table(&written, "new\n").unwrap(), written);
        assert!(with_table("# Title", "new").is_err());
    }
}
