//! What tools ask about versions of plugins, and the answers.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use shaddock_rollout::{Digest, Figures, Share, Summary, TracedCall};

use crate::ServerFailure;

/// A request about versions of plugins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum PluginRequest {
    /// Bring a plugin to another version; answered by [`Started`].
    Deploy {
        /// Name in plugins.json.
        plugin: String,
        /// The component: an absolute path on the master's machine.
        file: PathBuf,
        /// Only this share of the calls, until it is promoted or aborted.
        canary: Option<Share>,
        /// Even if something that the running version offers has vanished.
        force: bool,
        /// How long the first server runs it before the others; none: as master.json says.
        settle_ms: Option<u64>,
        /// Who asks, for the history.
        by: String,
    },
    /// Bring a plugin back to a version that it has run; answered by [`Started`].
    Rollback {
        /// Name in plugins.json.
        plugin: String,
        /// First digits of its digest; none: the one before the running one, which must not be a version that was
        /// left already.
        version: Option<String>,
        /// Who asks, for the history.
        by: String,
    },
    /// Let a canary serve all calls; answered by [`Started`].
    Promote {
        /// Name in plugins.json.
        plugin: String,
        /// Who asks, for the history.
        by: String,
    },
    /// End a canary; answered by [`Started`].
    Abort {
        /// Name in plugins.json.
        plugin: String,
        /// Who asks, for the history.
        by: String,
    },
    /// How far a deployment is; answered by [`Progress`], after a while if there is no news.
    Follow {
        /// Which one.
        number: u64,
        /// Steps that are known already.
        seen: usize,
    },
    /// What runs; answered by [`PluginListing`].
    List,
    /// What has been deployed; answered by a list of [`HistoryEntry`], oldest first.
    History {
        /// Only of this plugin.
        plugin: Option<String>,
    },
    /// Two versions; answered by [`Compared`].
    Diff {
        /// First digits of a digest.
        a: String,
        /// First digits of a digest.
        b: String,
    },
    /// Which versions served a user's last calls; answered by [`Traced`].
    Trace {
        /// The user.
        uid: String,
    },
    /// Record the calls of a plugin; answered by [`Recording`].
    Record {
        /// Name in plugins.json.
        plugin: String,
        /// Where; none: on all servers that run its handlers.
        servers: Vec<String>,
        /// For how long; [`PluginRequest::RecordEnd`] ends it earlier.
        seconds: u64,
        /// How large the recording of one server may become.
        bytes_max: u64,
    },
    /// End the recording of a server; answered by [`Recorded`](shaddock_rollout::Recorded).
    RecordEnd {
        /// Which one.
        server: String,
    },
    /// Hand out the recording of a server, which has ended; answered by
    /// [`RecordedPiece`](shaddock_rollout::RecordedPiece).
    Recorded {
        /// Which one.
        server: String,
        /// Bytes that are there already.
        offset: usize,
    },
}

/// Answer to what begins a deployment, or changes one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Started {
    /// It is under way; [`PluginRequest::Follow`] tells how it goes.
    Started {
        /// Number of the deployment.
        number: u64,
    },
    /// The plugin runs that version already.
    Unchanged {
        /// The version.
        digest: Digest,
    },
    /// Nothing has been done.
    Refused {
        /// Whose fault it is.
        refusal: Refusal,
        /// Why, and what to do.
        error: String,
    },
}

/// Kinds of refusals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// There is no such plugin or version.
    Unknown,
    /// What is asked for makes no sense for the plugin, or in its present state.
    Usage,
    /// Another deployment is under way.
    Busy,
    /// The component could not be read, or the record not be written.
    Failed,
}

/// Answer to [`PluginRequest::Follow`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Steps beyond those that were known.
    pub steps: Vec<String>,
    /// How it ended; none: it has not.
    pub end: Option<HistoryEntry>,
}

/// What was done to a plugin, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryEntry {
    /// Number of the deployment. What is done to a canary has the canary's.
    pub number: u64,
    /// When it was over, in milliseconds since 1970.
    pub at_ms: u64,
    /// Name in plugins.json.
    pub plugin: String,
    /// What was done.
    pub action: Action,
    /// The version that it was to run.
    pub digest: Digest,
    /// The version that it ran before.
    pub from: Option<Digest>,
    /// Whether that was reached; if not, `from` runs.
    pub done: bool,
    /// Why, if it was not reached or nobody asked for it.
    pub reason: Option<String>,
    /// Who asked for it: a user, `watcher`, `budget` or `master`.
    pub by: String,
    /// Servers that were not there; they come up with the version that counts.
    #[serde(default)]
    pub skipped: Vec<String>,
}

/// What is done to a plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// A version from a file.
    Deploy,
    /// Back to a version that it has run.
    Rollback,
    /// The same, because a version went over its budget.
    AutomaticRollback,
    /// A version from a file, for a share of the calls.
    Canary,
    /// The canary serves all calls.
    Promote,
    /// The canary serves none.
    Abort,
    /// The file of the configuration has changed since the deployment, and counts.
    ConfigChanged,
}

impl Action {
    /// Whether a version was left for one that had run.
    pub fn is_rollback(self) -> bool {
        matches!(self, Action::Rollback | Action::AutomaticRollback)
    }

    /// Name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Action::Deploy => "deploy",
            Action::Rollback => "rollback",
            Action::AutomaticRollback => "automatic rollback",
            Action::Canary => "canary",
            Action::Promote => "promote",
            Action::Abort => "abort",
            Action::ConfigChanged => "config changed",
        }
    }
}

/// Answer to [`PluginRequest::List`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginListing {
    /// All plugins of plugins.json, sorted by name.
    pub plugins: Vec<PluginOverview>,
    /// Servers that did not answer.
    pub unanswered: Vec<ServerFailure>,
}

/// One plugin in a [`PluginListing`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginOverview {
    /// Name in plugins.json.
    pub plugin: String,
    /// The version that it is to run everywhere.
    pub stable: RunningVersion,
    /// The version that serves a share of the calls beside it.
    pub canary: Option<RunningVersion>,
    /// How the stable version came to be that.
    pub state: PluginState,
    /// Servers that run something else, and why.
    pub differing: Vec<ServerFailure>,
    /// What the watcher of component files could not bring in last.
    pub watch_error: Option<String>,
}

/// One version in a [`PluginOverview`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunningVersion {
    /// The component.
    pub digest: Digest,
    /// Its name for people; none: no server runs it.
    pub version: Option<String>,
    /// Since when it has been running, in milliseconds since 1970.
    pub since_ms: Option<u64>,
    /// The deployment that brought it; none: it is the file of the configuration.
    pub deployment: Option<u64>,
    /// Servers that run it.
    pub servers: Vec<String>,
    /// What it has done on all of them. Times are those of the slowest.
    pub figures: Figures,
}

/// How the stable version of a plugin stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum PluginState {
    /// Nothing is going on.
    Stable,
    /// It is new, and left by itself if it goes beyond its budget.
    Probation,
    /// A deployment is under way.
    Deploying {
        /// Its number.
        number: u64,
        /// The version that it brings.
        digest: Digest,
    },
    /// Another version serves a share of the calls.
    Canary {
        /// Its deployment.
        number: u64,
        /// Its share.
        share_bp: Share,
        /// The version.
        digest: Digest,
    },
    /// It was left for the one that runs.
    RolledBack {
        /// The version that was left.
        from: Digest,
        /// Why; none: somebody asked for it.
        reason: Option<String>,
    },
}

/// Answer to [`PluginRequest::Diff`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compared {
    /// The first version.
    pub a: KnownVersion,
    /// The second one.
    pub b: KnownVersion,
}

/// A version that is in the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownVersion {
    /// Name in plugins.json.
    pub plugin: String,
    /// The component.
    pub digest: Digest,
    /// What it offers.
    pub summary: Summary,
}

/// Answer to [`PluginRequest::Trace`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traced {
    /// On all servers, oldest first.
    pub calls: Vec<ServedCall>,
    /// Servers that did not answer.
    pub unanswered: Vec<ServerFailure>,
}

/// One call in [`Traced`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServedCall {
    /// Where it ran.
    pub server: String,
    /// What it was.
    #[serde(flatten)]
    pub call: TracedCall,
}

/// Answer to [`PluginRequest::Record`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recording {
    /// Servers that record.
    pub servers: Vec<String>,
    /// Servers that do not.
    pub failed: Vec<ServerFailure>,
}
