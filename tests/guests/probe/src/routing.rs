//! The route function: the method says how to behave.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;

use shaddock_sdk::bindings::exports::shaddock::plugin::router::{self, RouteKey, Target};
use shaddock_sdk::bindings::shaddock::plugin::app;
use shaddock_sdk::bindings::shaddock::plugin::types::{Failure, ServerInfo};

use crate::{Probe, attack, fail, names};

thread_local! {
    static SERVERS: RefCell<HashMap<String, Vec<String>>> = RefCell::default();
    static ROUTED: Cell<u32> = const { Cell::new(0) };
}

impl router::Guest for Probe {
    fn server_types() -> Vec<String> {
        names("routerTypes", &[])
    }

    fn set_servers(server_type: String, servers: Vec<ServerInfo>) {
        let ids = servers.into_iter().map(|server| server.id).collect();
        SERVERS.with_borrow_mut(|known| known.insert(server_type, ids));
    }

    fn route(server_type: String, key: RouteKey, method: String) -> Result<Target, Failure> {
        ROUTED.set(ROUTED.get() + 1);
        let text = match key {
            RouteKey::Session(session) => session.uid.unwrap_or_default(),
            RouteKey::Value(text) => text,
        };
        let count = SERVERS.with_borrow(|known| known.get(&server_type).map_or(0, Vec::len)) as u32;
        match method.as_str() {
            // The last byte of the key, modulo the servers.
            "t.byKey" => Ok(Target::Index(u32::from(*text.as_bytes().last().unwrap()) % count)),
            "t.count" => Ok(Target::Index(ROUTED.get() - 1)),
            "t.byId" => Ok(Target::Id(text)),
            "t.beyond" => Ok(Target::Index(count)),
            "t.fail" => Err(fail(500, "the route function was asked to fail")),
            "t.spin" => attack::spin(),
            "t.panic" => panic!("the route function was asked to panic"),
            "t.log" => {
                app::log(app::Level::Info, "routed");
                Ok(Target::Index(0))
            }
            "t.clock" => Ok(Target::Index(app::now_ms() as u32)),
            other => Err(fail(404, other)),
        }
    }
}
