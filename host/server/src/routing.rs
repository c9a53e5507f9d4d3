//! Which server gets a call.
//!
//! A plugin's route function decides for the types it names. Where there is none, or it fails, the default
//! does, which is pomelo's: crc32 of the user id (or of the caller's value), modulo the servers of the type,
//! sorted by id.

use std::sync::Arc;

use shaddock_engine::types::{Failure, RouteKey};

use crate::plugins::Plugins;
use crate::roster::Roster;

/// Picks the server of a type for a call. `method` is what the route function gets to see.
pub(crate) fn pick(
    roster: &Roster,
    plugins: &Plugins,
    server_type: &str,
    key: &RouteKey,
    method: &str,
) -> Result<Arc<str>, Failure> {
    let servers = roster.of_type(server_type);
    if servers.is_empty() {
        return Err(Failure::retryable(404, format!("no server of type {server_type:?} is up")));
    }
    if let Some(plugin) = plugins.router(server_type) {
        match plugin.route(server_type, key, method) {
            Ok(id) if servers.iter().any(|server| server.id == id) => return Ok(id),
            Ok(id) => {
                tracing::warn!(plugin = %plugin.name().name, server_type, method, target_server = %id, "the route function chose a server that is not up; taking the default route");
            }
            // counted, and logged when failures begin and end, by the engine
            Err(error) => tracing::debug!(server_type, method, %error, "taking the default route"),
        }
    }
    let hash = crc32fast::hash(key_text(key).as_bytes());
    let index = default_index(hash, servers.len());
    let server = servers.get(index).or(servers.first());
    server.map(|server| Arc::clone(&server.id)).ok_or_else(|| Failure::retryable(404, "no server is up"))
}

fn key_text(key: &RouteKey) -> &str {
    match key {
        RouteKey::Session(session) => session.uid.as_deref().unwrap_or(""),
        RouteKey::Value(value) => value,
    }
}

/// pomelo takes the checksum as a signed number and drops the sign.
fn default_index(hash: u32, servers: usize) -> usize {
    hash.cast_signed().unsigned_abs() as usize % servers.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_pomelos_signed_crc32() {
        // crc32("alice") is 0x05eb3d45 and crc32("") is 0; crc32("b") has its sign bit clear, "a" has it set
        for (key, servers) in [("alice", 3), ("", 3), ("a", 3), ("b", 7), ("r\u{fc}bezahl", 5)] {
            let signed = i64::from(crc32fast::hash(key.as_bytes()).cast_signed());
            let expected = usize::try_from(signed.abs() % servers).unwrap();
            assert_eq!(default_index(crc32fast::hash(key.as_bytes()), servers as usize), expected, "{key}");
        }
        assert_eq!(default_index(0x8000_0000, 3), 0x8000_0000 % 3);
        assert_eq!(default_index(0xffff_ffff, 3), 1);
    }
}
