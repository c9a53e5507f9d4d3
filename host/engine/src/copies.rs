//! The copies of sessions that one call has.

use std::sync::Arc;

use crate::limits::{NAME_BYTES_MAX, SESSION_COPIES_MAX, SETTING_BYTES_MAX, SETTINGS_MAX};
use crate::types::{Failure, Session, SessionId, Setting};

/// The copy that came with the call, and those fetched in it. Gone when the call ends.
#[derive(Clone, Default)]
pub(crate) struct Copies(Vec<Copy>);

#[derive(Clone)]
struct Copy {
    session: Arc<Session>,
    /// Keys that were set and not pushed yet.
    unsaved: Vec<Arc<str>>,
}

impl Copies {
    /// Begins a call. Keeps the allocation of the call before.
    pub(crate) fn reset(&mut self, own: Option<Arc<Session>>) {
        self.0.clear();
        self.0.extend(own.map(|session| Copy { session, unsaved: Vec::new() }));
    }

    /// The copy that came with the call, as it is by now.
    pub(crate) fn own(&self) -> Option<&Arc<Session>> {
        self.0.first().map(|copy| &copy.session)
    }

    pub(crate) fn get(&self, id: &SessionId) -> Result<&Arc<Session>, Failure> {
        self.0
            .iter()
            .map(|copy| &copy.session)
            .find(|session| session.id == *id)
            .ok_or_else(|| no_copy(404, id))
    }

    /// Takes in a session as its frontend sees it now. What this call has set in it and not pushed yet stays.
    pub(crate) fn fetched(&mut self, fresh: Arc<Session>) -> Result<(), Failure> {
        if let Some(copy) = self.0.iter_mut().find(|copy| copy.session.id == fresh.id) {
            let before = std::mem::replace(&mut copy.session, fresh);
            for key in &copy.unsaved {
                if let Some(value) = before.setting(key) {
                    Arc::make_mut(&mut copy.session).set(key.clone(), value.clone());
                }
            }
            return Ok(());
        }
        if self.0.len() >= SESSION_COPIES_MAX {
            return Err(Failure::new(
                400,
                format!("one call may look at {SESSION_COPIES_MAX} sessions at most"),
            ));
        }
        self.0.push(Copy { session: fresh, unsaved: Vec::new() });
        Ok(())
    }

    pub(crate) fn set(&mut self, id: &SessionId, key: &str, value: &str) -> Result<(), Failure> {
        let copy = self.find(id)?;
        if key.is_empty() || key.len() > NAME_BYTES_MAX {
            return Err(Failure::new(400, format!("a session key has 1 to {NAME_BYTES_MAX} bytes")));
        }
        if value.len() > SETTING_BYTES_MAX {
            return Err(Failure::new(413, format!("setting {key:?}: at most {SETTING_BYTES_MAX} bytes")));
        }
        if let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(value) {
            return Err(Failure::new(400, format!("setting {key:?} is not JSON: {error}")));
        }
        let new = copy.session.setting(key).is_none();
        if new && copy.session.settings.len() >= SETTINGS_MAX {
            return Err(Failure::new(400, format!("a session has at most {SETTINGS_MAX} settings")));
        }
        let key: Arc<str> = key.into();
        Arc::make_mut(&mut copy.session).set(key.clone(), value.into());
        if !copy.unsaved.contains(&key) {
            copy.unsaved.push(key);
        }
        Ok(())
    }

    /// The settings that a push of these keys writes; all with no key.
    pub(crate) fn settings(&mut self, id: &SessionId, keys: &[String]) -> Result<Vec<Setting>, Failure> {
        let session = &self.find(id)?.session;
        if keys.is_empty() {
            return Ok(session.settings.to_vec());
        }
        let one = |key: &String| {
            let setting = session.settings.iter().find(|setting| *setting.key == **key);
            setting
                .cloned()
                .ok_or_else(|| Failure::new(400, format!("the session has no setting {key:?} to push")))
        };
        keys.iter().take(SETTINGS_MAX).map(one).collect()
    }

    pub(crate) fn pushed(&mut self, id: &SessionId, settings: &[Arc<str>]) {
        if let Ok(copy) = self.find(id) {
            copy.unsaved.retain(|key| !settings.contains(key));
        }
    }

    /// A bind or unbind has succeeded.
    pub(crate) fn bound(&mut self, id: &SessionId, uid: Option<&str>) {
        if let Ok(copy) = self.find(id) {
            Arc::make_mut(&mut copy.session).uid = uid.map(Into::into);
        }
    }

    fn find(&mut self, id: &SessionId) -> Result<&mut Copy, Failure> {
        self.0.iter_mut().find(|copy| copy.session.id == *id).ok_or_else(|| no_copy(400, id))
    }
}

fn no_copy(code: u32, id: &SessionId) -> Failure {
    Failure::new(
        code,
        format!("this call has no copy of session {}/{}: get it first", id.frontend_id, id.number),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(number: u64, settings: &[(&str, &str)]) -> Arc<Session> {
        let settings =
            settings.iter().map(|(key, value)| Setting { key: (*key).into(), value: (*value).into() });
        Arc::new(Session {
            id: SessionId { frontend_id: "c1".into(), number },
            uid: None,
            settings: settings.collect::<Vec<_>>().into(),
        })
    }

    fn copies(own: Arc<Session>) -> Copies {
        let mut copies = Copies::default();
        copies.reset(Some(own));
        copies
    }

    #[test]
    fn a_fetched_session_keeps_what_the_call_has_set_and_not_pushed() {
        let own = session(1, &[("a", "1"), ("b", "1")]);
        let mut copies = copies(own.clone());
        copies.set(&own.id, "b", "2").unwrap();
        copies.fetched(session(1, &[("a", "9"), ("b", "9")])).unwrap();
        let seen = copies.get(&own.id).unwrap();
        assert_eq!((&**seen.setting("a").unwrap(), &**seen.setting("b").unwrap()), ("9", "2"));
        copies.pushed(&own.id, &["b".into()]);
        copies.fetched(session(1, &[("b", "9")])).unwrap();
        assert_eq!(&**copies.get(&own.id).unwrap().setting("b").unwrap(), "9");
    }

    #[test]
    fn settings_are_bounded_and_json() {
        let own = session(1, &[]);
        let mut copies = copies(own.clone());
        let mut code =
            |key: &str, value: &str| copies.set(&own.id, key, value).err().map(|failure| failure.code);
        assert_eq!(code("k", "{\"x\": [1, 2]}"), None);
        assert_eq!(code("k", "no json"), Some(400));
        assert_eq!(code("", "1"), Some(400));
        assert_eq!(code(&"k".repeat(NAME_BYTES_MAX), "1"), None);
        assert_eq!(code(&"k".repeat(NAME_BYTES_MAX + 1), "1"), Some(400));
        assert_eq!(code("k", &"1".repeat(SETTING_BYTES_MAX)), None);
        assert_eq!(code("k", &"1".repeat(SETTING_BYTES_MAX + 1)), Some(413));
        for count in 2..SETTINGS_MAX {
            assert_eq!(code(&format!("k{count}"), "1"), None);
        }
        assert_eq!(code("one more", "1"), Some(400));
        assert_eq!(code("k", "2"), None, "a key that is there can still be set");
    }

    #[test]
    fn only_sessions_of_this_call_can_be_set_or_routed_by() {
        let own = session(1, &[]);
        let mut copies = copies(own);
        let other = session(2, &[]);
        assert_eq!(copies.set(&other.id, "k", "1").unwrap_err().code, 400);
        assert_eq!(copies.get(&other.id).unwrap_err().code, 404);
        copies.fetched(other.clone()).unwrap();
        copies.set(&other.id, "k", "1").unwrap();
        copies.reset(None);
        assert_eq!(copies.get(&other.id).unwrap_err().code, 404);
    }

    #[test]
    fn the_number_of_copies_is_bounded() {
        let mut copies = copies(session(0, &[]));
        for number in 1..SESSION_COPIES_MAX as u64 {
            copies.fetched(session(number, &[])).unwrap();
        }
        assert_eq!(copies.fetched(session(1_000, &[])).unwrap_err().code, 400);
        copies.fetched(session(1, &[])).unwrap();
    }

    #[test]
    fn a_push_names_keys_that_are_there() {
        let own = session(1, &[("a", "1"), ("b", "2")]);
        let mut copies = copies(own.clone());
        assert_eq!(copies.settings(&own.id, &[]).unwrap().len(), 2);
        assert_eq!(&*copies.settings(&own.id, &["b".into()]).unwrap()[0].value, "2");
        assert_eq!(copies.settings(&own.id, &["c".into()]).unwrap_err().code, 400);
    }
}
