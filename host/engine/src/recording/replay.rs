//! Playing a recording to the guests of a component, and comparing what they do with what was done.

use std::collections::{BTreeMap, VecDeque};
use std::future::pending;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use super::format::{Entry, Outcome, Recording, Step};
use super::functions::{LOG, MONOTONIC, NOW, RANDOM};
use super::value::{FromValue, ToValue, same};
use crate::cache::Compiled;
use crate::engine::Engine;
use crate::error::{CallError, EngineError};
use crate::host::Call;
use crate::job::Job;
use crate::settings::{PluginSpec, PoolPolicy};
use crate::types::{Failure, Level, ServerInfo};

/// What a replay came to.
#[derive(Debug, Default)]
pub struct Replayed {
    /// Calls that were made again.
    pub calls: u64,
    /// Instances in which that was.
    pub instances: u64,
    /// Calls that did something else, in the order of the recording.
    pub differences: Vec<Difference>,
}

/// A call that did something else than in the recording.
#[derive(Debug)]
pub struct Difference {
    /// Its number in the recording.
    pub call: u64,
    /// The number of its instance.
    pub instance: u64,
    /// The route, the method, or another name under which it ran.
    pub name: String,
    /// What it was called with.
    pub input: Value,
    /// How it ended in the recording and how now, if these differ.
    pub outcome: Option<(Value, Value)>,
    /// What it asked the host for in the recording only.
    pub missing: Vec<Asked>,
    /// What it asked the host for now only.
    pub added: Vec<Asked>,
    /// What it logged now.
    pub logs: Vec<String>,
}

/// A call of a host function.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked {
    /// `interface.function`.
    pub function: String,
    /// By name.
    pub arguments: Value,
}

impl Recording {
    /// Makes the recorded calls again: one instance after the other, with a new instance of the component for each, the
    /// calls in the order in which they began. The host's answers, the time and random bytes come from the recording. To
    /// be called within a tokio runtime.
    ///
    /// What a call asks of the host has to be the same as in the recording, but for reading (`app`), and for the order in
    /// which it asks different functions. Where it asks with other arguments, it gets the answer that stands there.
    ///
    /// # Errors
    /// If the component cannot be loaded as the recorded one was.
    pub async fn replay(&self, engine: &Engine, compiled: &Compiled) -> Result<Replayed, EngineError> {
        let mut replayed = Replayed::default();
        for entries in self.instances.values() {
            self.replay_instance(engine, compiled, entries, &mut replayed).await?;
        }
        replayed.differences.sort_by_key(|difference| difference.call);
        Ok(replayed)
    }

    async fn replay_instance(
        &self,
        engine: &Engine,
        compiled: &Compiled,
        entries: &[Entry],
        replayed: &mut Replayed,
    ) -> Result<(), EngineError> {
        let header = &self.header;
        let host = Arc::new(ReplayHost::new(header.server.clone()));
        let (init, entries) = match entries.split_first() {
            Some((first, rest)) if first.name.as_ref() == "init" => (Some(first), rest),
            _ => (None, entries),
        };
        let spec = PluginSpec {
            name: header.plugin.to_string(),
            server_types: header.server_types.clone(),
            pool: PoolPolicy::Single,
            limits: header.limits.clone(),
            grants: header.grants,
            settings: header.settings.clone(),
            recorder: None,
        };
        host.begin(init.map(|entry| entry.host.as_slice()).unwrap_or_default());
        replayed.instances += 1;
        let plugin = match (engine.load(spec, compiled, host.clone()).await, init) {
            (Ok(plugin), _) => plugin,
            // It did not get ready then either.
            (Err(EngineError::FirstInstance { .. }), Some(init))
                if !matches!(init.outcome, Outcome::Ok(_)) =>
            {
                return Ok(());
            }
            (Err(error), _) => return Err(error),
        };
        if let Some(init) = init {
            replayed.calls += 1;
            replayed.differences.extend(host.compare(init, &Outcome::Ok(Value::Null)));
        }
        for entry in entries {
            let deadline = Instant::now() + header.limits.deadline();
            host.begin(&entry.host);
            let outcome = match serde_json::from_value::<Job>(entry.input.clone()) {
                Ok(job) => job.repeat(&plugin, &entry.name, Call::new(deadline)).await,
                Err(error) => Err(CallError::Init(format!("its input is not of this format: {error}"))),
            };
            replayed.calls += 1;
            replayed.differences.extend(host.compare(entry, &Outcome::of(outcome.as_ref().cloned())));
        }
        Ok(())
    }
}

/// Answers what a guest asks from what was answered in the recording.
pub(crate) struct ReplayHost {
    pub(super) server: Arc<ServerInfo>,
    script: Mutex<Script>,
}

/// What one call may ask, and what it has asked.
#[derive(Default)]
struct Script {
    /// Not asked yet.
    steps: Vec<Step>,
    missing: Vec<Asked>,
    added: Vec<Asked>,
    logs: Vec<String>,
    /// Random bytes that are left.
    random: VecDeque<u8>,
    /// Blocks of random bytes that the recording does not have.
    made_up: u64,
    /// The times that were told last.
    times: BTreeMap<&'static str, u64>,
}

/// An answer that a host function can give.
pub(super) trait Answer: FromValue {
    /// When the recording has none.
    fn unknown() -> Self;
}

impl<T: FromValue> Answer for Result<T, Failure> {
    fn unknown() -> Self {
        Err(Failure::new(404, "the recording has no answer to this"))
    }
}

impl Answer for bool {
    fn unknown() -> Self {
        false
    }
}

impl Answer for u64 {
    fn unknown() -> Self {
        0
    }
}

impl<T: FromValue> Answer for Option<T> {
    fn unknown() -> Self {
        None
    }
}

impl<T: FromValue> Answer for Vec<T> {
    fn unknown() -> Self {
        Vec::new()
    }
}

impl ReplayHost {
    fn new(server: ServerInfo) -> Self {
        Self { server: Arc::new(server), script: Mutex::default() }
    }

    /// The next call begins.
    fn begin(&self, steps: &[Step]) {
        let mut script = self.script();
        let times = std::mem::take(&mut script.times);
        *script = Script { times, ..Script::default() };
        for step in steps {
            match (&*step.function, &step.answer) {
                (LOG, _) => {}
                (RANDOM, Some(answer)) => {
                    let bytes = Result::<Vec<u8>, Failure>::from_value(answer.clone());
                    script.random.extend(bytes.and_then(Result::ok).unwrap_or_default());
                }
                _ => script.steps.push(step.clone()),
            }
        }
    }

    /// How the call that has ended differs from the recorded one.
    fn compare(&self, entry: &Entry, outcome: &Outcome) -> Option<Difference> {
        let mut script = std::mem::take(&mut *self.script());
        self.script().times = std::mem::take(&mut script.times);
        let effects = script.steps.into_iter().filter(|step| !is_reading(&step.function));
        script.missing.extend(effects.map(Asked::from));
        let (then, now) = (&entry.outcome, outcome);
        let is_same = match (then, now) {
            // Other languages have other words for it.
            (Outcome::Error { kind: then, .. }, Outcome::Error { kind: now, .. }) => then == now,
            _ => same(&then.to_value(), &now.to_value()),
        };
        if is_same && script.missing.is_empty() && script.added.is_empty() {
            return None;
        }
        Some(Difference {
            call: entry.call,
            instance: entry.instance,
            name: entry.name.to_string(),
            input: entry.input.clone(),
            outcome: (!is_same).then(|| (then.to_value(), now.to_value())),
            missing: script.missing,
            added: script.added,
            logs: script.logs,
        })
    }

    pub(super) fn logged(&self, level: Level, message: &str) {
        self.script().logs.push(format!("{} {message}", format!("{level:?}").to_lowercase()));
    }

    pub(super) fn answer_at_once<T: Answer>(&self, function: &'static str, arguments: Value) -> T {
        let answer = self.script().answer(function, arguments).flatten();
        answer.and_then(T::from_value).unwrap_or_else(T::unknown)
    }

    pub(super) async fn answer<T: Answer>(&self, function: &'static str, arguments: Value) -> T {
        let answer = self.script().answer(function, arguments);
        match answer {
            Some(Some(answer)) => T::from_value(answer).unwrap_or_else(T::unknown),
            // Then it waited until its end, too.
            Some(None) => pending().await,
            None => T::unknown(),
        }
    }

    fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Script {
    /// None: the recording does not have the question. None inside: it does not have the answer.
    fn answer(&mut self, function: &'static str, arguments: Value) -> Option<Option<Value>> {
        match function {
            NOW | MONOTONIC => Some(Some(self.time(function).into())),
            RANDOM => Some(Some(Ok::<_, Failure>(self.random(&arguments)).to_value())),
            _ if is_reading(function) => {
                let found = self.steps.iter().find(|step| step.is(function, &arguments));
                found.map(|step| step.answer.clone())
            }
            _ => self.effect(function, arguments),
        }
    }

    fn effect(&mut self, function: &str, arguments: Value) -> Option<Option<Value>> {
        let exact = self.steps.iter().position(|step| step.is(function, &arguments));
        let Some(place) = exact.or_else(|| self.steps.iter().position(|step| step.function == function))
        else {
            self.added.push(Asked { function: function.to_owned(), arguments });
            return None;
        };
        let mut step = self.steps.remove(place);
        let answer = step.answer.take();
        if exact.is_none() {
            self.missing.push(step.into());
            self.added.push(Asked { function: function.to_owned(), arguments });
        }
        Some(answer)
    }

    /// The next time that was told; when there is none any more, the last one and a little more.
    fn time(&mut self, function: &'static str) -> u64 {
        let place = self.steps.iter().position(|step| step.function == function);
        let told = place.and_then(|place| self.steps.remove(place).answer).and_then(|answer| answer.as_u64());
        let last = self.times.entry(function).or_default();
        *last = told.unwrap_or(*last + 1);
        *last
    }

    fn random(&mut self, arguments: &Value) -> Vec<u8> {
        let len = arguments.get("len").and_then(Value::as_u64).unwrap_or_default() as usize;
        while self.random.len() < len {
            // The same in every replay.
            self.made_up += 1;
            self.random.extend(Sha256::digest(self.made_up.to_le_bytes()));
        }
        self.random.drain(..len).collect()
    }
}

impl Step {
    fn is(&self, function: &str, arguments: &Value) -> bool {
        self.function == function && same(&self.arguments, arguments)
    }
}

impl From<Step> for Asked {
    fn from(step: Step) -> Self {
        Self { function: step.function, arguments: step.arguments }
    }
}

impl Outcome {
    pub(super) fn of(outcome: Result<Value, &CallError>) -> Self {
        match outcome {
            Ok(value) => Outcome::Ok(value),
            Err(CallError::Failure(failure)) => Outcome::Failure(failure.clone()),
            Err(CallError::Deadline | CallError::Replaced { .. }) => Outcome::GivenUp,
            Err(error) => Outcome::Error { kind: error.kind().to_owned(), message: error.to_string() },
        }
    }
}

/// It changes nothing: a guest may ask as often as it likes.
fn is_reading(function: &str) -> bool {
    function.starts_with("app.")
}
