//! Go: bindings as modules of a workspace, then a core module, then the component with the SDK's stand-in for WASI.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Job, Made};
use crate::process::{run, said};
use crate::{Project, ToolchainError, Tools, component};

impl Job<'_> {
    pub(super) fn go(&self) -> Made {
        let wit = self.project.wit.join("plugin.wit");
        let bindings = self.work.join("bindings");
        component::go_bindings(&wit, &bindings)?;
        let modules = [&self.project.dir, &self.project.sdk, &bindings, &bindings.join("pkg")];
        let mut go = self.tools.go(self.project, &modules.map(PathBuf::as_path))?;
        let module = self.work.join("module.wasm");
        go.env("GOARCH", "wasm").env("GOOS", "wasip1");
        go.args(["build", "-trimpath", "-buildmode=c-shared", "-ldflags=-checklinkname=0 -s -w", "-o"]);
        let out = run(go.arg(&module).arg("."))?;
        let component = self.work.join("component.wasm");
        component::over_system(&wit, &self.project.sdk.join("system.wat"), &module, &component)?;
        Ok((component, said(&out)))
    }
}

impl Tools {
    /// The compiler, for a project that finds these modules without a module proxy.
    pub(crate) fn go(&self, project: &Project, modules: &[&Path]) -> Result<Command, ToolchainError> {
        let work = project.work_dir();
        fs::create_dir_all(&work).map_err(ToolchainError::io("making", &work))?;
        let uses: String =
            modules.iter().map(|module| format!("use {:?}\n", module.display().to_string())).collect();
        let workspace = work.join("go.work");
        fs::write(&workspace, format!("go 1.27\n\n{uses}"))
            .map_err(ToolchainError::io("writing", &workspace))?;
        let mut go = Command::new(self.programs.join("go"));
        go.current_dir(&project.dir).env("GOWORK", &workspace).env("GOCACHE", &self.cache);
        go.env("GOPROXY", "off").env("GOTOOLCHAIN", "local").env("GOFLAGS", "").env("GOENV", "off");
        Ok(go)
    }
}
