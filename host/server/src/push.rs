//! Push messages to clients connected here: encoded once, the frame shared by all receivers.

use std::cell::OnceCell;
use std::sync::Arc;

use shaddock_wire::protocol::{Encoded as Body, Protocol};
use shaddock_wire::text::TextForm;

use crate::frame::Frame;
use crate::server::Server;
use crate::session::Session;

/// A push message in the forms that its receivers need; each is made when the first one needs it.
struct Encoded<'a> {
    protocol: &'a Protocol,
    route: &'a str,
    body: &'a [u8],
    /// Whether clients of different text forms get different bytes.
    by_form: bool,
    utf8: OnceCell<Option<Frame>>,
    other: OnceCell<Option<Frame>>,
}

impl<'a> Encoded<'a> {
    fn new(protocol: &'a Protocol, route: &'a str, body: &'a [u8]) -> Self {
        let by_form = protocol.push_depends_on_text(route, body);
        Self { protocol, route, body, by_form, utf8: OnceCell::new(), other: OnceCell::new() }
    }

    /// The frame for a client, or none if the message cannot be encoded, which is logged once.
    fn frame(&self, form: TextForm) -> Option<&Frame> {
        let (cell, form) = if self.by_form && form != TextForm::Utf8 {
            (&self.other, form)
        } else {
            (&self.utf8, TextForm::Utf8)
        };
        cell.get_or_init(|| self.encode(form)).as_ref()
    }

    fn encode(&self, form: TextForm) -> Option<Frame> {
        let capacity = self.route.len() + self.body.len() + 16;
        let (frame, encoded) =
            Frame::build(capacity, |out| self.protocol.encode_push(self.route, self.body, form, out));
        let route = self.route;
        match encoded {
            Ok(Body::Whole) => Some(frame),
            Ok(Body::Empty(mismatch)) => {
                tracing::warn!(route, %mismatch, "a push message does not fit its schema; sent with an empty body");
                Some(frame)
            }
            Err(error) => {
                tracing::warn!(route, %error, "a push message cannot be encoded");
                None
            }
        }
    }
}

impl Server {
    /// Sends a push message to the users named that are connected here.
    pub(crate) fn push_here(&self, route: &str, body: &[u8], uids: &[Arc<str>]) {
        let Some(loaded) = self.loaded.get() else { return };
        let encoded = Encoded::new(&loaded.protocol, route, body);
        let mut receivers = 0;
        self.sessions.for_users(uids, |session| receivers += u64::from(send(session, &encoded)));
        self.metrics.pushes.inc_by(receivers);
    }

    /// Sends a push message to one session.
    pub(crate) fn push_to_session(&self, session: &Arc<Session>, route: &str, body: &[u8]) {
        let Some(loaded) = self.loaded.get() else { return };
        let encoded = Encoded::new(&loaded.protocol, route, body);
        self.metrics.pushes.inc_by(u64::from(send(session, &encoded)));
    }

    /// Sends a push message to all sessions here, or to all that have a user.
    pub(crate) fn broadcast_here(&self, route: &str, body: &[u8], bound_only: bool) {
        let Some(loaded) = self.loaded.get() else { return };
        let encoded = Encoded::new(&loaded.protocol, route, body);
        let sessions = self.sessions.all(bound_only);
        let receivers = sessions.iter().filter(|session| send(session, &encoded)).count();
        self.metrics.pushes.inc_by(receivers as u64);
    }
}

fn send(session: &Arc<Session>, encoded: &Encoded<'_>) -> bool {
    let frame = encoded.frame(session.text_form);
    frame.is_some_and(|frame| session.outbound.send(frame, session.transport))
}
