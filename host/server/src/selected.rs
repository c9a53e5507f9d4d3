//! Broadcasts to those sessions of this frontend that a filter of a plugin selects.

use std::sync::Arc;

use bytes::Bytes;
use shaddock_engine::types::{Failure, Session as Snapshot};
use shaddock_engine::{CallError, Track};

use crate::server::Server;
use crate::service::CALLS_MAX;

/// Sessions shown to a filter at a time.
const SESSIONS_MAX: usize = 256;
/// The users and settings of these, unless a single session has more: they are copied into the plugin's memory.
const SESSION_BYTES_MAX: usize = 256 << 10;

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
        let snapshots: Vec<Arc<Snapshot>> = receivers.iter().map(|session| session.snapshot()).collect();
        let mut selected = Vec::with_capacity(receivers.len());
        let mut rest = &*snapshots;
        while !rest.is_empty() {
            let (shown, others) = rest.split_at(portion(rest.iter().map(|session| weight(session))));
            let shown: Vec<Snapshot> = shown.iter().map(|session| Snapshot::clone(session)).collect();
            let answers = self.select(&selection.filter, &selection.param, &shown).await?;
            if answers.len() != shown.len() {
                let message = format!("{} answers for {} sessions", answers.len(), shown.len());
                return Err(Failure::new(500, message));
            }
            selected.extend(answers);
            rest = others;
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

/// How many of the first sessions, of which each has so many bytes, are shown at a time.
fn portion(weights: impl Iterator<Item = usize>) -> usize {
    let mut bytes = 0_usize;
    let fits = |weight: &usize| {
        bytes = bytes.saturating_add(*weight);
        bytes <= SESSION_BYTES_MAX
    };
    weights.take(SESSIONS_MAX).take_while(fits).count().max(1)
}

/// About how many bytes of a session a plugin gets to see.
fn weight(session: &Snapshot) -> usize {
    let settings = session.settings.iter().map(|setting| setting.key.len() + setting.value.len());
    session.uid.as_deref().map_or(0, str::len) + settings.sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{frontend, session_of};

    #[test]
    fn a_filter_sees_so_many_sessions_and_so_many_bytes_at_a_time() {
        const BYTES: usize = SESSION_BYTES_MAX;
        for (weights, shown) in [
            (vec![10; 1000], SESSIONS_MAX),
            (vec![10; 7], 7),
            (vec![BYTES / 4; 9], 4),
            (vec![BYTES / 2, BYTES, 1], 1),
            (vec![BYTES * 3, 1], 1),
            (vec![usize::MAX, usize::MAX], 1),
        ] {
            assert_eq!(portion(weights.into_iter()), shown);
        }
        let setting = shaddock_engine::types::Setting { key: "k".into(), value: "[1]".into() };
        let session = session_of(&frontend(), "ann").snapshot();
        assert_eq!(weight(&Snapshot { settings: [setting].into(), ..Snapshot::clone(&session) }), 7);
    }

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
