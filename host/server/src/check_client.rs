//! The check of a client's handshake by a plugin, before there is a session.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use serde_json::Value;
use shaddock_engine::Track;
use shaddock_engine::types::{Client, Failure, Welcome};
use shaddock_wire::handshake::HandshakeRequest;

use crate::peer::SessionOp;
use crate::server::Server;
use crate::session::Session;

/// What the client gets: its reply's `user`, or the code of the refusal.
type Reply = Result<Option<Value>, u16>;
type Running = Pin<Box<dyn Future<Output = Result<Welcome, u16>> + Send>>;
/// The bind of the user that the check named.
type Binding = Pin<Box<dyn Future<Output = Result<(), Failure>> + Send>>;

/// How a check, or the bind that follows from it, ended.
pub(crate) enum Ended {
    /// To be told to the client.
    Checked(Reply),
    Bound(Result<(), Failure>),
}

/// The state of one client's check.
#[derive(Default)]
pub(crate) enum Check {
    /// None runs, and none has let the client in with anything.
    #[default]
    None,
    Running(Running),
    Passed(Box<Welcome>),
    /// The session is there; its user is not bound yet.
    Binding(Binding),
}

impl Check {
    /// Begins a check.
    pub(crate) fn start(&mut self, check: Running) {
        *self = Self::Running(check);
    }

    /// Whether the client has to wait for it.
    pub(crate) fn is_running(&self) -> bool {
        matches!(self, Self::Running(_) | Self::Binding(_))
    }

    /// Begins with the bind.
    pub(crate) fn bind(&mut self, binding: Option<Binding>) {
        *self = binding.map_or(Self::None, Self::Binding);
    }

    /// Ready once when it has ended.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Ended> {
        let checked = match self {
            Self::Running(check) => ready!(check.as_mut().poll(cx)),
            Self::Binding(binding) => {
                let bound = ready!(binding.as_mut().poll(cx));
                *self = Self::None;
                return Poll::Ready(Ended::Bound(bound));
            }
            Self::None | Self::Passed(_) => return Poll::Pending,
        };
        *self = Self::None;
        Poll::Ready(Ended::Checked(checked.and_then(|welcome| self.passed(welcome))))
    }

    /// Keeps what the session is to begin with; the client's part is the reply.
    fn passed(&mut self, mut welcome: Welcome) -> Reply {
        let user = welcome.user.take().map(|user| serde_json::from_str(&user)).transpose().map_err(|error| {
            tracing::warn!(%error, "the user data of a handshake's check is not JSON; refusing the client");
            500_u16
        })?;
        if welcome.uid.is_some() || !welcome.settings.is_empty() {
            *self = Self::Passed(Box::new(welcome));
        }
        Ok(user)
    }

    /// What the session is to begin with.
    pub(crate) fn take_welcome(&mut self) -> Option<Welcome> {
        match std::mem::take(self) {
            Self::Passed(welcome) => Some(*welcome),
            _ => None,
        }
    }
}

impl Server {
    /// The check of a handshake, if a plugin has one.
    pub(crate) fn check_handshake(
        &self,
        handshake: &HandshakeRequest,
        address: SocketAddr,
    ) -> Option<Running> {
        let plugin = self.edition(Track::UNDECIDED).ok()?.plugins.handshake()?.clone();
        let client = Client {
            client_type: handshake.client_type().unwrap_or_default().to_owned(),
            version: handshake.client_version().unwrap_or_default().to_owned(),
            user: handshake.user.as_ref().map_or_else(|| "null".to_owned(), Value::to_string),
            address: address.ip().to_canonical().to_string(),
        };
        Some(Box::pin(async move {
            plugin.check_handshake(&client).await.map_err(|error| {
                let failure = error.into_failure();
                let of = plugin.name();
                tracing::debug!(plugin = %of.name, version = %of.version, digest = %of.digest, reason = %failure, "a handshake is refused");
                if failure.code == 501 { 501 } else { 500 }
            })
        }))
    }

    /// Makes a new session what the check says. The user is bound later, since others may have to be asked.
    pub(crate) fn welcome(
        self: &Arc<Self>,
        session: &Arc<Session>,
        welcome: Welcome,
    ) -> Result<Option<Binding>, Failure> {
        let broken = |text: &str| serde_json::from_str::<serde::de::IgnoredAny>(text).is_err();
        if let Some(setting) = welcome.settings.iter().find(|setting| broken(&setting.value)) {
            return Err(Failure::new(400, format!("setting {:?} is not JSON", setting.key)));
        }
        session.write(welcome.settings, self.settings.session.settings_bytes_max)?;
        let bind = |uid| {
            let op = SessionOp::Bind { number: session.number(), uid };
            let server = Arc::clone(self);
            Box::pin(async move { server.session_op_anywhere(op).await.map(drop) }) as Binding
        };
        Ok(welcome.uid.map(bind))
    }
}
