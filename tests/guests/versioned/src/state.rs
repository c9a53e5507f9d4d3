//! The self-test, and the state that a stateful version hands over: its counter.

use shaddock_sdk::bindings::shaddock::plugin::types::Failure;
use shaddock_sdk::bindings::shaddock::plugin::{app, rpc};
use shaddock_sdk::roles;
use shaddock_sdk::roles::state::exports::shaddock::plugin::state::{self, Saved};

use crate::marks::{Mark, is, schema};
use crate::{COUNT, Versioned, fail, hang};

#[cfg(target_arch = "wasm32")]
roles::self_test::export!(Versioned with_types_in roles::self_test);
#[cfg(target_arch = "wasm32")]
roles::state::export!(Versioned with_types_in roles::state);

/// More than any host takes at once.
const HUGE_BYTES: usize = 48 << 20;

impl roles::self_test::exports::shaddock::plugin::self_test::Guest for Versioned {
    fn run() -> Result<(), Failure> {
        suffer(Mark::SelfTest)?;
        if is(Mark::SelfTest, "CALL") {
            rpc::call("versioned", &rpc::RouteKey::Value(String::new()), "versionedRemote.version", b"{}")?;
        }
        Ok(())
    }
}

impl state::Guest for Versioned {
    fn save_state() -> Result<Saved, Failure> {
        // Nobody may ever see this: it happens in a copy of the process.
        let count = COUNT.replace(u64::MAX);
        app::log(app::Level::Error, "a line from save-state");
        suffer(Mark::Save)?;
        if is(Mark::Save, "HOST") {
            app::server_types();
        }
        let mut bytes = count.to_le_bytes().to_vec();
        if is(Mark::Save, "HUGE") {
            bytes.resize(HUGE_BYTES, 1);
        }
        while is(Mark::Save, "GROW") {
            bytes.resize(bytes.len() + (1 << 20), 1);
        }
        Ok(Saved { schema_version: schema(), bytes })
    }

    fn load_state(saved: Saved) -> Result<(), Failure> {
        suffer(Mark::Load)?;
        if saved.schema_version > schema() {
            return Err(fail(
                409,
                format!("a state of schema {}, I know {}", saved.schema_version, schema()),
            ));
        }
        let bytes = saved.bytes.get(..8).and_then(|bytes| bytes.try_into().ok());
        COUNT.set(u64::from_le_bytes(bytes.ok_or_else(|| fail(400, "this is no state"))?));
        Ok(())
    }
}

fn suffer(mark: Mark) -> Result<(), Failure> {
    if is(mark, "TRAP") {
        panic!("a trap was asked for");
    }
    if is(mark, "FAIL") {
        return Err(fail(500, "a failure was asked for"));
    }
    if is(mark, "HANG") {
        hang();
    }
    Ok(())
}
