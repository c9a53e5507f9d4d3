//! C: bindings, then a core module.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Job, Made};
use crate::process::{run, said};
use crate::{Project, ToolchainError, Tools, component};

impl Job<'_> {
    pub(super) fn c(&self) -> Made {
        let bindings = self.c_bindings()?;
        let module = self.work.join("module.wasm");
        let sdk = &self.project.sdk;
        let mut cc = self.zig_tool();
        cc.args(["cc", "-target", "wasm32-wasi", "-mexec-model=reactor", "-std=c17", "-Os"]);
        cc.args(["-Wall", "-Wextra", "-Werror", "-Wl,--strip-debug", "-Wl,-z,stack-size=65536"]);
        if self.project.concurrent {
            // A table's entry has one function of two.
            cc.args(["-DSHADDOCK_CONCURRENT", "-Wno-missing-field-initializers"]);
        }
        cc.arg("-I").arg(&bindings).arg("-I").arg(sdk).arg(&self.project.entry).arg(sdk.join("shaddock.c"));
        let out = run(cc.args(self.c_sources(&bindings)).arg("-o").arg(&module))?;
        Ok((module, said(&out)))
    }

    /// Writes the bindings for C; answers where they are.
    pub(super) fn c_bindings(&self) -> Result<PathBuf, ToolchainError> {
        let bindings = self.work.join("bindings");
        component::c_bindings(&self.project.wit.join("plugin.wit"), self.project.world(), &bindings)?;
        Ok(bindings)
    }

    /// What the bindings have beside the header.
    pub(super) fn c_sources(&self, bindings: &Path) -> [PathBuf; 2] {
        ["sdk_plugin.c", "sdk_plugin_component_type.o"].map(|name| bindings.join(name))
    }

    /// The compiler of Zig and C.
    pub(super) fn zig_tool(&self) -> Command {
        self.tools.zig(self.project)
    }
}

impl Tools {
    /// The compiler of Zig and C.
    pub(crate) fn zig(&self, project: &Project) -> Command {
        let mut zig = Command::new(self.programs.join("python-zig"));
        zig.current_dir(&project.dir);
        for cache in ["ZIG_GLOBAL_CACHE_DIR", "ZIG_LOCAL_CACHE_DIR"] {
            zig.env(cache, &self.cache);
        }
        zig
    }
}
