//! The generated bindings of the world `host-view`: every interface of the contract, each export optional.

#![allow(
    missing_docs,
    dead_code,
    unreachable_pub,
    clippy::all,
    clippy::pedantic,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    unsafe_code,
    reason = "generated code"
)]

wasmtime::component::bindgen!({
    path: "../../wit",
    world: "host-view",
    imports: {
        // Wait for the frontends' reports.
        "shaddock:plugin/channels.push-and-report": async | trappable,
        "shaddock:plugin/channels.push-to-and-report": async | trappable,
        // Never wait, so they need no switch to the host's stack.
        "shaddock:plugin/app": trappable,
        "shaddock:plugin/channels": trappable,
        "shaddock:plugin/timers": trappable,
        // The guest blocks, the host suspends it.
        "shaddock:plugin/sessions": async | trappable,
        "shaddock:plugin/rpc": async | trappable,
    },
    exports: {
        // `router` is not listed: a plain synchronous call.
        "shaddock:plugin/handler": async,
        "shaddock:plugin/remote": async,
        "shaddock:plugin/lifecycle": async,
        "shaddock:plugin/handshake": async,
        "shaddock:plugin/filter": async,
        "shaddock:plugin/error-handler": async,
        "shaddock:plugin/rpc-filter": async,
        "shaddock:plugin/broadcast-filter": async,
        "shaddock:plugin/server-events": async,
        "shaddock:plugin/session-events": async,
        "shaddock:plugin/cron": async,
        "shaddock:plugin/timer": async,
        "shaddock:plugin/tick": async,
        "shaddock:plugin/self-test": async,
        "shaddock:plugin/state": async,
    },
    with: { "shaddock:plugin/types": crate::bindings::contract_types },
    require_store_data_send: true,
});

/// The interface `types` has no functions; what the generator expects of it beside our own types.
pub mod contract_types {
    pub use crate::types::*;
    pub trait Host {}
    impl<T: Host + ?Sized> Host for &mut T {}
    pub trait HostWithStore<T>: wasmtime::component::HasData {}
    impl<T, U: ?Sized + wasmtime::component::HasData> HostWithStore<T> for U {}
    pub fn add_to_linker<T, D>(
        _: &mut wasmtime::component::Linker<T>,
        _: fn(&mut T) -> D::Data<'_>,
    ) -> wasmtime::Result<()>
    where
        T: 'static,
        D: HostWithStore<T>,
    {
        Ok(())
    }
}
