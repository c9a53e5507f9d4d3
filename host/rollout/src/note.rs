use serde::{Deserialize, Serialize};

/// A note of a server to the master, tagged by `op`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum Note {
    /// A version has done worse here than its budget for its first minutes allows.
    PluginOverBudget {
        /// The deployment that brought it.
        deployment: u64,
        /// The plugin.
        plugin: String,
        /// Which budget, and by how much: `deadline misses: 12 of 300 calls (4 %, allowed 1 %)`. The words before the
        /// first colon name the kind.
        reason: String,
    },
}
