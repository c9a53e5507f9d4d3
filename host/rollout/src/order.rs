use serde::{Deserialize, Serialize};

use crate::{Digest, Share, Summary};

/// An order of the master to one server, tagged by `op`. An answer is the type named at the variant; an error is a
/// text for the operator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum Order {
    /// Load and check a version beside the running one; answered by [`Prepared`]. A newer one replaces what is
    /// prepared and not switched to; the same one again is fine.
    PluginPrepare {
        /// Which deployment.
        deployment: u64,
        /// Which plugin.
        plugin: String,
        /// Its new version.
        digest: Digest,
    },
    /// Let what is prepared serve, provisionally; answered by [`Switched`]. After an error the old version runs
    /// untouched.
    PluginSwitch {
        /// Which deployment.
        deployment: u64,
        /// Only this share of the calls; none: all of them. Of a deployment that runs as a canary, none makes it
        /// serve all.
        canary_bp: Option<Share>,
    },
    /// The switch is final; answered by `null`.
    PluginCommit {
        /// Which deployment.
        deployment: u64,
    },
    /// Drop what is prepared, end the canary, or go back from a switch that is not committed; answered by `null`.
    /// One that is not known, or is done already, is fine.
    PluginRevert {
        /// Which deployment.
        deployment: u64,
    },
    /// What runs here; answered by [`Versions`](crate::Versions).
    PluginVersions,
    /// Record the calls of a plugin, beginning with new instances; answered by `null`. One recording at a time.
    PluginRecord {
        /// Which plugin.
        plugin: String,
        /// For how long; it may be ended earlier.
        seconds: u64,
        /// How large it may become.
        bytes_max: u64,
    },
    /// End the recording; answered by [`Recorded`]. One that has ended by itself is fine.
    PluginRecordEnd,
    /// Hand out the recording that has ended; answered by [`RecordedPiece`].
    PluginRecorded {
        /// Bytes that are there already.
        offset: usize,
    },
    /// Which versions served a user's last calls here; answered by [`Trace`](crate::Trace).
    PluginTrace {
        /// The user.
        uid: String,
    },
}

/// Answer to [`Order::PluginPrepare`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prepared {
    /// What the version offers and imports.
    pub summary: Summary,
    /// Microseconds that loading took, self-test and compilation not counted.
    pub load_us: u64,
}

/// Answer to [`Order::PluginSwitch`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Switched {
    /// Microseconds for which calls were held while state was handed over; none: there was none to hand over.
    pub held_us: Option<u64>,
}

/// Answer to [`Order::PluginRecordEnd`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recorded {
    /// Calls in the recording.
    pub calls: u64,
}

/// Answer to [`Order::PluginRecorded`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedPiece {
    /// What follows; empty at the end.
    pub text: String,
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json, to_value};

    use super::*;

    #[test]
    fn orders_have_an_op_and_its_fields() {
        let digest = "a".repeat(64);
        for (order, expected) in [
            (
                Order::PluginPrepare {
                    deployment: 7,
                    plugin: "chat".to_owned(),
                    digest: digest.parse().unwrap(),
                },
                json!({"op": "plugin_prepare", "deployment": 7, "plugin": "chat", "digest": digest}),
            ),
            (
                Order::PluginSwitch { deployment: 7, canary_bp: "5%".parse().ok() },
                json!({"op": "plugin_switch", "deployment": 7, "canary_bp": 500}),
            ),
            (
                Order::PluginSwitch { deployment: 7, canary_bp: None },
                json!({"op": "plugin_switch", "deployment": 7, "canary_bp": null}),
            ),
            (Order::PluginCommit { deployment: 7 }, json!({"op": "plugin_commit", "deployment": 7})),
            (Order::PluginRevert { deployment: 7 }, json!({"op": "plugin_revert", "deployment": 7})),
            (Order::PluginVersions, json!({"op": "plugin_versions"})),
            (Order::PluginTrace { uid: "u".to_owned() }, json!({"op": "plugin_trace", "uid": "u"})),
        ] {
            assert_eq!(to_value(&order).unwrap(), expected);
            assert_eq!(from_value::<Order>(expected).unwrap(), order);
        }
    }
}
