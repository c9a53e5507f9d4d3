//! What tests patch in the built component. Each mark is there exactly once, and is read where no compiler sees it.

use std::hint::black_box;

/// All marks behind each other, in the order of [`Mark`].
static MARKS: [&[u8]; 8] = [
    b"VERSION-0000",
    b"INIT-OK__",
    b"ROUTES-OK__",
    b"RISKY-OK__",
    b"SELFTEST-OK__",
    b"SAVE-OK__",
    b"LOAD-OK__",
    b"SCHEMA-0001",
];

#[derive(Clone, Copy)]
pub(crate) enum Mark {
    Version,
    /// FAIL.
    Init,
    /// MORE: a route more, which sorts before the others; LESS: one less.
    Routes,
    /// What the route `risky` does: TRAP, FAIL, SLOW (30 ms), HANG.
    Risky,
    /// TRAP, FAIL, HANG, or CALL: it calls a remote.
    SelfTest,
    /// TRAP, FAIL, HANG, HUGE (as much as memory holds), HOST: it calls an import, GROW: it takes all memory.
    Save,
    /// TRAP, FAIL, HANG.
    Load,
    /// Of the state that it saves; it loads none of a later one.
    Schema,
}

fn text(mark: Mark) -> &'static str {
    let mark = black_box(&MARKS)[mark as usize];
    std::str::from_utf8(black_box(mark)).unwrap_or_default()
}

/// Whether a mark was set to that.
pub(crate) fn is(mark: Mark, what: &str) -> bool {
    text(mark).split('-').nth(1) == Some(what)
}

pub(crate) fn version() -> &'static str {
    text(Mark::Version)
}

pub(crate) fn schema() -> u32 {
    text(Mark::Schema).split('-').nth(1).and_then(|number| number.parse().ok()).unwrap_or_default()
}
