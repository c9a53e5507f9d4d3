//! The clock of the CPU budgets: a thread that advances wasmtime's epoch once a millisecond, and sleeps while no
//! guest runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::Thread;
use std::time::Duration;

use crate::error::EngineError;
use crate::per_thread::PerThread;

/// One tick, the unit of CPU budgets.
const TICK: Duration = Duration::from_millis(1);
/// Ticks without any guest before the thread goes to sleep: long enough that a busy server never pays for waking
/// it, short enough not to count as activity.
const LINGER_TICKS: u32 = 20;

pub(crate) struct Ticker {
    state: Arc<State>,
    thread: Thread,
}

#[derive(Default)]
struct State {
    runs: PerThread<Runs>,
    parked: AtomicBool,
    stopped: AtomicBool,
}

/// Guests that began to run, and that ceased to: two counters, so that the clock sees short runs too.
#[derive(Default)]
struct Runs {
    entered: AtomicU64,
    left: AtomicU64,
}

/// While it lives, the thread ticks.
pub(crate) struct Running<'t>(&'t Runs);

impl Ticker {
    pub(crate) fn start(engine: &wasmtime::Engine) -> Result<Self, EngineError> {
        let state = Arc::new(State::default());
        let (of_thread, engine) = (state.clone(), engine.weak());
        let thread = std::thread::Builder::new()
            .name("epoch".into())
            .stack_size(64 << 10)
            .spawn(move || of_thread.run(|| engine.upgrade().map(|engine| engine.increment_epoch())))
            .map_err(|error| EngineError::Setup(format!("no thread for the CPU budgets: {error}")))?;
        Ok(Self { state, thread: thread.thread().clone() })
    }

    /// To be held while guest code may run on this thread.
    pub(crate) fn enter(&self) -> Running<'_> {
        let runs = self.state.runs.own();
        runs.entered.fetch_add(1, Ordering::SeqCst);
        // Either the thread sees `entered` before it parks, or this sees `parked`: all four are SeqCst.
        if self.state.parked.load(Ordering::SeqCst) {
            self.state.parked.store(false, Ordering::SeqCst);
            self.thread.unpark();
        }
        Running(runs)
    }

    #[cfg(test)]
    fn is_parked(&self) -> bool {
        self.state.parked.load(Ordering::SeqCst)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.left.fetch_add(1, Ordering::Release);
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.state.stopped.store(true, Ordering::SeqCst);
        self.thread.unpark();
    }
}

impl State {
    /// Ends when the ticker is dropped, or when there is nothing left to tick for.
    fn run(&self, tick: impl Fn() -> Option<()>) {
        let (mut seen, mut quiet) = (0, 0);
        while !self.stopped.load(Ordering::SeqCst) {
            std::thread::sleep(TICK);
            if tick().is_none() {
                return;
            }
            // In this order: who has left when the first sum is made has entered when the second is.
            let left: u64 = self.runs.iter().map(|runs| runs.left.load(Ordering::Acquire)).sum();
            let entered = self.entered();
            let idle = entered == seen && left == entered;
            quiet = if idle { quiet + 1 } else { 0 };
            seen = entered;
            if quiet >= LINGER_TICKS {
                self.sleep(seen);
                quiet = 0;
            }
        }
    }

    fn entered(&self) -> u64 {
        self.runs.iter().map(|runs| runs.entered.load(Ordering::SeqCst)).sum()
    }

    fn sleep(&self, seen: u64) {
        self.parked.store(true, Ordering::SeqCst);
        if self.entered() != seen {
            self.parked.store(false, Ordering::SeqCst);
        }
        while self.parked.load(Ordering::SeqCst) && !self.stopped.load(Ordering::SeqCst) {
            std::thread::park();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    fn wait_until(condition: impl Fn() -> bool) {
        let start = Instant::now();
        while !condition() {
            assert!(start.elapsed() < Duration::from_secs(5), "nothing happened for 5 s");
            std::thread::yield_now();
        }
    }

    fn counting() -> (Ticker, Arc<AtomicU64>) {
        let ticks = Arc::new(AtomicU64::new(0));
        let state = Arc::new(State::default());
        let (of_thread, counted) = (state.clone(), ticks.clone());
        let thread = std::thread::spawn(move || {
            of_thread.run(|| {
                counted.fetch_add(1, Ordering::SeqCst);
                Some(())
            });
        });
        (Ticker { state, thread: thread.thread().clone() }, ticks)
    }

    #[test]
    fn it_sleeps_while_no_guest_runs() {
        let (ticker, ticks) = counting();
        wait_until(|| ticker.is_parked());
        let before = ticks.load(Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(30));
        assert_eq!(ticks.load(Ordering::SeqCst), before, "a tick while nothing runs");
    }

    #[test]
    fn it_wakes_for_a_guest_and_goes_on_while_it_runs() {
        let (ticker, ticks) = counting();
        for _ in 0..3 {
            wait_until(|| ticker.is_parked());
            let before = ticks.load(Ordering::SeqCst);
            let running = ticker.enter();
            wait_until(|| ticks.load(Ordering::SeqCst) > before + u64::from(2 * LINGER_TICKS));
            drop(running);
        }
    }
}
