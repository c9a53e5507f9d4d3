//! The unit tests of a project, which need no server: the SDK has a host for them.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::process::{cargo, name, run};
use crate::{Language, Project, ToolchainError, Tools, carried, component};

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
            Language::C => self.test_c(project),
            Language::Zig => self.test_zig(project),
        }
    }

    /// Builds each file of `test/` for this machine, and runs it.
    fn test_c(&self, project: &Project) -> Result<bool, ToolchainError> {
        let sources = test_files(&project.dir.join("test"), &[".c"], "test_handlers.c")?;
        let host = TestHost::write(project)?;
        let mut all_passed = true;
        for source in &sources {
            let program = host.dir.join(source.file_stem().unwrap_or_default());
            let mut cc = self.zig(project);
            cc.arg("cc").args(C_FLAGS).args(["-g", "-Wall", "-Wextra", "-Werror"]);
            cc.arg("-I").arg(&project.sdk).arg("-I").arg(&host.bindings).arg("-I").arg(&host.dir);
            cc.args([source, &project.sdk.join("shaddock.c"), &host.source]);
            run(cc.arg("-o").arg(&program))?;
            all_passed &= passed(Command::new(&program).current_dir(&project.dir))?;
        }
        Ok(all_passed)
    }

    /// Runs the tests that are in the plugin's file.
    fn test_zig(&self, project: &Project) -> Result<bool, ToolchainError> {
        let host = TestHost::write(project)?;
        let contract = host.dir.join("contract.zig");
        let mut translate = self.zig(project);
        let translated = run(translate.args(["translate-c", "-lc"]).arg(host.bindings.join("sdk_plugin.h")))?;
        fs::write(&contract, translated.stdout).map_err(ToolchainError::io("writing", &contract))?;
        let mut zig = self.zig(project);
        zig.args(["test", "-lc", "-I"]).arg(&host.bindings).arg("-I").arg(&host.dir);
        zig.arg("-cflags").args(C_FLAGS).arg("--").arg(&host.source);
        let named = |name: &str, file: &Path| format!("-M{name}={}", file.display());
        zig.args(["--dep", "shaddock"]).arg(named("root", &project.entry));
        zig.args(["--dep", "contract"]).arg(named("shaddock", &project.sdk.join("shaddock.zig")));
        passed(zig.arg(named("contract", &contract)))
    }

    fn test_javascript(&self, project: &Project) -> Result<bool, ToolchainError> {
        let sources = test_files(&project.dir.join("test"), &[".test.js", ".test.ts"], "handlers.test.js")?;
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

/// How C is compiled for tests. That nothing is copied from nowhere is fine.
const C_FLAGS: [&str; 2] = ["-std=c17", "-fno-sanitize=nonnull-attribute"];

/// The host of tests in C, which those in Zig have, too, with what it is compiled with.
struct TestHost {
    dir: PathBuf,
    bindings: PathBuf,
    source: PathBuf,
}

impl TestHost {
    fn write(project: &Project) -> Result<TestHost, ToolchainError> {
        let dir = project.work_dir().join("test");
        let bindings = dir.join("bindings");
        component::c_bindings(&project.wit.join("plugin.wit"), component::WORLD, &bindings)?;
        if let Some(host) = carried::sdk(Language::C).get_dir("testing") {
            carried::write_all(host, &dir)?;
        }
        Ok(TestHost { source: dir.join("shaddock_test.c"), dir, bindings })
    }
}

/// The files of a directory whose names end so.
fn test_files(dir: &Path, endings: &[&str], example: &str) -> Result<Vec<PathBuf>, ToolchainError> {
    let is_test = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        endings.iter().any(|ending| name.ends_with(ending))
    };
    let entries = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut files: Vec<PathBuf> = entries.filter(is_test).collect();
    files.sort();
    if files.is_empty() {
        return Err(ToolchainError::Refused(format!(
            "{} has no tests: they are in files such as {example}",
            dir.display()
        )));
    }
    Ok(files)
}
