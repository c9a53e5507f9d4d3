//! Plugins in languages beside Rust: their tools, and the examples.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::SystemTime;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use crate::needs::{self, Need};
use crate::plugins::{self, Which};
use crate::progress::headline;
use crate::workspace::{Workspace, run};

/// The world of the SDKs.
const WORLD: &str = "sdk-plugin";

/// A language that plugins are written in.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Language {
    Rust,
    Javascript,
    Typescript,
    C,
    Python,
}

/// Those whose tools do not come with the host's.
const OTHERS: [Language; 4] = [Language::Javascript, Language::Typescript, Language::C, Language::Python];

/// Builds the plugins in the languages named, or in all whose tools can be had, and says where they are.
pub(crate) fn build(workspace: &Workspace, named: &[Language]) -> Result<()> {
    if named.is_empty() || named.contains(&Language::Rust) {
        for component in plugins::build(workspace, Which::All)? {
            println!("{}", component.display());
        }
    }
    for language in OTHERS {
        if !named.is_empty() && !named.contains(&language) {
            continue;
        }
        match (example(workspace, language)?, named.is_empty()) {
            (Ok(component), _) => println!("{}", component.display()),
            (Err(why), true) => println!("skipped {}: {why:#}", language.shown()),
            (Err(why), false) => {
                return Err(why.context(format!("plugins in {} need tools", language.shown())));
            }
        }
    }
    Ok(())
}

/// Builds the examples for the tests: for each its component, or why there is none.
pub(crate) fn examples(workspace: &Workspace) -> Result<Vec<Need>> {
    let need =
        |language: Language| Ok(Need::new(language.need(), language.shown(), example(workspace, language)?));
    OTHERS.map(need).into_iter().collect()
}

/// The component of the example in a language; inside, why its tools cannot be had. What is up to date stays.
fn example(workspace: &Workspace, language: Language) -> Result<Result<PathBuf>> {
    let name = language.name();
    let sources = workspace.path("plugins/examples").join(name);
    let sdk = workspace.path(language.sdk());
    let component = workspace.components().join(format!("guess_{name}.wasm"));
    let newest = [&sources, &sdk, &workspace.path("wit"), &workspace.path("xtask/src/languages.rs")]
        .map(|dir| modified(dir));
    let newest = newest.into_iter().collect::<Result<Vec<_>>>()?.into_iter().max();
    if fs::metadata(&component).and_then(|file| file.modified()).ok() > newest {
        return Ok(Ok(component));
    }
    let tools = match language.tools(workspace, &sdk) {
        Ok(tools) => tools,
        Err(why) => return Ok(Err(why)),
    };
    headline(format_args!("building the example in {}", language.shown()));
    let out = workspace.toolchain(name).join("out");
    fs::create_dir_all(&out).with_context(|| format!("making {}", out.display()))?;
    let built = out.join(format!("guess_{name}.wasm"));
    let job = Job { workspace, tools, sdk, sources, out, built: built.clone() };
    job.run(language).with_context(|| format!("building the example in {}", language.shown()))?;
    let component = plugins::publish(workspace, &built)?;
    let file = fs::File::open(&component).with_context(|| format!("opening {}", component.display()))?;
    file.set_modified(SystemTime::now()).with_context(|| format!("touching {}", component.display()))?;
    Ok(Ok(component))
}

/// When a file was changed last, or the youngest of those in a directory.
fn modified(path: &Path) -> Result<SystemTime> {
    let asking = || format!("asking for the age of {}", path.display());
    let data = fs::metadata(path).with_context(asking)?;
    let mut newest = data.modified().with_context(asking)?;
    if data.is_dir() {
        for entry in fs::read_dir(path).with_context(asking)? {
            newest = newest.max(modified(&entry.with_context(asking)?.path())?);
        }
    }
    Ok(newest)
}

impl Language {
    /// As the command line and the directory of its example have it.
    fn name(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::Javascript => "javascript",
            Self::Typescript => "typescript",
            Self::C => "c",
            Self::Python => "python",
        }
    }

    fn shown(self) -> &'static str {
        match self {
            Self::Rust => "Rust",
            Self::Javascript => "JavaScript",
            Self::Typescript => "TypeScript",
            Self::C => "C",
            Self::Python => "Python",
        }
    }

    /// What the tests know its component by.
    fn need(self) -> &'static str {
        match self {
            Self::Rust => "GUESS_RUST",
            Self::Javascript => "GUESS_JAVASCRIPT",
            Self::Typescript => "GUESS_TYPESCRIPT",
            Self::C => "GUESS_C",
            Self::Python => "GUESS_PYTHON",
        }
    }

    fn sdk(self) -> &'static str {
        match self {
            Self::Rust => "plugins/sdk",
            Self::Javascript | Self::Typescript => "plugins/sdk-javascript",
            Self::C => "plugins/sdk-c",
            Self::Python => "plugins/sdk-python",
        }
    }

    /// Installs its tools where they are missing; answers where its programs are.
    fn tools(self, workspace: &Workspace, sdk: &Path) -> Result<PathBuf> {
        match self {
            Self::Rust => bail!("its tools are the host's"),
            Self::Javascript | Self::Typescript => {
                let dir = workspace.toolchain("npm");
                copy(sdk, &dir, &["package.json", "package-lock.json", ".npmrc"])?;
                needs::node(&dir, "install")?;
                Ok(dir.join("node_modules/.bin"))
            }
            Self::C | Self::Python => {
                let venv = workspace.toolchain(self.name()).join("venv");
                needs::python(&sdk.join("requirements.txt"), &venv)?;
                Ok(venv.join("bin"))
            }
        }
    }
}

fn copy(from: &Path, to: &Path, names: &[&str]) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("making {}", to.display()))?;
    for name in names {
        let (from, to) = (from.join(name), to.join(name));
        fs::copy(&from, &to).with_context(|| format!("copying {} to {}", from.display(), to.display()))?;
    }
    Ok(())
}

/// One example to build.
struct Job<'a> {
    workspace: &'a Workspace,
    /// The directory of the tools.
    tools: PathBuf,
    sdk: PathBuf,
    sources: PathBuf,
    /// For what is left behind on the way.
    out: PathBuf,
    /// The component to make.
    built: PathBuf,
}

impl Job<'_> {
    fn run(&self, language: Language) -> Result<()> {
        match language {
            Language::Rust => bail!("cargo builds it"),
            Language::Javascript => self.bundle_and_componentize("guess.js"),
            Language::Typescript => {
                run(self.tool("tsc").arg("--project").arg(&self.sources))?;
                self.bundle_and_componentize("guess.ts")
            }
            Language::C => self.compile_c("guess.c"),
            Language::Python => {
                let mut componentize = self.tool("componentize-py");
                componentize.arg("--quiet").arg("--wit-path").arg(self.wit()).args(["--world", WORLD]);
                componentize.args(["componentize", "--stub-wasi", "guess"]);
                componentize.arg("--python-path").arg(&self.sources).arg("--python-path").arg(&self.sdk);
                run(componentize.arg("--output").arg(&self.built))
            }
        }
    }

    fn tool(&self, name: &str) -> Command {
        let mut command = Command::new(self.tools.join(name));
        command.current_dir(&self.out);
        command
    }

    fn wit(&self) -> PathBuf {
        self.workspace.path("wit")
    }

    /// JavaScript and TypeScript: one file with the SDK in it, then the component with the engine in it.
    fn bundle_and_componentize(&self, main: &str) -> Result<()> {
        let bundle = self.out.join("bundle.js");
        let sdk = self.sdk.join("shaddock.ts");
        let mut esbuild = self.tool("esbuild");
        esbuild.arg(self.sources.join(main)).arg("--bundle").arg(format!("--outfile={}", bundle.display()));
        esbuild.args(["--format=esm", "--platform=neutral", "--target=es2024", "--log-level=warning"]);
        esbuild.arg("--external:shaddock:*").arg(format!("--alias:shaddock-sdk={}", sdk.display()));
        run(&mut esbuild)?;
        let mut componentize = self.tool("componentize-qjs");
        componentize.arg("--wit").arg(self.wit()).args(["--world", WORLD, "--sync", "--stub-wasi"]);
        run(componentize.arg("--js").arg(&bundle).arg("--output").arg(&self.built).stdout(Stdio::null()))
    }

    /// C: bindings, then a core module, then the component.
    fn compile_c(&self, main: &str) -> Result<()> {
        let bindings = self.out.join("bindings");
        let contract = self.wit().join("plugin.wit");
        run(self.component_tool().arg("c-bindings").arg(contract).arg(WORLD).arg(&bindings))?;
        let module = self.out.join("module.wasm");
        let mut cc = self.tool("python-zig");
        for cache in ["ZIG_GLOBAL_CACHE_DIR", "ZIG_LOCAL_CACHE_DIR"] {
            cc.env(cache, self.out.with_file_name("cache"));
        }
        cc.args(["cc", "-target", "wasm32-wasi", "-mexec-model=reactor", "-std=c17", "-Os"]);
        cc.args(["-Wall", "-Wextra", "-Werror", "-Wl,--strip-debug", "-Wl,-z,stack-size=65536"]);
        cc.arg("-I").arg(&bindings).arg("-I").arg(&self.sdk);
        cc.arg(self.sources.join(main)).arg(self.sdk.join("shaddock.c"));
        cc.args(["sdk_plugin.c", "sdk_plugin_component_type.o"].map(|name| bindings.join(name)));
        run(cc.arg("-o").arg(&module))?;
        run(self.component_tool().arg("new").arg(&module).arg(&self.built))
    }

    /// For what a compiler of core modules does not do.
    fn component_tool(&self) -> Command {
        let mut cargo = self.workspace.bindings_cargo();
        cargo.args(["run", "--quiet", "--locked", "--bin", "shaddock-component", "--"]);
        cargo
    }
}
