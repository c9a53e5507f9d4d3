//! What strangers get: nothing, and a closed connection.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::{
    cell::RefCell,
    sync::{Arc, Once},
    time::{Duration, Instant as WallInstant},
};

use shaddock_cluster::{Members, Secret};
use support::{Net, call, free_port, member};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

thread_local! {
    static LINES: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// What was logged by this thread, which is all of a single-threaded test.
///
/// One subscriber serves all tests, and all of them start it: tracing remembers for good that nobody
/// listens to a line if it first runs on a thread that has no subscriber.
struct Log;

impl Log {
    fn start() -> Self {
        static SUBSCRIBER: Once = Once::new();
        SUBSCRIBER.call_once(|| {
            tracing_subscriber::fmt().with_ansi(false).with_writer(|| ToThread).init();
        });
        Self
    }

    fn text(&self) -> String {
        LINES.with_borrow(|lines| String::from_utf8(lines.clone()).unwrap())
    }
}

struct ToThread;

impl std::io::Write for ToThread {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        LINES.with_borrow_mut(|lines| lines.extend_from_slice(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Sends bytes to a server and gives what comes back until it closes the connection.
async fn stranger(port: u16, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    // A reset is a way to close, too.
    let _ = stream.read_to_end(&mut answer).await;
    answer
}

fn message(body: &[u8]) -> Vec<u8> {
    let mut bytes = u32::try_from(body.len()).unwrap().to_be_bytes().to_vec();
    bytes.extend_from_slice(body);
    bytes
}

fn hello(id: &str, to: &str) -> Vec<u8> {
    let mut body = vec![16, 1, 1];
    body.extend([9; 32]);
    body.extend([0; 16]);
    for text in [id, "b", to] {
        body.push(u8::try_from(text.len()).unwrap());
        body.extend(text.as_bytes());
    }
    message(&body)
}

async fn read_message(stream: &mut TcpStream) -> Vec<u8> {
    let length = stream.read_u32().await.unwrap();
    let mut body = vec![0; length as usize];
    stream.read_exact(&mut body).await.unwrap();
    body
}

#[tokio::test]
async fn garbage_is_closed_unanswered_with_a_log_line_and_the_next_peer_is_served() {
    let log = Log::start();
    let net = Net::new(&["a-1", "b-1"]).await;
    let (_a, b) = (net.start("a-1").await, net.start("b-1").await);
    let port = net.port("a-1");
    let start = WallInstant::now();
    for (bytes, reason) in [
        (&b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..], "a message of 1195725856 bytes before the secret"),
        (&[0, 0, 4, 1, 16], "a message of 1025 bytes before the secret"),
        (&message(&[99, 1, 2]), "unknown kind 99"),
        (&message(&[]), "an empty message"),
        (&message(&[16, 1, 1, 0, 0]), "malformed message of kind 16"),
        (&message(&[18; 33]), "no hello"),
        // A frame of an open link, before any proof.
        (&message(b"\x02notify"), "unknown kind 2"),
    ] {
        assert_eq!(stranger(port, bytes).await, b"", "{reason}");
        assert!(log.text().contains(reason), "{reason} is not in the log:\n{}", log.text());
    }
    assert!(start.elapsed() < Duration::from_secs(2), "closed at once, not by the time limit");
    assert_eq!(call(&b, "a-1", "served").await, "served");
}

#[tokio::test]
async fn a_stranger_learns_a_random_number_and_that_its_proof_is_wrong() {
    let log = Log::start();
    let net = Net::new(&["a-1", "b-1"]).await;
    let _a = net.start("a-1").await;
    let mut nonces = Vec::new();
    for _ in 0..2 {
        let mut stream = TcpStream::connect(("127.0.0.1", net.port("a-1"))).await.unwrap();
        stream.write_all(&hello("b-1", "a-1")).await.unwrap();
        let challenge = read_message(&mut stream).await;
        assert_eq!((challenge[0], challenge.len()), (17, 1 + 32 + 1), "a nonce and nothing else");
        nonces.push(challenge[1..33].to_vec());
        let mut proof = vec![18];
        proof.extend([1; 32]);
        stream.write_all(&message(&proof)).await.unwrap();
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest, message(&[20, 1]), "`wrong secret`, and closed");
    }
    assert_ne!(nonces[0], nonces[1]);
    let text = log.text();
    assert!(text.contains("claimed_id=b-1") && text.contains("address=127.0.0.1:"), "{text}");
    assert!(text.contains("wrong cluster secret"), "{text}");
}

#[tokio::test]
async fn who_does_not_prove_itself_is_closed_in_time() {
    let _log = Log::start();
    let mut net = Net::new(&["a-1", "b-1"]).await;
    net.settings.auth_timeout = Duration::from_millis(150);
    let _a = net.start("a-1").await;
    let start = WallInstant::now();
    assert_eq!(stranger(net.port("a-1"), b"").await, b"");
    assert_eq!(stranger(net.port("a-1"), b"\x00\x00").await, b"");
    // The challenge comes, then nothing more.
    assert_eq!(stranger(net.port("a-1"), &hello("b-1", "a-1")).await.len(), 4 + 34);
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
}

#[tokio::test]
async fn strangers_take_only_so_many_places() {
    let _log = Log::start();
    let mut net = Net::new(&["a-1", "b-1"]).await;
    net.settings.auth_connections_max = 3;
    net.settings.auth_timeout = Duration::from_millis(500);
    let (_a, b) = (net.start("a-1").await, net.start("b-1").await);
    let mut strangers = Vec::new();
    for _ in 0..3 {
        strangers.push(TcpStream::connect(("127.0.0.1", net.port("a-1"))).await.unwrap());
    }
    let start = WallInstant::now();
    assert_eq!(stranger(net.port("a-1"), b"").await, b"");
    assert!(start.elapsed() < Duration::from_millis(300), "the fourth is closed at once");
    assert_eq!(call(&b, "a-1", "no place either").await, "Unreachable");
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!(call(&b, "a-1", "place again").await, "place again");
}

#[tokio::test]
async fn a_server_with_another_secret_is_refused_and_says_so() {
    let log = Log::start();
    let net = Net::new(&["a-1", "b-1"]).await;
    let _a = net.start("a-1").await;
    let other = Net { secret: Secret::generate().unwrap(), ..net };
    let b = other.start("b-1").await;
    assert_eq!(call(&b, "a-1", "x").await, "Unreachable");
    let text = log.text();
    assert!(text.contains("refused a connection") && text.contains("claimed_id=b-1"), "{text}");
    assert!(text.contains("a-1 refused: wrong cluster secret"), "{text}");
}

/// Passes bytes between two connections and remembers what the opener sent.
async fn relay(from: TcpStream, port: u16) -> Vec<Vec<u8>> {
    let mut to = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let mut from = from;
    let mut sent = Vec::new();
    for _ in 0..2 {
        let body = read_message(&mut from).await;
        to.write_all(&message(&body)).await.unwrap();
        sent.push(message(&body));
        let answer = read_message(&mut to).await;
        from.write_all(&message(&answer)).await.unwrap();
    }
    sent
}

#[tokio::test]
async fn a_recorded_proof_is_worthless() {
    let _log = Log::start();
    let net = Net::new(&["a-1", "b-1"]).await;
    let _a = net.start("a-1").await;
    let spy = TcpListener::bind("127.0.0.1:0").await.unwrap();
    // b-1 reaches a-1 through the spy, who records a whole good exchange.
    let own = Arc::clone(net.members.get("b-1").unwrap());
    let through = member("a-1", Some(spy.local_addr().unwrap().port()));
    let port = net.port("a-1");
    let b = Net { members: Arc::new(Members::new([own, through])), ..net }.start("b-1").await;
    let (_, recorded) =
        tokio::join!(call(&b, "a-1", "x"), async { relay(spy.accept().await.unwrap().0, port).await });
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stream.write_all(&recorded[0]).await.unwrap();
    read_message(&mut stream).await;
    stream.write_all(&recorded[1]).await.unwrap();
    assert_eq!(read_message(&mut stream).await, [20, 1], "wrong secret");
}

#[tokio::test]
async fn a_servers_own_proof_is_worthless_against_itself_and_others() {
    let _log = Log::start();
    let net = Net::new(&["a-1", "b-1", "c-1"]).await;
    let (_a, _c) = (net.start("a-1").await, net.start("c-1").await);
    let spy = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (port_a, port_c) = (net.port("a-1"), net.port("c-1"));
    let own = Arc::clone(net.members.get("a-1").unwrap());
    // a-1 means to call b-1, where the spy sits.
    let fake = member("b-1", Some(spy.local_addr().unwrap().port()));
    let mut moved = Net { members: Arc::new(Members::new([own, fake])), ..net };
    moved.settings.connect_timeout = Duration::from_millis(300);
    // Both reflect: the spy opens a connection to the victim and hands the challenge on to a-1.
    for victim in [port_a, port_c] {
        let port = free_port().await;
        let own = member("a-1", Some(port));
        let net = Net {
            members: Arc::new(Members::new([own, Arc::clone(moved.members.get("b-1").unwrap())])),
            secret: moved.secret.clone(),
            settings: moved.settings.clone(),
        };
        let caller = net.start("a-1").await;
        let target = if victim == port_a { port } else { victim };
        let (outcome, answer) = tokio::join!(call(&caller, "b-1", "secret plans"), async {
            let (mut opener, _) = spy.accept().await.unwrap();
            let hello = read_message(&mut opener).await;
            let mut victim = TcpStream::connect(("127.0.0.1", target)).await.unwrap();
            victim.write_all(&message(&hello)).await.unwrap();
            let challenge = read_message(&mut victim).await;
            opener.write_all(&message(&challenge)).await.unwrap();
            let proof = read_message(&mut opener).await;
            victim.write_all(&message(&proof)).await.unwrap();
            let answer = read_message(&mut victim).await;
            // The spy has no proof of its own; the opener's is no acceptor's.
            let mut welcome = vec![19];
            welcome.extend(&proof[1..33]);
            welcome.extend([0; 8]);
            opener.write_all(&message(&welcome)).await.unwrap();
            let mut rest = Vec::new();
            let closed = tokio::time::timeout(Duration::from_secs(1), opener.read_to_end(&mut rest)).await;
            assert!(closed.is_ok(), "the opener took the spy for a server");
            assert!(!String::from_utf8_lossy(&rest).contains("secret plans"));
            answer
        });
        assert_eq!(answer, [20, 6], "meant for another server");
        assert_eq!(outcome, "Unreachable");
    }
}

#[tokio::test]
async fn what_cannot_be_a_frame_closes_an_open_link_with_a_reason() {
    let log = Log::start();
    let net = Net::new(&["a-1", "b-1"]).await;
    let mut small =
        Net { members: Arc::clone(&net.members), secret: net.secret.clone(), settings: net.settings.clone() };
    small.settings.message_bytes_max = 1000;
    let (a, _b) = (net.start("a-1").await, small.start("b-1").await);
    assert_eq!(call(&a, "b-1", &"x".repeat(2000)).await, "LinkLost");
    let text = log.text();
    assert!(text.contains("the other side sent a frame of 2017 bytes, 1000 is the limit"), "{text}");
    assert_eq!(call(&a, "b-1", "again").await, "again");
}
