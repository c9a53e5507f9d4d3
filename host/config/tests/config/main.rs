//! The configuration as a user meets it: files in, a configuration or a report out.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod additions;
mod app;
mod contradictions;
mod crons;
mod files;
mod plugins;
mod pomelo_files;
mod report;
mod schedule;
mod schema;
mod servers;
mod shipped;
