//! The session of a client, as a call sees it that others run beside.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::host::sessions;
use crate::bindings::shaddock::plugin::types;
use crate::{Member, Result};

/// The session of a client: a copy made when the call was dispatched.
///
/// [`set`](Session::set) changes this copy only; [`push`](Session::push) writes it to the frontend, where the next
/// call sees it.
#[derive(Clone, Debug)]
pub struct Session(crate::Session);

impl Session {
    pub(crate) fn new(raw: types::Session) -> Self {
        Self(crate::Session(raw))
    }

    pub(super) fn id(&self) -> types::SessionId {
        self.0.0.id.clone()
    }

    /// The id of the frontend that holds the connection.
    pub fn frontend(&self) -> &str {
        self.0.frontend()
    }

    /// The session's number at its frontend, from 1.
    pub fn number(&self) -> u64 {
        self.0.number()
    }

    /// The user bound to the session, if any.
    pub fn uid(&self) -> Option<&str> {
        self.0.uid()
    }

    /// The user as a channel knows it; an error (401) if none is bound.
    pub fn member(&self) -> Result<Member> {
        self.0.member()
    }

    /// A setting; `None` if it was never set or is `null`, an error if it is no `T`.
    pub fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>> {
        self.0.get(key)
    }

    /// All settings, in the order in which they were first set.
    pub fn settings(&self) -> Result<serde_json::Map<String, serde_json::Value>> {
        self.0.settings()
    }

    /// Changes a setting of this copy.
    pub fn set<T: Serialize + ?Sized>(&mut self, key: &str, value: &T) -> Result<()> {
        self.0.set_by(key, value, sessions::set)
    }

    /// Writes all settings of this copy to the frontend. The last writer wins.
    pub async fn push(&self) -> Result<()> {
        Ok(sessions::push(self.id(), Vec::new()).await?)
    }

    /// Writes the settings named, and no other, to the frontend. No names, nothing written.
    pub async fn push_only(&self, keys: &[&str]) -> Result<()> {
        if keys.is_empty() {
            return Ok(());
        }
        let keys = keys.iter().map(|&key| key.to_owned()).collect();
        Ok(sessions::push(self.id(), keys).await?)
    }

    /// Binds a user. The same user again is fine, another one an error (409).
    pub async fn bind(&mut self, uid: &str) -> Result<()> {
        sessions::bind(self.id(), uid.to_owned()).await?;
        self.0.0.uid = Some(uid.to_owned());
        Ok(())
    }

    /// Takes the binding back. Nothing happens if there is none.
    pub async fn unbind(&mut self) -> Result<()> {
        if let Some(uid) = self.0.0.uid.clone() {
            sessions::unbind(self.id(), uid).await?;
            self.0.0.uid = None;
        }
        Ok(())
    }

    /// Tells the client why, and closes the connection. One that is gone already is no error.
    pub async fn kick(&self, reason: &str) -> Result<()> {
        Ok(sessions::kick(self.id(), reason.to_owned()).await?)
    }

    /// Sends a push message to this session, whether a user is bound or not.
    pub async fn send<T: Serialize + ?Sized>(&self, route: &str, msg: &T) -> Result<()> {
        Ok(sessions::send(self.id(), route.to_owned(), serde_json::to_vec(msg)?).await?)
    }

    /// The address of the client, `ip:port` as its frontend sees it.
    pub async fn address(&self) -> Result<String> {
        Ok(sessions::address(self.id()).await?)
    }

    /// The session as its frontend has it now; an error (404) if it has gone.
    pub async fn fresh(&self) -> Result<Session> {
        Ok(Session::new(sessions::get(self.id()).await?))
    }
}
