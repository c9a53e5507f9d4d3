//! Every byte of the recordings of a real pomelo passes through this crate and comes out the same.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

mod captures;
mod servers;

use bytes::{Bytes, BytesMut};
use captures::{Scenario, Side};
use serde_json::{Value, json};
use shaddock_wire::client::{self, Codec, Delivery, HandshakeReply};
use shaddock_wire::connection::{Connection, Received};
use shaddock_wire::message::{self, MessageKind};
use shaddock_wire::package::{self, Package, PackageKind};
use shaddock_wire::protocol::{self, Encoded, Protocol};
use shaddock_wire::text::{self, TextForm};
use shaddock_wire::{WireError, json as wire_json};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

#[test]
fn versions_are_pomelos() {
    assert_eq!(servers::chat_dictionary().version(), "s2r1qfKDrbhWCkA6uf+PTA==");
    assert_eq!(servers::chat_protos().version(), "2zWPnSlRsRxjqgcU215Uxg==");
    assert_eq!(servers::lab_dictionary().version(), "UA2W8W6q/kdzRXOAxJYjfQ==");
    assert_eq!(servers::lab_protos().version(), "O+ckC6Gt9F19CAMUxUZdrQ==");
}

#[test]
fn the_chat_recording_passes() {
    let counts = replay(&captures::chat());
    assert_eq!(counts, Counts { handshakes: 12, heartbeats: 6, requests: 19, from_server: 30, kicks: 1 });
}

#[test]
fn the_lab_recording_passes() {
    let counts = replay(&captures::lab());
    assert_eq!(counts, Counts { handshakes: 30, heartbeats: 25, requests: 85, from_server: 80, kicks: 5 });
}

/// How much was really compared: a test that compares nothing would pass as well.
#[derive(Debug, Default, PartialEq)]
struct Counts {
    handshakes: usize,
    heartbeats: usize,
    requests: usize,
    from_server: usize,
    kicks: usize,
}

/// One recorded connection, with both ends of this crate on it.
struct Peer {
    stream: bool,
    buffer: BytesMut,
    connection: Connection,
    /// What the server end wants sent and the recording has not shown yet.
    outbox: VecDeque<Bytes>,
    wants_close: bool,
    routes: HashMap<u32, String>,
    codec: Codec,
}

fn replay(scenarios: &[Scenario]) -> Counts {
    let mut counts = Counts::default();
    // A second connection of one name hides the first until it is closed (`chat/duplicate-login`).
    let mut peers: HashMap<&str, Vec<Peer>> = HashMap::new();
    for scenario in scenarios {
        let name = scenario.scenario.as_str();
        for step in &scenario.steps {
            let (Some(who), Some(dir)) = (step.who.as_deref(), step.dir) else { continue };
            if let Some(open) = &step.open {
                let peer = Peer::open(&open.transport, servers::protocol(open.port));
                peers.entry(who).or_default().push(peer);
            }
            let Some(peer) = peers.get_mut(who).and_then(|peers| peers.last_mut()) else { continue };
            match (step.bytes(), dir) {
                (Some(bytes), Side::C) => peer.client_sent(name, &bytes, &mut counts),
                (Some(bytes), Side::S) => peer.server_sent(name, &bytes, &mut counts),
                (None, _) if step.close => {
                    let peer = peers.get_mut(who).and_then(Vec::pop);
                    peer.unwrap().close(name, dir);
                }
                _ => {}
            }
        }
    }
    counts
}

impl Peer {
    fn open(transport: &str, protocol: Protocol) -> Self {
        let protocol = Arc::new(protocol);
        Self {
            stream: transport == "tcp",
            buffer: BytesMut::new(),
            connection: Connection::new(protocol),
            outbox: VecDeque::new(),
            wants_close: false,
            routes: HashMap::new(),
            codec: Codec::default(),
        }
    }

    fn client_sent(&mut self, name: &str, bytes: &[u8], counts: &mut Counts) {
        if self.stream {
            self.buffer.extend_from_slice(bytes);
            loop {
                match package::decode(&mut self.buffer, self.connection.body_bytes_max()) {
                    Ok(Some(package)) => self.receive(name, package, counts),
                    Ok(None) => break,
                    Err(error) => return self.violated(&error),
                }
            }
        } else {
            let packages = package::split(Bytes::copy_from_slice(bytes), self.connection.body_bytes_max());
            for package in packages {
                match package {
                    Ok(package) => self.receive(name, package, counts),
                    Err(error) => return self.violated(&error),
                }
            }
        }
    }

    fn violated(&mut self, error: &WireError) {
        self.outbox.extend(self.connection.violation(error));
        self.wants_close = true;
    }

    fn receive(&mut self, name: &str, package: Package, counts: &mut Counts) {
        if package.kind == PackageKind::Data {
            self.check_request(name, &package.body, counts);
        }
        match self.connection.receive(package) {
            Ok(Received::Handshake(request)) => {
                // What the recorded apps did in their handshake callbacks.
                let user = request.user.unwrap_or_default();
                let is_lab = self.connection.protocol().dictionary.as_ref().is_some_and(|d| d.len() == 50);
                let reply = if user.get("deny").is_some() {
                    self.wants_close = true;
                    self.connection.reject(500)
                } else {
                    let hello = user.get("name").cloned().unwrap_or_else(|| "anon".into());
                    self.connection.accept(is_lab.then(|| json!({ "hello": hello })))
                };
                self.outbox.push_back(reply);
            }
            Ok(Received::BadHandshake { reply, .. }) => {
                self.outbox.push_back(reply);
                self.wants_close = true;
            }
            Ok(Received::Ready { heartbeat }) => self.outbox.extend(heartbeat),
            Ok(Received::Heartbeat { reply }) => self.outbox.extend(reply),
            Ok(Received::Message(message)) => {
                assert!(wire_json::is_json(&message.body), "{name}");
                if let Some(id) = message.kind.id() {
                    self.routes.insert(id, message.route.to_string());
                }
            }
            Ok(Received::BadMessage { .. } | Received::Ignored) => {}
            Err(error) => self.violated(&error),
        }
    }

    /// A client's message, taken apart and put together again.
    fn check_request(&self, name: &str, body: &Bytes, counts: &mut Counts) {
        counts.requests += 1;
        let message = message::decode(body.clone()).unwrap();
        let mut again = BytesMut::new();
        message::encode_into(&message, &mut again).unwrap();
        assert_eq!(again, body, "{name}");
        let Some(protos) = &self.connection.protocol().protos else { return };
        let message::RouteRef::Text(route) = &message.route else { return };
        // `lab/proto-bad-bytes` is there to fail.
        if protos.has_client(route) && name != "lab/proto-bad-bytes" {
            let json = protos.decode_request(route, &message.body).unwrap();
            let again = protos.encode_request(route, &json, TextForm::Utf8).unwrap().unwrap();
            assert_eq!(again, message.body, "{name}: {}", String::from_utf8_lossy(&json));
        }
    }

    fn server_sent(&mut self, name: &str, bytes: &[u8], counts: &mut Counts) {
        let recorded = Bytes::copy_from_slice(bytes);
        let package = package::split(recorded.clone(), package::BODY_BYTES_MAX).next().unwrap().unwrap();
        match package.kind {
            PackageKind::Handshake | PackageKind::Heartbeat => {
                let ours = self.outbox.pop_front();
                assert_eq!(ours.as_ref(), Some(&recorded), "{name}");
                if package.kind == PackageKind::Heartbeat {
                    counts.heartbeats += 1;
                } else {
                    counts.handshakes += 1;
                    self.shake_hands(name, &package.body);
                }
            }
            PackageKind::Data => {
                counts.from_server += 1;
                self.check_delivery(name, package.body, &recorded);
            }
            PackageKind::Kick => {
                counts.kicks += 1;
                let mut ours = BytesMut::new();
                protocol::encode_kick(&client::kick_reason(&package.body), &mut ours);
                assert_eq!(ours, recorded, "{name}");
            }
            PackageKind::HandshakeAck => panic!("{name}: a server acknowledges nothing"),
        }
    }

    /// The client end understands the reply and knows the same routes and schemas from it.
    fn shake_hands(&mut self, name: &str, body: &[u8]) {
        let reply = HandshakeReply::parse(body).unwrap();
        if reply.code != 200 {
            assert_eq!(
                Codec::new(&reply, None).unwrap_err(),
                WireError::HandshakeRefused { code: reply.code }
            );
            return;
        }
        let protocol = Arc::clone(self.connection.protocol());
        assert_eq!(reply.heartbeat, protocol.heartbeat, "{name}");
        let cached = self.cached();
        self.codec = Codec::new(&reply, Some(&cached)).unwrap();
        let versions = |codec: &Codec| {
            (
                codec.dictionary().map(|d| d.version().to_owned()),
                codec.protos().map(|p| p.version().to_owned()),
            )
        };
        assert_eq!(versions(&self.codec), versions(&cached), "{name}");
    }

    /// The codec of a client that has shaken hands here before.
    fn cached(&self) -> Codec {
        let mut connection = Connection::new(Arc::clone(self.connection.protocol()));
        let hello = client::Hello::default().package().unwrap();
        let package = package::split(hello, usize::MAX).next().unwrap().unwrap();
        assert!(matches!(connection.receive(package), Ok(Received::Handshake(_))));
        let reply = package::split(connection.accept(None), usize::MAX).next().unwrap().unwrap();
        Codec::new(&HandshakeReply::parse(&reply.body).unwrap(), None).unwrap()
    }

    /// A response or push: both ends agree on it, and the server end writes the recorded bytes.
    fn check_delivery(&mut self, name: &str, body: Bytes, recorded: &[u8]) {
        let message = message::decode(body.clone()).unwrap();
        let mut again = BytesMut::new();
        message::encode_into(&message, &mut again).unwrap();
        assert_eq!(again, body, "{name}");

        let protocol = Arc::clone(self.connection.protocol());
        let mut ours = BytesMut::new();
        let (encoded, json) = match self.codec.decode(body, |id| self.routes.get(&id)).unwrap() {
            Delivery::Response { id, body } => {
                let route = self.routes.get(&id).map_or("", String::as_str);
                // The one answer that does not fit its schema.
                let json =
                    if name == "lab/proto-missing-required" { r#"{"notInSchema":1}"#.into() } else { body };
                let encoded = protocol.encode_response(id, route, &json, TextForm::Utf8, &mut ours);
                (encoded, json)
            }
            Delivery::Push { route, body } => {
                assert_eq!(message.kind, MessageKind::Push);
                (protocol.encode_push(&route, &body, TextForm::Utf8, &mut ours), body)
            }
        };
        match encoded.unwrap() {
            Encoded::Whole => {}
            Encoded::Empty(mismatch) => {
                assert_eq!(name, "lab/proto-missing-required");
                assert_eq!(mismatch.to_string(), "field u: is required but missing");
            }
        }
        if message.body == json && text::has_astral(&json) {
            // The recorded server sent the emoji as it was; here it is escaped, and reads the same.
            assert_eq!(name, "lab/echo-json");
            let escaped = package::split(ours.freeze(), usize::MAX).next().unwrap().unwrap();
            let escaped = message::decode(escaped.body).unwrap();
            assert!(escaped.body.is_ascii() || !text::has_astral(&escaped.body));
            let read = |json: &[u8]| serde_json::from_slice::<Value>(json).unwrap();
            assert_eq!(read(&escaped.body), read(&json));
        } else {
            assert_eq!(ours, recorded, "{name}");
        }
    }

    fn close(self, name: &str, by: Side) {
        match name {
            // Pomelo gives up on two packages in one frame; here each is answered.
            "lab/two-packages-one-ws-frame" => {
                assert_eq!(
                    Vec::from(self.outbox),
                    [protocol::heartbeat_package(), protocol::heartbeat_package()]
                );
                assert!(!self.wants_close);
            }
            _ => {
                assert!(self.outbox.is_empty(), "{name}: not in the recording: {:?}", self.outbox);
                let bad_input = [
                    "lab/handshake-user-callback",
                    "lab/handshake-bad-json",
                    "lab/handshake-empty-body",
                    "lab/bad-package-type-tcp",
                    "lab/client-sends-kick-tcp",
                    "lab/bad-package-type-ws",
                    "lab/ws-short-package",
                ];
                assert_eq!(self.wants_close, by == Side::S && bad_input.contains(&name), "{name}");
            }
        }
    }
}
