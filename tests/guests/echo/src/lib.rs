//! The plainest plugin: the benchmarks of the engine call it, and measure what the engine costs.
//!
//! It uses the raw bindings, so that not even the SDK is in the way.

#![cfg_attr(target_arch = "wasm32", allow(unsafe_code, reason = "generated exports"))]
#![allow(missing_docs, dead_code, reason = "a guest for benchmarks")]

use std::cell::Cell;

use shaddock_sdk::bindings::exports::shaddock::plugin::router::{self, RouteKey, Target};
use shaddock_sdk::bindings::exports::shaddock::plugin::{handler, lifecycle, remote};
use shaddock_sdk::bindings::shaddock::plugin::types::{Failure, ServerInfo, Session};

struct Echo;

#[cfg(target_arch = "wasm32")]
shaddock_sdk::bindings::export!(Echo with_types_in shaddock_sdk::bindings);

thread_local! {
    static SERVERS: Cell<u32> = const { Cell::new(0) };
}

impl handler::Guest for Echo {
    fn routes() -> Vec<String> {
        vec!["probe.t.echo".to_owned()]
    }

    fn handle(_: String, body: Vec<u8>, _: Session) -> Result<Vec<u8>, Failure> {
        Ok(body)
    }
}

impl remote::Guest for Echo {
    fn methods() -> Vec<String> {
        Vec::new()
    }

    fn call(_: String, args: Vec<u8>) -> Result<Vec<u8>, Failure> {
        Ok(args)
    }
}

impl router::Guest for Echo {
    fn server_types() -> Vec<String> {
        vec!["chat".to_owned()]
    }

    fn set_servers(_: String, servers: Vec<ServerInfo>) {
        SERVERS.set(servers.len() as u32);
    }

    /// The bytes of the key added up, modulo the servers.
    fn route(_: String, key: RouteKey, _: String) -> Result<Target, Failure> {
        let text = match key {
            RouteKey::Session(session) => session.uid.unwrap_or_default(),
            RouteKey::Value(text) => text,
        };
        let sum: u32 = text.bytes().map(u32::from).sum();
        Ok(Target::Index(sum % SERVERS.get().max(1)))
    }
}

impl lifecycle::Guest for Echo {
    fn init(_: String) -> Result<(), Failure> {
        Ok(())
    }

    fn start(_: String) -> Result<(), Failure> {
        Ok(())
    }

    fn session_closed(_: Session, _: String) {}

    fn stop() {}
}
