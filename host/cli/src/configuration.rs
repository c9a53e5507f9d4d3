//! Loading the configuration for a command.

use std::path::Path;

use shaddock_config::Config;

use crate::exit::{Code, Failure};
use crate::screen;

/// Loads and checks all files; the error lists every problem.
pub(crate) fn load(dir: &Path, env: &str) -> Result<Config, Failure> {
    Config::load(dir, env).map_err(|error| Failure::new(Code::Usage, error))
}

/// Prints what has no effect or is probably not meant.
pub(crate) fn warn(config: &Config) {
    for warning in &config.warnings {
        screen::line(format_args!("warning: {warning}"));
    }
}
