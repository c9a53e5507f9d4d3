//! The load loops against servers in this process: the bare ones, and a small one that speaks pomelo's protocol, well
//! or badly.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;

use crate::args::BaselineKind;
use crate::load::{Dialect, Requests, Target};
use crate::pomelo::{self, package};
use crate::scenario::fanout;
use crate::{baseline, closed_loop, fixed_rate};

const ROUND: Duration = Duration::from_millis(300);
const ECHO: Requests = Requests { route: "connector.benchHandler.echo", body_bytes: 64, window: 1 };

fn target(address: SocketAddr, dialect: Dialect) -> [Target; 1] {
    [Target { address, dialect, pids: vec![std::process::id()] }]
}

async fn bare(kind: BaselineKind) -> [Target; 1] {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(baseline::accept(listener, kind));
    target(address, Dialect::Bare)
}

/// How the small server answers a request.
#[derive(Clone, Copy)]
enum Manner {
    Echo,
    /// Every tenth answer is an error.
    SometimesFails,
    /// One answer takes this long.
    Stalls(Duration),
    /// No answer after the first hundred.
    FallsSilent,
    /// Never the same body.
    Wrong,
}

async fn pomelo_server(manner: Manner) -> [Target; 1] {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let answered = Arc::new(AtomicU32::new(0));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, manner, answered.clone()));
        }
    });
    target(address, Dialect::Pomelo)
}

async fn serve(stream: TcpStream, manner: Manner, answered: Arc<AtomicU32>) {
    stream.set_nodelay(true).unwrap();
    let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
    while let Some(Ok(message)) = socket.next().await {
        let payload = message.into_data();
        let reply = match pomelo::take_package(&mut payload.as_ref()).unwrap() {
            Some((pomelo::HANDSHAKE, _)) => {
                let reply = br#"{"code":200,"sys":{"dict":{"connector.benchHandler.echo":7}}}"#;
                Some(package(pomelo::HANDSHAKE, reply))
            }
            Some((pomelo::DATA, message)) => answer(message, manner, answered.fetch_add(1, Relaxed)).await,
            _ => None,
        };
        if let Some(reply) = reply
            && socket.send(Message::binary(reply)).await.is_err()
        {
            return;
        }
    }
}

async fn answer(message: &[u8], manner: Manner, number: u32) -> Option<Vec<u8>> {
    // flag, id of one byte, route code of two
    assert_eq!((message[0], &message[2..4]), (1, &[0, 7][..]));
    let (id, mut body) = (message[1], &message[4..]);
    match manner {
        Manner::Wrong => body = br#"{"code":200}"#,
        Manner::SometimesFails if number % 10 == 9 => body = br#"{"code":500}"#,
        Manner::FallsSilent if number >= 100 => return None,
        Manner::Stalls(time) if number == 200 => tokio::time::sleep(time).await,
        _ => {}
    }
    Some(package(pomelo::DATA, &[&[4, id][..], body].concat()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_loop_counts_what_a_bare_server_echoes() {
    let target = bare(BaselineKind::Echo).await;
    for window in [1, 32] {
        let round = closed_loop::round(&target, Requests { window, ..ECHO }, 4, ROUND).await.unwrap();
        assert_eq!((round.errors, round.first_error.clone()), (0, None));
        assert!(round.requests >= 100, "{round:?}");
        assert!(round.latency.p50_us > 1.0 && round.latency.p99_us <= round.latency.max_us, "{round:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fan_out_is_delivered_to_every_member() {
    let target = bare(BaselineKind::Fanout).await;
    let round = fanout::round(&target, fanout::ON_FRONTEND, 64, 20, 3, ROUND).await.unwrap();
    assert_eq!((round.errors, round.first_error.clone()), (0, None));
    assert!(round.requests >= 60, "{round:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_in_pomelos_protocol_are_answered_and_counted() {
    let target = pomelo_server(Manner::Echo).await;
    let requests = Requests { window: 8, ..ECHO };
    let round = closed_loop::round(&target, requests, 4, ROUND).await.unwrap();
    assert_eq!((round.errors, round.first_error.clone()), (0, None));
    assert!(round.requests >= 100, "{round:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_of_another_length_are_errors() {
    let target = pomelo_server(Manner::SometimesFails).await;
    let round = closed_loop::round(&target, ECHO, 1, ROUND).await.unwrap();
    let share = round.errors as f64 / round.requests as f64;
    assert!((0.05..0.5).contains(&share), "{round:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_first_answer_is_told_with_both_bodies() {
    let target = pomelo_server(Manner::Wrong).await;
    let round = closed_loop::round(&target, ECHO, 2, ROUND).await.unwrap();
    let error = round.first_error.unwrap();
    assert!(round.errors == 2 && error.contains(r#"{\"code\":200}"#) && error.contains("pad"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_falls_silent_ends_the_round_with_errors() {
    let target = pomelo_server(Manner::FallsSilent).await;
    let round = closed_loop::round(&target, ECHO, 2, ROUND).await.unwrap();
    assert_eq!(round.errors, 2);
    assert!(round.first_error.unwrap().contains("unanswered"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fixed_rate_is_kept_and_a_stall_shows_in_the_latencies_of_all_that_were_due_meanwhile() {
    let target = pomelo_server(Manner::Stalls(Duration::from_millis(400))).await;
    // Warm-up takes half a second, so the 200th request falls into the second after it.
    let round = fixed_rate::round(&target, ECHO, 1, 250, Duration::from_secs(2)).await.unwrap();
    assert_eq!((round.errors, round.first_error.clone()), (0, None));
    assert!((400..=600).contains(&round.requests), "{round:?}");
    assert!(round.latency.max_us >= 390e3, "{round:?}");
    // A fifth of the requests were due during the stall: a generator that waits for answers would see one slow one.
    assert!(round.latency.p99_us >= 300e3, "{round:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_falls_silent_shows_at_a_fixed_rate_too() {
    let target = pomelo_server(Manner::FallsSilent).await;
    let round = fixed_rate::round(&target, ECHO, 2, 200, Duration::from_millis(1600)).await.unwrap();
    assert_eq!(round.errors, 2, "{round:?}");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_an_error_with_its_address() {
    let address = "127.0.0.1:1".parse().unwrap();
    let error = closed_loop::round(&target(address, Dialect::Pomelo), ECHO, 1, ROUND).await.unwrap_err();
    assert!(format!("{error:#}").contains("127.0.0.1:1"), "{error:#}");
}
