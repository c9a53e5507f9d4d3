//! A cluster beside the chat application that runs the guest `roles`: its connector, two backends, and a world with a
//! game loop.

use serde_json::{Value, json};

use crate::{Config, Setup, component};

/// A setup with the guest `roles` on one connector and so many servers of the type `backend`; `app` is app.json.
pub fn roles(connectors: usize, backends: usize, app: Value) -> Setup {
    let entry = json!({
        "component": component("roles"),
        "serverTypes": ["connector", "backend"],
        "grants": ["sessions", "channels", "rpc", "timers"],
    });
    let config = Config::chat(1, connectors, 1).plugin("roles", entry).file("app.json", app);
    let mut setup = Setup::new(&config);
    let backends: Vec<Value> = (1..=backends)
        .map(|number| {
            json!({ "id": format!("backend-{number}"), "host": "127.0.0.1", "port": setup.another_port() })
        })
        .collect();
    add_type(&setup, "backend", &Value::Array(backends));
    setup
}

/// Adds servers of a new type.
pub fn add_type(setup: &Setup, server_type: &str, servers: &Value) {
    setup.edit("servers.json", |content| content["development"][server_type] = servers.clone());
    setup.edit("adminServer.json", |tokens| {
        if let Some(tokens) = tokens.as_array_mut() {
            tokens.push(json!({ "type": server_type, "token": "a token of its own" }));
        }
    });
}

/// A setup with a server `world-1` that runs the guest `game-loop`, as the plugin `loop`, at so many ticks a second.
pub fn game_loop(hz: u32) -> Setup {
    let mut setup = roles(1, 1, json!({}));
    let port = setup.another_port();
    add_type(&setup, "world", &json!([{ "id": "world-1", "host": "127.0.0.1", "port": port }]));
    setup.edit("plugins.json", |plugins| {
        plugins["loop"] = json!({
            "component": component("game_loop"), "serverTypes": ["world"], "pool": { "policy": "single" },
            "tickHz": hz, "grants": ["channels"],
        });
    });
    setup
}
