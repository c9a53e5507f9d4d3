//! `app`: always there.

use std::borrow::Cow;

use crate::bindings::shaddock::plugin::app::{self, Host};
use crate::context::{Context, Shared};
use crate::host::CallScope;
use crate::limits::{LOG_BYTES_MAX, NAME_BYTES_MAX, RANDOM_BYTES_MAX};
use crate::types::{Level, ServerInfo};

impl Host for Context {
    fn log(&mut self, level: app::Level, message: String) -> wasmtime::Result<()> {
        if self.copy.is_none() {
            log(&self.shared, &self.scope, level, &message);
        }
        Ok(())
    }

    fn own_server(&mut self) -> wasmtime::Result<ServerInfo> {
        Ok((*self.host().own_server()).clone())
    }

    fn servers(&mut self, server_type: String) -> wasmtime::Result<Vec<ServerInfo>> {
        if server_type.len() > NAME_BYTES_MAX {
            return Ok(Vec::new());
        }
        Ok(self.host().servers(&self.scope, &server_type).iter().map(|server| (**server).clone()).collect())
    }

    fn server(&mut self, id: String) -> wasmtime::Result<Option<ServerInfo>> {
        if id.len() > NAME_BYTES_MAX {
            return Ok(None);
        }
        Ok(self.host().server(&self.scope, &id).map(|server| (*server).clone()))
    }

    fn server_types(&mut self) -> wasmtime::Result<Vec<String>> {
        Ok(self.host().server_types(&self.scope).iter().map(ToString::to_string).collect())
    }

    fn settings(&mut self) -> wasmtime::Result<String> {
        Ok(self.shared.settings.to_string())
    }

    fn now_ms(&mut self) -> wasmtime::Result<u64> {
        Ok(self.shared.host.now_ms(&self.scope))
    }

    fn monotonic_ns(&mut self) -> wasmtime::Result<u64> {
        Ok(self.shared.host.monotonic_ns(&self.scope))
    }

    fn random_bytes(&mut self, len: u32) -> wasmtime::Result<Vec<u8>> {
        if len > RANDOM_BYTES_MAX {
            wasmtime::bail!(
                "app.random-bytes gives at most {RANDOM_BYTES_MAX} bytes at once, {len} were asked for"
            );
        }
        let bytes = self.shared.host.random_bytes(&self.scope, len);
        bytes.map_err(|failure| wasmtime::format_err!("{}", failure.message))
    }
}

/// Hands a line to the host, cut at a character's border.
pub(crate) fn log(shared: &Shared, scope: &CallScope, level: app::Level, message: &str) {
    let level = match level {
        app::Level::Debug => Level::Debug,
        app::Level::Info => Level::Info,
        app::Level::Warn => Level::Warn,
        app::Level::Error => Level::Error,
    };
    let end = message.floor_char_boundary(LOG_BYTES_MAX);
    shared.host.log(scope, level, &one_line(message.get(..end).unwrap_or_default()));
}

/// Control characters as one writes them: what a player sends begins no line of the log that looks like another one.
fn one_line(message: &str) -> Cow<'_, str> {
    let wild = |char: char| char.is_control() && char != '\t';
    if !message.contains(wild) {
        return message.into();
    }
    let mut line = String::with_capacity(message.len() + 16);
    for char in message.chars() {
        if wild(char) {
            line.extend(char.escape_default());
        } else {
            line.push(char);
        }
    }
    line.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_stays_a_line() {
        assert_eq!(one_line("a\tb \u{e9}\u{1f3b2}"), "a\tb \u{e9}\u{1f3b2}");
        assert_eq!(one_line("a\nINFO \x1b[31m\0\u{85}"), "a\\nINFO \\u{1b}[31m\\u{0}\\u{85}");
    }
}
