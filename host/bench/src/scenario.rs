//! What is measured beside plain requests.

pub(crate) mod fanout;
pub(crate) mod idle;
pub(crate) mod startup;
pub(crate) mod swap;
