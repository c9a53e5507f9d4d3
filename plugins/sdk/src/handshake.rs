//! What happens before a client has a session.

use serde::Serialize;

use crate::bindings::shaddock::plugin::types::Setting;
use crate::{Result, fail};

/// What a client says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Client {
    /// For example `js-websocket`; empty if it does not say.
    pub client_type: String,
    /// The version of its library; empty if it does not say.
    pub version: String,
    /// Its user data as JSON text; `null` if it has none.
    pub user: String,
    /// The IP address of its connection.
    pub address: String,
}

impl Client {
    /// The user data; an error (400) if it is no `T`.
    pub fn user<T: serde::de::DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_str(&self.user).map_err(|e| fail(400, format!("user data: {e}")))
    }
}

/// What an accepted client begins with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Welcome {
    pub(crate) user: Option<String>,
    pub(crate) uid: Option<String>,
    pub(crate) settings: Vec<Setting>,
}

impl Welcome {
    /// Nothing but a session.
    pub fn new() -> Self {
        Self::default()
    }

    /// The client gets this as user data in the reply.
    pub fn replying<T: Serialize + ?Sized>(mut self, user: &T) -> Result<Self> {
        self.user = Some(serde_json::to_string(user)?);
        Ok(self)
    }

    /// The session is bound to this user from its beginning.
    #[must_use]
    pub fn bound_to(mut self, uid: impl Into<String>) -> Self {
        self.uid = Some(uid.into());
        self
    }

    /// The session has this setting from its beginning.
    pub fn setting<T: Serialize + ?Sized>(mut self, key: &str, value: &T) -> Result<Self> {
        self.settings.push(Setting { key: key.into(), value: serde_json::to_string(value)? });
        Ok(self)
    }
}
