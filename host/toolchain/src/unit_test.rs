//! The unit tests of a project, which need no server: the SDK has a host for them.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::process::{cargo, name, run};
use crate::{Language, Project, ToolchainError, Tools};

/// The imports that the SDK for JavaScript has in the place of the contract's.
const IMPORTS: [&str; 5] = ["app", "sessions", "channels", "rpc", "timers"];

impl Tools {
    /// Runs the tests of a project; what they print goes to the standard streams. Answers whether all passed.
    ///
    /// # Errors
    /// They cannot be built, or there is no way to run tests in that language.
    pub fn test(&self, project: &Project) -> Result<bool, ToolchainError> {
        match project.language {
            Language::Rust => {
                let mut cargo = cargo();
                cargo
                    .args(["test", "--lib", "--manifest-path"])
                    .arg(&project.entry)
                    .current_dir(&project.dir);
                passed(&mut cargo)
            }
            Language::Javascript | Language::Typescript => self.test_javascript(project),
            Language::Python => {
                let sources = project.entry.parent().unwrap_or(&project.dir);
                let path = env::join_paths([sources, &project.sdk])
                    .map_err(|error| ToolchainError::Refused(format!("PYTHONPATH: {error}")))?;
                let mut python = Command::new(self.programs.join("python3"));
                python.env("PYTHONPATH", path).env("PYTHONDONTWRITEBYTECODE", "1").current_dir(&project.dir);
                passed(python.args(["-m", "unittest", "discover", "--start-directory", "test"]))
            }
            Language::Go => {
                let mut go = self.go(project, &[&project.dir, &project.sdk])?;
                passed(go.env("CGO_ENABLED", "0").args(["test", "./..."]))
            }
            language => Err(ToolchainError::Refused(format!(
                "there is no host for unit tests in {language}; try handlers out with `shaddock dev` and `shaddock call`"
            ))),
        }
    }

    fn test_javascript(&self, project: &Project) -> Result<bool, ToolchainError> {
        let sources = test_files(&project.dir.join("test"))?;
        let out = project.work_dir().join("test");
        fs::create_dir_all(&out).map_err(ToolchainError::io("making", &out))?;
        let mut bundled = Vec::new();
        for source in &sources {
            let bundle = out.join(source.with_extension("mjs").file_name().unwrap_or_default());
            run(self
                .test_bundler(project, &out)?
                .arg(source)
                .arg(format!("--outfile={}", bundle.display())))?;
            bundled.push(bundle);
        }
        passed(
            Command::new("node")
                .arg("--enable-source-maps")
                .arg("--test")
                .args(bundled)
                .current_dir(&project.dir),
        )
    }

    /// The bundler, with the host of tests in the place of the server.
    fn test_bundler(&self, project: &Project, out: &Path) -> Result<Command, ToolchainError> {
        let mut esbuild = Command::new(self.esbuild());
        esbuild.current_dir(&project.dir);
        esbuild.args([
            "--bundle",
            "--platform=node",
            "--format=esm",
            "--sourcemap=inline",
            "--log-level=warning",
        ]);
        let alias = |name: &str, file: &Path| format!("--alias:{name}={}", file.display());
        esbuild.arg(alias("shaddock-sdk", &project.sdk.join("shaddock.ts")));
        esbuild.arg(alias("shaddock-sdk/testing", &project.sdk.join("testing.ts")));
        let host = project.sdk.join("testing-host.ts");
        for import in IMPORTS {
            let file = out.join(format!("{import}.ts"));
            let text = format!("export {{ {import} as default }} from {};\n", serde_json::json!(host));
            fs::write(&file, text).map_err(ToolchainError::io("writing", &file))?;
            esbuild.arg(alias(&format!("shaddock:plugin/{import}@0.1.0"), &file));
        }
        Ok(esbuild)
    }
}

fn passed(command: &mut Command) -> Result<bool, ToolchainError> {
    let status = command.stdin(Stdio::null()).status();
    let status = status.map_err(|source| ToolchainError::Start { tool: name(command), source })?;
    Ok(status.success())
}

/// The files `*.test.js` and `*.test.ts` of a directory.
fn test_files(dir: &Path) -> Result<Vec<PathBuf>, ToolchainError> {
    let is_test = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.ends_with(".test.js") || name.ends_with(".test.ts")
    };
    let entries = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut files: Vec<PathBuf> = entries.filter(is_test).collect();
    files.sort();
    if files.is_empty() {
        return Err(ToolchainError::Refused(format!(
            "{} has no tests: they are in files such as handlers.test.js",
            dir.display()
        )));
    }
    Ok(files)
}
