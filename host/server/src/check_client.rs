//! The check of a client's handshake by a plugin, before there is a session.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use serde_json::Value;
use shaddock_engine::types::{Client, Failure, Welcome};
use shaddock_wire::handshake::HandshakeRequest;

use crate::server::Server;
use crate::session::Session;

/// What the client gets: its reply's `user`, or the code of the refusal.
type Reply = Result<Option<Value>, u16>;
type Running = Pin<Box<dyn Future<Output = Result<Welcome, u16>> + Send>>;

/// The state of one client's check.
#[derive(Default)]
pub(crate) enum Check {
    /// None runs, and none has let the client in with anything.
    #[default]
    None,
    Running(Running),
    Passed(Box<Welcome>),
}

impl Check {
    /// Begins a check.
    pub(crate) fn start(&mut self, check: Running) {
        *self = Self::Running(check);
    }

    /// Whether the client has to wait for it.
    pub(crate) fn is_running(&self) -> bool {
        matches!(self, Self::Running(_))
    }

    /// Ready once when it has ended.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Reply> {
        let Self::Running(check) = self else { return Poll::Pending };
        let Poll::Ready(checked) = check.as_mut().poll(cx) else { return Poll::Pending };
        *self = Self::None;
        let mut welcome = match checked {
            Ok(welcome) => welcome,
            Err(code) => return Poll::Ready(Err(code)),
        };
        let user = match welcome.user.take().map(|user| serde_json::from_str(&user)) {
            Some(Err(error)) => {
                tracing::warn!(%error, "the user data of a handshake's check is not JSON; refusing the client");
                return Poll::Ready(Err(500));
            }
            Some(Ok(user)) => Some(user),
            None => None,
        };
        if welcome.uid.is_some() || !welcome.settings.is_empty() {
            *self = Self::Passed(Box::new(welcome));
        }
        Poll::Ready(Ok(user))
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
        let plugin = self.plugins().ok()?.handshake()?.clone();
        let client = Client {
            client_type: handshake.client_type().unwrap_or_default().to_owned(),
            version: handshake.client_version().unwrap_or_default().to_owned(),
            user: handshake.user.as_ref().map_or_else(|| "null".to_owned(), Value::to_string),
            address: address.ip().to_canonical().to_string(),
        };
        Some(Box::pin(async move {
            plugin.check_handshake(&client).await.map_err(|error| {
                let failure = error.into_failure();
                tracing::debug!(plugin = %plugin.name().name, reason = %failure, "a handshake is refused");
                if failure.code == 501 { 501 } else { 500 }
            })
        }))
    }

    /// Makes a new session what the check says.
    pub(crate) fn welcome(&self, session: &Arc<Session>, welcome: Welcome) -> Result<(), Failure> {
        let broken = |text: &str| serde_json::from_str::<serde::de::IgnoredAny>(text).is_err();
        if let Some(setting) = welcome.settings.iter().find(|setting| broken(&setting.value)) {
            return Err(Failure::new(400, format!("setting {:?} is not JSON", setting.key)));
        }
        session.write(welcome.settings, self.settings.session.settings_bytes_max)?;
        match welcome.uid {
            Some(uid) => {
                self.sessions.bind(session.number(), uid.into())?;
                self.tell_bound(&session.snapshot());
                Ok(())
            }
            None => Ok(()),
        }
    }
}
