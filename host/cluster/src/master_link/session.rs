//! The master's side of one connection.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use bytes::Bytes;
use serde_json::Value;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{
    Answer, Process,
    exchange::{self, ServerNews, ServerRequest, answer, answer_later},
    listener::Inner,
};
use crate::{Member, Reply, Service, auth::Hello, link::Link};

/// What happens to servers. Events of one server come in order.
#[derive(Debug, Clone)]
pub enum MasterEvent {
    /// A server registered; it is not a member before it is ready.
    Registered {
        /// Who.
        member: Arc<Member>,
        /// Its process.
        process: Process,
    },
    /// A server is a member now.
    Ready {
        /// Its id.
        id: Arc<str>,
    },
    /// A server is no member any more because it is about to stop.
    Leaving {
        /// Its id.
        id: Arc<str>,
    },
    /// A server cannot start.
    Failed {
        /// Its id.
        id: Arc<str>,
        /// Its own words.
        message: String,
    },
    /// A server's link is gone, and it is no member any more.
    Lost {
        /// Its id.
        id: Arc<str>,
        /// How.
        reason: LostReason,
    },
}

/// How a server's link ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LostReason {
    /// It said goodbye.
    Left,
    /// The connection broke; the text says how.
    Broken(String),
}

/// What the master does with events and requests.
pub trait MasterService: Send + Sync + 'static {
    /// Something happened to a server. Called inline: must not block.
    fn event(&self, event: MasterEvent);

    /// Answers a tool's request. Runs on a task of its own, dropped when the tool has gone.
    fn tool(&self, request: Value) -> Answer;

    /// Answers a server's request. Called in the order of its requests and notes; the future runs on a task of
    /// its own.
    fn server(&self, id: &Arc<str>, request: Value) -> Answer {
        let _ = (id, request);
        Box::pin(async { Err("the master takes no such request".to_owned()) })
    }

    /// Takes a server's note, in the order of its requests and notes. Called inline: must not block.
    fn note(&self, id: &Arc<str>, note: Value) {
        tracing::debug!(server = %id, %note, "the master takes no such note");
    }
}

/// A server's connection.
pub(super) struct ServerSession {
    pub(super) inner: Arc<Inner>,
    pub(super) link: Arc<Link>,
    pub(super) hello: Hello,
    pub(super) gone: CancellationToken,
    /// Cancelled when it has registered.
    pub(super) registered: CancellationToken,
    pub(super) said_goodbye: AtomicBool,
}

impl Service for ServerSession {
    fn request(&self, from: &Arc<str>, body: Bytes, deadline: Instant, reply: Reply) {
        match exchange::decode(&body) {
            Ok(ServerRequest::Register { member, process, ready }) => {
                self.register(member, process, ready, reply);
            }
            Ok(ServerRequest::Ask(request)) if self.registered.is_cancelled() => {
                let handler = self.inner.service.server(from, request);
                answer_later(&self.inner.handlers, self.gone.clone(), deadline, reply, handler);
            }
            Ok(ServerRequest::Ask(_)) => answer(reply, &Err("register first".to_owned())),
            Err(what) => answer(reply, &Err(what)),
        }
    }

    fn notify(&self, from: &Arc<str>, body: Bytes) {
        if !self.registered.is_cancelled() {
            return;
        }
        let id = Arc::clone(from);
        match exchange::decode(&body) {
            Ok(ServerNews::Ready) => {
                if self.inner.set_ready(&id, true) {
                    self.inner.service.event(MasterEvent::Ready { id });
                }
            }
            Ok(ServerNews::Leaving) => {
                if self.inner.set_ready(&id, false) {
                    self.inner.service.event(MasterEvent::Leaving { id });
                }
            }
            Ok(ServerNews::Failed(message)) => self.inner.service.event(MasterEvent::Failed { id, message }),
            Ok(ServerNews::Note(note)) => self.inner.service.note(&id, note),
            Ok(ServerNews::Goodbye) => self.said_goodbye.store(true, Ordering::Release),
            Err(what) => warn!(server = %id, %what, "ignored news from a server"),
        }
    }
}

impl ServerSession {
    fn register(&self, member: Arc<Member>, process: Process, ready: bool, reply: Reply) {
        if self.registered.is_cancelled() {
            return answer(reply, &Err("this connection has registered a server already".to_owned()));
        }
        if *member.id != *self.hello.id || *member.server_type != *self.hello.server_type {
            let error = format!(
                "it registers server `{}` of type `{}`, but proved to be `{}` of type `{}`",
                member.id, member.server_type, self.hello.id, self.hello.server_type
            );
            return answer(reply, &Err(error));
        }
        let id = Arc::clone(&member.id);
        let event = MasterEvent::Registered { member: Arc::clone(&member), process: process.clone() };
        if let Err(reason) = self.inner.register(member, process, ready, &self.link, reply) {
            return warn!(server = %id, %reason, "refused a registration");
        }
        self.registered.cancel();
        self.inner.service.event(event);
        if ready {
            self.inner.service.event(MasterEvent::Ready { id });
        }
    }

    pub(super) fn lost_reason(&self, end: &str) -> LostReason {
        if self.said_goodbye.load(Ordering::Acquire) {
            LostReason::Left
        } else {
            LostReason::Broken(end.to_owned())
        }
    }
}

/// A tool's connection.
pub(super) struct ToolSession {
    pub(super) inner: Arc<Inner>,
    pub(super) gone: CancellationToken,
}

impl Service for ToolSession {
    fn request(&self, _: &Arc<str>, body: Bytes, deadline: Instant, reply: Reply) {
        match exchange::decode(&body) {
            Ok(request) => {
                let handler = self.inner.service.tool(request);
                answer_later(&self.inner.handlers, self.gone.clone(), deadline, reply, handler);
            }
            Err(what) => answer(reply, &Err(what)),
        }
    }

    fn notify(&self, _: &Arc<str>, _: Bytes) {}
}
