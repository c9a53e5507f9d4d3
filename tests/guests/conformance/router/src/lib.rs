//! The route function of the conformance cases, for plugins with many calls in flight: they have none of their own.
#![forbid(unsafe_code)]

use shaddock_sdk::prelude::*;

shaddock_sdk::plugin! {
    routers { "conform" => route }
}

fn route(key: &RouteKey, servers: &[Server]) -> Result<Target> {
    let to = key.text("to");
    if to == "nowhere" {
        return Err(fail(418, "no such way"));
    }
    Target::hashed(&to, servers)
}
