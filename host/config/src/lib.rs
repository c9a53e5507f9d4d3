//! servers.json and its sisters as types.
//!
//! [`Config::load`] reads a configuration directory for one environment: the files that pomelo has
//! (servers.json, master.json, adminServer.json, crons.json, dictionary.json, clientProtos.json, serverProtos.json)
//! in pomelo's formats, and two of Shaddock's own (plugins.json, app.json). Either everything is sound and
//! a [`Config`] comes back, or a [`ConfigError`] with *all* problems of *all* files, each with file, line,
//! field, what was found and what is allowed. What is known but has no effect is a [`Warning`].
//!
//! Every field of every file is described in `docs/configuration.md`.
//!
//! **Invariant:** this crate knows nothing of sockets, WebAssembly, or the client protocol. It opens
//! files below the configuration directory and asks whether component files exist, no more.

#![forbid(unsafe_code)]

mod additions;
mod app;
mod blacklist;
mod cluster_count;
mod config;
mod cron_entry;
mod crons;
mod crosscheck;
mod dictionary;
mod fields;
mod filters;
mod json;
mod load;
mod master;
mod nearest;
mod plugin;
mod plugins;
mod pomelo_time;
mod problem;
mod protos;
mod schedule;
mod server;
mod servers;
mod settings;
mod source;
mod spot;
mod tokens;

pub use ipnet::IpNet;

pub use additions::Additions;
pub use config::{Config, DEVELOPMENT};
pub use cron_entry::CronEntry;
pub use filters::{Filter, FilterSettings, Filters, RpcFilter};
pub use plugin::{Grants, PluginEntry, PluginLimits, Pool};
pub use problem::{ConfigError, Finding, Problem, Warning};
pub use schedule::{Schedule, ScheduleError};
pub use server::{DeploySettings, MasterEntry, ServerEntry};
pub use settings::{
    App, ChannelSettings, ConnectorSettings, FailMode, OnDuplicate, Router, RpcSettings, ServerTypeSettings,
    SessionSettings, SingleSession, StopSettings, Transport, UpdateSettings,
};
