//! A command that has run to its end.

use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;

/// How a command ended and what it wrote.
#[derive(Debug)]
pub struct Finished {
    /// Exit code; none: it was ended by a signal.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// How long it ran.
    pub took: Duration,
}

impl Finished {
    /// Runs a command, at most for `limit`.
    pub(crate) fn run(command: &mut Command, limit: Duration) -> Finished {
        let start = Instant::now();
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stdout = collect(child.stdout.take().unwrap());
        let stderr = collect(child.stderr.take().unwrap());
        let code = wait(&mut child, limit);
        let took = start.elapsed();
        if code.is_none() && took >= limit {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        let finished = Finished {
            code: code.flatten(),
            stdout: stdout.join().unwrap(),
            stderr: stderr.join().unwrap(),
            took,
        };
        assert!(code.is_some(), "{command:?} ran longer than {limit:?}: {finished:#?}");
        finished
    }

    /// Standard output as one JSON value.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("no JSON ({error}): {self:#?}"))
    }

    /// Fails unless the exit code is `code`.
    #[track_caller]
    pub fn expect(self, code: i32) -> Finished {
        assert_eq!(self.code, Some(code), "{self:#?}");
        self
    }

    /// Fails unless `text` stands in what was written.
    #[track_caller]
    pub fn says(self, text: &str) -> Finished {
        assert!(self.stdout.contains(text) || self.stderr.contains(text), "nothing of {text:?}: {self:#?}");
        self
    }
}

/// The exit code (none: a signal), or none if it still runs after `limit`.
pub(crate) fn wait(child: &mut Child, limit: Duration) -> Option<Option<i32>> {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status.code());
        }
        if start.elapsed() >= limit {
            return None;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn collect(mut pipe: impl Read + Send + 'static) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        pipe.read_to_end(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    })
}
