//! Zig: bindings for C, which are translated, then a core module.

use std::fs;
use std::path::Path;

use super::{Job, Made};
use crate::ToolchainError;
use crate::process::{run, said};

impl Job<'_> {
    pub(super) fn zig(&self) -> Made {
        let bindings = self.c_bindings()?;
        let contract = bindings.join("contract.zig");
        let mut translate = self.zig_tool();
        translate.args(["translate-c", "-target", "wasm32-wasi", "-lc"]).arg(bindings.join("sdk_plugin.h"));
        let translated = run(&mut translate)?.stdout;
        fs::write(&contract, translated).map_err(ToolchainError::io("writing", &contract))?;
        let module = self.work.join("module.wasm");
        let mut zig = self.zig_tool();
        zig.args(["build-exe", "-target", "wasm32-wasi", "-mexec-model=reactor", "-O", "ReleaseSafe"]);
        zig.args(["-fstrip", "-fno-sanitize-c", "-fno-stack-protector", "--stack", "65536", "-lc", "-I"]);
        zig.arg(&bindings).args(self.c_sources(&bindings));
        let named = |name: &str, file: &Path| format!("-M{name}={}", file.display());
        zig.args(["--dep", "shaddock"]).arg(named("root", &self.project.entry));
        zig.args(["--dep", "contract"]).arg(named("shaddock", &self.project.sdk.join("shaddock.zig")));
        zig.arg(named("contract", &contract)).arg(format!("-femit-bin={}", module.display()));
        let out = run(&mut zig)?;
        Ok((module, said(&out)))
    }
}
