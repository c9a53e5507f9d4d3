//! Calls between servers over real links: answers, order, failures, limits.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant as WallInstant},
};

use bytes::Bytes;
use shaddock_cluster::{Cluster as _, Instant, Members, Reply, RpcError, Service};
use support::{Echo, Net, begin, call, collector, in_ms, member, text, until};
use tokio::net::{TcpListener, TcpStream};

#[tokio::test]
async fn a_request_is_answered_and_a_notify_delivered() {
    let net = Net::new(&["a-1", "b-1"]).await;
    let (a, b) = (net.start("a-1").await, net.start("b-1").await);
    assert_eq!(call(&a, "b-1", "hello").await, "hello");
    assert_eq!(call(&b, "a-1", "and back").await, "and back");
    a.cluster.notify("b-1", Bytes::from_static(b"news")).unwrap();
    until("the notify arrives", || b.echo.seen().contains(&"notify a-1 news".to_owned())).await;
    assert_eq!(a.echo.seen(), ["request b-1 and back"]);
}

#[tokio::test]
async fn failures_of_the_service_reach_the_caller() {
    let net = Net::new(&["a-1", "b-1"]).await;
    let (a, _b) = (net.start("a-1").await, net.start("b-1").await);
    assert_eq!(call(&a, "b-1", "refuse").await, "Refused(\"not today\")");
    let dropped = call(&a, "b-1", "drop").await;
    assert!(dropped.contains("without an answer"), "{dropped}");
    assert_eq!(call(&a, "b-1", "still there").await, "still there");
}

#[tokio::test]
async fn a_service_that_panics_costs_its_link_and_nothing_more() {
    let net = Net::new(&["a-1", "b-1"]).await;
    let (a, _b) = (net.start("a-1").await, net.start("b-1").await);
    assert_eq!(call(&a, "b-1", "panic").await, "LinkLost");
    assert_eq!(call(&a, "b-1", "again").await, "again");
}

#[tokio::test]
async fn unknown_servers_and_passed_deadlines_fail_at_once() {
    let net = Net::new(&["a-1", "b-1"]).await;
    let a = net.start("a-1").await;
    assert_eq!(call(&a, "c-1", "x").await, "UnknownServer");
    assert_eq!(a.cluster.notify("c-1", Bytes::new()), Err(RpcError::UnknownServer));
    for to in ["b-1", "a-1"] {
        let mut outcome = begin(&a.cluster, to, "x", Instant::now());
        assert_eq!(text(outcome.try_recv().unwrap()), "TimedOut");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn order_is_kept_under_load_in_both_directions() {
    order_is_kept(Duration::ZERO).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn order_is_kept_under_load_by_links_that_buffer() {
    order_is_kept(Duration::from_millis(3)).await;
}

async fn order_is_kept(buffer: Duration) {
    const CALLS: usize = 20_000;
    let mut net = Net::new(&["a-1", "b-1"]).await;
    net.settings.buffer = buffer;
    let (a, b) = (net.start("a-1").await, net.start("b-1").await);
    // Both start at the same time, so that both open a link.
    let drive = |server: &support::Server, to: &'static str| {
        let cluster = Arc::clone(&server.cluster);
        tokio::task::spawn_blocking(move || {
            let (sender, receiver) = collector();
            for n in 0..CALLS {
                let sender = sender.clone();
                let body = Bytes::from(n.to_string());
                if n % 3 == 0 {
                    while cluster.notify(to, body.clone()) == Err(RpcError::Overloaded) {
                        std::thread::yield_now();
                    }
                } else {
                    let done = Box::new(move |outcome| sender.send(text(outcome)).unwrap());
                    cluster.request(to, body, in_ms(20_000), done);
                }
                if n % 1000 == 0 {
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
            drop(sender);
            receiver.into_iter().collect::<Vec<_>>()
        })
    };
    let (from_a, from_b) = (drive(&a, "b-1"), drive(&b, "a-1"));
    let answers: Vec<String> = (0..CALLS).filter(|n| n % 3 != 0).map(|n| n.to_string()).collect();
    assert!(from_a.await.unwrap() == answers, "the answers to a came in another order");
    assert!(from_b.await.unwrap() == answers, "the answers to b came in another order");
    for (echo, from) in [(&b.echo, "a-1"), (&a.echo, "b-1")] {
        until("the last message is there", || echo.seen.lock().unwrap().len() == CALLS).await;
        let expected: Vec<String> = (0..CALLS)
            .map(|n| format!("{} {from} {n}", if n % 3 == 0 { "notify" } else { "request" }))
            .collect();
        assert!(echo.seen() == expected, "messages from {from} came in another order");
    }
}

/// Two servers that buffer for an hour, with a link between them.
async fn buffering() -> (support::Server, support::Server) {
    let mut net = Net::new(&["a-1", "b-1"]).await;
    net.settings.buffer = Duration::from_secs(3600);
    let (a, b) = (net.start("a-1").await, net.start("b-1").await);
    // the first message waits for the link as well, and goes when a large one comes behind it
    a.cluster.notify("b-1", Bytes::from_static(b"first")).unwrap();
    a.cluster.notify("b-1", Bytes::from(vec![b'x'; 64 * 1024])).unwrap();
    until("the link is there", || b.echo.seen().len() == 2).await;
    (a, b)
}

#[tokio::test]
async fn a_link_that_buffers_lets_little_wait_and_writes_much_at_once() {
    let (a, b) = buffering().await;
    for n in 0..100 {
        a.cluster.notify("b-1", Bytes::from(n.to_string())).unwrap();
        tokio::task::yield_now().await;
    }
    assert_eq!(b.echo.seen().len(), 2, "they wait");
    a.cluster.notify("b-1", Bytes::from(vec![b'y'; 64 * 1024])).unwrap();
    until("all have come", || b.echo.seen().len() == 103).await;
    let expected: Vec<_> = (0..100).map(|n| format!("notify a-1 {n}")).collect();
    assert_eq!(b.echo.seen()[2..102], expected);
}

#[tokio::test]
async fn what_a_link_has_buffered_is_written_when_it_is_closed() {
    let (a, b) = buffering().await;
    a.cluster.notify("b-1", Bytes::from_static(b"last")).unwrap();
    a.cluster.close().await;
    until("the last message has come", || b.echo.seen().last().unwrap() == "notify a-1 last").await;
}

#[tokio::test]
async fn a_call_that_is_buffered_ends_at_its_deadline() {
    let (a, b) = buffering().await;
    assert_eq!(text(begin(&a.cluster, "b-1", "late", in_ms(50)).await.unwrap()), "TimedOut");
    // what is written after the deadline is not started over there
    a.cluster.notify("b-1", Bytes::from(vec![b'y'; 64 * 1024])).unwrap();
    until("the notify has come", || b.echo.seen().len() == 3).await;
    assert!(b.echo.deadlines.lock().unwrap().is_empty());
}

/// Sends three notifies before each answer.
struct PushThenAnswer {
    cluster: Mutex<Option<Arc<shaddock_cluster::direct::DirectCluster>>>,
}

impl Service for PushThenAnswer {
    fn request(&self, from: &Arc<str>, body: Bytes, _: Instant, reply: Reply) {
        let cluster = self.cluster.lock().unwrap().clone().unwrap();
        for _ in 0..3 {
            cluster.notify(from, body.clone()).unwrap();
        }
        reply.send(body);
    }

    fn notify(&self, _: &Arc<str>, _: Bytes) {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_notify_sent_before_an_answer_arrives_before_it() {
    let net = Net::new(&["a-1", "b-1"]).await;
    let a = net.start("a-1").await;
    let service = Arc::new(PushThenAnswer { cluster: Mutex::default() });
    let b = net.start_with("b-1", Arc::<PushThenAnswer>::clone(&service), Arc::default()).await;
    *service.cluster.lock().unwrap() = Some(Arc::clone(&b.cluster));
    for n in 0..200_usize {
        let (echo, cluster) = (Arc::clone(&a.echo), Arc::clone(&a.cluster));
        let (sender, receiver) = tokio::sync::oneshot::channel();
        // Counted inside the completion: what came before the answer.
        let done = Box::new(move |_| {
            let _ = sender.send(echo.seen.lock().unwrap().len());
        });
        cluster.request("b-1", Bytes::from_static(b"x"), in_ms(2000), done);
        assert_eq!(receiver.await.unwrap(), 3 * (n + 1));
    }
    *service.cluster.lock().unwrap() = None;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_servers_that_call_each_other_at_once_lose_no_call() {
    for round in 0..40 {
        let net = Net::new(&["a-1", "b-1"]).await;
        let (a, b) = (net.start("a-1").await, net.start("b-1").await);
        let mut calls = Vec::new();
        for n in 0..20 {
            calls.push((n, begin(&a.cluster, "b-1", &n.to_string(), in_ms(3000))));
            calls.push((n, begin(&b.cluster, "a-1", &n.to_string(), in_ms(3000))));
        }
        for (n, outcome) in calls {
            assert_eq!(text(outcome.await.unwrap()), n.to_string(), "round {round}");
        }
        for (echo, from) in [(&a.echo, "b-1"), (&b.echo, "a-1")] {
            let expected: Vec<String> = (0..20).map(|n| format!("request {from} {n}")).collect();
            assert_eq!(echo.seen(), expected, "round {round}");
        }
    }
}

#[tokio::test]
async fn a_killed_peer_fails_its_calls_at_once() {
    let net = Net::new(&["a-1", "b-1"]).await;
    let (a, b) = (net.start("a-1").await, net.start("b-1").await);
    let calls: Vec<_> = (0..10).map(|_| begin(&a.cluster, "b-1", "hold", in_ms(60_000))).collect();
    until("all calls are held", || b.echo.held.lock().unwrap().len() == 10).await;
    let start = WallInstant::now();
    drop(b);
    for outcome in calls {
        assert_eq!(text(outcome.await.unwrap()), "LinkLost");
    }
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_call_ends_at_its_deadline_and_a_late_answer_is_nobodys() {
    let net = Net::new(&["a-1", "b-1"]).await;
    let (a, b) = (net.start("a-1").await, net.start("b-1").await);
    let start = WallInstant::now();
    let long = begin(&a.cluster, "b-1", "hold", in_ms(400));
    assert_eq!(text(begin(&a.cluster, "b-1", "hold", in_ms(60)).await.unwrap()), "TimedOut");
    let took = start.elapsed();
    assert!(took >= Duration::from_millis(60) && took < Duration::from_millis(300), "{took:?}");
    // The answer to the one that is over changes nothing for the other.
    let mut held = std::mem::take(&mut *b.echo.held.lock().unwrap());
    held.pop().unwrap().send(Bytes::from_static(b"late"));
    held.pop().unwrap().send(Bytes::from_static(b"in time"));
    assert_eq!(text(long.await.unwrap()), "in time");
}

#[tokio::test]
async fn the_deadline_travels_with_the_call() {
    let net = Net::new(&["a-1", "b-1"]).await;
    let (a, b) = (net.start("a-1").await, net.start("b-1").await);
    let deadline = in_ms(1500);
    begin(&a.cluster, "b-1", "x", deadline).await.unwrap().unwrap();
    let there = b.echo.deadlines.lock().unwrap()[0];
    let apart = if there > deadline { there - deadline } else { deadline - there };
    assert!(apart < Duration::from_millis(200), "{apart:?}");
}

#[tokio::test]
async fn calls_to_oneself_keep_order_deadlines_and_limits() {
    let mut net = Net::new(&["a-1"]).await;
    net.settings.pending_calls_max = 50;
    let a = net.start("a-1").await;
    let (sender, receiver) = collector();
    for n in 0..40_u32 {
        let sender = sender.clone();
        let done = Box::new(move |outcome| sender.send(text(outcome)).unwrap());
        a.cluster.request("a-1", Bytes::from(n.to_string()), in_ms(2000), done);
        a.cluster.notify("a-1", Bytes::from(n.to_string())).unwrap();
        assert!(a.echo.seen().is_empty(), "a call never runs inside its caller");
    }
    until("all is delivered", || a.echo.seen.lock().unwrap().len() == 80).await;
    let expected: Vec<String> =
        (0..40).flat_map(|n| [format!("request a-1 {n}"), format!("notify a-1 {n}")]).collect();
    assert_eq!(a.echo.seen(), expected);
    drop(sender);
    let answers: Vec<String> = tokio::task::spawn_blocking(|| receiver.into_iter().collect()).await.unwrap();
    assert_eq!(answers, (0..40).map(|n| n.to_string()).collect::<Vec<_>>());

    let held = begin(&a.cluster, "a-1", "hold", in_ms(50));
    assert_eq!(text(held.await.unwrap()), "TimedOut");
    assert_eq!(call(&a, "a-1", "refuse").await, "Refused(\"not today\")");
    let calls: Vec<_> = (0..51).map(|_| begin(&a.cluster, "a-1", "hold", in_ms(60_000))).collect();
    let mut over = 0;
    for mut outcome in calls {
        over += usize::from(matches!(outcome.try_recv(), Ok(Err(RpcError::Overloaded))));
    }
    assert_eq!(over, 1);
}

#[tokio::test]
async fn a_server_without_a_port_calls_but_is_not_called() {
    let net = Net::new(&["a-1", "gate-1"]).await;
    let (a, gate) = (net.start("a-1").await, net.start("gate-1").await);
    assert_eq!(gate.cluster.local_addr(), None);
    assert_eq!(call(&gate, "a-1", "from the gate").await, "from the gate");
    assert_eq!(call(&a, "gate-1", "x").await, "Unreachable");
    assert_eq!(a.cluster.notify("gate-1", Bytes::new()), Err(RpcError::Unreachable));
}

#[tokio::test]
async fn a_server_that_leaves_the_list_answers_what_is_under_way_until_it_is_given_up() {
    let mut net = Net::new(&["a-1", "b-1"]).await;
    net.settings.leaving_timeout = Duration::from_millis(400);
    let (a, b) = (net.start("a-1").await, net.start("b-1").await);
    let held = begin(&a.cluster, "b-1", "hold", in_ms(60_000));
    let for_ever = begin(&a.cluster, "b-1", "hold", in_ms(60_000));
    until("both calls are held", || b.echo.held.lock().unwrap().len() == 2).await;
    a.members.send_replace(Arc::new(Members::new([Arc::clone(net.members.get("a-1").unwrap())])));
    until("it has left", || a.cluster.members().all().len() == 1).await;
    b.echo.held.lock().unwrap().remove(0).send(Bytes::from_static(b"in time"));
    assert_eq!(text(held.await.unwrap()), "in time");
    assert_eq!(text(for_ever.await.unwrap()), "Unreachable", "given up, long before its deadline");
    assert_eq!(call(&a, "b-1", "x").await, "UnknownServer");
    // Its own calls are still answered, over the link that stands.
    assert_eq!(call(&b, "a-1", "leaving").await, "leaving");
    // And it may come back; an old answer does not meet a new call.
    a.members.send_replace(Arc::clone(&net.members));
    until("it is a member again", || a.cluster.members().all().len() == 2).await;
    b.echo.held.lock().unwrap().pop().unwrap().send(Bytes::from_static(b"old"));
    assert_eq!(call(&a, "b-1", "new").await, "new");
}

#[tokio::test]
async fn a_server_that_has_left_is_not_called_over_a_new_link() {
    let net = Net::new(&["a-1", "b-1"]).await;
    let (a, _b) = (net.start("a-1").await, net.start("b-1").await);
    a.members.send_replace(Arc::new(Members::new([Arc::clone(net.members.get("a-1").unwrap())])));
    until("it has left", || a.cluster.members().all().len() == 1).await;
    assert_eq!(call(&a, "b-1", "x").await, "UnknownServer");
}

#[tokio::test]
async fn all_that_are_linked_can_be_asked_whether_they_have_a_port_or_not() {
    let net = Net::new(&["a-1", "b-1", "c-1", "gate-1"]).await;
    let (a, b) = (net.start("a-1").await, net.start("b-1").await);
    let (c, gate) = (net.start("c-1").await, net.start("gate-1").await);
    for server in [&b, &gate] {
        assert_eq!(call(server, "a-1", "x").await, "x");
    }
    let answers = a.cluster.ask_linked(&Bytes::from_static(b"bye"), in_ms(2000)).await;
    assert_eq!(answers, vec![Ok(Bytes::from_static(b"bye")); 2]);
    assert_eq!(
        (b.echo.seen(), gate.echo.seen()),
        (vec!["request a-1 bye".into()], vec!["request a-1 bye".into()])
    );
    assert_eq!(c.echo.seen(), Vec::<String>::new(), "no link was opened for it");
}

#[tokio::test]
async fn calls_that_wait_for_a_link_fail_when_the_server_leaves_and_work_when_it_is_back() {
    // A listener that never answers: the link stays in the making.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut net = Net::new(&["a-1", "b-1"]).await;
    let own = Arc::clone(net.members.get("a-1").unwrap());
    let real = Arc::clone(&net.members);
    let port = silent.local_addr().unwrap().port();
    net.members = Arc::new(Members::new([Arc::clone(&own), member("b-1", Some(port))]));
    let a = net.start("a-1").await;
    let waiting = begin(&a.cluster, "b-1", "x", in_ms(60_000));
    a.members.send_replace(Arc::new(Members::new([own])));
    assert_eq!(text(waiting.await.unwrap()), "Unreachable");
    net.members = Arc::clone(&real);
    let _b = net.start("b-1").await;
    a.members.send_replace(real);
    until("it is a member again", || a.cluster.members().all().len() == 2).await;
    assert_eq!(call(&a, "b-1", "there").await, "there");
}

#[tokio::test]
async fn a_server_at_a_new_address_is_found_there() {
    let net = Net::new(&["a-1", "b-1"]).await;
    let (a, b) = (net.start("a-1").await, net.start("b-1").await);
    assert_eq!(call(&a, "b-1", "old").await, "old");
    let mut moved = Net::new(&["b-1"]).await;
    moved.secret = net.secret.clone();
    let own = Arc::clone(net.members.get("a-1").unwrap());
    let new_b = Arc::clone(moved.members.get("b-1").unwrap());
    let b_again = moved.start("b-1").await;
    let held = begin(&a.cluster, "b-1", "hold", in_ms(60_000));
    until("the call is held", || b.echo.held.lock().unwrap().len() == 1).await;
    a.members.send_replace(Arc::new(Members::new([own, new_b])));
    assert_eq!(text(held.await.unwrap()), "Unreachable");
    assert_eq!(call(&a, "b-1", "new").await, "new");
    assert_eq!(b_again.echo.seen(), ["request a-1 new"]);
}

#[tokio::test]
async fn after_a_failed_attempt_calls_fail_at_once_until_the_pause_is_over() {
    let mut net = Net::new(&["a-1", "b-1"]).await;
    net.settings.backoff_min = Duration::from_millis(400);
    let a = net.start("a-1").await;
    assert_eq!(call(&a, "b-1", "nobody there").await, "Unreachable");
    let b = net.start("b-1").await;
    let mut during = begin(&a.cluster, "b-1", "too early", in_ms(2000));
    assert_eq!(text(during.try_recv().expect("at once")), "Unreachable");
    assert!(b.echo.seen().is_empty());
    tokio::time::sleep(Duration::from_millis(420)).await;
    assert_eq!(call(&a, "b-1", "now").await, "now");
}

#[tokio::test]
async fn a_link_that_the_other_side_opens_ends_the_pause() {
    let mut net = Net::new(&["a-1", "b-1"]).await;
    net.settings.backoff_min = Duration::from_secs(60);
    net.settings.backoff_max = Duration::from_secs(60);
    let a = net.start("a-1").await;
    assert_eq!(call(&a, "b-1", "nobody there").await, "Unreachable");
    let b = net.start("b-1").await;
    assert_eq!(call(&b, "a-1", "here I am").await, "here I am");
    assert_eq!(call(&a, "b-1", "welcome").await, "welcome");
}

#[tokio::test]
async fn a_server_that_was_started_anew_is_called_again() {
    let net = Net::new(&["a-1", "b-1"]).await;
    let (a, b) = (net.start("a-1").await, net.start("b-1").await);
    assert_eq!(call(&a, "b-1", "one").await, "one");
    b.cluster.close().await;
    drop(b);
    let b = net.start("b-1").await;
    // The restarted one calls first, whatever the other side has noticed by then.
    assert_eq!(call(&b, "a-1", "back").await, "back");
    assert_eq!(call(&a, "b-1", "two").await, "two");
}

#[tokio::test]
async fn the_link_of_a_server_that_was_started_anew_replaces_the_one_that_still_stands() {
    let net = Net::new(&["a-1", "b-1"]).await;
    let (a, b) = (net.start("a-1").await, net.start("b-1").await);
    let held = begin(&a.cluster, "b-1", "hold", in_ms(60_000));
    until("the call is held", || b.echo.held.lock().unwrap().len() == 1).await;
    // A second run of b-1, while nothing has told a-1 that the first is gone.
    let mut anew = Net::new(&["b-1"]).await;
    let own = Arc::clone(anew.members.get("b-1").unwrap());
    anew.members = Arc::new(Members::new([own, Arc::clone(net.members.get("a-1").unwrap())]));
    anew.secret = net.secret.clone();
    let b_anew = anew.start("b-1").await;
    assert_eq!(call(&b_anew, "a-1", "anew").await, "anew");
    let lost = tokio::time::timeout(Duration::from_secs(2), held).await.expect("at once");
    assert_eq!(text(lost.unwrap()), "LinkLost");
    // There is one link again, and it is the new one.
    assert_eq!(call(&a, "b-1", "to the new one").await, "to the new one");
    assert_eq!(b_anew.echo.seen(), ["request a-1 to the new one"]);
}

#[tokio::test]
async fn calls_that_wait_for_a_link_are_bounded_in_number_and_bytes() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut net = Net::new(&["a-1"]).await;
    net.settings.connecting_calls_max = 3;
    net.settings.connecting_bytes_max = 5000;
    net.settings.auth_timeout = Duration::from_millis(300);
    let own = Arc::clone(net.members.get("a-1").unwrap());
    let port = silent.local_addr().unwrap().port();
    net.members = Arc::new(Members::new([own, member("b-1", Some(port)), member("c-1", Some(port))]));
    let a = net.start("a-1").await;
    let calls: Vec<_> = (0..3).map(|_| begin(&a.cluster, "b-1", "x", in_ms(5000))).collect();
    let mut over = begin(&a.cluster, "b-1", "x", in_ms(5000));
    assert_eq!(text(over.try_recv().unwrap()), "Overloaded");
    assert_eq!(a.cluster.notify("b-1", Bytes::new()), Err(RpcError::Overloaded));
    assert_eq!(a.cluster.notify("c-1", Bytes::from(vec![0; 4000])), Ok(()));
    assert_eq!(a.cluster.notify("c-1", Bytes::from(vec![0; 4000])), Err(RpcError::Overloaded));
    // A deadline counts while waiting, too; then the attempt fails, and with it the rest.
    for outcome in calls {
        assert_eq!(text(outcome.await.unwrap()), "Unreachable");
    }
}

#[tokio::test]
async fn a_deadline_counts_while_the_link_is_opened() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut net = Net::new(&["a-1"]).await;
    let own = Arc::clone(net.members.get("a-1").unwrap());
    net.members = Arc::new(Members::new([own, member("b-1", Some(silent.local_addr().unwrap().port()))]));
    let a = net.start("a-1").await;
    let start = WallInstant::now();
    assert_eq!(text(begin(&a.cluster, "b-1", "x", in_ms(80)).await.unwrap()), "TimedOut");
    assert!(start.elapsed() < Duration::from_millis(400), "{:?}", start.elapsed());
}

#[tokio::test]
async fn calls_in_flight_are_bounded() {
    let mut net = Net::new(&["a-1", "b-1"]).await;
    net.settings.pending_calls_max = 2;
    let (a, b) = (net.start("a-1").await, net.start("b-1").await);
    assert_eq!(call(&a, "b-1", "open the link").await, "open the link");
    let held: Vec<_> = (0..2).map(|_| begin(&a.cluster, "b-1", "hold", in_ms(5000))).collect();
    assert_eq!(call(&a, "b-1", "one too many").await, "Overloaded");
    until("both are held", || b.echo.held.lock().unwrap().len() == 2).await;
    for reply in std::mem::take(&mut *b.echo.held.lock().unwrap()) {
        reply.send(Bytes::from_static(b"done"));
    }
    for outcome in held {
        assert_eq!(text(outcome.await.unwrap()), "done");
    }
    assert_eq!(call(&a, "b-1", "room again").await, "room again");
}

/// Answers every request with the bytes that it names.
struct Sized;

impl Service for Sized {
    fn request(&self, _: &Arc<str>, body: Bytes, _: Instant, reply: Reply) {
        let len: usize = std::str::from_utf8(&body).unwrap_or_default().parse().unwrap_or(body.len());
        reply.send(Bytes::from(vec![7; len]));
    }

    fn notify(&self, _: &Arc<str>, _: Bytes) {}
}

#[tokio::test]
async fn messages_up_to_the_limit_pass_and_longer_ones_fail_alone() {
    const MAX: usize = 200_000;
    let mut net = Net::new(&["a-1", "b-1"]).await;
    net.settings.message_bytes_max = MAX;
    let a = net.start("a-1").await;
    let _b = net.start_with("b-1", Arc::new(Sized), Arc::default()).await;
    let send = |body: Bytes| {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        a.cluster.request("b-1", body, in_ms(5000), Box::new(move |outcome| drop(sender.send(outcome))));
        receiver
    };
    let longest = MAX - 17;
    assert_eq!(send(vec![255; longest].into()).await.unwrap().unwrap().len(), longest);
    assert_eq!(send(vec![255; longest + 1].into()).await.unwrap(), Err(RpcError::TooLarge));
    assert_eq!(send(longest.to_string().into()).await.unwrap().unwrap().len(), longest);
    assert_eq!(send((longest + 1).to_string().into()).await.unwrap(), Err(RpcError::TooLarge));
    assert_eq!(a.cluster.notify("b-1", vec![0; longest + 1].into()), Err(RpcError::TooLarge));
    assert_eq!(send("5".into()).await.unwrap().unwrap().len(), 5, "the link is as it was");
}

/// Reads nothing from a `block` on until it is let go.
struct Slow {
    requests: Mutex<Vec<Bytes>>,
    go: Mutex<std::sync::mpsc::Receiver<()>>,
}

impl Slow {
    fn new() -> (Arc<Self>, std::sync::mpsc::Sender<()>) {
        let (sender, go) = std::sync::mpsc::channel();
        (Arc::new(Self { requests: Mutex::default(), go: Mutex::new(go) }), sender)
    }
}

/// A server of its own runtime: a blocked worker may be the one that keeps the runtime's clock and sockets.
struct Apart {
    runtime: Option<tokio::runtime::Runtime>,
    server: Option<support::Server>,
}

impl Apart {
    async fn start(net: &Net, id: &str, service: Arc<dyn Service>) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (members, receiver) = tokio::sync::watch::channel(Arc::clone(&net.members));
        let (settings, secret) = (net.settings.clone(), net.secret.clone());
        let own = Arc::clone(net.members.get(id).unwrap());
        let started = runtime
            .spawn(shaddock_cluster::direct::DirectCluster::start(settings, secret, own, service, receiver));
        let cluster = Arc::new(started.await.unwrap().unwrap());
        let server = support::Server { cluster, echo: Arc::default(), members };
        Self { runtime: Some(runtime), server: Some(server) }
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        drop(self.server.take());
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Service for Slow {
    fn request(&self, _: &Arc<str>, body: Bytes, _: Instant, reply: Reply) {
        self.requests.lock().unwrap().push(body.clone());
        reply.send(body);
    }

    fn notify(&self, _: &Arc<str>, body: Bytes) {
        if &*body == b"block" {
            // The limit only ends a test that has failed.
            let _ = self.go.lock().unwrap().recv_timeout(Duration::from_secs(20));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_for_a_slow_server_is_bounded_and_flows_on_later() {
    const BYTES_MAX: usize = 1_000_000;
    let mut net = Net::new(&["a-1", "b-1"]).await;
    net.settings.outbound_bytes_max = BYTES_MAX;
    let a = net.start("a-1").await;
    let (slow, go) = Slow::new();
    let _b = Apart::start(&net, "b-1", slow).await;
    assert_eq!(call(&a, "b-1", "open the link").await, "open the link");
    a.cluster.notify("b-1", Bytes::from_static(b"block")).unwrap();
    let piece = Bytes::from(vec![1; 50_000]);
    let mut sent = 0;
    // More than kernel buffers and queue hold.
    while sent < 2000 && a.cluster.notify("b-1", piece.clone()).is_ok() {
        sent += 1;
        tokio::task::yield_now().await;
    }
    assert!(sent < 2000, "nothing stopped the sender");
    go.send(()).unwrap();
    until("there is room again", || a.cluster.notify("b-1", piece.clone()).is_ok()).await;
    assert_eq!(call(&a, "b-1", "after all that").await, "after all that");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_a_slow_server_gets_too_late_is_not_started() {
    let net = Net::new(&["a-1", "b-1"]).await;
    let (a, (slow, go)) = (net.start("a-1").await, Slow::new());
    let _b = Apart::start(&net, "b-1", Arc::<Slow>::clone(&slow)).await;
    assert_eq!(call(&a, "b-1", "open the link").await, "open the link");
    a.cluster.notify("b-1", Bytes::from_static(b"block")).unwrap();
    // Far more than the kernel holds, in parts, so that the driver is stuck in an early one.
    for _ in 0..30 {
        a.cluster.notify("b-1", Bytes::from(vec![1; 1_000_000])).unwrap();
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let late = begin(&a.cluster, "b-1", "late", in_ms(100));
    let in_time = begin(&a.cluster, "b-1", "in time", in_ms(30_000));
    assert_eq!(text(late.await.unwrap()), "TimedOut");
    go.send(()).unwrap();
    assert_eq!(text(in_time.await.unwrap()), "in time");
    assert_eq!(*slow.requests.lock().unwrap(), ["open the link", "in time"]);
}

#[tokio::test]
async fn close_writes_what_is_queued_and_fails_what_is_in_flight() {
    let net = Net::new(&["a-1", "b-1"]).await;
    let (a, b) = (net.start("a-1").await, net.start("b-1").await);
    assert_eq!(call(&a, "b-1", "open the link").await, "open the link");
    let held = begin(&a.cluster, "b-1", "hold", in_ms(60_000));
    // A request still queued here would be given up by the close and not be started.
    until("the call is held", || b.echo.held.lock().unwrap().len() == 1).await;
    for n in 0..1000 {
        a.cluster.notify("b-1", Bytes::from(n.to_string())).unwrap();
    }
    let start = WallInstant::now();
    a.cluster.close().await;
    assert!(start.elapsed() < Duration::from_millis(500), "{:?}", start.elapsed());
    assert_eq!(text(held.await.unwrap()), "LinkLost");
    until("the last notify is there", || b.echo.seen.lock().unwrap().len() == 1002).await;
    assert_eq!(call(&a, "b-1", "x").await, "LinkLost");
    assert_eq!(call(&a, "a-1", "x").await, "LinkLost");
    assert!(TcpStream::connect(("127.0.0.1", net.port("a-1"))).await.is_err(), "it still listens");
}

#[tokio::test]
async fn dropping_the_cluster_runs_every_completion() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut net = Net::new(&["a-1", "b-1"]).await;
    let mut members = net.members.all().to_vec();
    members.push(member("c-1", Some(silent.local_addr().unwrap().port())));
    net.members = Arc::new(Members::new(members));
    let (a, b) = (net.start("a-1").await, net.start("b-1").await);
    let ended = Arc::new(AtomicUsize::new(0));
    for to in ["a-1", "b-1", "c-1"] {
        let ended = Arc::clone(&ended);
        let done = Box::new(move |outcome: support::Outcome| {
            assert_eq!(outcome, Err(RpcError::LinkLost));
            ended.fetch_add(1, Ordering::SeqCst);
        });
        a.cluster.request(to, Bytes::from_static(b"hold"), in_ms(60_000), done);
    }
    until("b holds its call", || b.echo.held.lock().unwrap().len() == 1).await;
    drop(a);
    until("all have ended", || ended.load(Ordering::SeqCst) == 3).await;
}

#[tokio::test]
async fn a_port_that_is_taken_is_named() {
    let net = Net::new(&["a-1"]).await;
    let _a = net.start("a-1").await;
    let echo: Arc<Echo> = Arc::default();
    let (_sender, receiver) = tokio::sync::watch::channel(Arc::default());
    let own = Arc::clone(net.members.get("a-1").unwrap());
    let again = shaddock_cluster::direct::DirectCluster::start(
        net.settings.clone(),
        net.secret.clone(),
        own,
        echo,
        receiver,
    );
    let error = again.await.err().unwrap().to_string();
    assert!(error.contains(&format!("127.0.0.1:{}", net.port("a-1"))), "{error}");
    assert!(error.to_lowercase().contains("in use"), "{error}");
}
