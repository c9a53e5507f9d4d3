//! Sessions found by their user. Grant: `sessions`.
//!
//! The session of the running call is a [`Session`] already; its methods are all that most plugins need.

use crate::host::sessions;
use crate::{Result, Session};

/// All sessions that a user has at one frontend.
pub fn by_uid(frontend: &str, uid: &str) -> Result<Vec<Session>> {
    Ok(sessions::by_uid(frontend, uid)?.into_iter().map(Session).collect())
}

/// Kicks all sessions of a user at one frontend; answers how many there were.
pub fn kick_uid(frontend: &str, uid: &str, reason: &str) -> Result<u32> {
    Ok(sessions::kick_uid(frontend, uid, reason)?)
}

/// All sessions that a user has, at whatever frontend. Frontends that do not answer are left out.
pub fn find(uid: &str) -> Result<Vec<Session>> {
    Ok(sessions::find(uid)?.into_iter().map(Session).collect())
}

/// Kicks all sessions of a user, at whatever frontend; answers how many there were.
pub fn kick_everywhere(uid: &str, reason: &str) -> Result<u32> {
    Ok(sessions::kick_everywhere(uid, reason)?)
}
