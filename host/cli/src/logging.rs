//! Logs of this process: to standard error, plain or JSON.

use std::io::{self, Write};
use std::sync::Arc;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::args::{LogArgs, LogFormat};
use crate::exit::{Code, Failure};
use crate::screen::Stderr;

/// Starts logging. `server` is the id of the server that this process is, if it is one: JSON lines carry it as
/// their first field, plain lines get it from whoever relays them or from the name of the log file.
pub(crate) fn start(args: &LogArgs, server: Option<&str>) -> Result<(), Failure> {
    let filter = EnvFilter::try_new(&args.log).map_err(|error| {
        Failure::message(
            Code::Usage,
            format_args!("--log {:?}: {error}; examples: info, debug, info,shaddock_cluster=debug", args.log),
        )
    })?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter);
    match args.log_format {
        LogFormat::Plain => {
            let color = io::IsTerminal::is_terminal(&io::stderr());
            builder.compact().with_target(false).with_ansi(color).with_writer(|| Stderr).init();
        }
        LogFormat::Json => {
            let prefix = match server {
                Some(id) => format!("{{\"server\":{},", serde_json::Value::from(id)),
                None => "{\"server\":\"master\",".to_owned(),
            };
            builder.json().flatten_event(true).with_writer(Prefixed(prefix.into())).init();
        }
    }
    Ok(())
}

/// Standard error with a first field put into every JSON object written to it.
struct Prefixed(Arc<str>);

impl<'a> MakeWriter<'a> for Prefixed {
    type Writer = PrefixedLine;

    fn make_writer(&'a self) -> PrefixedLine {
        PrefixedLine(self.0.clone())
    }
}

struct PrefixedLine(Arc<str>);

impl Write for PrefixedLine {
    /// The subscriber writes each event, a whole line, in one call.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        Stderr.write_all(&with_prefix(&self.0, line))?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Stderr.flush()
    }
}

fn with_prefix(prefix: &str, line: &[u8]) -> Vec<u8> {
    match line.strip_prefix(b"{") {
        Some(rest) => [prefix.as_bytes(), rest].concat(),
        None => line.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prefix_makes_a_json_object_of_a_json_object() {
        let line = with_prefix("{\"server\":\"gate-1\",", b"{\"level\":\"INFO\"}\n");
        let value: serde_json::Value = serde_json::from_slice(&line).unwrap();
        assert_eq!(value, serde_json::json!({"server": "gate-1", "level": "INFO"}));
    }
}
