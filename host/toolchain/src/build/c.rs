//! C: bindings, then a core module.

use super::{Job, Made};
use crate::component;
use crate::process::{run, said};

impl Job<'_> {
    pub(super) fn c(&self) -> Made {
        let bindings = self.work.join("bindings");
        component::c_bindings(&self.project.wit.join("plugin.wit"), &bindings)?;
        let module = self.work.join("module.wasm");
        let sdk = &self.project.sdk;
        let mut cc = self.tool("python-zig");
        for cache in ["ZIG_GLOBAL_CACHE_DIR", "ZIG_LOCAL_CACHE_DIR"] {
            cc.env(cache, &self.tools.cache);
        }
        cc.args(["cc", "-target", "wasm32-wasi", "-mexec-model=reactor", "-std=c17", "-Os"]);
        cc.args(["-Wall", "-Wextra", "-Werror", "-Wl,--strip-debug", "-Wl,-z,stack-size=65536"]);
        cc.arg("-I").arg(&bindings).arg("-I").arg(sdk).arg(&self.project.entry).arg(sdk.join("shaddock.c"));
        cc.args(["sdk_plugin.c", "sdk_plugin_component_type.o"].map(|name| bindings.join(name)));
        let out = run(cc.arg("-o").arg(&module))?;
        Ok((module, said(&out)))
    }
}
