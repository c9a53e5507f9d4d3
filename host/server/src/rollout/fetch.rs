//! Where the compiled code of a version comes from: the cache of this machine, or the master's store.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::de::DeserializeOwned;
use shaddock_cluster::master_link::MasterClient;
use shaddock_config::PluginEntry;
use shaddock_engine::compile::{CompileLimits, in_child};
use shaddock_engine::{Cache, Compiled, EngineError};
use shaddock_rollout::{Ask, CHUNK_BYTES_MAX, ComponentChunk, Digest, Targets};

use crate::error::ServerError;

/// How long the master may take for one answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Where a server finds compiled code.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    /// Of this machine.
    pub(crate) cache: Cache,
    /// This program: it compiles, in a process of its own.
    pub(crate) program: PathBuf,
}

impl Source {
    /// The code of the component file that the configuration names.
    pub(crate) fn configured(&self, entry: &PluginEntry) -> Result<Compiled, ServerError> {
        Ok(self.cache.require(&entry.component)?)
    }

    /// The code of a version. On a machine that does not have it yet, the component is had from the master and
    /// compiled, in a child process.
    pub(crate) async fn compiled(
        &self,
        digest: &Digest,
        master: &MasterClient,
    ) -> Result<Compiled, ServerError> {
        match self.cache.require_digest(digest.as_str()) {
            Err(EngineError::NotInCache { .. }) => {}
            found => return Ok(found?),
        }
        // Beside the code, since that directory is private; others that fetch the same do not meet.
        let path = self.cache.dir().join(format!("{}-{}.wasm", digest.as_str(), std::process::id()));
        let fetched = fetch(digest, master, &path).await;
        let compiled = match fetched {
            Ok(()) => {
                let limits = CompileLimits::default();
                in_child(&self.program, &path, &self.cache, &limits).await.map_err(ServerError::from)
            }
            Err(error) => Err(error),
        };
        let _ = std::fs::remove_file(&path);
        let compiled = compiled?;
        if **compiled.digest() != *digest.as_str() {
            let reason = "what the master sent has another digest".to_owned();
            return Err(ServerError::Component { digest: digest.clone(), reason });
        }
        Ok(compiled)
    }
}

/// The versions that the master wants.
pub(crate) async fn targets(master: &MasterClient) -> Result<Targets, ServerError> {
    ask(master, &Ask::PluginTargets).await.map_err(ServerError::Targets)
}

async fn fetch(digest: &Digest, master: &MasterClient, path: &Path) -> Result<(), ServerError> {
    let failed = |reason: String| ServerError::Component { digest: digest.clone(), reason };
    let text = |error: std::io::Error| failed(format!("{}: {error}", path.display()));
    let mut file = std::fs::File::create(path).map_err(text)?;
    let mut offset = 0;
    loop {
        let question = Ask::PluginComponent { digest: digest.clone(), offset };
        let chunk: ComponentChunk = ask(master, &question).await.map_err(failed)?;
        let bytes = BASE64_STANDARD.decode(&chunk.data).map_err(|error| failed(error.to_string()))?;
        file.write_all(&bytes).map_err(text)?;
        offset += bytes.len() as u64;
        if offset >= chunk.size {
            return Ok(());
        }
        if bytes.len() != CHUNK_BYTES_MAX {
            return Err(failed(format!("the master sent {offset} of {} bytes", chunk.size)));
        }
    }
}

async fn ask<T: DeserializeOwned>(master: &MasterClient, question: &Ask) -> Result<T, String> {
    let question = serde_json::to_value(question).map_err(|error| error.to_string())?;
    let answer = master.request(&question, ANSWER_TIMEOUT).await.map_err(|error| error.to_string())?;
    serde_json::from_value(answer).map_err(|error| format!("an answer that is not understood: {error}"))
}
