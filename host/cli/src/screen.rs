//! What people see while something takes long: bars on a terminal, plain lines elsewhere.
//!
//! Everything goes to standard error, log lines included, so that the result alone is on standard output.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::sync::LazyLock;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

/// All bars of this process. There is one standard error, so there is one of these.
static BARS: LazyLock<MultiProgress> = LazyLock::new(MultiProgress::new);

/// How often a spinner turns.
const TICK: Duration = Duration::from_millis(120);

/// One thing that takes long. The bar goes away when this is dropped.
pub(crate) struct Task {
    bar: Option<ProgressBar>,
    text: String,
}

impl Task {
    /// Shows that `text` has begun; `quiet` shows nothing, for JSON output.
    pub(crate) fn begin(text: impl Into<String>, quiet: bool) -> Task {
        let text = text.into();
        if quiet {
            return Task { bar: None, text: String::new() };
        }
        if !io::stderr().is_terminal() {
            line(format_args!("{text} …"));
            return Task { bar: None, text };
        }
        let bar = BARS.add(ProgressBar::new_spinner());
        let style = ProgressStyle::with_template("{spinner:.green} {wide_msg} {elapsed:.dim}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
        bar.set_message(text.clone());
        bar.enable_steady_tick(TICK);
        Task { bar: Some(bar), text }
    }

    /// Shows how far it is. On a terminal only: elsewhere each step would be a line.
    pub(crate) fn at(&self, done: usize, total: usize) {
        if let Some(bar) = &self.bar {
            bar.set_message(format!("{} {done}/{total}", self.text));
        }
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
            BARS.remove(&bar);
        }
    }
}

/// Prints a line to standard error, above the bars.
pub(crate) fn line(text: impl Display) {
    let _ = Stderr.write_all(format!("{text}\n").as_bytes());
}

/// Prints text to standard output. A reader that has gone away is no error.
pub(crate) fn print(text: impl Display) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}

/// Standard error that does not tear the bars.
pub(crate) struct Stderr;

impl Write for Stderr {
    /// Never fails: when standard error is gone (the master that read it was killed) there is nobody to tell, and the
    /// process has better things to do than to die of it.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let write = || {
            let _ = io::stderr().write_all(bytes);
        };
        if LazyLock::get(&BARS).is_some() {
            BARS.suspend(write);
        } else {
            write();
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
