//! The master: starts the servers of its machine, keeps the registry, answers tools, serves the web port.
//!
//! [`Master::start`] claims the state directory and opens the master's ports; [`Master::launch`] starts the
//! servers and waits until all are ready; [`Master::run`] serves until it is asked to stop. Between them the
//! program that holds a [`Master`] decides what to print.
//!
//! What a server is doing is known from two sides: its process (`process`) and its link (`events`); both
//! change one `Table`, and everything else reads that or waits for it to change.
//!
//! **Invariants.** The master knows neither the client protocol nor WebAssembly. It signals only processes that
//! are certainly servers of its cluster: children it has not yet waited for, and holders of a run file. What it starts it ends: no path out of [`Master::launch`] or [`Master::run`]
//! leaves a server process of its own behind, except the death of the master itself in daemon mode.
#![forbid(unsafe_code)]

mod add;
mod admin;
pub mod control;
mod deploy;
mod error;
mod events;
mod http;
mod launch;
mod leftovers;
mod lines;
mod listing;
mod logins;
mod master;
mod metrics;
mod process;
mod run_file;
mod state_dir;
mod stop;
mod table;
mod tools;
mod web;

pub use deploy::{Compile, Compiling, Components, Plugins, Saved};
pub use error::{MasterError, ServerFailure};
pub use launch::Progress;
pub use master::{Master, MasterOptions};
pub use process::{Launch, LineSink, Output};
pub use run_file::RunFile;
pub use state_dir::StateDir;
pub use table::Phase;
pub use web::WebFile;
