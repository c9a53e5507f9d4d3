//! What the master and the servers say to each other about versions of plugins: types with their JSON, and no more.
//!
//! A *version* of a plugin is one component, named by its [`Digest`]. A *deployment* is one numbered attempt to
//! bring a plugin to a version in the whole cluster: its [`Order`]s go from the master to each server. A *target*
//! is the version that a plugin shall run; servers ask for the [`Targets`] before they load their plugins.
//!
//! **Invariant:** this crate knows neither sockets nor files nor WebAssembly, and keeps no state.
#![forbid(unsafe_code)]

mod component;
mod digest;
mod figures;
mod note;
mod order;
mod share;
mod state;
mod summary;
mod target;
mod trace;

use std::time::Duration;

pub use component::{CHUNK_BYTES_MAX, ComponentChunk};
pub use digest::{Digest, DigestError};
pub use figures::Figures;
pub use note::Note;
pub use order::{Order, Prepared, Recorded, RecordedPiece, Switched};
pub use share::{Share, ShareError};
pub use state::{Before, Canary, VersionState, Versions};
pub use summary::{Part, Summary};
pub use target::{Ask, Target, Targets};
pub use trace::{Trace, TracedCall};

/// For how long a server keeps a switch that is not committed while it has no link to the master.
pub const UNCOMMITTED_MAX: Duration = Duration::from_secs(10);
