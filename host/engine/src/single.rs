//! The line in front of the only instance of a plugin with policy `single`.
//!
//! Everyone waits in order; a call that would wait for itself is told by its chain. When another version takes the place
//! of the plugin, calls that wait or come later go on there.

use std::time::Duration;

use shaddock_handover::{Entry, IsClosed, Refused};
use tokio::time::{Instant, timeout_at};

use crate::error::CallError;
use crate::host::Call;
use crate::instance::Instance;
use crate::plugin::Plugin;
use crate::settings::PluginLimits;

/// The line of one version. Nobody has an instance if the last one was thrown away.
pub(crate) type Line = shaddock_handover::Line<Option<Box<Instance>>, Plugin>;
/// The only place.
pub(crate) type Turn = shaddock_handover::Turn<Option<Box<Instance>>, Plugin>;
type Waiting = shaddock_handover::Waiting<Option<Box<Instance>>, Plugin>;

/// The first instance is the one that the first call gets.
pub(crate) fn line(first: Box<Instance>) -> Line {
    Line::new(Some(first), first_call_id())
}

/// Waits for a turn in a line or in that of a successor, at most until `deadline`. Also answers the successor, if the
/// turn is one of its line.
pub(crate) async fn turn(
    line: &Line,
    limits: &PluginLimits,
    call: &Call,
    now: Instant,
    deadline: Instant,
) -> Result<(Turn, Option<Plugin>), CallError> {
    let waiting_max = usize::try_from(limits.queued_calls_max).unwrap_or(usize::MAX);
    let mut version: Option<Plugin> = None;
    let turn = loop {
        let line = version.as_ref().and_then(Plugin::line).unwrap_or(line);
        match line.enter(call.chain.ids(), waiting_max) {
            Ok(Entry::Turn(turn)) => break turn,
            Ok(Entry::Wait(waiting)) => break wait(waiting, limits, now, deadline).await?,
            Ok(Entry::Successor(next)) => version = Some(next),
            Err(refused) => return Err(error(refused)),
        }
    };
    // The line that it waited in may have been succeeded in the meantime.
    loop {
        let line = version.as_ref().and_then(Plugin::line).unwrap_or(line);
        match line.successor() {
            Some(next) if !turn.is_of(line) => version = Some(next),
            _ => return Ok((turn, version)),
        }
    }
}

async fn wait(
    waiting: Waiting,
    limits: &PluginLimits,
    now: Instant,
    deadline: Instant,
) -> Result<Turn, CallError> {
    let until = deadline.min(now + Duration::from_millis(limits.queue_ms_max));
    match timeout_at(until, waiting).await {
        Ok(Ok(turn)) => Ok(turn),
        Ok(Err(IsClosed)) => Err(CallError::Replaced { begun: false }),
        Err(_) if Instant::now() >= deadline => Err(CallError::Deadline),
        Err(_) => Err(CallError::Overloaded("no instance became free in time")),
    }
}

fn error(refused: Refused) -> CallError {
    match refused {
        Refused::Closed => CallError::Replaced { begun: false },
        Refused::Full => CallError::Overloaded("too many calls wait for an instance"),
        Refused::Reentered => CallError::Reentered,
    }
}

/// Ids are compared with ids from other servers, so each process counts from a place of its own.
fn first_call_id() -> u64 {
    let mut bytes = [0; 8];
    match getrandom::fill(&mut bytes) {
        Ok(()) => u64::from_le_bytes(bytes) >> 1,
        Err(_) => u64::from(std::process::id()) << 32,
    }
}
