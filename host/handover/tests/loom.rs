//! Every order in which calls, a hand-over and an end can meet: `RUSTFLAGS="--cfg loom" cargo test --release`.
#![cfg(loom)]
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "tests")]

use loom::future::block_on;
use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use loom::sync::{Arc, Mutex};
use loom::thread;
use shaddock_handover::{Current, Cutoff, Entry, Refused, Turn};

/// What stands for an instance: how many calls its state has seen.
type Line = shaddock_handover::Line<Option<usize>, Arc<Version>>;

/// What stands for a loaded plugin.
struct Version {
    line: Line,
    running: AtomicUsize,
    /// No call may begin here any more.
    is_over: AtomicBool,
    drops: Arc<AtomicUsize>,
}

impl Version {
    fn new(first_turn: u64, drops: &Arc<AtomicUsize>) -> Arc<Self> {
        let (running, is_over) = (AtomicUsize::new(0), AtomicBool::new(false));
        Arc::new(Self { line: Line::new(Some(0), first_turn), running, is_over, drops: drops.clone() })
    }

    /// One call: what it finds decides where it runs.
    fn call(first: &Arc<Self>) -> Result<(), Refused> {
        let mut version = first.clone();
        let mut turn = loop {
            match version.line.enter(&[], 9)? {
                Entry::Turn(turn) => break turn,
                Entry::Wait(waiting) => break block_on(waiting).map_err(|_| Refused::Closed)?,
                Entry::Successor(next) => version = next,
            }
        };
        // While it has its turn nobody can hand over from there.
        while !turn.is_of(&version.line) {
            version = version.line.successor().unwrap();
        }
        assert_eq!(version.running.fetch_add(1, Ordering::SeqCst), 0, "two calls in one instance");
        assert!(!version.is_over.load(Ordering::SeqCst), "a call has begun on the old version");
        *turn.thing().as_mut().unwrap() += 1;
        version.running.fetch_sub(1, Ordering::SeqCst);
        Ok(())
    }

    /// Waits for the turn, saves, loads, and lets `to` succeed.
    fn hand_over(from: &Arc<Self>, to: &Arc<Self>) {
        hand_over(own_turn(&from.line), own_turn(&to.line), to);
        from.is_over.store(true, Ordering::SeqCst);
    }

    fn state(&self) -> usize {
        self.line.look(|state| state.unwrap()).unwrap()
    }
}

impl Drop for Version {
    fn drop(&mut self) {
        assert_eq!(self.running.load(Ordering::SeqCst), 0, "dropped under a call");
        self.drops.fetch_add(1, Ordering::SeqCst);
    }
}

type OwnTurn = Turn<Option<usize>, Arc<Version>>;

fn own_turn(line: &Line) -> OwnTurn {
    let turn = match line.enter_here().ok().unwrap() {
        Entry::Turn(turn) => turn,
        Entry::Wait(waiting) => block_on(waiting).ok().unwrap(),
        Entry::Successor(_) => panic!("nobody was to be told a successor"),
    };
    assert!(turn.is_of(line));
    turn
}

/// Saves, loads, and lets the new one succeed the old one.
fn hand_over(mut from: OwnTurn, mut to: OwnTurn, next: &Arc<Version>) {
    *to.thing() = *from.thing();
    from.hand_over(to, next.clone()).unwrap();
}

fn model(preemptions: usize, test: impl Fn() + Sync + Send + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(preemptions);
    model.check(test);
}

/// Each call is counted once, by the old version before the hand-over or by the new one after it, and the count is what
/// was handed over; the old version goes once, after its last call.
#[test]
fn no_call_is_lost_and_none_runs_twice() {
    model(3, || {
        let (old_drops, new_drops) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (old, new) = (Version::new(0, &old_drops), Version::new(1 << 32, &new_drops));
        let current = Arc::new(Mutex::new(old.clone()));
        let callers: Vec<_> = (0..2)
            .map(|_| {
                let current = current.clone();
                thread::spawn(move || {
                    let version = current.lock().unwrap().clone();
                    Version::call(&version).unwrap();
                })
            })
            .collect();
        Version::hand_over(&old, &new);
        drop(old);
        *current.lock().unwrap() = new.clone();
        for caller in callers {
            caller.join().unwrap();
        }
        assert_eq!(new.state(), 2);
        assert_eq!(old_drops.load(Ordering::SeqCst), 1);
        assert_eq!(new_drops.load(Ordering::SeqCst), 0);
    });
}

/// A call gives up while the hand-over moves it: its turn, if it had got one, is the next one's.
#[test]
fn a_call_that_gives_up_takes_nothing_with_it() {
    model(3, || {
        let drops = Arc::new(AtomicUsize::new(0));
        let (old, new) = (Version::new(0, &drops), Version::new(1 << 32, &drops));
        let turn = own_turn(&old.line);
        let Ok(Entry::Wait(gives_up)) = old.line.enter(&[], 9) else { panic!("the turn is taken") };
        let leaver = thread::spawn(move || drop(gives_up));
        let caller = thread::spawn({
            let old = old.clone();
            move || Version::call(&old).unwrap()
        });
        let mut of_new = own_turn(&new.line);
        *of_new.thing() = Some(0);
        turn.hand_over(of_new, new.clone()).unwrap();
        leaver.join().unwrap();
        caller.join().unwrap();
        assert_eq!(new.state(), 1);
    });
}

/// Hand-overs there and back at the same time as a call.
#[test]
fn the_way_back_loses_nothing_either() {
    model(2, || {
        let drops = Arc::new(AtomicUsize::new(0));
        let (old, new) = (Version::new(0, &drops), Version::new(1 << 32, &drops));
        let caller = thread::spawn({
            let old = old.clone();
            move || Version::call(&old).unwrap()
        });
        hand_over(own_turn(&old.line), own_turn(&new.line), &new);
        hand_over(own_turn(&new.line), own_turn(&old.line), &old);
        caller.join().unwrap();
        assert_eq!(old.state(), 1);
        // The two name each other no more than once.
        drop((old, new));
        assert_eq!(drops.load(Ordering::SeqCst), 2);
    });
}

/// After the end nobody gets a turn, and everybody who waited is told.
#[test]
fn a_closed_line_lets_nobody_wait_for_ever() {
    model(3, || {
        let drops = Arc::new(AtomicUsize::new(0));
        let version = Version::new(0, &drops);
        let turn = own_turn(&version.line);
        let caller = thread::spawn({
            let version = version.clone();
            move || Version::call(&version)
        });
        let closer = thread::spawn({
            let version = version.clone();
            move || {
                version.line.close();
                assert_eq!(Version::call(&version), Err(Refused::Closed));
            }
        });
        drop(turn);
        let _served_or_refused = caller.join().unwrap();
        closer.join().unwrap();
        drop(version);
        assert_eq!(drops.load(Ordering::SeqCst), 1);
    });
}

/// Whoever watches learns of the cut, whenever he has begun.
#[test]
fn a_cut_reaches_everybody() {
    model(3, || {
        let cutoff = Arc::new(Cutoff::default());
        let watchers: Vec<_> = (0..2)
            .map(|_| {
                let cutoff = cutoff.clone();
                thread::spawn(move || {
                    let mut watch = cutoff.watch();
                    block_on(std::future::poll_fn(|context| watch.poll_over(context)));
                })
            })
            .collect();
        cutoff.cut();
        for watcher in watchers {
            watcher.join().unwrap();
        }
    });
}

/// An edition: what a call finds in it, and how often it was dropped.
struct Edition {
    number: u64,
    drops: Arc<AtomicUsize>,
}

impl Drop for Edition {
    fn drop(&mut self) {
        self.drops.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn a_call_runs_on_what_was_current_when_it_looked_and_the_last_one_drops_it() {
    model(3, || {
        let drops: Arc<AtomicUsize> = Arc::default();
        let current = Arc::new(Current::default());
        current.set(Edition { number: 1, drops: drops.clone() });
        let calls = (0..2).map(|_| {
            let current = current.clone();
            thread::spawn(move || {
                let serial = current.serial();
                let edition = current.get().unwrap();
                assert!(edition.number >= serial, "found {} after change {serial}", edition.number);
                thread::yield_now();
                let dropped = edition.drops.load(Ordering::SeqCst);
                assert!(dropped < edition.number as usize, "{dropped} dropped while {} runs", edition.number);
            })
        });
        let calls: Vec<_> = calls.collect();
        current.set(Edition { number: 2, drops: drops.clone() });
        assert_eq!(current.look(|now| now.unwrap().number), 2, "who comes now finds the new one");
        for call in calls {
            call.join().unwrap();
        }
        assert_eq!(
            drops.load(Ordering::SeqCst),
            1,
            "the one before is dropped once, when its last call has ended"
        );
        drop(current);
        assert_eq!(drops.load(Ordering::SeqCst), 2);
    });
}
