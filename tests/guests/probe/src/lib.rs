//! A plugin that misbehaves on demand: each route is one thing that the engine has to cope with.
//!
//! It uses the raw bindings, because the SDK would not let it do most of this. Its free settings choose what it does
//! before and beside calls: `init`, `routes`, `methods`, `routerTypes`, `route`, `grow`.

#![cfg_attr(
    target_arch = "wasm32",
    allow(
        unsafe_code,
        clippy::indexing_slicing,
        reason = "it breaks rules on purpose, and its exports are generated"
    )
)]
#![allow(
    missing_docs,
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test guest that panics where a test asks for the impossible"
)]

mod attack;
mod calls;
mod lifecycle;
mod routing;

use std::cell::RefCell;
use std::sync::Once;

use serde_json::Value;
use shaddock_sdk::bindings::shaddock::plugin::app;
use shaddock_sdk::bindings::shaddock::plugin::types::Failure;

struct Probe;

#[cfg(target_arch = "wasm32")]
shaddock_sdk::bindings::export!(Probe with_types_in shaddock_sdk::bindings);

thread_local! {
    static SETTINGS: RefCell<Value> = const { RefCell::new(Value::Null) };
}

/// One of the free settings that `init` was given.
fn setting(name: &str) -> Value {
    SETTINGS.with_borrow(|settings| settings.get(name).cloned().unwrap_or_default())
}

fn names(setting_name: &str, default: &[&str]) -> Vec<String> {
    match setting(setting_name) {
        Value::Array(names) => names.iter().map(|name| name.as_str().unwrap().to_owned()).collect(),
        _ => default.iter().map(|name| (*name).to_owned()).collect(),
    }
}

fn fail(code: u32, message: impl Into<String>) -> Failure {
    Failure { code, message: message.into(), retryable: false }
}

/// As the SDK does: a trap alone does not say why.
fn forward_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| std::panic::set_hook(Box::new(|info| app::log(app::Level::Error, &info.to_string()))));
}
