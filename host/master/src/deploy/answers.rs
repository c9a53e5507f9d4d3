//! What servers ask and tell of versions.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;
use shaddock_cluster::master_link::Answer;
use shaddock_rollout::{Ask, Digest, Note, Target, Targets};

use super::over_budget::over_budget;
use super::{Deploys, MasterError};
use crate::master::Hub;

/// What their requests and notes begin with.
const PREFIX: &str = "plugin_";

/// The answer to a server's request; none if it is not about versions.
pub(crate) fn answer(hub: &Arc<Hub>, request: &Value) -> Option<Answer> {
    if !is_ours(request) {
        return None;
    }
    let ask = serde_json::from_value(request.clone());
    let hub = Arc::clone(hub);
    Some(Box::pin(async move {
        let ask = ask.map_err(|error| format!("not a request known here: {error}"))?;
        // Files are read away from the threads that serve.
        let answered = tokio::task::spawn_blocking(move || match ask {
            Ask::PluginTargets => Ok(serde_json::to_value(hub.deploys.targets())),
            Ask::PluginComponent { digest, offset } => {
                hub.deploys.store.chunk(&digest, offset).map(serde_json::to_value)
            }
        });
        let answered = answered.await.map_err(|error| error.to_string())?;
        let answered = answered.map_err(|error: MasterError| error.to_string())?;
        answered.map_err(|error| error.to_string())
    }))
}

/// Takes a server's note; false if it is not about versions.
pub(crate) fn note(hub: &Arc<Hub>, id: &str, note: &Value) -> bool {
    if !is_ours(note) {
        return false;
    }
    match serde_json::from_value(note.clone()) {
        Ok(Note::PluginOverBudget { deployment, plugin, reason }) => {
            over_budget(hub, id, deployment, &plugin, &reason);
        }
        Err(error) => tracing::warn!(id, %error, "ignored a note from a server"),
    }
    true
}

fn is_ours(message: &Value) -> bool {
    message.get("op").and_then(Value::as_str).is_some_and(|op| op.starts_with(PREFIX))
}

impl Deploys {
    /// What a server that starts is to load. A file that has changed since this master started counts at the next
    /// start, and until then every server runs what the others run.
    fn targets(&self) -> Targets {
        let mut plugins: BTreeMap<String, Target> = BTreeMap::new();
        for (plugin, digest) in &self.files {
            let target = self.state().record.target(plugin);
            let unless_unchanged = || {
                self.file_has_changed(plugin, digest)
                    .then(|| Target { digest: digest.clone(), deployment: 0 })
            };
            if let Some(target) = target.or_else(unless_unchanged) {
                plugins.insert(plugin.clone(), target);
            }
        }
        Targets { plugins }
    }

    fn file_has_changed(&self, plugin: &str, digest: &Digest) -> bool {
        let Some(file) = self.config_files.get(plugin) else { return false };
        self.store.digest_of_file(file).map_or(true, |now| now != *digest)
    }
}
