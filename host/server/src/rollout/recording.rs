//! Recordings of the calls of a plugin. While one is made, a twin of the running version serves, whose engine takes the
//! calls down; so instances begin within the recording, and nobody else pays for it.

use std::sync::Arc;
use std::time::Duration;

use shaddock_config::Pool;
use shaddock_engine::{Plugin, Recorder};
use shaddock_rollout::{Recorded, RecordedPiece};

use super::{Pending, Rollout};
use crate::server::Server;

/// How long a recording is kept that nobody fetches.
const KEPT: Duration = Duration::from_secs(60);
/// Of a recording, in one answer.
const PIECE_BYTES: usize = 256 << 10;

/// A recording that is being made, or was made.
pub(super) struct Recording {
    recorder: Arc<Recorder>,
    /// While it is made.
    twin: Option<Plugin>,
}

impl Rollout {
    /// Begins to record the calls of a plugin, for so long and in so many bytes.
    pub(super) async fn begin_recording(
        &self,
        server: &Arc<Server>,
        name: &str,
        time: Duration,
        bytes_max: u64,
    ) -> Result<(), String> {
        let mut pending = self.pending.lock().await;
        let (index, entry) = self.entry(name)?;
        if let Some(Recording { twin: Some(twin), .. }) = &pending.recording {
            return Err(format!("the calls of {} are being recorded here", twin.name().name));
        }
        let is_on_trial = self
            .running()
            .get(name)
            .is_some_and(|running| running.probation.is_some() || !running.is_committed);
        if is_on_trial || pending.canary.is_some() || pending.prepared.is_some() {
            return Err(format!(
                "{name} has a version on trial, or one is being deployed: record when that is over"
            ));
        }
        let loaded = server.loaded().map_err(|failure| failure.message)?;
        let old = self.plugin(&loaded, index).ok_or_else(|| format!("{name} does not run here"))?;
        if entry.pool == Pool::Single && !old.has_state() {
            return Err(format!(
                "{name} keeps its state in its one instance (pool policy single) and does not hand it over (interface \
                 state): a recording, which begins with a new instance, would lose it"
            ));
        }
        let recorder = Recorder::new(bytes_max);
        let twin = self.load_again(old.name(), Some(Arc::clone(&recorder))).await?;
        self.replace(server, &twin, false).await?;
        tracing::info!(plugin = name, seconds = time.as_secs(), bytes_max, "calls are recorded");
        pending.recording = Some(Recording { recorder: Arc::clone(&recorder), twin: Some(twin) });
        let server = Arc::downgrade(server);
        // Not among the server's tasks: a stop does not wait for it.
        tokio::spawn(async move {
            tokio::time::sleep(time).await;
            let Some(running) = server.upgrade() else { return };
            let Some(rollout) = running.rollout.get() else { return };
            if let Err(error) = rollout.end_if_is(&running, &recorder).await {
                tracing::warn!(error, "the recorded version goes on");
            }
            drop(running);
            tokio::time::sleep(KEPT).await;
            if let Some(running) = server.upgrade()
                && let Some(rollout) = running.rollout.get()
            {
                rollout.pending.lock().await.recording.take_if(|recording| recording.is(&recorder));
            }
        });
        Ok(())
    }

    /// Ends the recording, if it has not ended by itself.
    pub(super) async fn end_recording(&self, server: &Server) -> Result<Recorded, String> {
        let mut pending = self.pending.lock().await;
        self.end(server, &mut pending).await?;
        let recording = pending.recording.as_ref().ok_or_else(nothing)?;
        Ok(Recorded { calls: recording.recorder.calls() })
    }

    /// A piece of the recording that has ended.
    pub(super) async fn recorded(&self, offset: usize) -> Result<RecordedPiece, String> {
        let pending = self.pending.lock().await;
        let recording = pending.recording.as_ref().ok_or_else(nothing)?;
        Ok(RecordedPiece { text: recording.recorder.piece(offset, PIECE_BYTES) })
    }

    async fn end_if_is(&self, server: &Server, recorder: &Arc<Recorder>) -> Result<(), String> {
        let mut pending = self.pending.lock().await;
        match &pending.recording {
            Some(recording) if recording.is(recorder) => self.end(server, &mut pending).await,
            _ => Ok(()),
        }
    }

    async fn end(&self, server: &Server, pending: &mut Pending) -> Result<(), String> {
        let Some(recording) = &mut pending.recording else { return Ok(()) };
        let Some(twin) = recording.twin.take() else { return Ok(()) };
        recording.recorder.finish();
        let name = &twin.name().name;
        let loaded = server.loaded().map_err(|failure| failure.message)?;
        let (index, _) = self.entry(name)?;
        // Another version may have taken its place.
        if self.plugin(&loaded, index).is_some_and(|running| running.is(&twin)) {
            let plain = self.load_again(twin.name(), None).await?;
            self.replace(server, &plain, false).await?;
        }
        tracing::info!(plugin = &**name, calls = recording.recorder.calls(), "calls are recorded no more");
        Ok(())
    }
}

impl Recording {
    fn is(&self, recorder: &Arc<Recorder>) -> bool {
        Arc::ptr_eq(&self.recorder, recorder)
    }
}

fn nothing() -> String {
    "there is no recording here: it was never begun, or was kept for a minute and then dropped".to_owned()
}
