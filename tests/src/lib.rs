//! Clusters of real processes for tests.
//!
//! [`Config`] describes a cluster, [`Setup`] is one written to disk with free ports and a state directory of its own,
//! [`Cluster`] a running one. All are temporary: dropping ends every process and removes every file.
//!
//! The program is `$SHADDOCK_BIN`, else the one that cargo built beside the test; components are in
//! `$SHADDOCK_COMPONENTS`, else in `plugins/target/components`. `cargo xtask test` builds both.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on says so and ends"
)]

pub mod client;
mod cluster;
mod config;
mod directory;
mod finished;
pub mod languages;
mod needs;
mod patch;
mod ports;
mod processes;
pub mod roles;
mod setup;
pub mod update;
mod versions;
mod workshop;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub use cluster::Cluster;
pub use config::Config;
pub use finished::Finished;
pub use needs::need;
pub use ports::{Ports, is_free};
pub use processes::{is_running, signal};
pub use rustix::process::Signal;
pub use setup::Setup;
pub use versions::versioned;
pub use workshop::{Dev, Workshop};

/// The root of the repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ is in the root")
}

/// The `shaddock` program.
pub fn program() -> PathBuf {
    let given = std::env::var_os("SHADDOCK_BIN").map(PathBuf::from);
    let program = given.unwrap_or_else(|| {
        let test = std::env::current_exe().expect("a test has a file");
        let beside = test.ancestors().nth(2).map(|dir| dir.join("shaddock"));
        beside.filter(|path| path.exists()).unwrap_or_else(|| root().join("target/release/shaddock"))
    });
    assert!(
        program.exists(),
        "{} is missing; build it with `cargo build --release -p shaddock`",
        program.display()
    );
    program
}

/// The value of a metric, its labels as they are written (`name` or `name{label="value"}`).
pub fn metric(admin_port: u16, name: &str) -> Option<f64> {
    let metrics = http_get(admin_port, "/metrics");
    metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
}

/// The component of a plugin or test guest, by name.
pub fn component(name: &str) -> PathBuf {
    let file = component_path(name);
    assert!(file.exists(), "{} is missing; build it with `cargo xtask plugins`", file.display());
    file
}

/// Where the component of that name is, if it has been built.
pub fn component_path(name: &str) -> PathBuf {
    let given = std::env::var_os("SHADDOCK_COMPONENTS").map(PathBuf::from);
    given.unwrap_or_else(|| root().join("plugins/target/components")).join(format!("{name}.wasm"))
}

/// Waits until `condition` holds; fails after `limit`.
pub fn wait_for(what: &str, limit: Duration, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < limit, "{what}: not within {limit:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A plain HTTP request on loopback: the whole response.
pub fn http_get(port: u16, path: &str) -> String {
    use std::io::{Read, Write};
    let mut stream = client::raw(port);
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    response
}
