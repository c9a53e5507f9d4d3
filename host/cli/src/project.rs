//! `shaddock new`, `toolchain`, `build` and `test`: plugin projects and what builds them.

use std::path::Path;
use std::time::Instant;

use serde_json::json;
use shaddock_toolchain::{Built, Language, Profile, Project, ToolchainError, Toolchains, Tools, create};

use crate::args::{BuildArgs, JsonArgs, NewArgs, TestArgs, ToolchainArgs, ToolchainDirArgs};
use crate::exit::{Code, Failure};
use crate::paths;
use crate::screen::{self, Task};

/// `shaddock new`
pub(crate) fn new(args: &NewArgs) -> Result<(), Failure> {
    let language: Language = args.lang.parse().map_err(failure)?;
    let created = create(Path::new(""), &args.name, language).map_err(failure)?;
    let (name, lang) = (&args.name, language.name());
    if args.json.json {
        screen::print(json!({ "dir": created.dir, "language": lang, "entry": created.entry }));
        return Ok(());
    }
    screen::print(format_args!(
        "made {name}/, a plugin in {language}; its handler is in {name}/{}\n\n\
         go on with\n  cd {name}\n  shaddock toolchain {lang}\n  shaddock dev",
        created.entry
    ));
    Ok(())
}

/// `shaddock toolchain`
pub(crate) fn toolchain(args: &ToolchainArgs) -> Result<(), Failure> {
    let language: Language = args.language.parse().map_err(failure)?;
    let toolchains = toolchains(&args.dir)?;
    let task = Task::begin(format!("installing the tools for {language}"), args.json.json);
    let installed = toolchains.install(language).map_err(failure)?;
    drop(task);
    if args.json.json {
        let rustc = installed.tools.rustc();
        screen::print(json!({
            "language": language.name(), "tools": installed.what, "place": installed.place,
            "already": installed.already, "rustc": rustc,
        }));
        return Ok(());
    }
    let done = if installed.already { "there already" } else { "installed" };
    screen::print(format_args!("{done}: {}, in {}", installed.what, installed.place));
    Ok(())
}

/// `shaddock build`
pub(crate) fn build(args: &BuildArgs) -> Result<(), Failure> {
    let project = Project::open(&args.project).map_err(failure)?;
    let tools = tools_for(&project, &args.dir)?;
    let profile = if args.dev { Profile::Dev } else { Profile::Release };
    let task = Task::begin(format!("building {}", project.output.display()), args.json.json);
    let begun = Instant::now();
    let built = tools.build(&project, profile);
    drop(task);
    let built = built.map_err(failure)?;
    let ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    report(&args.json, &built, ms);
    Ok(())
}

/// `shaddock test`
pub(crate) fn test(args: &TestArgs) -> Result<(), Failure> {
    let project = Project::open(&args.project).map_err(failure)?;
    let passed = tools_for(&project, &args.dir)?.test(&project).map_err(failure)?;
    if passed { Ok(()) } else { Err(Failure::message(Code::Failed, "tests failed")) }
}

fn report(args: &JsonArgs, built: &Built, ms: u64) {
    let Built { component, changed, said } = built;
    if args.json {
        screen::print(json!({ "component": component, "changed": changed, "build_ms": ms, "said": said }));
        return;
    }
    if !said.is_empty() {
        screen::line(said);
    }
    screen::print(component.display());
}

/// Where the tools of languages are.
pub(crate) fn toolchains(args: &ToolchainDirArgs) -> Result<Toolchains, Failure> {
    Ok(Toolchains::at(paths::toolchain_dir(args.toolchain_dir.as_deref())?))
}

/// The tools for a project.
pub(crate) fn tools_for(project: &Project, args: &ToolchainDirArgs) -> Result<Tools, Failure> {
    toolchains(args)?.find(project.language).map_err(failure)
}

/// An error of a project: what the user wrote, or what cannot be done.
pub(crate) fn failure(error: ToolchainError) -> Failure {
    let code = match error {
        ToolchainError::UnknownLanguage { .. }
        | ToolchainError::NoProject { .. }
        | ToolchainError::Manifest { .. }
        | ToolchainError::Refused(_) => Code::Usage,
        _ => Code::Failed,
    };
    Failure::new(code, error)
}
