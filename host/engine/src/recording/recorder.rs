//! Writing down what enters a plugin's guests, and what comes of it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

use super::format::{End, Entry, Header, Line, Outcome, Step};
use super::value::ToValue;
use crate::error::CallError;
use crate::job::Job;
use crate::types::Failure;

/// Takes down the calls of one loaded plugin, in memory, up to a number of bytes.
#[derive(Debug)]
pub struct Recorder {
    bytes_max: u64,
    /// Of calls that have ended, and of those that run.
    bytes: AtomicU64,
    is_over: AtomicBool,
    instances: AtomicU64,
    calls: AtomicU64,
    written: Mutex<Written>,
}

#[derive(Debug, Default)]
struct Written {
    text: String,
    calls: u64,
}

impl Recorder {
    /// For a recording of at most so many bytes.
    pub fn new(bytes_max: u64) -> Arc<Self> {
        Arc::new(Self {
            bytes_max,
            bytes: AtomicU64::new(0),
            is_over: AtomicBool::new(false),
            instances: AtomicU64::new(0),
            calls: AtomicU64::new(0),
            written: Mutex::default(),
        })
    }

    /// Takes nothing more down. Calls that still run are left out.
    pub fn finish(&self) {
        if !self.is_over.swap(true, Ordering::Relaxed) {
            self.write_end(false);
        }
    }

    /// Whether it takes nothing more down: it was finished, or is full.
    pub fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    /// How many calls are taken down.
    pub fn calls(&self) -> u64 {
        self.written().calls
    }

    /// A piece of the recording, JSON Lines, from the byte `offset` on: about `bytes_max` bytes, or nothing at its end.
    pub fn piece(&self, offset: usize, bytes_max: usize) -> String {
        let written = self.written();
        let end = written.text.ceil_char_boundary(offset.saturating_add(bytes_max).min(written.text.len()));
        written.text.get(offset..end).unwrap_or_default().to_owned()
    }

    pub(crate) fn begin(&self, header: &Header) {
        self.written().add(&Line::Header(header));
    }

    /// A number for an instance.
    pub(crate) fn next_instance(&self) -> u64 {
        self.instances.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Takes down one call. None if it is over.
    pub(crate) fn tape(self: &Arc<Self>, instance: u64, name: &Arc<str>, job: &Job) -> Option<Arc<Tape>> {
        if self.is_over() {
            return None;
        }
        let call = self.calls.fetch_add(1, Ordering::Relaxed) + 1;
        let input = serde_json::to_value(job).unwrap_or_default();
        let is_taken = self.take(&input);
        let entry =
            Entry { call, instance, name: name.clone(), input, host: Vec::new(), outcome: Outcome::GivenUp };
        is_taken.then(|| Arc::new(Tape { recorder: self.clone(), entry: Mutex::new(Some(entry)) }))
    }

    /// Counts what is going to be written; ends the recording if that is too much.
    fn take(&self, value: &Value) -> bool {
        /// About what surrounds it.
        const FRAME: u64 = 64;
        let more = size(value) + FRAME;
        let is_full = self.bytes.fetch_add(more, Ordering::Relaxed) + more > self.bytes_max;
        if is_full && !self.is_over.swap(true, Ordering::Relaxed) {
            self.write_end(true);
        }
        !is_full
    }

    fn write_end(&self, is_full: bool) {
        let begun = self.calls.load(Ordering::Relaxed);
        let mut written = self.written();
        let left_out = begun.saturating_sub(written.calls);
        written.add(&Line::End(End { is_full, left_out }));
    }

    fn written(&self) -> MutexGuard<'_, Written> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Written {
    fn add(&mut self, line: &Line<'_>) {
        self.text.push_str(&serde_json::to_string(line).unwrap_or_default());
        self.text.push('\n');
    }
}

/// About how long it is as JSON.
fn size(value: &Value) -> u64 {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 8,
        Value::String(text) => text.len() as u64 + 4,
        Value::Array(values) => values.iter().map(size).sum::<u64>() + 4,
        Value::Object(fields) => {
            fields.iter().map(|(key, value)| key.len() as u64 + 4 + size(value)).sum::<u64>() + 4
        }
    }
}

/// Takes down one call. What was not ended when it is dropped was given up.
#[derive(Debug)]
pub(crate) struct Tape {
    recorder: Arc<Recorder>,
    entry: Mutex<Option<Entry>>,
}

impl Tape {
    /// The guest asks the host for something. The number of the question.
    pub(crate) fn ask(&self, function: &str, arguments: Value) -> Option<usize> {
        if !self.recorder.take(&arguments) {
            return None;
        }
        let mut entry = self.entry();
        let steps = &mut entry.as_mut()?.host;
        steps.push(Step { function: function.to_owned(), arguments, answer: None });
        Some(steps.len() - 1)
    }

    /// The host has answered.
    pub(crate) fn answer(&self, question: Option<usize>, answer: impl FnOnce() -> Value) {
        let Some(question) = question else { return };
        let answer = answer();
        if !self.recorder.take(&answer) {
            return;
        }
        if let Some(step) = self.entry().as_mut().and_then(|entry| entry.host.get_mut(question)) {
            step.answer = Some(answer);
        }
    }

    /// The call has come to its end.
    pub(crate) fn end(&self, outcome: Result<Value, &CallError>) {
        self.write(Outcome::of(outcome));
    }

    /// `init` has come to its end.
    pub(crate) fn end_init(&self, ready: &Result<(), Failure>) {
        match ready {
            Ok(()) => self.end(Ok(Value::Null)),
            Err(failure) => self.end(Err(&CallError::Failure(failure.clone()))),
        }
    }

    /// The call has not begun at all.
    pub(crate) fn discard(&self) {
        *self.entry() = None;
    }

    fn write(&self, outcome: Outcome) {
        let Some(mut entry) = self.entry().take() else { return };
        entry.outcome = outcome;
        let is_taken = self.recorder.take(&entry.outcome.to_value());
        let mut written = self.recorder.written();
        // Checked under the lock: nothing stands behind the end.
        if is_taken && !self.recorder.is_over() {
            written.calls += 1;
            written.add(&Line::Call(&entry));
        }
    }

    fn entry(&self) -> MutexGuard<'_, Option<Entry>> {
        self.entry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Tape {
    fn drop(&mut self) {
        self.write(Outcome::GivenUp);
    }
}

/// Takes down one call as long as it runs, whoever else still has the tape then.
pub(crate) struct Taping(Arc<Tape>);

impl Taping {
    pub(crate) fn new(tape: Arc<Tape>) -> Self {
        Self(tape)
    }

    pub(crate) fn tape(&self) -> &Arc<Tape> {
        &self.0
    }
}

impl Drop for Taping {
    fn drop(&mut self) {
        self.0.write(Outcome::GivenUp);
    }
}

impl ToValue for Outcome {
    fn to_value(&self) -> Value {
        match self {
            Outcome::Ok(value) => json!({ "ok": value }),
            Outcome::Failure(failure) => json!({ "failure": failure }),
            Outcome::Error { kind, message } => json!({ "error": kind, "message": message }),
            Outcome::GivenUp => json!("given-up"),
        }
    }
}
