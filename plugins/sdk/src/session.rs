//! The session of a client, as a call sees it.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::bindings::shaddock::plugin::types;
use crate::host::sessions;
use crate::{Member, Result, fail};

/// The session of a client: a copy made when the call was dispatched.
///
/// [`set`](Session::set) changes this copy only; [`push`](Session::push) writes it to the frontend, where the next
/// call sees it.
#[derive(Clone, Debug)]
pub struct Session(pub(crate) types::Session);

impl Session {
    /// A session made up for a unit test: no host knows it. `settings` are keys and JSON texts.
    pub fn made_up(frontend: &str, number: u64, uid: Option<&str>, settings: &[(&str, &str)]) -> Self {
        let setting = |&(key, value): &(&str, &str)| types::Setting { key: key.into(), value: value.into() };
        Self(types::Session {
            id: types::SessionId { frontend_id: frontend.into(), number },
            uid: uid.map(Into::into),
            settings: settings.iter().map(setting).collect(),
        })
    }

    /// The id of the frontend that holds the connection.
    pub fn frontend(&self) -> &str {
        &self.0.id.frontend_id
    }

    /// The session's number at its frontend, from 1.
    pub fn number(&self) -> u64 {
        self.0.id.number
    }

    /// The user bound to the session, if any.
    pub fn uid(&self) -> Option<&str> {
        self.0.uid.as_deref()
    }

    /// The user as a channel knows it; an error (401) if none is bound.
    pub fn member(&self) -> Result<Member> {
        let uid = self.uid().ok_or_else(|| fail(401, "no user is bound to the session"))?;
        Ok(Member { uid: uid.into(), frontend_id: self.frontend().into() })
    }

    /// A setting; `None` if it was never set or is `null`, an error if it is no `T`.
    pub fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>> {
        let Some(json) = self.json(key) else { return Ok(None) };
        serde_json::from_str(json).map(Some).map_err(|e| fail(500, format!("session setting {key}: {e}")))
    }

    pub(crate) fn json(&self, key: &str) -> Option<&str> {
        self.0.settings.iter().find(|s| s.key == key && s.value != "null").map(|s| s.value.as_str())
    }

    /// All settings, in the order in which they were first set.
    pub fn settings(&self) -> Result<serde_json::Map<String, serde_json::Value>> {
        let parse = |setting: &types::Setting| match serde_json::from_str(&setting.value) {
            Ok(value) => Ok((setting.key.clone(), value)),
            Err(e) => Err(fail(500, format!("session setting {}: {e}", setting.key))),
        };
        self.0.settings.iter().map(parse).collect()
    }

    /// Changes a setting of this copy.
    pub fn set<T: Serialize + ?Sized>(&mut self, key: &str, value: &T) -> Result<()> {
        self.set_by(key, value, sessions::set)
    }

    /// The same with the host's function named.
    pub(crate) fn set_by<T: Serialize + ?Sized>(
        &mut self,
        key: &str,
        value: &T,
        set: fn(&types::SessionId, &str, &str) -> std::result::Result<(), types::Failure>,
    ) -> Result<()> {
        let value = serde_json::to_string(value)?;
        set(&self.0.id, key, &value)?;
        match self.0.settings.iter_mut().find(|s| s.key == key) {
            Some(setting) => setting.value = value,
            None => self.0.settings.push(types::Setting { key: key.into(), value }),
        }
        Ok(())
    }

    /// Writes all settings of this copy to the frontend. The last writer wins.
    pub fn push(&self) -> Result<()> {
        Ok(sessions::push(&self.0.id, &[])?)
    }

    /// Writes the settings named, and no other, to the frontend. No names, nothing written.
    pub fn push_only(&self, keys: &[&str]) -> Result<()> {
        if keys.is_empty() {
            return Ok(());
        }
        let keys: Vec<String> = keys.iter().map(|&key| key.to_owned()).collect();
        Ok(sessions::push(&self.0.id, &keys)?)
    }

    /// Binds a user. The same user again is fine, another one an error (409).
    pub fn bind(&mut self, uid: &str) -> Result<()> {
        sessions::bind(&self.0.id, uid)?;
        self.0.uid = Some(uid.to_owned());
        Ok(())
    }

    /// Takes the binding back. Nothing happens if there is none.
    pub fn unbind(&mut self) -> Result<()> {
        if let Some(uid) = &self.0.uid {
            sessions::unbind(&self.0.id, uid)?;
            self.0.uid = None;
        }
        Ok(())
    }

    /// Tells the client why, and closes the connection. One that is gone already is no error.
    pub fn kick(&self, reason: &str) -> Result<()> {
        Ok(sessions::kick(&self.0.id, reason)?)
    }

    /// Sends a push message to this session, whether a user is bound or not.
    pub fn send<T: Serialize + ?Sized>(&self, route: &str, msg: &T) -> Result<()> {
        Ok(sessions::send(&self.0.id, route, &serde_json::to_vec(msg)?)?)
    }

    /// The address of the client, `ip:port` as its frontend sees it.
    pub fn address(&self) -> Result<String> {
        Ok(sessions::address(&self.0.id)?)
    }

    /// The session as its frontend has it now; an error (404) if it has gone.
    pub fn fresh(&self) -> Result<Session> {
        Ok(Session(sessions::get(&self.0.id)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_typed() {
        let s = Session::made_up(
            "connector-1",
            7,
            Some("ann"),
            &[("room", "\"lobby\""), ("level", "3"), ("x", "null")],
        );
        assert_eq!(s.get::<String>("room"), Ok(Some("lobby".into())));
        assert_eq!(s.get::<u32>("level"), Ok(Some(3)));
        assert_eq!(s.get::<u32>("nothing"), Ok(None));
        assert_eq!(s.get::<u32>("x"), Ok(None));
        let wrong = s.get::<u32>("room").map_err(|e| e.message);
        assert!(wrong.is_err_and(|m| m.starts_with("session setting room: ")));
    }

    #[test]
    fn all_settings_come_in_their_order() {
        let settings = [("z", "{\"a\":[1]}"), ("a", "null")];
        let all = Session::made_up("connector-1", 7, None, &settings).settings();
        let text = all.map(|all| serde_json::Value::Object(all).to_string());
        assert_eq!(text.as_deref(), Ok(r#"{"z":{"a":[1]},"a":null}"#));
        assert!(Session::made_up("connector-1", 7, None, &[("a", "x")]).settings().is_err());
    }

    #[test]
    fn a_member_is_the_user_at_its_frontend() {
        let member = Session::made_up("connector-1", 7, Some("ann"), &[]).member().unwrap();
        assert_eq!((member.uid.as_str(), member.frontend_id.as_str()), ("ann", "connector-1"));
        assert_eq!(
            Session::made_up("connector-1", 7, None, &[]).member().map_err(|e| e.code).err(),
            Some(401)
        );
    }
}
