//! wasmtime's configuration: one set of settings for compiling and for running.
//!
//! Compiled code fits only an engine of the same settings, so both sides are made here. They differ in what
//! does not change the code: the allocator and whether a compiler is there at all.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use sha2::{Digest, Sha256};
use wasmtime::{
    CacheStore, Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig,
    WasmBacktraceDetails,
};

use crate::error::EngineError;
use crate::functions::Functions;
use crate::kind::Kind;
use crate::settings::EngineSettings;

/// A component is several core instances: the module, and the shims that its linker adds.
const CORE_INSTANCES_PER_INSTANCE: u32 = 4;
/// Memory of an instance that stays resident when its slot is reused: what was written is set to zero instead
/// of being given back to the kernel, which costs far more. It has to reach the heap of a guest, which usually
/// begins behind 1 MiB of stack.
const RESIDENT_MEMORY_BYTES: usize = 2 << 20;
const RESIDENT_TABLE_BYTES: usize = 64 << 10;
/// Slots that may keep such memory while no instance is in them.
const WARM_SLOTS_MAX: u32 = 16;

/// What the engines of a kind share: everything that goes into the code.
fn config(kind: Kind) -> Config {
    let mut config = Config::new();
    config
        // Waiting host functions suspend a fiber instead where they can: the support costs each call 0.9 µs.
        .concurrency_support(kind == Kind::Concurrent)
        .epoch_interruption(true)
        // What the contract does not need is off: less to trust.
        .wasm_threads(false)
        .wasm_gc(false)
        .wasm_function_references(false)
        .wasm_exceptions(false)
        .gc_support(false)
        .wasm_memory64(false)
        .wasm_relaxed_simd(false)
        .wasm_tail_call(false)
        // Several memories stay allowed: wasmtime's own adapters between inner components need them.
        .max_wasm_stack(512 << 10)
        .async_stack_size(2 << 20)
        .memory_init_cow(true)
        .wasm_backtrace_details(WasmBacktraceDetails::Enable);
    config
}

/// The engine of the process that compiles, which asks for functions before it compiles them.
pub(crate) fn compiling(kind: Kind, functions: Arc<dyn CacheStore>) -> Result<Engine, EngineError> {
    let failed = |error: wasmtime::Error| EngineError::Setup(format!("{error:#}"));
    let mut config = config(kind);
    config.parallel_compilation(true).enable_incremental_compilation(functions).map_err(failed)?;
    Engine::new(&config).map_err(failed)
}

/// The engine of a server. Without the address space for the pool it falls back to mapping each instance when
/// it is made, which is slower (with policy `fresh` by much) but works.
pub(crate) fn running(kind: Kind, settings: &EngineSettings) -> Result<Engine, EngineError> {
    let mut pooled = config(kind);
    pooled.enable_compiler(false).allocation_strategy(pool(settings));
    match Engine::new(&pooled) {
        Ok(engine) => Ok(engine),
        Err(error) => {
            tracing::warn!(
                error = format!("{error:#}"),
                instances_max = settings.instances_max,
                "no address space for the instance pool, instances will be mapped one by one"
            );
            let mut plain = config(kind);
            plain.enable_compiler(false);
            Engine::new(&plain).map_err(|error| EngineError::Setup(format!("{error:#}")))
        }
    }
}

fn pool(settings: &EngineSettings) -> InstanceAllocationStrategy {
    let instances = settings.instances_max.max(1);
    let memory = usize::try_from(settings.memory_bytes_max).unwrap_or(usize::MAX);
    // Without the kernel's help (Linux 6.7) all of it would have to be cleared, not just what was written.
    let resident =
        if PoolingAllocationConfig::is_pagemap_scan_available() { RESIDENT_MEMORY_BYTES } else { 0 };
    let mut pool = PoolingAllocationConfig::default();
    pool.total_component_instances(instances)
        .total_core_instances(instances.saturating_mul(CORE_INSTANCES_PER_INSTANCE))
        .total_memories(instances.saturating_mul(2))
        .total_tables(instances.saturating_mul(3))
        .total_stacks(instances)
        .total_gc_heaps(1)
        .max_memory_size(memory)
        .max_memories_per_component(8)
        .max_tables_per_component(16)
        .max_core_instances_per_component(64)
        .table_elements(50_000)
        .linear_memory_keep_resident(resident)
        .table_keep_resident(RESIDENT_TABLE_BYTES)
        .max_unused_warm_slots(WARM_SLOTS_MAX)
        .pagemap_scan(Enabled::Auto);
    InstanceAllocationStrategy::Pooling(pool)
}

/// Names the settings and the version of the compiler: code of another key must not be loaded.
pub(crate) fn compatibility_key(kind: Kind) -> Result<String, EngineError> {
    /// The standard library's hasher may change from release to release.
    struct Sha(Sha256);
    impl Hasher for Sha {
        fn write(&mut self, bytes: &[u8]) {
            self.0.update(bytes);
        }
        fn finish(&self) -> u64 {
            0
        }
    }
    let mut sha = Sha(Sha256::new());
    compiling(kind, Arc::new(Functions::default()))?.precompile_compatibility_hash().hash(&mut sha);
    Ok(hex(&sha.0.finalize()).chars().take(16).collect())
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
