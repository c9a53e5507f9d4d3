//! How a stateful version of a plugin gives its place to the next one.

use std::pin::pin;
use std::time::Duration;

use shaddock_handover::{Entry, Refused};
use tokio::time::{Instant, timeout_at};

use crate::bindings::exports::shaddock::plugin::state::Saved;
use crate::copy;
use crate::deadline;
use crate::error::CallError;
use crate::host::Chain;
use crate::instance::{Begun, Instance};
use crate::job::Job;
use crate::plugin::{Inner, Places, Plugin};
use crate::recording::{Bytes, ToValue};
use crate::single::{Line, Turn};
use crate::track::Track;
use crate::trap::classify;
use crate::types::Failure;

/// What a stateful version gave to be handed to the next one. Its bytes mean something to the plugin only.
#[derive(Clone, PartialEq, Eq)]
pub struct SavedState {
    /// The version of the bytes' layout, the plugin's own count.
    pub schema_version: u32,
    /// The state.
    pub bytes: Vec<u8>,
}

/// Without the bytes: they are the players', and many.
impl std::fmt::Debug for SavedState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { schema_version, bytes } = self;
        f.debug_struct("SavedState")
            .field("schema_version", schema_version)
            .field("bytes", &bytes.len())
            .finish()
    }
}

/// What a hand-over may take.
#[derive(Clone, Copy, Debug)]
pub struct HandOverLimits {
    /// How long calls may be held, by the clock: from the end of the last call of the old version to the first call
    /// of the new one.
    pub hold: Duration,
    /// The largest state, in bytes. It has to fit into the plugin's memory twice.
    pub state_bytes_max: usize,
}

/// A hand-over that has succeeded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandedOver {
    /// How long calls were held; zero if the plugin is not stateful.
    pub held: Duration,
    /// What the new version was given; none if the old one has no export `state`.
    pub state: Option<SavedState>,
}

/// Why a stateful version did not give its place to another one. The old version goes on as if nothing had happened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HandOverError {
    /// The two are one, differ in their pool policy, or the old one was replaced already.
    #[error("the hand-over from {from} to {to} makes no sense: {reason}")]
    Refused {
        /// The old version.
        from: String,
        /// The new version.
        to: String,
        /// Why.
        reason: &'static str,
    },
    /// The old version's calls did not end in time.
    #[error("the calls before it in version {version} did not end within {} ms", waited.as_millis())]
    Busy {
        /// Of which version.
        version: String,
        /// How long it was waited.
        waited: Duration,
    },
    /// The time for holding calls was over.
    #[error(
        "{action} took longer than the {} ms for which calls may be held: make it faster, or raise the limit",
        hold.as_millis()
    )]
    TimedOut {
        /// What took so long.
        action: &'static str,
        /// The limit.
        hold: Duration,
    },
    /// The state is larger than allowed.
    #[error(
        "save-state gave more than the {bytes_max} bytes that a state may have: save less, or raise the limit"
    )]
    TooLarge {
        /// The limit.
        bytes_max: usize,
    },
    /// `save-state` failed.
    #[error("save-state failed: {0}")]
    SaveFailed(Failure),
    /// `save-state` trapped, or its process came to a bad end.
    #[error("save-state trapped: {0}")]
    SaveTrapped(String),
    /// The old version saves a state that the new one cannot take.
    #[error(
        "version {to} has no load-state, so the state would be lost: export the interface state, with a load-state \
         that drops it if that is meant"
    )]
    NoLoadState {
        /// The new version.
        to: String,
    },
    /// `load-state` refused, or its call came to a bad end.
    #[error("load-state: {0}")]
    Load(CallError),
    /// The process could not be copied for `save-state`.
    #[error("no copy of the process for save-state: {0}")]
    Copy(std::io::Error),
}

/// Both versions at a standstill: nobody but the hand-over has an instance of either.
struct Standstill<'p> {
    from: &'p Plugin,
    to: &'p Plugin,
    turn: Turn,
    /// In the line of the new version.
    new_turn: Turn,
    limits: HandOverLimits,
    begun: Instant,
}

impl Plugin {
    /// Gives the place of a stateful version (pool policy `single`) to the version `to`: waits until the calls before
    /// it have ended, saves the state, loads it into a new instance of `to`, and lets the calls that wait go on there,
    /// in their order; those that still come to the old version follow. Plugins with another policy have no state to
    /// hand over: nothing is done.
    ///
    /// `save-state` runs in a copy of the process, so it costs the old version nothing, whatever it does. The way back
    /// is the same with the roles exchanged. To be called within a tokio runtime. If the returned future is dropped, or
    /// on any error, the old version goes on with its instance as it was.
    ///
    /// # Errors
    /// What went wrong, for whoever deploys the plugin.
    pub async fn hand_over(&self, to: &Plugin, limits: HandOverLimits) -> Result<HandedOver, HandOverError> {
        let Some(mut still) = Standstill::reach(self, to, limits).await? else { return Ok(NOTHING) };
        let state = still.save().await?;
        still.load(state.as_ref()).await?;
        still.finish(state)
    }

    /// As [`Plugin::hand_over`] from `from` to this version, with a state that is at hand instead of what `from` would
    /// save: for the way back from a version that cannot save. Without a state this version begins with an instance
    /// that was only initialised.
    ///
    /// # Errors
    /// As [`Plugin::hand_over`]; `from` goes on then.
    pub async fn load_saved(
        &self,
        from: &Plugin,
        state: Option<SavedState>,
        limits: HandOverLimits,
    ) -> Result<HandedOver, HandOverError> {
        let Some(mut still) = Standstill::reach(from, self, limits).await? else { return Ok(NOTHING) };
        still.load(state.as_ref()).await?;
        still.finish(state)
    }

    /// Begins with a state, before the first call, in a plugin of the policy `single` that nobody else has.
    pub(crate) async fn begin_with(&self, state: &SavedState, deadline: Instant) -> Result<(), CallError> {
        let Some(Ok(Entry::Turn(mut turn))) = self.line().map(Line::enter_here) else {
            return Err(CallError::Overloaded("another call runs"));
        };
        let unused = turn.thing().take();
        let hold = deadline.saturating_duration_since(Instant::now());
        let load = pin!(instance_with(&self.0, unused, state, deadline, hold));
        *turn.thing() = Some(deadline::until(deadline, &self.0.ticker, None, load).await??);
        Ok(())
    }

    /// Whether it hands its state over to the version that takes its place.
    pub fn has_state(&self) -> bool {
        self.0.shared.roles.rarer.state.is_some()
    }
}

const NOTHING: HandedOver = HandedOver { held: Duration::ZERO, state: None };

impl<'p> Standstill<'p> {
    /// None if there is nothing to hand over.
    async fn reach(
        from: &'p Plugin,
        to: &'p Plugin,
        limits: HandOverLimits,
    ) -> Result<Option<Self>, HandOverError> {
        let refused = |reason| HandOverError::Refused {
            from: from.name().version.to_string(),
            to: to.name().version.to_string(),
            reason,
        };
        let (line, new_line) = match (&from.0.places, &to.0.places) {
            (Places::Many(_) | Places::Crowd(_), Places::Many(_) | Places::Crowd(_)) => return Ok(None),
            (Places::One(line), Places::One(new_line)) => (line, new_line),
            _ => return Err(refused("their pool policies differ, or only one has many calls in flight")),
        };
        if from.is(to) {
            return Err(refused("they are one"));
        }
        let replaced = || refused("the old version has been replaced already");
        if line.successor().is_some() {
            return Err(replaced());
        }
        // Nobody waits for longer than these together for the calls before him.
        let of_call = &from.0.shared.limits;
        let waited = of_call.deadline() + Duration::from_millis(of_call.queue_ms_max);
        let until = Instant::now() + waited;
        let busy =
            |plugin: &Plugin| HandOverError::Busy { version: plugin.name().version.to_string(), waited };
        let own_turn = async |plugin: &Plugin, line: &Line| {
            let turn = match line.enter_here() {
                Ok(Entry::Turn(turn)) => turn,
                Ok(Entry::Wait(waiting)) => match timeout_at(until, waiting).await {
                    Ok(turn) => turn.map_err(|_| refused("one of them has been retired"))?,
                    Err(_) => return Err(busy(plugin)),
                },
                Ok(Entry::Successor(_)) => return Err(replaced()),
                Err(Refused::Closed | Refused::Full | Refused::Reentered) => {
                    return Err(refused("one of them has been retired"));
                }
            };
            if turn.is_of(line) { Ok(turn) } else { Err(replaced()) }
        };
        let turn = own_turn(from, line).await?;
        // It may have come free by a hand-over.
        if line.successor().is_some() {
            return Err(replaced());
        }
        let new_turn = own_turn(to, new_line).await?;
        Ok(Some(Self { from, to, turn, new_turn, limits, begun: Instant::now() }))
    }

    fn deadline(&self) -> Instant {
        self.begun + self.limits.hold
    }

    /// None if the old version has no state: it cannot save, or it has no instance since its last call trapped.
    async fn save(&mut self) -> Result<Option<SavedState>, HandOverError> {
        let deadline = self.deadline();
        if !self.from.has_state() || self.turn.thing().is_none() {
            return Ok(None);
        }
        self.check_loads()?;
        let Some(instance) = self.turn.thing() else { return Ok(None) };
        let limits = &self.from.0.shared.limits;
        copy::save(instance, limits, self.limits, deadline).await.map(Some)
    }

    fn check_loads(&self) -> Result<(), HandOverError> {
        if self.to.has_state() {
            return Ok(());
        }
        Err(HandOverError::NoLoadState { to: self.to.name().version.to_string() })
    }

    /// Gives the new version an instance with that state, and with nothing else in it.
    async fn load(&mut self, state: Option<&SavedState>) -> Result<(), HandOverError> {
        let unused = self.new_turn.thing().take().filter(|instance| !instance.has_served());
        let Some(state) = state else {
            *self.new_turn.thing() = unused;
            return Ok(());
        };
        self.check_loads()?;
        let deadline = self.deadline();
        let (to, hold) = (&self.to.0, self.limits.hold);
        let load = pin!(instance_with(to, unused, state, deadline, hold));
        let loaded = match deadline::until(deadline, &to.ticker, None, load).await {
            Ok(loaded) => loaded.map_err(HandOverError::Load)?,
            Err(_) => return Err(HandOverError::TimedOut { action: "load-state", hold }),
        };
        *self.new_turn.thing() = Some(loaded);
        Ok(())
    }

    /// The change itself: from here on all calls run on the new version.
    fn finish(self, state: Option<SavedState>) -> Result<HandedOver, HandOverError> {
        let changed = self.turn.hand_over(self.new_turn, self.to.clone());
        changed.map_err(|_| HandOverError::Refused {
            from: self.from.name().version.to_string(),
            to: self.to.name().version.to_string(),
            reason: "the new version has been retired",
        })?;
        Ok(HandedOver { held: self.begun.elapsed(), state })
    }
}

/// An instance of `version` with a state, and with nothing else in it.
async fn instance_with(
    version: &Inner,
    unused: Option<Box<Instance>>,
    state: &SavedState,
    deadline: Instant,
    hold: Duration,
) -> Result<Box<Instance>, CallError> {
    let mut instance = match unused {
        Some(instance) => instance,
        None => {
            let route = "load-state".into();
            let begun = Begun { route: &route, depth: 0, track: Track::UNDECIDED, deadline, tape: None };
            version.new_instance(begun, &Chain::default()).await?
        }
    };
    let saved = Saved { schema_version: state.schema_version, bytes: state.bytes.clone() };
    let cpu_ms_max = u32::try_from(hold.as_millis()).unwrap_or(u32::MAX);
    let job = || Job::LoadState { schema_version: saved.schema_version, bytes: Bytes(saved.bytes.clone()) };
    let tape = version.shared.tape(instance.number, &"load-state".into(), job);
    instance.set_tape(tape.clone());
    let outcome = match instance.load_state(&saved, cpu_ms_max).await {
        Ok(loaded) => loaded.map_err(CallError::Failure),
        Err(error) => Err(classify(&error, &version.shared.limits, instance.was_refused_memory())),
    };
    instance.set_tape(None);
    if let Some(tape) = tape {
        tape.end(outcome.as_ref().map(ToValue::to_value));
    }
    outcome.map(|()| instance)
}
