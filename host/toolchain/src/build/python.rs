//! Python: the component with the interpreter, the SDK and what they import in it.

use super::{Job, Made};
use crate::ToolchainError;
use crate::process::{run, said};

impl Job<'_> {
    pub(super) fn python(&self) -> Made {
        let entry = &self.project.entry;
        let (Some(module), Some(dir)) = (entry.file_stem(), entry.parent()) else {
            return Err(ToolchainError::Manifest {
                path: entry.clone(),
                reason: "`entry` names a Python file".to_owned(),
            });
        };
        let component = self.work.join("component.wasm");
        let mut componentize = self.tool("componentize-py");
        componentize
            .arg("--quiet")
            .arg("--wit-path")
            .arg(&self.project.wit)
            .args(["--world", self.project.world()]);
        componentize.args(["componentize", "--stub-wasi"]).arg(module);
        componentize.arg("--python-path").arg(dir).arg("--python-path").arg(&self.project.sdk);
        let out = run(componentize.arg("--output").arg(&component))?;
        Ok((component, said(&out)))
    }
}
