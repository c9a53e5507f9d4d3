//! JavaScript and TypeScript: one file with the SDK in it, then the component with the engine in it.

use std::process::{Command, Stdio};

use super::{Job, Made};
use crate::ToolchainError;
use crate::component::WORLD;
use crate::process::{failed, name, run, said};

impl Job<'_> {
    pub(super) fn javascript(&self) -> Made {
        let bundle = self.work.join("bundle.js");
        let warnings = run(bundler(self.command(&self.tools.esbuild()).arg(&self.project.entry), self)
            .arg(format!("--outfile={}", bundle.display())))?;
        let component = self.work.join("component.wasm");
        let mut componentize = self.tool("componentize-qjs");
        componentize.arg("--wit").arg(&self.project.wit).args(["--world", WORLD, "--sync", "--stub-wasi"]);
        run(componentize.arg("--js").arg(&bundle).arg("--output").arg(&component))?;
        Ok((component, said(&warnings)))
    }

    /// Types are checked while the component is made: nothing of it depends on them.
    pub(super) fn typescript(&self) -> Made {
        let mut tsc = self.tool("tsc");
        tsc.arg("--project")
            .arg(&self.project.dir)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let tool = name(&tsc);
        let start = |source| ToolchainError::Start { tool: tool.clone(), source };
        let checking = tsc.spawn().map_err(start)?;
        let made = self.javascript();
        let checked = checking.wait_with_output().map_err(start)?;
        // A syntax error is told by both, and by tsc at more places.
        if !checked.status.success() {
            return Err(failed(&tsc, &checked));
        }
        made
    }
}

fn bundler<'a>(esbuild: &'a mut Command, job: &Job<'_>) -> &'a mut Command {
    let sdk = job.project.sdk.join("shaddock.ts");
    esbuild
        .args(["--bundle", "--format=esm", "--platform=neutral", "--target=es2024", "--log-level=warning"])
        .arg("--external:shaddock:*")
        .arg(format!("--alias:shaddock-sdk={}", sdk.display()))
}
