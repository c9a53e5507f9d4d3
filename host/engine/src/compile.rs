//! From component to machine code, in a process of its own.
//!
//! A compiler is a large program that eats untrusted input, and nothing in it bounds time or memory. So it runs
//! in a child process, niced and limited; servers only ever load what it left in the cache.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::io::AsyncReadExt;
use tokio::process::Command;

use crate::cache::{Cache, Compiled, component_digest};
use crate::error::EngineError;
use crate::kind::Kind;
use crate::wasm;

/// What is kept of the child's standard error.
const STDERR_BYTES_MAX: u64 = 16 * 1024;
const NICE: i32 = 10;

/// What one compilation may use.
#[derive(Clone, Debug)]
pub struct CompileLimits {
    /// CPU time of all its threads, in seconds.
    pub cpu_s_max: u64,
    /// Address space in bytes.
    pub memory_bytes_max: u64,
    /// By the clock, waiting for another process that compiles the same component included.
    pub wall: Duration,
}

impl Default for CompileLimits {
    fn default() -> Self {
        Self { cpu_s_max: 120, memory_bytes_max: 4 << 30, wall: Duration::from_secs(180) }
    }
}

/// Compiles a component into the cache, in this process: the child's side. If several processes want the same
/// component, one compiles and the others wait for it.
///
/// # Errors
/// What is wrong with the component, or with the cache.
pub fn compile(file: &Path, cache: &Cache) -> Result<Compiled, EngineError> {
    let digest = component_digest(file)?;
    if let Some(compiled) = cache.find(&digest)? {
        return Ok(compiled);
    }
    let bytes = std::fs::read(file).map_err(|source| EngineError::Read { path: file.to_owned(), source })?;
    // It may have been written anew: what is compiled is what is named.
    let digest = wasm::hex(&Sha256::digest(&bytes));
    check_is_component(file, &bytes)?;
    let _lock = cache.lock(&digest)?;
    if let Some(compiled) = cache.find(&digest)? {
        return Ok(compiled);
    }
    let kind = Kind::of(&bytes);
    let functions = Arc::new(cache.functions(kind)?);
    let code = wasm::compiling(kind, functions.clone())?
        .precompile_component(&bytes)
        .map_err(|error| EngineError::Compile { path: file.to_owned(), reason: format!("{error:#}") })?;
    cache.keep_functions(kind, &functions)?;
    cache.store(&digest, kind, bytes.len() as u64, &code)
}

/// Compiles a component in the child process `PROGRAM compile --cache DIR FILE`, unless the cache has it.
///
/// The child is expected to call [`compile`], to write an error as text to its standard error, and to end with a
/// code other than 0 then. It is killed if the returned future is dropped.
///
/// # Errors
/// What the child wrote, or which limit it ran into.
pub async fn in_child(
    program: &Path,
    file: &Path,
    cache: &Cache,
    limits: &CompileLimits,
) -> Result<Compiled, EngineError> {
    if let Some(compiled) = cache.lookup(file)? {
        return Ok(compiled);
    }
    let failed = |reason: String| EngineError::CompileProcess { path: file.to_owned(), reason };
    let mut command = Command::new(program);
    command.arg("compile").arg("--cache").arg(cache.dir()).arg(file);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    confine(&mut command, limits);
    let mut child =
        command.spawn().map_err(|error| failed(format!("{} cannot start: {error}", program.display())))?;
    let stderr = child.stderr.take();
    let ended = tokio::time::timeout(limits.wall, async {
        let mut text = Vec::new();
        if let Some(stderr) = stderr {
            let mut stderr = stderr.take(STDERR_BYTES_MAX);
            let _ = stderr.read_to_end(&mut text).await;
            // The rest is not kept, but read: the child must not block on a full pipe.
            let _ = tokio::io::copy(&mut stderr.into_inner(), &mut tokio::io::sink()).await;
        }
        (child.wait().await, text)
    });
    let Ok((status, text)) = ended.await else {
        return Err(failed(format!("took longer than {} s and was stopped", limits.wall.as_secs())));
    };
    let status = status.map_err(|error| failed(format!("was lost: {error}")))?;
    if !status.success() {
        return Err(failed(describe(status, String::from_utf8_lossy(&text).trim(), limits)));
    }
    cache.lookup(file)?.ok_or_else(|| failed("ended well but left nothing in the cache".into()))
}

fn describe(status: ExitStatus, text: &str, limits: &CompileLimits) -> String {
    let text = if text.is_empty() { "it wrote nothing about it" } else { text };
    match status.signal() {
        Some(libc::SIGXCPU | libc::SIGKILL) => {
            format!("was stopped, most likely at its limit of {} s of CPU time: {text}", limits.cpu_s_max)
        }
        Some(libc::SIGABRT) => {
            format!(
                "gave up, most likely at its limit of {} MiB of memory: {text}",
                limits.memory_bytes_max >> 20
            )
        }
        Some(signal) => format!("ended by signal {signal}: {text}"),
        None => format!("failed: {text}"),
    }
}

/// Lets the child start with limits on itself, and end with its parent where the system can do that.
fn confine(command: &mut Command, limits: &CompileLimits) {
    let (cpu, memory) = (limits.cpu_s_max, limits.memory_bytes_max);
    let apply = move || {
        limit(libc::RLIMIT_CPU, cpu)?;
        limit(libc::RLIMIT_AS, memory)?;
        limit(libc::RLIMIT_CORE, 0)?;
        // SAFETY: takes and gives plain integers. A refusal is no reason not to compile.
        unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICE) };
        #[cfg(target_os = "linux")]
        // SAFETY: takes and gives plain integers.
        unsafe {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL)
        };
        Ok(())
    };
    // SAFETY: between fork and exec only system calls are made that are async-signal-safe; the closure owns two
    // integers and allocates nothing.
    unsafe { command.pre_exec(apply) };
}

#[cfg(target_os = "linux")]
pub(crate) type Resource = libc::__rlimit_resource_t;
#[cfg(not(target_os = "linux"))]
pub(crate) type Resource = libc::c_int;

/// Limits what this process may use.
pub(crate) fn limit(resource: Resource, value: u64) -> std::io::Result<()> {
    let limit = libc::rlimit { rlim_cur: value, rlim_max: value };
    // SAFETY: `limit` is a valid struct for the time of the call.
    if unsafe { libc::setrlimit(resource, &limit) } == 0 {
        return Ok(());
    }
    let error = std::io::Error::last_os_error();
    match error.raw_os_error() {
        // The parent's own limit is lower still, or the system does not know the limit: both are fine.
        Some(libc::EPERM | libc::EINVAL) => Ok(()),
        _ => Err(error),
    }
}

/// Tells files that are something else apart before the compiler's words do, which few would understand.
fn check_is_component(file: &Path, bytes: &[u8]) -> Result<(), EngineError> {
    let reason = match (bytes.get(..4), bytes.get(4..8)) {
        (Some(b"\0asm"), Some([0x0d, 0, 1, 0])) => return Ok(()),
        (Some(b"\0asm"), Some([1, 0, 0, 0])) => {
            "it is a core module; link it with wasm-component-ld, or turn it into a component with \
             `wasm-tools component new`"
        }
        (Some(b"\0asm"), Some(_)) => "it is of a version that this host does not know",
        (Some(b"\0asm"), None) => "the file is cut off",
        _ if bytes.is_empty() => "the file is empty",
        _ => "it does not begin as WebAssembly does",
    };
    Err(EngineError::NotAComponent { path: file.to_owned(), reason: reason.into() })
}
