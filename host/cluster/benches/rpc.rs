//! The cost of a request and its answer over a loopback link.
fn main() {}
