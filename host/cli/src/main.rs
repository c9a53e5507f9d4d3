//! The `shaddock` program.
fn main() {}
