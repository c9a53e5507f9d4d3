//! Broadcasts to those sessions of this frontend that a filter of a plugin selects.

use std::sync::Arc;

use bytes::Bytes;
use shaddock_engine::types::{Failure, Session as Snapshot};
use shaddock_engine::{CallError, Track};

use crate::server::Server;
use crate::service::CALLS_MAX;

/// Sessions shown to a filter at a time.
const SESSIONS_MAX: usize = 256;

/// Which sessions of this frontend a broadcast is for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Selection {
    pub(crate) bound_only: bool,
    /// The name of a broadcast filter, and what it gets to see.
    pub(crate) filter: Arc<str>,
    pub(crate) param: Arc<str>,
}

impl Server {
    /// Starts a broadcast to those whom the filter selects. It is a task of its own, so that whoever reads a link does
    /// not wait for the filter: what is pushed later may arrive earlier.
    pub(crate) fn broadcast_selected(self: &Arc<Self>, route: Arc<str>, body: Bytes, selection: Selection) {
        if self.tasks.len() >= CALLS_MAX {
            let filter = &*selection.filter;
            tracing::warn!(%route, filter, "a broadcast is dropped: too many calls run here");
            return;
        }
        let server = Arc::clone(self);
        self.tasks.spawn(async move {
            if let Err(failure) = server.send_selected(&route, &body, &selection).await {
                let filter = &*selection.filter;
                if let Some(left_out) = server.failures.admit() {
                    tracing::warn!(%route, filter, reason = %failure, left_out, "a broadcast filter failed: nobody gets the message");
                }
            }
        });
    }

    /// Asks for all sessions before the first message is sent, so that a filter that fails halfway selects nobody.
    async fn send_selected(&self, route: &str, body: &[u8], selection: &Selection) -> Result<(), Failure> {
        let mut receivers = self.sessions.all(selection.bound_only);
        let mut selected = Vec::with_capacity(receivers.len());
        for chunk in receivers.chunks(SESSIONS_MAX) {
            let snapshots: Vec<Snapshot> =
                chunk.iter().map(|session| Snapshot::clone(&session.snapshot())).collect();
            let answers = self.select(&selection.filter, &selection.param, &snapshots).await?;
            if answers.len() != chunk.len() {
                let message = format!("{} answers for {} sessions", answers.len(), chunk.len());
                return Err(Failure::new(500, message));
            }
            selected.extend(answers);
        }
        let mut selected = selected.into_iter();
        receivers.retain(|_| selected.next() == Some(true));
        self.push_to_sessions(route, body, &receivers);
        Ok(())
    }

    /// Asks the broadcast filter of that name about sessions: one answer each, in their order.
    async fn select(&self, filter: &str, param: &str, sessions: &[Snapshot]) -> Result<Vec<bool>, Failure> {
        let edition = self.edition(Track::UNDECIDED)?;
        let Some((plugin, name)) = edition.plugins.broadcast_filter(filter) else {
            let message = format!("no plugin on {} has the broadcast filter {filter:?}", self.info.id);
            return Err(Failure::new(404, message));
        };
        plugin.select(name, param, sessions).await.map_err(CallError::into_failure)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{frontend, session_of};

    #[tokio::test]
    async fn a_filter_that_fails_selects_nobody() {
        let server = frontend();
        let selection = Selection { bound_only: true, filter: "near".into(), param: "{}".into() };
        let session = session_of(&server, "a");
        let failure = server.send_selected("onNews", b"{}", &selection).await.unwrap_err();
        assert_eq!(failure.code, 404);
        server.broadcast_selected("onNews".into(), Bytes::from_static(b"{}"), selection);
        server.tasks.close();
        server.tasks.wait().await;
        assert_eq!(session.outbound.bytes(), 0);
        server.broadcast_here("onNews", b"{}", true);
        assert!(session.outbound.bytes() > 0, "a plain broadcast reaches it");
    }
}
