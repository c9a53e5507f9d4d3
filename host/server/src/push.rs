//! Push messages to clients connected here: encoded once, the frame shared by all receivers.

use std::cell::OnceCell;
use std::sync::Arc;

use shaddock_wire::protocol::{Encoded as Body, Protocol};
use shaddock_wire::text::TextForm;

use crate::delivery::{Governed, Policy};
use crate::frame::Frame;
use crate::metrics::Metrics;
use crate::outbound::Sent;
use crate::peer::PushTo;
use crate::server::Server;
use crate::session::Session;

/// A push message in the forms that its receivers need; each is made when the first one needs it.
struct Encoded<'a> {
    route: &'a str,
    body: &'a [u8],
    /// By what their clients speak. Nearly always one: more only after a change of the routes or schemas.
    spoken: Option<Spoken>,
    spoken_too: Vec<Spoken>,
}

/// The forms of a push message for clients that speak the same.
struct Spoken {
    protocol: Arc<Protocol>,
    /// Whether clients of different text forms get different bytes.
    by_form: bool,
    utf8: OnceCell<Option<Frame>>,
    other: OnceCell<Option<Frame>>,
}

impl<'a> Encoded<'a> {
    fn new(route: &'a str, body: &'a [u8]) -> Self {
        Self { route, body, spoken: None, spoken_too: Vec::new() }
    }

    /// The frame for a client, or none if the message cannot be encoded, which is logged once.
    fn frame(&mut self, session: &Session) -> Option<&Frame> {
        let Self { route, body, spoken, spoken_too } = self;
        let is_spoken = |spoken: &Spoken| Arc::ptr_eq(&spoken.protocol, &session.protocol);
        let first = spoken.get_or_insert_with(|| Spoken::new(session, route, body));
        let spoken = if is_spoken(first) {
            first
        } else {
            let place = spoken_too.iter().position(is_spoken).unwrap_or_else(|| {
                spoken_too.push(Spoken::new(session, route, body));
                spoken_too.len() - 1
            });
            spoken_too.get(place)?
        };
        spoken.frame(session.text_form, route, body)
    }
}

impl Spoken {
    fn new(session: &Session, route: &str, body: &[u8]) -> Self {
        let protocol = Arc::clone(&session.protocol);
        let by_form = protocol.push_depends_on_text(route, body);
        Self { protocol, by_form, utf8: OnceCell::new(), other: OnceCell::new() }
    }

    fn frame(&self, form: TextForm, route: &str, body: &[u8]) -> Option<&Frame> {
        let (cell, form) = if self.by_form && form != TextForm::Utf8 {
            (&self.other, form)
        } else {
            (&self.utf8, TextForm::Utf8)
        };
        cell.get_or_init(|| self.encode(form, route, body)).as_ref()
    }

    fn encode(&self, form: TextForm, route: &str, body: &[u8]) -> Option<Frame> {
        let capacity = route.len() + body.len() + 16;
        let (frame, encoded) =
            Frame::build(capacity, |out| self.protocol.encode_push(route, body, form, out));
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
    pub(crate) fn push_here(&self, push: &PushTo) {
        let mut encoded = Encoded::new(&push.route, &push.body);
        let mut receivers = 0;
        self.sessions.for_users(&push.uids, |session| receivers += u64::from(send(session, &mut encoded)));
        self.metrics.pushes.inc_by(receivers);
    }

    /// Sends a push message to one session.
    pub(crate) fn push_to_session(&self, session: &Arc<Session>, route: &str, body: &[u8]) {
        let mut encoded = Encoded::new(route, body);
        self.metrics.pushes.inc_by(u64::from(send(session, &mut encoded)));
    }

    /// Sends a push message of a channel with a delivery policy; `from` is the server that has the channel.
    pub(crate) fn push_governed_here(&self, from: &Arc<str>, policy: &Policy, push: &PushTo) {
        let mut encoded = Encoded::new(&push.route, &push.body);
        let governed = Governed::new(from, policy, &push.route, &push.body);
        let mut receivers = 0;
        self.sessions.for_users(&push.uids, |session| {
            receivers += u64::from(send_governed(session, &mut encoded, &governed, &self.metrics));
        });
        self.metrics.pushes.inc_by(receivers);
    }

    /// Sends a push message; answers the places, in its list of users, of those who have no session here that is open.
    pub(crate) fn push_and_report_here(
        &self,
        from: &Arc<str>,
        policy: Option<&Policy>,
        push: &PushTo,
    ) -> Vec<u32> {
        let mut encoded = Encoded::new(&push.route, &push.body);
        let governed = policy.map(|policy| Governed::new(from, policy, &push.route, &push.body));
        let mut receivers = 0;
        let unreached = self.sessions.for_users_or_else(&push.uids, |session| {
            let is_sent = match &governed {
                Some(governed) => send_governed(session, &mut encoded, governed, &self.metrics),
                None => send(session, &mut encoded),
            };
            receivers += u64::from(is_sent);
            session.outbound.closing().is_none()
        });
        self.metrics.pushes.inc_by(receivers);
        unreached
    }

    /// Sends a push message to all sessions here, or to all that have a user.
    pub(crate) fn broadcast_here(&self, route: &str, body: &[u8], bound_only: bool) {
        self.push_to_sessions(route, body, &self.sessions.all(bound_only));
    }

    /// Sends a push message to these sessions.
    pub(crate) fn push_to_sessions(&self, route: &str, body: &[u8], sessions: &[Arc<Session>]) {
        let mut encoded = Encoded::new(route, body);
        let receivers = sessions.iter().filter(|session| send(session, &mut encoded)).count();
        self.metrics.pushes.inc_by(receivers as u64);
    }
}

fn send(session: &Arc<Session>, encoded: &mut Encoded<'_>) -> bool {
    let frame = encoded.frame(session);
    frame.is_some_and(|frame| session.outbound.send(frame, session.transport))
}

fn send_governed(
    session: &Arc<Session>,
    encoded: &mut Encoded<'_>,
    governed: &Governed<'_>,
    metrics: &Metrics,
) -> bool {
    let Some(frame) = encoded.frame(session) else { return false };
    let sent = session.outbound.send_governed(frame, session.transport, governed);
    if matches!(sent, Sent::QueuedForAnother | Sent::Dropped | Sent::Disconnected) {
        metrics.push_dropped(governed.policy.label());
    }
    matches!(sent, Sent::Queued | Sent::QueuedForAnother)
}
