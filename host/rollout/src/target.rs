use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Digest;

/// A request of a server to the master, tagged by `op`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum Ask {
    /// Which versions to load; answered by [`Targets`]. Asked before plugins are loaded.
    PluginTargets,
    /// A piece of a component; answered by [`ComponentChunk`](crate::ComponentChunk).
    PluginComponent {
        /// Which component.
        digest: Digest,
        /// First byte of the piece.
        offset: u64,
    },
}

/// Answer to [`Ask::PluginTargets`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Targets {
    /// By name of the plugin. One without an entry runs the file of the configuration.
    pub plugins: BTreeMap<String, Target>,
}

/// The version that a plugin shall run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// The component.
    pub digest: Digest,
    /// The deployment that made it the target.
    pub deployment: u64,
}
