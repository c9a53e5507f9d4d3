//! Go: bindings as modules of a workspace, then a core module, then the component with the SDK's stand-in for WASI.

use std::fs;

use super::{Job, Made};
use crate::process::{run, said};
use crate::{ToolchainError, component};

impl Job<'_> {
    pub(super) fn go(&self) -> Made {
        let wit = self.project.wit.join("plugin.wit");
        let bindings = self.work.join("bindings");
        component::go_bindings(&wit, &bindings)?;
        let modules = [&self.project.dir, &self.project.sdk, &bindings, &bindings.join("pkg")];
        let uses: String = modules.map(|module| format!("use {:?}\n", module.display().to_string())).concat();
        let workspace = self.work.join("go.work");
        fs::write(&workspace, format!("go 1.27\n\n{uses}"))
            .map_err(ToolchainError::io("writing", &workspace))?;
        let module = self.work.join("module.wasm");
        let mut go = self.tool("go");
        go.env("GOWORK", &workspace)
            .env("GOARCH", "wasm")
            .env("GOOS", "wasip1")
            .env("GOCACHE", &self.tools.cache);
        go.env("GOPROXY", "off").env("GOTOOLCHAIN", "local").env("GOFLAGS", "").env("GOENV", "off");
        go.args(["build", "-trimpath", "-buildmode=c-shared", "-ldflags=-checklinkname=0 -s -w", "-o"]);
        let out = run(go.arg(&module).arg("."))?;
        let component = self.work.join("component.wasm");
        component::over_system(&wit, &self.project.sdk.join("system.wat"), &module, &component)?;
        Ok((component, said(&out)))
    }
}
