//! Sessions found by their user. Grant: `sessions`.

use super::Session;
use super::host::sessions;
use crate::Result;

/// All sessions that a user has at one frontend.
pub async fn by_uid(frontend: &str, uid: &str) -> Result<Vec<Session>> {
    let found = sessions::by_uid(frontend.to_owned(), uid.to_owned()).await?;
    Ok(found.into_iter().map(Session::new).collect())
}

/// Kicks all sessions of a user at one frontend; answers how many there were.
pub async fn kick_uid(frontend: &str, uid: &str, reason: &str) -> Result<u32> {
    Ok(sessions::kick_uid(frontend.to_owned(), uid.to_owned(), reason.to_owned()).await?)
}

/// All sessions that a user has, at whatever frontend. Frontends that do not answer are left out.
pub async fn find(uid: &str) -> Result<Vec<Session>> {
    Ok(sessions::find(uid.to_owned()).await?.into_iter().map(Session::new).collect())
}

/// Kicks all sessions of a user, at whatever frontend; answers how many there were.
pub async fn kick_everywhere(uid: &str, reason: &str) -> Result<u32> {
    Ok(sessions::kick_everywhere(uid.to_owned(), reason.to_owned()).await?)
}
