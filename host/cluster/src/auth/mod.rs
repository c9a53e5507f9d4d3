//! How two processes prove to each other that they belong to one cluster.

mod refusal;

pub use refusal::Refusal;
