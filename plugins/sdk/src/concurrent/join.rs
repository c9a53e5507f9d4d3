//! Many waits at once.

use std::future::poll_fn;
use std::task::Poll;

/// Runs futures side by side until all are done; answers what came of each, in their order.
pub async fn join_all<F: Future>(futures: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    let mut running: Vec<_> = futures.into_iter().map(|future| (Box::pin(future), None)).collect();
    poll_fn(|context| {
        let mut is_waiting = false;
        for (future, output) in running.iter_mut().filter(|(_, output)| output.is_none()) {
            match future.as_mut().poll(context) {
                Poll::Ready(done) => *output = Some(done),
                Poll::Pending => is_waiting = true,
            }
        }
        if is_waiting { Poll::Pending } else { Poll::Ready(()) }
    })
    .await;
    running.into_iter().filter_map(|(_, output)| output).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::pin::pin;
    use std::task::{Context, Waker};

    /// Waits once, and notes when it goes on.
    async fn nap(name: &'static str, seen: &RefCell<Vec<&'static str>>) -> usize {
        let mut is_first = true;
        seen.borrow_mut().push(name);
        poll_fn(|_| if std::mem::take(&mut is_first) { Poll::Pending } else { Poll::Ready(()) }).await;
        seen.borrow_mut().push(name);
        name.len()
    }

    #[test]
    fn all_begin_before_any_ends_and_answer_in_their_order() {
        let seen = RefCell::new(Vec::new());
        let mut joined = pin!(join_all([nap("a", &seen), nap("bc", &seen)]));
        let mut context = Context::from_waker(Waker::noop());
        assert_eq!(joined.as_mut().poll(&mut context), Poll::Pending);
        assert_eq!(*seen.borrow(), ["a", "bc"]);
        assert_eq!(joined.as_mut().poll(&mut context), Poll::Ready(vec![1, 2]));
        assert_eq!(*seen.borrow(), ["a", "bc", "a", "bc"]);
    }

    #[test]
    fn nothing_to_wait_for_is_done_at_once() {
        let mut joined = pin!(join_all(Vec::<std::future::Ready<()>>::new()));
        assert_eq!(joined.as_mut().poll(&mut Context::from_waker(Waker::noop())), Poll::Ready(vec![]));
    }
}
