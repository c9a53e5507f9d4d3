//! A plugin with a game loop: it remembers its ticks, and can be made slow.
#![forbid(unsafe_code)]

use std::cell::{Cell, RefCell};

use shaddock_sdk::prelude::*;

shaddock_sdk::plugin! {
    routes { "world.loop.ticks" => ticks, "world.loop.load" => load }
    tick { tick }
}

thread_local! {
    static TICKS: RefCell<Vec<(u64, u32)>> = const { RefCell::new(Vec::new()) };
    static LOAD_MS: Cell<u64> = const { Cell::new(0) };
}

/// What the loop has seen: numbers and misses.
fn ticks() -> Result<Vec<(u64, u32)>> {
    Ok(TICKS.with_borrow(Clone::clone))
}

/// Makes each tick compute for so many milliseconds.
fn load(milliseconds: u64) -> Result<()> {
    LOAD_MS.set(milliseconds);
    Ok(())
}

fn tick(tick: &Tick) -> Result<()> {
    let end = app::monotonic_ns() + LOAD_MS.get() * 1_000_000;
    while app::monotonic_ns() < end {}
    TICKS.with_borrow_mut(|seen| seen.push((tick.number, tick.missed)));
    Ok(())
}
