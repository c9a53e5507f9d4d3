//! A client of the pomelo protocol over TCP for tests: blocking, every wait bounded.

use std::collections::{HashMap, VecDeque};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use serde_json::{Value, json};
use shaddock_wire::client::{Codec, Delivery, HandshakeReply, Hello, ack_package, kick_reason};
use shaddock_wire::package::{self, Package, PackageKind};

/// How long a client waits for what it expects.
const PATIENCE: Duration = Duration::from_secs(10);

/// A connected client.
#[derive(Debug)]
pub struct Client {
    socket: TcpStream,
    buffer: BytesMut,
    codec: Codec,
    next_id: u32,
    /// The routes of requests without an answer yet.
    asked: HashMap<u32, String>,
    /// Answers and pushes that came while something else was awaited.
    answers: HashMap<u32, Value>,
    pushes: VecDeque<(String, Value)>,
    /// Answers whose bytes somebody waits for.
    exact: HashMap<u32, Bytes>,
}

/// What the server sent, or that it closed.
#[derive(Debug)]
pub enum Heard {
    /// An answer, by the request's id.
    Answer(u32, Value),
    /// A push.
    Push(String, Value),
    /// A KICK with its reason.
    Kick(String),
    /// The end of the connection.
    Closed,
}

impl Client {
    /// Connects and shakes hands.
    pub fn connect(port: u16) -> Client {
        Client::connect_as(port, &Hello::default()).unwrap_or_else(|code| panic!("refused with {code}")).0
    }

    /// The same as somebody; answers the reply's user data, too, or the code with which the client was refused.
    pub fn connect_as(port: u16, hello: &Hello) -> Result<(Client, Option<Value>), u64> {
        let socket = raw(port);
        let none = (BytesMut::new(), Codec::default());
        let mut client = Client {
            socket,
            buffer: none.0,
            codec: none.1,
            next_id: 1,
            asked: HashMap::new(),
            answers: HashMap::new(),
            pushes: VecDeque::new(),
            exact: HashMap::new(),
        };
        client.send(&hello.package().unwrap());
        let reply = client.package().expect("a handshake reply");
        assert_eq!(reply.kind, PackageKind::Handshake);
        let reply = HandshakeReply::parse(&reply.body).unwrap();
        if reply.code != 200 {
            assert!(client.package().is_none(), "a client that is refused is closed");
            return Err(reply.code);
        }
        client.codec = Codec::new(&reply, None).unwrap();
        client.send(&ack_package());
        Ok((client, reply.user))
    }

    /// Asks the gate as the chat page does, then enters a room at the connector that it names. Answers the
    /// client and the connector's port.
    pub fn enter(gate: u16, name: &str, room: &str) -> (Client, u16) {
        let mut asking = Client::connect(gate);
        let answer = asking.request("gate.gateHandler.queryEntry", &json!({ "uid": name }));
        let port = u16::try_from(answer["port"].as_u64().unwrap_or_else(|| panic!("{answer}"))).unwrap();
        let mut client = Client::connect(port);
        let answer =
            client.request("connector.entryHandler.enter", &json!({ "username": name, "rid": room }));
        assert!(answer["users"].is_array(), "{answer}");
        (client, port)
    }

    /// Writes bytes as they are.
    pub fn send(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).unwrap();
    }

    /// Sends a request and does not wait; its id.
    pub fn ask(&mut self, route: &str, body: &Value) -> u32 {
        self.ask_bytes(route, body.to_string().as_bytes())
    }

    fn ask_bytes(&mut self, route: &str, body: &[u8]) -> u32 {
        let id = self.next_id;
        self.next_id += 1;
        let mut out = BytesMut::new();
        self.codec.encode_request(id, route, body, &mut out).unwrap();
        self.asked.insert(id, route.to_owned());
        self.send(&out);
        id
    }

    /// Sends the same request so many times in one write; the ids.
    pub fn ask_at_once(&mut self, route: &str, body: &Value, times: usize) -> Vec<u32> {
        let mut out = BytesMut::new();
        let ids: Vec<u32> = (self.next_id..).take(times).collect();
        for id in &ids {
            self.codec.encode_request(*id, route, body.to_string().as_bytes(), &mut out).unwrap();
            self.asked.insert(*id, route.to_owned());
        }
        self.next_id += u32::try_from(times).unwrap();
        self.send(&out);
        ids
    }

    /// Sends a notify, which has no answer.
    pub fn notify(&mut self, route: &str, body: &Value) {
        let mut out = BytesMut::new();
        self.codec.encode_notify(route, body.to_string().as_bytes(), &mut out).unwrap();
        self.send(&out);
    }

    /// Sends a request and waits for its answer; pushes that come meanwhile are kept.
    pub fn request(&mut self, route: &str, body: &Value) -> Value {
        let id = self.ask(route, body);
        self.answer(id)
    }

    /// Sends a request whose body need not be JSON, and waits for its answer: the very text of it.
    pub fn request_text(&mut self, route: &str, body: &[u8]) -> String {
        let id = self.ask_bytes(route, body);
        self.exact.insert(id, Bytes::new());
        self.answer(id);
        String::from_utf8(self.exact.remove(&id).unwrap().to_vec()).unwrap()
    }

    /// Waits for the answer of a request.
    pub fn answer(&mut self, id: u32) -> Value {
        loop {
            if let Some(answer) = self.answers.remove(&id) {
                return answer;
            }
            match self.hear() {
                Heard::Answer(id, answer) => drop(self.answers.insert(id, answer)),
                Heard::Push(route, body) => self.pushes.push_back((route, body)),
                other => panic!("{other:?} instead of an answer to request {id}"),
            }
        }
    }

    /// The next push.
    pub fn push(&mut self) -> (String, Value) {
        loop {
            if let Some(push) = self.pushes.pop_front() {
                return push;
            }
            match self.hear() {
                Heard::Push(route, body) => return (route, body),
                Heard::Answer(id, answer) => drop(self.answers.insert(id, answer)),
                other => panic!("{other:?} instead of a push"),
            }
        }
    }

    /// What comes next, heartbeats aside. They are not answered: every message is a sign of life, too.
    pub fn hear(&mut self) -> Heard {
        loop {
            let Some(package) = self.package() else { return Heard::Closed };
            match package.kind {
                PackageKind::Heartbeat => {}
                PackageKind::Kick => return Heard::Kick(kick_reason(&package.body)),
                PackageKind::Data => return self.delivery(package.body),
                other => panic!("a {other:?} package"),
            }
        }
    }

    fn delivery(&mut self, body: Bytes) -> Heard {
        let asked = &mut self.asked;
        match self.codec.decode(body, |id| asked.remove(&id)).unwrap() {
            Delivery::Response { id, body } => {
                let answer = serde_json::from_slice(&body).unwrap();
                self.exact.entry(id).and_modify(|text| *text = body);
                Heard::Answer(id, answer)
            }
            Delivery::Push { route, body } => {
                Heard::Push(route.to_string(), serde_json::from_slice(&body).unwrap())
            }
        }
    }

    /// The next package; none if the server has closed.
    fn package(&mut self) -> Option<Package> {
        let start = Instant::now();
        loop {
            if let Some(package) = package::decode(&mut self.buffer, 1 << 20).unwrap() {
                return Some(package);
            }
            assert!(start.elapsed() < PATIENCE, "nothing came");
            let mut space = [0; 4096];
            match self.socket.read(&mut space) {
                Ok(0) => return None,
                Ok(read) => self.buffer.extend_from_slice(&space[..read]),
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("nothing came: {error}"),
            }
        }
    }

    /// Closes the sending side, as a client that goes away does.
    pub fn close(self) {
        let _ = self.socket.shutdown(Shutdown::Both);
    }
}

/// A bare connection with a bound on every read.
pub fn raw(port: u16) -> TcpStream {
    let socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
    socket.set_nodelay(true).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// Everything that comes until the server closes the connection, which it has to.
pub fn read_to_close(mut socket: &TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    let mut space = [0; 4096];
    loop {
        match socket.read(&mut space) {
            Ok(0) => return all,
            Ok(read) => all.extend_from_slice(&space[..read]),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return all,
            Err(error) => panic!("the server did not close: {error}"),
        }
    }
}
