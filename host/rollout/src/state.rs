use serde::{Deserialize, Serialize};

use crate::{Digest, Figures, Share, Summary};

/// Answer to [`Order::PluginVersions`](crate::Order::PluginVersions).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Versions {
    /// Every plugin of plugins.json, sorted by name.
    pub plugins: Vec<VersionState>,
}

/// Which version of one plugin serves on one server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionState {
    /// Name in plugins.json.
    pub plugin: String,
    /// Its name for people: the first digits of the digest.
    pub version: String,
    /// The running component.
    pub digest: Digest,
    /// Since when it serves here, in milliseconds since 1970.
    pub since_ms: u64,
    /// The deployment that brought it; none: it was loaded at the start, or is the file of the configuration.
    pub deployment: Option<u64>,
    /// Whether that deployment is final here.
    pub committed: bool,
    /// Whether it is new here: beyond its budget it is left by itself.
    #[serde(default)]
    pub on_probation: bool,
    /// Whether this server runs its handlers.
    pub is_own: bool,
    /// What it offers.
    pub summary: Summary,
    /// What it has done here.
    pub figures: Figures,
    /// The version before it, while it is still in memory.
    pub before: Option<Before>,
    /// The version that serves a share of the calls beside it.
    pub canary: Option<Canary>,
}

/// The version before the running one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Before {
    /// Its name for people: the first digits of the digest.
    pub version: String,
    /// The component.
    pub digest: Digest,
    /// What it has done here.
    pub figures: Figures,
}

/// A version that serves a share of the calls.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Canary {
    /// Its name for people: the first digits of the digest.
    pub version: String,
    /// The component.
    pub digest: Digest,
    /// The deployment that runs it.
    pub deployment: u64,
    /// Its share.
    pub share_bp: Share,
    /// What it has done here.
    pub figures: Figures,
}
