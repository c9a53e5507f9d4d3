//! A plugin of which tests make many versions from one build, by patching marks in the component (`tests/src/patch.rs`).
//!
//! For each server type in the free setting `serverTypes` (without it: `versioned`) it serves routes and methods; those
//! in `routerTypes` it routes for. It uses the raw bindings, since its routes are known at run time only.

#![cfg_attr(target_arch = "wasm32", allow(unsafe_code, reason = "generated exports"))]
#![allow(
    missing_docs,
    dead_code,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test guest that panics where a test asks for it"
)]

mod marks;
mod state;

use std::cell::{Cell, RefCell};

use marks::{Mark, is};
use serde_json::{Value, json};
use shaddock_sdk::bindings::exports::shaddock::plugin::router::{self, RouteKey, Target};
use shaddock_sdk::bindings::exports::shaddock::plugin::{handler, lifecycle, remote};
use shaddock_sdk::bindings::shaddock::plugin::types::{Failure, ServerInfo, Session};
use shaddock_sdk::bindings::shaddock::plugin::{app, rpc};

struct Versioned;

#[cfg(target_arch = "wasm32")]
shaddock_sdk::bindings::export!(Versioned with_types_in shaddock_sdk::bindings);

thread_local! {
    static SETTINGS: RefCell<Value> = const { RefCell::new(Value::Null) };
    /// What a stateful version hands over.
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

/// The methods of its handler for each server type.
const ROUTES: [&str; 7] = [
    // `{"version": …}`
    "versioned.version",
    // Counts up: `{"version": …, "count": …}`
    "versioned.count",
    // Does what the mark RISKY says, else as `version`
    "versioned.risky",
    // Panics, in every version
    "versioned.trap",
    // Computes for so many milliseconds: `{"ms": 20}`
    "versioned.work",
    // Calls the remote of a server type: `{"type": "chat", "method": "version", "key": "k"}`; answers
    // `{"version": …, "remote": …}`
    "versioned.call",
    // Not there with ROUTES-LESS
    "versioned.zlast",
];
const METHODS: [&str; 4] =
    ["versionedRemote.version", "versionedRemote.count", "versionedRemote.risky", "versionedRemote.work"];

fn fail(code: u32, message: impl Into<String>) -> Failure {
    Failure { code, message: message.into(), retryable: false }
}

fn setting(name: &str) -> Vec<String> {
    SETTINGS.with_borrow(|settings| match settings.get(name) {
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    })
}

fn for_each_type(names: &[&str]) -> Vec<String> {
    let types = setting("serverTypes");
    let types = if types.is_empty() { vec!["versioned".to_owned()] } else { types };
    types.iter().flat_map(|kind| names.iter().map(move |name| format!("{kind}.{name}"))).collect()
}

impl handler::Guest for Versioned {
    fn routes() -> Vec<String> {
        let mut routes = ROUTES.to_vec();
        if is(Mark::Routes, "LESS") {
            routes.pop();
        }
        if is(Mark::Routes, "MORE") {
            routes.insert(0, "afirst.version");
        }
        for_each_type(&routes)
    }

    fn handle(route: String, body: Vec<u8>, _: Session) -> Result<Vec<u8>, Failure> {
        answer(&route, &body)
    }
}

impl remote::Guest for Versioned {
    fn methods() -> Vec<String> {
        for_each_type(&METHODS)
    }

    fn call(method: String, args: Vec<u8>) -> Result<Vec<u8>, Failure> {
        answer(&method, &args)
    }
}

fn answer(name: &str, body: &[u8]) -> Result<Vec<u8>, Failure> {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let version = marks::version();
    let plain = json!({ "version": version });
    let answer = match name.rsplit('.').next() {
        Some("count") => {
            COUNT.set(COUNT.get() + 1);
            json!({ "version": version, "count": COUNT.get() })
        }
        Some("risky") => {
            risk()?;
            plain
        }
        Some("trap") => panic!("a trap was asked for"),
        Some("work") => {
            work(body["ms"].as_u64().unwrap_or_default());
            plain
        }
        Some("call") => {
            let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
            let method = format!("versionedRemote.{}", text("method"));
            let key = rpc::RouteKey::Value(text("key"));
            let remote = rpc::call(&text("type"), &key, &method, b"{}")?;
            let remote: Value = serde_json::from_slice(&remote).unwrap_or_default();
            json!({ "version": version, "remote": remote })
        }
        _ => plain,
    };
    Ok(answer.to_string().into_bytes())
}

fn risk() -> Result<(), Failure> {
    if is(Mark::Risky, "TRAP") {
        panic!("this version is broken");
    }
    if is(Mark::Risky, "FAIL") {
        return Err(fail(500, "this version is broken"));
    }
    if is(Mark::Risky, "SLOW") {
        work(30);
    }
    if is(Mark::Risky, "HANG") {
        hang();
    }
    Ok(())
}

fn work(ms: u64) {
    let end = app::monotonic_ns() + ms * 1_000_000;
    while app::monotonic_ns() < end {}
}

/// For ever, and with the loop kept by the compiler.
fn hang() {
    while std::hint::black_box(true) {}
}

impl router::Guest for Versioned {
    fn server_types() -> Vec<String> {
        setting("routerTypes")
    }

    fn set_servers(_: String, _: Vec<ServerInfo>) {}

    fn route(_: String, _: RouteKey, _: String) -> Result<Target, Failure> {
        Ok(Target::Index(0))
    }
}

impl lifecycle::Guest for Versioned {
    fn init(settings: String) -> Result<(), Failure> {
        SETTINGS.set(serde_json::from_str(&settings).unwrap_or_default());
        if is(Mark::Init, "FAIL") {
            return Err(fail(500, "this version does not begin"));
        }
        Ok(())
    }

    fn start(_: String) -> Result<(), Failure> {
        Ok(())
    }

    fn session_closed(_: Session, _: String) {}

    fn stop() {}
}
