//! The imports of the contract, each call checked and handed to the [`Host`](crate::Host).

mod app;
mod channels;
mod rpc;
mod sessions;
mod timers;

use wasmtime::component::{HasSelf, Linker};

use crate::bindings::shaddock::plugin as wit;
use crate::context::Context;
use crate::limits::{NAME_BYTES_MAX, ROUTE_BYTES_MAX};
use crate::settings::Grants;
use crate::types::Failure;

pub(crate) use app::log;

/// A linker that has what is granted and nothing else.
pub(crate) fn linker(engine: &wasmtime::Engine, grants: Grants) -> wasmtime::Result<Linker<Context>> {
    let mut linker = Linker::new(engine);
    linker.instance("shaddock:plugin/types@0.1.0")?;
    wit::app::add_to_linker::<Context, HasSelf<Context>>(&mut linker, |context| context)?;
    if grants.sessions {
        wit::sessions::add_to_linker::<Context, HasSelf<Context>>(&mut linker, |context| context)?;
    }
    if grants.channels {
        wit::channels::add_to_linker::<Context, HasSelf<Context>>(&mut linker, |context| context)?;
    }
    if grants.rpc {
        wit::rpc::add_to_linker::<Context, HasSelf<Context>>(&mut linker, |context| context)?;
    }
    if grants.timers {
        wit::timers::add_to_linker::<Context, HasSelf<Context>>(&mut linker, |context| context)?;
    }
    Ok(linker)
}

impl crate::bindings::contract_types::Host for Context {}

fn check_name(what: &str, name: &str) -> Result<(), Failure> {
    check(what, name, NAME_BYTES_MAX)
}

fn check_route(what: &str, route: &str) -> Result<(), Failure> {
    check(what, route, ROUTE_BYTES_MAX)
}

fn check(what: &str, text: &str, bytes_max: usize) -> Result<(), Failure> {
    if text.is_empty() || text.len() > bytes_max {
        return Err(Failure::new(
            400,
            format!("the {what} has {} bytes; 1 to {bytes_max} are allowed", text.len()),
        ));
    }
    Ok(())
}

fn check_value(what: &str, bytes: &[u8], bytes_max: usize) -> Result<(), Failure> {
    if bytes.len() > bytes_max {
        return Err(Failure::new(
            413,
            format!("the {what} has {} bytes; at most {bytes_max} are allowed", bytes.len()),
        ));
    }
    Ok(())
}
