//! The server that the plugin runs in: its log, its cluster, its settings, its clock. Needs no grant.

use std::cell::RefCell;

use serde::de::DeserializeOwned;

pub use crate::bindings::shaddock::plugin::app::Level;
use crate::host::app as host;
use crate::{Result, Server, fail};

thread_local! {
    /// What `init` was told: an instance that serves as a route function cannot ask the host.
    static SETTINGS: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Writes one line to the server's log, with the plugin's name and version; at most 8 KiB are kept.
pub fn log(level: Level, message: &str) {
    host::log(level, message);
}

/// The server that this instance runs in.
pub fn own_server() -> Server {
    host::own_server()
}

/// The servers of a type that are up now, sorted by id.
pub fn servers(server_type: &str) -> Vec<Server> {
    host::servers(server_type)
}

/// The server of that id, if it is up now.
pub fn server(id: &str) -> Option<Server> {
    host::server(id)
}

/// The types of the servers that are up now, sorted.
pub fn server_types() -> Vec<String> {
    host::server_types()
}

/// The plugin's own settings from plugins.json.
pub fn settings<T: DeserializeOwned>() -> Result<T> {
    let read = |json: &str| {
        serde_json::from_str(json).map_err(|e| fail(500, format!("settings in plugins.json: {e}")))
    };
    SETTINGS.with_borrow(|told| told.as_deref().map(read)).unwrap_or_else(|| read(&host::settings()))
}

pub(crate) fn remember_settings(settings: String) {
    SETTINGS.set(Some(settings));
}

#[cfg(not(target_arch = "wasm32"))]
pub(crate) fn forget_settings() {
    SETTINGS.set(None);
}

/// The wall clock: milliseconds since 1970-01-01T00:00:00Z.
pub fn now_ms() -> u64 {
    host::now_ms()
}

/// A clock that never goes back: nanoseconds since some moment before the instance was made.
pub fn monotonic_ns() -> u64 {
    host::monotonic_ns()
}

/// Random bytes of cryptographic quality; more than 4096 at once is a trap.
pub fn random_bytes(len: u32) -> Vec<u8> {
    host::random_bytes(len)
}

impl Server {
    /// The host for clients: `clientHost` of servers.json, else `host`.
    pub fn host_for_clients(&self) -> &str {
        self.client_host.as_deref().unwrap_or(&self.host)
    }

    /// A field of the servers.json entry, those unknown to the host included; `None` if there is none.
    pub fn field<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>> {
        let fields: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&self.fields)?;
        let Some(value) = fields.get(name) else { return Ok(None) };
        serde_json::from_value(value.clone())
            .map(Some)
            .map_err(|e| fail(500, format!("{} in servers.json: {name}: {e}", self.id)))
    }
}

/// Logs at the level debug, with the arguments of `format!`.
#[macro_export]
macro_rules! debug {
    ($($arg:tt)*) => { $crate::app::log($crate::app::Level::Debug, &::std::format!($($arg)*)) };
}

/// Logs at the level info, with the arguments of `format!`.
#[macro_export]
macro_rules! info {
    ($($arg:tt)*) => { $crate::app::log($crate::app::Level::Info, &::std::format!($($arg)*)) };
}

/// Logs at the level warn, with the arguments of `format!`.
#[macro_export]
macro_rules! warn {
    ($($arg:tt)*) => { $crate::app::log($crate::app::Level::Warn, &::std::format!($($arg)*)) };
}

/// Logs at the level error, with the arguments of `format!`.
#[macro_export]
macro_rules! error {
    ($($arg:tt)*) => { $crate::app::log($crate::app::Level::Error, &::std::format!($($arg)*)) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_what_init_was_told() {
        #[derive(serde::Deserialize)]
        struct Settings {
            rooms_max: u32,
        }
        remember_settings(r#"{"rooms_max": 5}"#.into());
        assert_eq!(settings::<Settings>().unwrap().rooms_max, 5);
        remember_settings("{}".into());
        assert!(settings::<Settings>().is_err_and(|e| e.message.contains("rooms_max")));
    }

    #[test]
    fn fields_of_servers_json_are_there() {
        let server = Server {
            id: "area-1".into(),
            server_type: "area".into(),
            frontend: false,
            host: "10.0.0.1".into(),
            port: Some(3250),
            client_host: None,
            client_port: None,
            fields: r#"{"id": "area-1", "areas": [1, 2]}"#.into(),
        };
        assert_eq!(server.field::<Vec<u32>>("areas"), Ok(Some(vec![1, 2])));
        assert_eq!(server.field::<u32>("nothing"), Ok(None));
        assert!(server.field::<u32>("areas").is_err());
        assert_eq!(server.host_for_clients(), "10.0.0.1");
        assert_eq!(Server { client_host: Some("x.org".into()), ..server }.host_for_clients(), "x.org");
    }
}
