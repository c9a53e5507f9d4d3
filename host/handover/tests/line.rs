//! Who gets the thing, when nothing happens at the same time.
#![cfg(not(loom))]
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "tests")]

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, Waker};

use shaddock_handover::{Cutoff, Entry, IsClosed, Refused, Turn, Waiting};

type Line = shaddock_handover::Line<Option<&'static str>, Arc<Version>>;

struct Version {
    line: Line,
}

fn version(name: &'static str, first_turn: u64) -> Arc<Version> {
    Arc::new(Version { line: Line::new(Some(name), first_turn) })
}

fn turn(version: &Version) -> Turn<Option<&'static str>, Arc<Version>> {
    match version.line.enter(&[], 9) {
        Ok(Entry::Turn(turn)) => turn,
        _ => panic!("it is not free"),
    }
}

fn wait(version: &Version) -> Box<Waiting<Option<&'static str>, Arc<Version>>> {
    match version.line.enter(&[], 9) {
        Ok(Entry::Wait(waiting)) => Box::new(waiting),
        _ => panic!("nobody is there to wait for"),
    }
}

fn poll<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    std::pin::Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// The thing that one who waited has got, and the turn is over.
fn got(waiting: &mut Waiting<Option<&'static str>, Arc<Version>>) -> Option<&'static str> {
    match poll(waiting) {
        Poll::Ready(Ok(mut turn)) => *turn.thing(),
        Poll::Ready(Err(IsClosed)) => panic!("the line was closed"),
        Poll::Pending => panic!("it is not its turn yet"),
    }
}

#[test]
fn turns_go_in_the_order_of_coming_and_leaving_costs_nobody_his_turn() {
    let a = version("a", 0);
    let first = turn(&a);
    let (mut second, third, mut fourth) = (wait(&a), wait(&a), wait(&a));
    assert!(poll(&mut second).is_pending() && poll(&mut fourth).is_pending());
    drop(third);
    drop(first);
    assert!(poll(&mut fourth).is_pending());
    assert_eq!(got(&mut second), Some("a"));
    drop(second);
    assert_eq!(got(&mut fourth), Some("a"));
    // One who leaves after it was granted gives it on.
    let first = turn(&a);
    let (second, mut third) = (wait(&a), wait(&a));
    drop(first);
    drop(second);
    assert_eq!(got(&mut third), Some("a"));
}

#[test]
fn a_line_is_bounded_and_nobody_waits_for_himself() {
    let a = version("a", 41);
    let first = turn(&a);
    assert_eq!(first.id(), 42);
    let _second = wait(&a);
    assert_eq!(a.line.enter(&[], 1).err(), Some(Refused::Full));
    assert_eq!(a.line.enter(&[7, 42], 9).err(), Some(Refused::Reentered));
}

#[test]
fn who_waits_goes_on_at_the_successor_in_order() {
    let (a, b) = (version("a", 0), version("b", 1 << 32));
    let first = turn(&a);
    let (mut second, third, mut fourth) = (wait(&a), wait(&a), wait(&a));
    let of_b = turn(&b);
    let mut already_there = wait(&b);
    first.hand_over(of_b, b.clone()).unwrap();
    drop(third);
    let Ok(Entry::Successor(next)) = a.line.enter(&[], 9) else { panic!("a has a successor") };
    let mut late = wait(&next);
    for waiting in [&mut second, &mut fourth, &mut already_there, &mut late] {
        assert_eq!(got(waiting), Some("b"));
    }
    assert_eq!(a.line.look(Option::is_some), Some(false), "its thing is dropped");
}

#[test]
fn the_way_back_is_the_same() {
    let (a, b, c) = (version("a", 0), version("b", 1 << 32), version("c", 2 << 32));
    turn(&a).hand_over(turn(&b), b.clone()).unwrap();
    let of_b = turn(&b);
    let mut waits = wait(&b);
    let Ok(Entry::Turn(mut of_a)) = a.line.enter_here() else { panic!("nobody has it") };
    *of_a.thing() = Some("a again");
    of_b.hand_over(of_a, a.clone()).unwrap();
    assert_eq!(got(&mut waits), Some("a again"));
    assert!(matches!(b.line.enter(&[], 9), Ok(Entry::Successor(next)) if Arc::ptr_eq(&next, &a)));
    turn(&a).hand_over(turn(&c), c.clone()).unwrap();
    assert!(matches!(a.line.enter(&[], 9), Ok(Entry::Successor(next)) if Arc::ptr_eq(&next, &c)));
}

#[test]
fn a_closed_line_refuses_but_still_names_its_successor() {
    let (a, b) = (version("a", 0), version("b", 1 << 32));
    let first = turn(&a);
    let mut second = wait(&a);
    b.line.close();
    assert_eq!(b.line.enter(&[], 9).err(), Some(Refused::Closed));
    assert_eq!(b.line.look(Option::is_some), Some(false), "its thing is dropped");
    a.line.close();
    assert!(matches!(poll(&mut second), Poll::Ready(Err(IsClosed))));
    drop(first);
    assert_eq!(a.line.look(Option::is_some), Some(false), "so is that of the last turn");
    let (c, d) = (version("c", 0), version("d", 1 << 32));
    turn(&c).hand_over(turn(&d), d.clone()).unwrap();
    c.line.close();
    assert!(matches!(c.line.enter(&[], 9), Ok(Entry::Successor(_))));
}

#[test]
fn a_hand_over_to_a_line_that_was_closed_changes_nothing() {
    let (a, b) = (version("a", 0), version("b", 1 << 32));
    let first = turn(&a);
    let mut second = wait(&a);
    let of_b = turn(&b);
    b.line.close();
    assert_eq!(first.hand_over(of_b, b.clone()), Err(IsClosed));
    assert_eq!(got(&mut second), Some("a"));
}

#[test]
fn a_cut_reaches_those_who_watch_and_those_who_come_later() {
    struct Count(AtomicU32);
    impl std::task::Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let cutoff = Cutoff::default();
    let count = Arc::new(Count(AtomicU32::new(0)));
    let waker = count.clone().into();
    let mut context = Context::from_waker(&waker);
    let (mut first, mut gone, mut third) = (cutoff.watch(), cutoff.watch(), cutoff.watch());
    assert!(first.poll_over(&mut context).is_pending());
    assert!(first.poll_over(&mut context).is_pending(), "once more is the same place");
    assert!(gone.poll_over(&mut context).is_pending());
    drop(gone);
    assert!(third.poll_over(&mut context).is_pending());
    cutoff.cut();
    assert_eq!(count.0.load(Ordering::Relaxed), 2);
    assert!(first.poll_over(&mut context).is_ready() && cutoff.watch().poll_over(&mut context).is_ready());
}
