//! What can go wrong: while preparing plugins ([`EngineError`]) and in a call ([`CallError`]).

use std::path::PathBuf;

use crate::types::Failure;

/// Why a plugin could not be compiled or loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// wasmtime could not be set up on this machine.
    #[error("the WebAssembly engine could not be set up: {0}")]
    Setup(String),
    /// The component file could not be read.
    #[error("{}: cannot read the component: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The component file is larger than [`limits::COMPONENT_BYTES_MAX`](crate::limits::COMPONENT_BYTES_MAX).
    #[error("{}: {bytes} bytes are too many for a component (at most {bytes_max})", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
        /// The limit.
        bytes_max: u64,
    },
    /// The file is no component.
    #[error("{}: not a WebAssembly component: {reason}", path.display())]
    NotAComponent {
        /// The file.
        path: PathBuf,
        /// What it is instead, and what to do.
        reason: String,
    },
    /// The compiler refused the component.
    #[error("{}: compilation failed: {reason}", path.display())]
    Compile {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The child process that compiles failed in a way of its own: killed, over a limit, not startable.
    #[error("{}: the compiling process {reason}", path.display())]
    CompileProcess {
        /// The component.
        path: PathBuf,
        /// What happened to it.
        reason: String,
    },
    /// The compiled code of a component is not in the cache.
    #[error("{}: not compiled yet for this version of shaddock: run `shaddock compile {}`", path.display(), path.display())]
    NotCompiled {
        /// The component.
        path: PathBuf,
    },
    /// The compiled code of a component that is known by its digest is not in the cache.
    #[error(
        "the component {digest} is not compiled for this version of shaddock, or no longer in the compiled code cache: \
         deploy it again"
    )]
    NotInCache {
        /// sha256 of the component, 64 hex digits.
        digest: String,
    },
    /// A file in the cache is not what was once written there.
    #[error("{}: damaged file in the compiled code cache ({reason}): remove it, or run `shaddock compile` again", path.display())]
    Corrupt {
        /// The file in the cache.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The code is what was compiled, but this engine cannot take it: it needs more than a slot of the pool has.
    #[error("plugin {plugin}: its compiled code cannot be loaded: {reason}")]
    Unloadable {
        /// The plugin.
        plugin: String,
        /// Why.
        reason: String,
    },
    /// The cache directory cannot be used.
    #[error("{}: cannot {action} in the compiled code cache: {source}{}", path.display(), advice(source))]
    Cache {
        /// The file or directory.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// Why it failed.
        source: std::io::Error,
    },
    /// The component imports something that the host does not have.
    #[error("plugin {plugin}: imports {import}, which the host does not offer; {hint}")]
    UnknownImport {
        /// The plugin.
        plugin: String,
        /// The import's full name.
        import: String,
        /// What to do.
        hint: String,
    },
    /// The component imports something that plugins.json does not grant.
    #[error(
        "plugin {plugin}: imports {import} without the grant: add \"{grant}\" to the list \"grants\" of the plugin in plugins.json"
    )]
    NotGranted {
        /// The plugin.
        plugin: String,
        /// The import's full name.
        import: String,
        /// The grant.
        grant: &'static str,
    },
    /// The component exports no role.
    #[error(
        "plugin {plugin}: exports none of the roles of shaddock:plugin, such as handler, remote, router, lifecycle, at version 0.1; it exports {found}"
    )]
    NoRole {
        /// The plugin.
        plugin: String,
        /// What it exports.
        found: String,
    },
    /// An import or export has other types than the contract says.
    #[error(
        "plugin {plugin}: {item} does not fit the contract: {reason}; build it with the wit/ of this version"
    )]
    WrongType {
        /// The plugin.
        plugin: String,
        /// The interface.
        item: String,
        /// The difference.
        reason: String,
    },
    /// The first instance could not be made, or failed in `init` or in telling what it serves.
    #[error("plugin {plugin}: {action}: {reason}")]
    FirstInstance {
        /// The plugin.
        plugin: String,
        /// What was tried.
        action: &'static str,
        /// Why it failed.
        reason: String,
    },
    /// A route, method or server type that the plugin lists is not acceptable.
    #[error("plugin {plugin}: {list} names {name:?}: {reason}")]
    BadRoute {
        /// The plugin.
        plugin: String,
        /// `handler.routes`, `remote.methods` or `router.server-types`.
        list: &'static str,
        /// The entry.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The plugin's entry is not usable.
    #[error("plugin {plugin}: {reason}")]
    Spec {
        /// The plugin.
        plugin: String,
        /// What is wrong.
        reason: String,
    },
}

fn advice(source: &std::io::Error) -> &'static str {
    use std::io::ErrorKind::{
        FileTooLarge, PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull,
    };
    match source.kind() {
        StorageFull | QuotaExceeded => "; free some space or choose another cache directory",
        FileTooLarge => "; raise the file size limit or choose another cache directory",
        PermissionDenied | ReadOnlyFilesystem => "; choose a cache directory that this user can write to",
        _ => "",
    }
}

/// Why a call gave no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// The plugin's own failure; the instance lives on.
    #[error("{0}")]
    Failure(Failure),
    /// The plugin does not serve this route, method or type.
    #[error("the plugin does not serve {0:?}")]
    UnknownRoute(String),
    /// The guest trapped, or broke the rules of the contract.
    #[error("{message}")]
    Trap {
        /// What happened.
        message: String,
        /// The guest's stack, one frame per line; empty if there is none.
        backtrace: String,
    },
    /// A new instance could not be made or failed in `init`.
    #[error("a new instance is not usable: {0}")]
    Init(String),
    /// The call lasted too long by the clock.
    #[error("the deadline has passed")]
    Deadline,
    /// The call computed for too long.
    #[error("the CPU budget is used up")]
    CpuBudget,
    /// The guest ran out of its memory and gave up.
    #[error("the memory limit of {bytes_max} bytes was reached: {message}")]
    Memory {
        /// The limit.
        bytes_max: u64,
        /// How the guest ended.
        message: String,
    },
    /// No instance was free in time.
    #[error("overloaded: {0}")]
    Overloaded(&'static str),
    /// Calls are nested too deeply.
    #[error("calls are nested too deeply (at most {})", crate::limits::CALL_DEPTH_MAX)]
    TooDeep,
    /// A stateful plugin was called from within its own call, which would wait for itself.
    #[error("the call came back to the stateful plugin that it waits in")]
    Reentered,
    /// A body, argument or result is too large.
    #[error("the {what} is too large (at most {bytes_max} bytes)")]
    ValueTooLarge {
        /// `body`, `result` or `data of one call from the guest`.
        what: &'static str,
        /// The limit.
        bytes_max: usize,
    },
    /// The plugin was replaced by another version, and its time to end is over.
    #[error("the version was replaced")]
    Replaced {
        /// Whether the call had begun to run; else it can be made again without harm.
        begun: bool,
    },
    /// A route function named a server that is not there.
    #[error("the route function chose {0}, which is not among the servers")]
    UnknownTarget(String),
}

impl CallError {
    /// The code for the client's answer, in HTTP's vocabulary.
    pub fn code(&self) -> u32 {
        match self {
            Self::Failure(failure) => failure.code,
            Self::UnknownRoute(_) => 404,
            Self::Deadline => 504,
            Self::Overloaded(_) | Self::Replaced { .. } => 503,
            Self::ValueTooLarge { what: "body", .. } => 413,
            _ => 500,
        }
    }

    /// The guest's stack when it trapped, else empty.
    pub fn backtrace(&self) -> &str {
        match self {
            Self::Trap { backtrace, .. } => backtrace,
            _ => "",
        }
    }

    /// Whether the same call may succeed later without harm: only what did not begin to run, and what the
    /// plugin says.
    pub fn retryable(&self) -> bool {
        match self {
            Self::Failure(failure) => failure.retryable,
            Self::Overloaded(_) | Self::Replaced { begun: false } => true,
            _ => false,
        }
    }

    /// As a failure for the caller of a remote.
    pub fn into_failure(self) -> Failure {
        match self {
            Self::Failure(failure) => failure,
            other => Failure { code: other.code(), message: other.to_string(), retryable: other.retryable() },
        }
    }

    /// All answers of [`CallError::kind`].
    pub const KINDS: [&'static str; 13] = [
        "failure",
        "unknown_route",
        "trap",
        "init",
        "deadline",
        "cpu_budget",
        "memory",
        "overloaded",
        "too_deep",
        "reentered",
        "value_too_large",
        "replaced",
        "unknown_target",
    ];

    /// One word for metrics.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Failure(_) => "failure",
            Self::UnknownRoute(_) => "unknown_route",
            Self::Trap { .. } => "trap",
            Self::Init(_) => "init",
            Self::Deadline => "deadline",
            Self::CpuBudget => "cpu_budget",
            Self::Memory { .. } => "memory",
            Self::Overloaded(_) => "overloaded",
            Self::TooDeep => "too_deep",
            Self::Reentered => "reentered",
            Self::ValueTooLarge { .. } => "value_too_large",
            Self::Replaced { .. } => "replaced",
            Self::UnknownTarget(_) => "unknown_target",
        }
    }
}
