//! From wasmtime's errors to the engine's.

use wasmtime::{PoolConcurrencyLimitError, Trap, WasmBacktrace};

use crate::error::CallError;
use crate::limits::HOSTCALL_SLACK_BYTES;
use crate::settings::PluginLimits;

/// Frames of a backtrace that are told; a recursion has thousands.
const FRAMES_MAX: usize = 32;
/// What wasmtime says when a guest hands over more than it may. It has no type for it that can be named.
const TOO_MUCH_DATA: &str = "fuel allocated for hostcalls";

/// Says what ended a call. `refused_memory`: the guest was refused memory in this call.
pub(crate) fn classify(error: &wasmtime::Error, limits: &PluginLimits, refused_memory: bool) -> CallError {
    if error.downcast_ref::<Trap>() == Some(&Trap::Interrupt) {
        return CallError::CpuBudget;
    }
    if error.is::<PoolConcurrencyLimitError>() {
        return CallError::Overloaded("the server has as many instances as its engine can hold");
    }
    let message = message(error);
    if message.contains(TOO_MUCH_DATA) {
        let bytes_max = limits.value_bytes_max.saturating_add(HOSTCALL_SLACK_BYTES);
        return CallError::ValueTooLarge { what: "data of one call from the guest", bytes_max };
    }
    if refused_memory {
        return CallError::Memory { bytes_max: limits.memory_bytes_max, message };
    }
    CallError::Trap { message, backtrace: backtrace(error) }
}

/// The causes in one line, without the backtrace that wasmtime puts first.
pub(crate) fn message(error: &wasmtime::Error) -> String {
    let causes: Vec<String> = error
        .chain()
        .map(ToString::to_string)
        .filter(|cause| !cause.starts_with("error while executing at wasm backtrace"))
        .collect();
    causes.join(": ")
}

fn backtrace(error: &wasmtime::Error) -> String {
    let Some(backtrace) = error.downcast_ref::<WasmBacktrace>() else { return String::new() };
    let frames = backtrace.frames();
    let mut lines: Vec<String> = frames.iter().take(FRAMES_MAX).map(frame).collect();
    if frames.len() > FRAMES_MAX {
        lines.push(format!("... {} more", frames.len() - FRAMES_MAX));
    }
    lines.join("\n")
}

fn frame(frame: &wasmtime::FrameInfo) -> String {
    let name = frame.func_name().map_or_else(|| format!("function {}", frame.func_index()), demangled);
    let place = frame.symbols().iter().find_map(|symbol| Some((symbol.file()?, symbol.line()?)));
    match place {
        Some((file, line)) => format!("{name} at {file}:{line}"),
        None => name,
    }
}

/// Rust's names carry a hash that says nothing to a reader.
fn demangled(name: &str) -> String {
    format!("{:#}", rustc_demangle::demangle(name))
}
