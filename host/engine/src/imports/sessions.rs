//! `sessions`: the call's copies here, everything else with the host.

use std::sync::Arc;

use super::{check, check_name, check_route, check_value};
use crate::bindings::shaddock::plugin::sessions::Host;
use crate::context::Context;
use crate::limits::REASON_BYTES_MAX;
use crate::types::{Failure, Session, SessionId};

type Answer<T> = wasmtime::Result<Result<T, Failure>>;

impl Host for Context {
    async fn get(&mut self, id: SessionId) -> Answer<Session> {
        Ok(self.fetch(&id).await)
    }

    async fn by_uid(&mut self, frontend_id: String, uid: String) -> Answer<Vec<Session>> {
        Ok(self.fetch_all(&frontend_id, &uid).await)
    }

    async fn bind(&mut self, id: SessionId, uid: String) -> Answer<()> {
        Ok(self.change_uid(&id, &uid, true).await)
    }

    async fn unbind(&mut self, id: SessionId, uid: String) -> Answer<()> {
        Ok(self.change_uid(&id, &uid, false).await)
    }

    async fn set(&mut self, id: SessionId, key: String, value: String) -> Answer<()> {
        Ok(self.copies.set(&id, &key, &value))
    }

    async fn push(&mut self, id: SessionId, keys: Vec<String>) -> Answer<()> {
        Ok(self.write(&id, &keys).await)
    }

    async fn kick(&mut self, id: SessionId, reason: String) -> Answer<()> {
        if let Err(failure) = check_id(&id).and_then(|()| check_reason(&reason)) {
            return Ok(Err(failure));
        }
        Ok(self.host().session_kick(&self.scope, &id, &reason).await)
    }

    async fn kick_uid(&mut self, frontend_id: String, uid: String, reason: String) -> Answer<u32> {
        let checked = check_name("frontend id", &frontend_id).and_then(|()| check_name("uid", &uid));
        if let Err(failure) = checked.and_then(|()| check_reason(&reason)) {
            return Ok(Err(failure));
        }
        Ok(self.host().kick_uid(&self.scope, &frontend_id, &uid, &reason).await)
    }

    async fn find(&mut self, uid: String) -> Answer<Vec<Session>> {
        Ok(self.fetch_everywhere(&uid).await)
    }

    async fn kick_everywhere(&mut self, uid: String, reason: String) -> Answer<u32> {
        if let Err(failure) = check_name("uid", &uid).and_then(|()| check_reason(&reason)) {
            return Ok(Err(failure));
        }
        Ok(self.host().kick_everywhere(&self.scope, &uid, &reason).await)
    }

    async fn address(&mut self, id: SessionId) -> Answer<String> {
        if let Err(failure) = check_id(&id) {
            return Ok(Err(failure));
        }
        Ok(self.host().session_address(&self.scope, &id).await)
    }

    async fn send(&mut self, id: SessionId, route: String, body: Vec<u8>) -> Answer<()> {
        let bytes_max = self.shared.limits.value_bytes_max;
        let checked = check_id(&id)
            .and_then(|()| check_route("route", &route))
            .and_then(|()| check_value("body", &body, bytes_max));
        if let Err(failure) = checked {
            return Ok(Err(failure));
        }
        Ok(self.host().session_send(&self.scope, &id, &route, body).await)
    }
}

impl Context {
    async fn fetch_everywhere(&mut self, uid: &str) -> Result<Vec<Session>, Failure> {
        check_name("uid", uid)?;
        let sessions = self.host().sessions_find(&self.scope, uid).await?;
        for session in &sessions {
            self.copies.fetched(Arc::new(session.clone()))?;
        }
        Ok(sessions)
    }

    async fn fetch(&mut self, id: &SessionId) -> Result<Session, Failure> {
        check_id(id)?;
        let session = self.host().session_get(&self.scope, id).await?;
        self.copies.fetched(Arc::new(session.clone()))?;
        Ok(session)
    }

    async fn fetch_all(&mut self, frontend_id: &str, uid: &str) -> Result<Vec<Session>, Failure> {
        check_name("frontend id", frontend_id)?;
        check_name("uid", uid)?;
        let sessions = self.host().sessions_by_uid(&self.scope, frontend_id, uid).await?;
        for session in &sessions {
            self.copies.fetched(Arc::new(session.clone()))?;
        }
        Ok(sessions)
    }

    async fn change_uid(&mut self, id: &SessionId, uid: &str, bind: bool) -> Result<(), Failure> {
        check_id(id)?;
        check_name("uid", uid)?;
        if bind {
            self.host().session_bind(&self.scope, id, uid).await?;
        } else {
            self.host().session_unbind(&self.scope, id, uid).await?;
        }
        self.copies.bound(id, bind.then_some(uid));
        Ok(())
    }

    async fn write(&mut self, id: &SessionId, keys: &[String]) -> Result<(), Failure> {
        let settings = self.copies.settings(id, keys)?;
        let written: Vec<Arc<str>> = settings.iter().map(|setting| setting.key.clone()).collect();
        self.host().session_push(&self.scope, id, settings).await?;
        self.copies.pushed(id, &written);
        Ok(())
    }
}

fn check_id(id: &SessionId) -> Result<(), Failure> {
    check_name("frontend id", &id.frontend_id)
}

fn check_reason(reason: &str) -> Result<(), Failure> {
    if reason.is_empty() { Ok(()) } else { check("reason", reason, REASON_BYTES_MAX) }
}
