//! The end of a version that another one has replaced.

use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use shaddock_handover::{Cutoff, Watch};
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::per_thread::PerThread;
use crate::plugin::{Places, Plugin};

/// What a version needs to be ended.
#[derive(Default)]
pub(crate) struct Ending {
    /// Ends the calls that wait for something. By thread, so that they share nothing.
    cutoffs: PerThread<Cutoff>,
    /// Dropped with the version.
    gone: Mutex<Option<oneshot::Sender<()>>>,
}

/// Watches for the end on behalf of one call.
pub(crate) struct EndWatch<'e> {
    of: &'e Ending,
    watch: Option<Watch<'e>>,
}

impl Ending {
    /// Costs nothing until the call waits.
    pub(crate) fn watch(&self) -> EndWatch<'_> {
        EndWatch { of: self, watch: None }
    }

    fn cut(&self) {
        self.cutoffs.iter().for_each(Cutoff::cut);
    }
}

impl EndWatch<'_> {
    pub(crate) fn poll_over(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.watch.get_or_insert_with(|| self.of.cutoffs.own().watch()).poll_over(context)
    }
}

impl Plugin {
    /// Ends this version, which another one has replaced: idle instances go at once, those that run when their call
    /// ends. When `grace` is over, calls that still run or wait here end with
    /// [`CallError::Replaced`](crate::CallError::Replaced), and new ones are refused with it. Nothing but the calls
    /// holds the version while this waits, so it goes with the last of them, which ends this, too.
    ///
    /// Calls that follow a hand-over to another version are not concerned. The only instance of a stateful plugin that
    /// has not handed over stays until `grace` is over.
    ///
    /// There is no way back: load the component again. If the returned future is dropped early, nothing is cut off.
    pub async fn retire(self, grace: Duration) {
        if let Places::Many(pool) = &self.0.places {
            pool.begin_to_end();
        }
        let (sender, gone) = oneshot::channel();
        *self.0.ending.gone.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender);
        let version = Arc::downgrade(&self.0);
        drop(self);
        if timeout(grace, gone).await.is_ok() {
            return;
        }
        let Some(version) = version.upgrade() else { return };
        match &version.places {
            Places::Many(pool) => pool.close(),
            Places::Crowd(crowd) => crowd.close(),
            Places::One(line) => line.close(),
        }
        version.ending.cut();
    }
}
