use serde::{Deserialize, Serialize};

use crate::Digest;

/// Answer to [`Order::PluginTrace`](crate::Order::PluginTrace).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trace {
    /// A user's last calls on one server, oldest first.
    pub calls: Vec<TracedCall>,
}

/// One call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TracedCall {
    /// When it began, in milliseconds since 1970.
    pub at_ms: u64,
    /// Its route, or the method of a remote.
    pub route: String,
    /// The plugin.
    pub plugin: String,
    /// Its name for people: the first digits of the digest.
    pub version: String,
    /// The component.
    pub digest: Digest,
    /// `ok`, or the code of the error.
    pub outcome: String,
    /// Microseconds that it took.
    pub us: u64,
}
