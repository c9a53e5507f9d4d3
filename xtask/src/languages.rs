//! Plugins in languages beside Rust: their tools, and the examples.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::SystemTime;

use anyhow::{Context, Result};
use clap::ValueEnum;

use crate::needs::{self, Need};
use crate::plugins::{self, Which};
use crate::progress::headline;
use crate::workspace::{Workspace, run};

/// The world of the SDKs.
const WORLD: &str = "sdk-plugin";

/// What `c-bindings` writes beside the header.
const C_BINDINGS: [&str; 2] = ["sdk_plugin.c", "sdk_plugin_component_type.o"];

/// A language that plugins are written in.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Language {
    Rust,
    Javascript,
    Typescript,
    C,
    Zig,
    Go,
    Python,
}

/// The example in a language whose tools do not come with the host's.
struct Example {
    language: Language,
    /// As the command line and its directory have it.
    name: &'static str,
    shown: &'static str,
    /// What the tests know its component by.
    need: &'static str,
    sdk: &'static str,
    /// Installs the tools where they are missing; answers where its programs are.
    tools: fn(&Workspace, sdk: &Path) -> Result<PathBuf>,
    make: fn(&Job) -> Result<()>,
}

const EXAMPLES: [Example; 6] = [
    Example {
        language: Language::Javascript,
        name: "javascript",
        shown: "JavaScript",
        need: "GUESS_JAVASCRIPT",
        sdk: "plugins/sdk-javascript",
        tools: npm,
        make: |job| job.bundle_and_componentize("guess.js"),
    },
    Example {
        language: Language::Typescript,
        name: "typescript",
        shown: "TypeScript",
        need: "GUESS_TYPESCRIPT",
        sdk: "plugins/sdk-javascript",
        tools: npm,
        make: |job| {
            run(job.tool("tsc").arg("--project").arg(&job.sources))?;
            job.bundle_and_componentize("guess.ts")
        },
    },
    Example {
        language: Language::C,
        name: "c",
        shown: "C",
        need: "GUESS_C",
        sdk: "plugins/sdk-c",
        tools: |workspace, sdk| pip(workspace, sdk, "ziglang"),
        make: |job| job.compile_c("guess.c"),
    },
    Example {
        language: Language::Zig,
        name: "zig",
        shown: "Zig",
        need: "GUESS_ZIG",
        sdk: "plugins/sdk-zig",
        tools: |workspace, sdk| pip(workspace, sdk, "ziglang"),
        make: |job| job.compile_zig("guess.zig"),
    },
    Example {
        language: Language::Go,
        name: "go",
        shown: "Go",
        need: "GUESS_GO",
        sdk: "plugins/sdk-go",
        tools: |workspace, sdk| pip(workspace, sdk, "go"),
        make: |job| job.compile_go(),
    },
    Example {
        language: Language::Python,
        name: "python",
        shown: "Python",
        need: "GUESS_PYTHON",
        sdk: "plugins/sdk-python",
        tools: |workspace, sdk| pip(workspace, sdk, "python"),
        make: |job| job.componentize_python("guess"),
    },
];

/// The tools in an SDK's package.json.
fn npm(workspace: &Workspace, sdk: &Path) -> Result<PathBuf> {
    let dir = workspace.toolchain("npm");
    fs::create_dir_all(&dir).with_context(|| format!("making {}", dir.display()))?;
    for name in ["package.json", "package-lock.json", ".npmrc"] {
        let (from, to) = (sdk.join(name), dir.join(name));
        fs::copy(&from, &to).with_context(|| format!("copying {} to {}", from.display(), to.display()))?;
    }
    needs::node(&dir, "install")?;
    Ok(dir.join("node_modules/.bin"))
}

/// The tools in an SDK's requirements.txt.
fn pip(workspace: &Workspace, sdk: &Path, name: &str) -> Result<PathBuf> {
    let venv = workspace.toolchain(name).join("venv");
    needs::python(&sdk.join("requirements.txt"), &venv)?;
    Ok(venv.join("bin"))
}

/// Builds the plugins in the languages named, or in all whose tools can be had, and says where they are.
pub(crate) fn build(workspace: &Workspace, named: &[Language]) -> Result<()> {
    let all = named.is_empty();
    if all || named.contains(&Language::Rust) {
        for component in plugins::build(workspace, Which::All)? {
            println!("{}", component.display());
        }
    }
    for example in EXAMPLES.iter().filter(|example| all || named.contains(&example.language)) {
        match example.build(workspace)? {
            Ok(component) => println!("{}", component.display()),
            Err(why) if all => println!("skipped {}: {why:#}", example.shown),
            Err(why) => return Err(why.context(format!("the example in {}", example.shown))),
        }
    }
    Ok(())
}

/// Builds the examples for the tests: for each its component, or why there is none.
pub(crate) fn examples(workspace: &Workspace) -> Result<Vec<Need>> {
    let need = |example: &Example| Ok(Need::new(example.need, example.shown, example.build(workspace)?));
    EXAMPLES.iter().map(need).collect()
}

impl Example {
    /// Its component; inside, why its tools cannot be had. What is up to date stays.
    fn build(&self, workspace: &Workspace) -> Result<Result<PathBuf>> {
        let name = self.name;
        let sources = workspace.path("plugins/examples").join(name);
        let sdk = workspace.path(self.sdk);
        let component = workspace.components().join(format!("guess_{name}.wasm"));
        let how = [workspace.path("wit"), workspace.path("xtask/src/languages.rs")];
        let inputs = [&sources, &sdk].into_iter().chain(&how).map(|path| modified(path));
        let newest = inputs.collect::<Result<Vec<_>>>()?.into_iter().max();
        if fs::metadata(&component).and_then(|file| file.modified()).ok() > newest {
            return Ok(Ok(component));
        }
        let tools = match (self.tools)(workspace, &sdk) {
            Ok(tools) => tools,
            Err(why) => {
                let remedy = format!("mend what follows, then run `cargo xtask plugins {name}`");
                return Ok(Err(why.context(format!("its tools cannot be installed: {remedy}"))));
            }
        };
        headline(format_args!("building the example in {}", self.shown));
        let out = workspace.toolchain(name).join("out");
        fs::create_dir_all(&out).with_context(|| format!("making {}", out.display()))?;
        let built = out.join(format!("guess_{name}.wasm"));
        let job = Job { workspace, tools, sdk, sources, out, built: built.clone() };
        (self.make)(&job).with_context(|| format!("building the example in {}", self.shown))?;
        let component = plugins::publish(workspace, &built)?;
        let file = fs::File::open(&component).with_context(|| format!("opening {}", component.display()))?;
        file.set_modified(SystemTime::now()).with_context(|| format!("touching {}", component.display()))?;
        Ok(Ok(component))
    }
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

    /// Python: the component with the interpreter, the SDK and what they import in it.
    fn componentize_python(&self, module: &str) -> Result<()> {
        let mut componentize = self.tool("componentize-py");
        componentize.arg("--quiet").arg("--wit-path").arg(self.wit()).args(["--world", WORLD]);
        componentize.args(["componentize", "--stub-wasi", module]);
        componentize.arg("--python-path").arg(&self.sources).arg("--python-path").arg(&self.sdk);
        run(componentize.arg("--output").arg(&self.built))
    }

    /// C: bindings, then a core module, then the component.
    fn compile_c(&self, main: &str) -> Result<()> {
        let bindings = self.bindings("c-bindings")?;
        let module = self.out.join("module.wasm");
        let mut cc = self.zig();
        cc.args(["cc", "-target", "wasm32-wasi", "-mexec-model=reactor", "-std=c17", "-Os"]);
        cc.args(["-Wall", "-Wextra", "-Werror", "-Wl,--strip-debug", "-Wl,-z,stack-size=65536"]);
        cc.arg("-I").arg(&bindings).arg("-I").arg(&self.sdk);
        cc.arg(self.sources.join(main)).arg(self.sdk.join("shaddock.c"));
        cc.args(C_BINDINGS.map(|name| bindings.join(name)));
        run(cc.arg("-o").arg(&module))?;
        run(self.component_tool().arg("new").arg(&module).arg(&self.built))
    }

    /// Zig: bindings for C, which are translated, then as C.
    fn compile_zig(&self, main: &str) -> Result<()> {
        let bindings = self.bindings("c-bindings")?;
        let contract = bindings.join("contract.zig");
        let written =
            fs::File::create(&contract).with_context(|| format!("writing {}", contract.display()))?;
        let mut translate = self.zig();
        translate.args(["translate-c", "-target", "wasm32-wasi", "-lc"]).arg(bindings.join("sdk_plugin.h"));
        run(translate.stdout(written))?;
        let module = self.out.join("module.wasm");
        let mut zig = self.zig();
        zig.args(["build-exe", "-target", "wasm32-wasi", "-mexec-model=reactor", "-O", "ReleaseSafe"]);
        zig.args(["-fstrip", "-fno-sanitize-c", "-fno-stack-protector", "--stack", "65536", "-lc", "-I"])
            .arg(&bindings);
        zig.args(C_BINDINGS.map(|name| bindings.join(name)));
        let named = |name: &str, file: &Path| format!("-M{name}={}", file.display());
        zig.args(["--dep", "shaddock"]).arg(named("root", &self.sources.join(main)));
        zig.args(["--dep", "contract"]).arg(named("shaddock", &self.sdk.join("shaddock.zig")));
        zig.arg(named("contract", &contract)).arg(format!("-femit-bin={}", module.display()));
        run(&mut zig)?;
        run(self.component_tool().arg("new").arg(&module).arg(&self.built))
    }

    /// The compiler of Zig and C.
    fn zig(&self) -> Command {
        let mut zig = self.tool("python-zig");
        for cache in ["ZIG_GLOBAL_CACHE_DIR", "ZIG_LOCAL_CACHE_DIR"] {
            zig.env(cache, self.workspace.toolchain("ziglang").join("cache"));
        }
        zig
    }

    /// Go: bindings as modules of a workspace, then a core module, then the component with the SDK's stand-in for WASI.
    fn compile_go(&self) -> Result<()> {
        let bindings = self.bindings("go-bindings")?;
        let modules = [&self.sources, &self.sdk, &bindings, &bindings.join("pkg")];
        let uses: String = modules.map(|module| format!("use {:?}\n", module.display().to_string())).concat();
        let work = self.out.join("go.work");
        fs::write(&work, format!("go 1.27\n\n{uses}"))
            .with_context(|| format!("writing {}", work.display()))?;
        let module = self.out.join("module.wasm");
        let mut go = self.tool("go");
        go.current_dir(&self.sources).env("GOWORK", &work).env("GOARCH", "wasm").env("GOOS", "wasip1");
        go.env("GOPROXY", "off").env("GOTOOLCHAIN", "local").env("GOFLAGS", "").env("GOENV", "off");
        go.env("GOCACHE", self.workspace.toolchain("go").join("cache"));
        go.args(["build", "-trimpath", "-buildmode=c-shared", "-ldflags=-checklinkname=0 -s -w", "-o"]);
        run(go.arg(&module).arg("."))?;
        let mut tool = self.component_tool();
        tool.arg("new-over").arg(self.contract()).arg(WORLD).arg(self.sdk.join("system.wat"));
        run(tool.arg(&module).arg(&self.built))
    }

    /// Writes the bindings that a command of the component tool generates; answers where they are.
    fn bindings(&self, command: &str) -> Result<PathBuf> {
        let bindings = self.out.join("bindings");
        run(self.component_tool().arg(command).arg(self.contract()).arg(WORLD).arg(&bindings))?;
        Ok(bindings)
    }

    fn contract(&self) -> PathBuf {
        self.wit().join("plugin.wit")
    }

    /// For what a compiler of core modules does not do.
    fn component_tool(&self) -> Command {
        let mut cargo = self.workspace.bindings_cargo();
        cargo.args(["run", "--quiet", "--locked", "--bin", "shaddock-component", "--"]);
        cargo
    }
}
