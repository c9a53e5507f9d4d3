//! Where a cluster's files are: configuration, state directory, cache of compiled plugins.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use sha2::{Digest, Sha256};
use shaddock_master::StateDir;

use crate::args::ClusterArgs;
use crate::exit::{Code, Failure};

/// The canonical configuration directory, so that a cluster is the same from every working directory.
pub(crate) fn config_dir(args: &ClusterArgs) -> Result<PathBuf, Failure> {
    args.config.canonicalize().map_err(|error| {
        Failure::message(
            Code::Usage,
            format_args!(
                "configuration directory {}: {error}; name it with --config DIR",
                args.config.display()
            ),
        )
    })
}

/// The state directory: as given, else one of its own for each configuration directory and environment.
pub(crate) fn state_dir(args: &ClusterArgs, config_dir: &Path) -> Result<StateDir, Failure> {
    let path = match &args.state_dir {
        Some(dir) => std::path::absolute(dir)?,
        None => home_dir("XDG_STATE_HOME", ".local/state")?
            .join("shaddock")
            .join(cluster_key(config_dir, &args.env)),
    };
    Ok(StateDir::at(path))
}

/// The cache of compiled plugins, shared by all clusters of a user.
pub(crate) fn cache_dir(given: Option<&Path>) -> Result<PathBuf, Failure> {
    match given {
        Some(dir) => Ok(std::path::absolute(dir)?),
        None => Ok(home_dir("XDG_CACHE_HOME", ".cache")?.join("shaddock").join("compiled")),
    }
}

/// The tools of the languages that plugins are written in.
pub(crate) fn toolchain_dir(given: Option<&Path>) -> Result<PathBuf, Failure> {
    match given {
        Some(dir) => Ok(std::path::absolute(dir)?),
        None => Ok(home_dir("XDG_CACHE_HOME", ".cache")?.join("shaddock").join("toolchains")),
    }
}

/// XDG base directory: the variable if it holds an absolute path, else the default below the home directory.
fn home_dir(variable: &str, below_home: &str) -> Result<PathBuf, Failure> {
    if let Some(dir) = env::var_os(variable).map(PathBuf::from).filter(|dir| dir.is_absolute()) {
        return Ok(dir);
    }
    env::home_dir()
        .filter(|home| home.is_absolute())
        .map(|home| home.join(below_home))
        .ok_or_else(|| anyhow!("neither {variable} nor HOME is set to an absolute path"))
        .context("choose a directory (or give --state-dir, --cache-dir and --toolchain-dir)")
        .map_err(Failure::from)
}

/// Short stable name of a configuration directory and an environment.
fn cluster_key(config_dir: &Path, env: &str) -> String {
    let mut hash = Sha256::new();
    hash.update(config_dir.as_os_str().as_encoded_bytes());
    hash.update([0]);
    hash.update(env.as_bytes());
    hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directory_and_environment_both_name_the_cluster() {
        let key = |dir: &str, env: &str| cluster_key(Path::new(dir), env);
        assert_eq!(key("/a", "development"), key("/a", "development"));
        assert_ne!(key("/a", "development"), key("/a", "production"));
        assert_ne!(key("/a", "development"), key("/b", "development"));
        assert_ne!(key("/a", "b"), key("/ab", ""));
        assert_eq!(key("/a", "development").len(), 16);
    }
}
