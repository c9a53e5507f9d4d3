//! Compiling in a child process. This program is its own child, so it has a `main` and runs its checks by itself.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "tests")]

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use shaddock_engine::compile::{self, CompileLimits};
use shaddock_engine::{Cache, EngineError};
use tempfile::TempDir;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [_, "compile", "--cache", dir, file] => child(Path::new(dir), Path::new(file)),
        // What `cargo test` may ask of a program with tests.
        [_, "--list", ..] => ExitCode::SUCCESS,
        _ => {
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
            runtime.block_on(checks());
            println!("compiling in a child process: ok");
            ExitCode::SUCCESS
        }
    }
}

fn child(dir: &Path, file: &Path) -> ExitCode {
    match Cache::open(dir).and_then(|cache| compile::compile(file, &cache)) {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn checks() {
    it_leaves_the_code_in_the_cache().await;
    the_same_component_is_compiled_by_one().await;
    an_error_is_handed_on().await;
    a_child_that_hangs_is_stopped().await;
    a_child_that_computes_forever_is_stopped().await;
    a_child_that_eats_memory_is_stopped().await;
    a_program_that_is_not_there_is_told().await;
    a_full_disk_is_told().await;
    a_child_that_does_nothing_is_told().await;
}

fn setup() -> (TempDir, Cache, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::open(&dir.path().join("cache")).unwrap();
    let file = dir.path().join("component.wasm");
    let functions: String =
        (0..200).map(|n| format!("(func (export \"f{n}\") (result i32) i32.const {n})")).collect();
    let text = format!("(component (core module $m {functions}) (core instance (instantiate $m)))");
    std::fs::write(&file, wat::parse_str(text).unwrap()).unwrap();
    (dir, cache, file)
}

fn this_program() -> PathBuf {
    std::env::current_exe().unwrap()
}

fn script(dir: &TempDir, text: &str) -> PathBuf {
    let path = dir.path().join("program");
    std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

fn says(error: &EngineError, part: &str) {
    assert!(error.to_string().contains(part), "{error} does not say {part:?}");
}

async fn it_leaves_the_code_in_the_cache() {
    let (_dir, cache, file) = setup();
    let compiled =
        compile::in_child(&this_program(), &file, &cache, &CompileLimits::default()).await.unwrap();
    assert!(compiled.code().is_file());
    // The second time no child is needed.
    let nobody = Path::new("/nowhere/shaddock");
    compile::in_child(nobody, &file, &cache, &CompileLimits::default()).await.unwrap();
}

async fn the_same_component_is_compiled_by_one() {
    let (_dir, cache, file) = setup();
    let mut children = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let (cache, file) = (cache.clone(), file.clone());
        children.spawn(async move {
            compile::in_child(&this_program(), &file, &cache, &CompileLimits::default()).await
        });
    }
    while let Some(done) = children.join_next().await {
        done.unwrap().unwrap();
    }
    let names: Vec<_> =
        std::fs::read_dir(cache.dir()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 3, "the code, its functions and the lock: {names:?}");
}

async fn an_error_is_handed_on() {
    let (_dir, cache, file) = setup();
    std::fs::write(&file, wat::parse_str("(module)").unwrap()).unwrap();
    let error =
        compile::in_child(&this_program(), &file, &cache, &CompileLimits::default()).await.unwrap_err();
    says(&error, "core module");
}

async fn a_child_that_hangs_is_stopped() {
    let (dir, cache, file) = setup();
    let limits = CompileLimits { wall: Duration::from_millis(300), ..CompileLimits::default() };
    let start = Instant::now();
    let error =
        compile::in_child(&script(&dir, "echo $$ > pid; exec sleep 60"), &file, &cache, &limits).await;
    says(&error.unwrap_err(), "was stopped");
    assert!(start.elapsed() < Duration::from_secs(10));
    let _ = std::fs::remove_file("pid");
}

async fn a_child_that_computes_forever_is_stopped() {
    let (dir, cache, file) = setup();
    let limits = CompileLimits { cpu_s_max: 1, ..CompileLimits::default() };
    let error =
        compile::in_child(&script(&dir, "while :; do :; done"), &file, &cache, &limits).await.unwrap_err();
    says(&error, "limit of 1 s of CPU time");
}

async fn a_child_that_eats_memory_is_stopped() {
    let (_dir, cache, file) = setup();
    let limits = CompileLimits { memory_bytes_max: 20 << 20, ..CompileLimits::default() };
    let error = compile::in_child(&this_program(), &file, &cache, &limits).await.unwrap_err();
    assert!(matches!(error, EngineError::CompileProcess { .. }), "{error}");
}

async fn a_program_that_is_not_there_is_told() {
    let (_dir, cache, file) = setup();
    let error = compile::in_child(Path::new("/nowhere/x"), &file, &cache, &CompileLimits::default())
        .await
        .unwrap_err();
    says(&error, "/nowhere/x cannot start");
}

/// A limit on the size of files stands for a disk without space: `write` fails half way.
async fn a_full_disk_is_told() {
    let (dir, cache, file) = setup();
    let program =
        script(&dir, &format!("trap '' XFSZ; ulimit -f 4; exec {} \"$@\"", this_program().display()));
    let error = compile::in_child(&program, &file, &cache, &CompileLimits::default()).await.unwrap_err();
    says(&error, "cannot write a file in the compiled code cache");
    says(&error, "choose another cache directory");
    let left: Vec<_> =
        std::fs::read_dir(cache.dir()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| name.to_string_lossy().ends_with("-lock")), "{left:?}");
    // With space again, it works.
    compile::in_child(&this_program(), &file, &cache, &CompileLimits::default()).await.unwrap();
}

async fn a_child_that_does_nothing_is_told() {
    let (dir, cache, file) = setup();
    let error = compile::in_child(&script(&dir, "exit 0"), &file, &cache, &CompileLimits::default())
        .await
        .unwrap_err();
    says(&error, "left nothing in the cache");
    let error = compile::in_child(&script(&dir, "exit 3"), &file, &cache, &CompileLimits::default())
        .await
        .unwrap_err();
    says(&error, "failed: it wrote nothing");
}
