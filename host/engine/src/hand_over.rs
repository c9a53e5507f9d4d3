//! How a stateful version of a plugin gives its place to the next one.

use std::time::Duration;

use crate::error::CallError;
use crate::types::Failure;

/// What a stateful version gave to be handed to the next one. Its bytes mean something to the plugin only.
#[derive(Clone, PartialEq, Eq)]
pub struct SavedState {
    /// The version of the bytes' layout, the plugin's own count.
    pub schema_version: u32,
    /// The state.
    pub bytes: Vec<u8>,
}

/// Without the bytes: they are the players', and many.
impl std::fmt::Debug for SavedState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { schema_version, bytes } = self;
        f.debug_struct("SavedState")
            .field("schema_version", schema_version)
            .field("bytes", &bytes.len())
            .finish()
    }
}

/// What a hand-over may take.
#[derive(Clone, Copy, Debug)]
pub struct HandOverLimits {
    /// How long calls may be held, by the clock: from the end of the last call of the old version to the first call
    /// of the new one.
    pub hold: Duration,
    /// The largest state, in bytes. It has to fit into the plugin's memory twice.
    pub state_bytes_max: usize,
}

/// A hand-over that has succeeded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandedOver {
    /// How long calls were held; zero if the plugin is not stateful.
    pub held: Duration,
    /// What the new version was given; none if the old one has no export `state`.
    pub state: Option<SavedState>,
}

/// Why a stateful version did not give its place to another one. The old version goes on as if nothing had happened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HandOverError {
    /// The two are one, differ in their pool policy, or the old one was replaced already.
    #[error("the hand-over from {from} to {to} makes no sense: {reason}")]
    Refused {
        /// The old version.
        from: String,
        /// The new version.
        to: String,
        /// Why.
        reason: &'static str,
    },
    /// The old version's calls did not end in time.
    #[error("the calls before it in version {version} did not end within {} ms", waited.as_millis())]
    Busy {
        /// Of which version.
        version: String,
        /// How long it was waited.
        waited: Duration,
    },
    /// The time for holding calls was over.
    #[error(
        "{action} took longer than the {} ms for which calls may be held: make it faster, or raise the limit",
        hold.as_millis()
    )]
    TimedOut {
        /// What took so long.
        action: &'static str,
        /// The limit.
        hold: Duration,
    },
    /// The state is larger than allowed.
    #[error(
        "save-state gave more than the {bytes_max} bytes that a state may have: save less, or raise the limit"
    )]
    TooLarge {
        /// The limit.
        bytes_max: usize,
    },
    /// `save-state` failed.
    #[error("save-state failed: {0}")]
    SaveFailed(Failure),
    /// `save-state` trapped, or its process came to a bad end.
    #[error("save-state trapped: {0}")]
    SaveTrapped(String),
    /// The old version saves a state that the new one cannot take.
    #[error(
        "version {to} has no load-state, so the state would be lost: export the interface state, with a load-state \
         that drops it if that is meant"
    )]
    NoLoadState {
        /// The new version.
        to: String,
    },
    /// `load-state` refused, or its call came to a bad end.
    #[error("load-state: {0}")]
    Load(CallError),
    /// The process could not be copied for `save-state`.
    #[error("no copy of the process for save-state: {0}")]
    Copy(std::io::Error),
}
