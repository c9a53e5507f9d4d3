//! Components in every language, which not every machine can build, and clusters to put them on.

use serde_json::{Value, json};

use crate::roles::add_type;
use crate::{Cluster, Config, Setup, component_path};

/// Whether there is a component of the sources as they are. If not, why and what to do is told; in CI that is a failure.
pub fn is_built(language: &str, component: &str) -> bool {
    let told = std::env::var(format!("SHADDOCK_NO_{}", component.to_uppercase())).ok();
    let file = component_path(component);
    let why = told.or_else(|| {
        let remedy = || format!("no {}; build it with `cargo xtask plugins {language}`", file.display());
        (!file.exists()).then(remedy)
    });
    let Some(why) = why else { return true };
    assert!(std::env::var_os("CI").is_none(), "with CI set nothing is skipped: {why}");
    eprintln!("skipped: {why}");
    false
}

/// A cluster with two servers of a new type beside those of the configuration, `<type>-0` and `<type>-1`.
pub fn with_two_servers(config: &Config, server_type: &str) -> Cluster {
    let mut setup = Setup::new(config);
    let servers: Vec<Value> = (0..2)
        .map(|n| {
            json!({ "id": format!("{server_type}-{n}"), "host": "127.0.0.1", "port": setup.another_port() })
        })
        .collect();
    add_type(&setup, server_type, &Value::Array(servers));
    Cluster::of(setup)
}
