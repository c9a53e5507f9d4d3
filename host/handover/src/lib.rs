//! How calls pass from one version of a plugin to the next: the part of it that is concurrent, and nothing else.
//!
//! * [`Current`]: the pointer to what runs, which a switch changes; what ran before drains.
//! * [`Line`]: callers who take turns with one thing, and go on at its successor, in their order, when it is replaced.
//! * [`Cutoff`]: ends what still runs in something whose time is over.
//!
//! Architecture invariant: no runtime, no clock, no input and output: only locks, which `--cfg loom` swaps for those of
//! loom. Its tests (`tests/loom.rs`) then try every order in which threads can meet.

#![forbid(unsafe_code)]

mod current;
mod cutoff;
mod line;
mod sync;

pub use current::Current;
pub use cutoff::{Cutoff, Watch};
pub use line::{Entry, IsClosed, Line, Refused, Turn, Waiting};
