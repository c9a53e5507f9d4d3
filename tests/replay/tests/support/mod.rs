//! A server that does what a capture says, or something else where a test wants it.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use shaddock_replay::{Capture, Options, Report, Scenario, Step, Transport, replay};

/// What the server does for one package of the capture.
pub(crate) enum Act {
    Send(Vec<u8>),
    /// These bytes, whatever they are.
    Raw(Vec<u8>),
    /// Ends the connection, over WebSocket with this close code.
    Close(u16),
    /// Waits until the client has sent so many heartbeats.
    AwaitHeartbeats(usize),
    /// Does nothing more at all, but keeps everything open.
    Freeze,
}

/// The package of the capture, as it is.
pub(crate) fn as_recorded(package: &[u8]) -> Vec<Act> {
    vec![Act::Send(package.to_vec())]
}

const HEARTBEAT: [u8; 4] = [3, 0, 0, 0];
/// Longest wait of the server for its client.
const CLIENT_TIME_MAX: Duration = Duration::from_secs(20);

pub(crate) fn golden(name: &str) -> Capture {
    Capture::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../golden").join(name)).unwrap()
}

/// Only these scenarios.
pub(crate) fn only(capture: &Capture, names: &[&str]) -> Capture {
    let wanted = |scenario: &&Scenario| names.iter().any(|name| scenario.name.ends_with(name));
    Capture { scenarios: capture.scenarios.iter().filter(wanted).cloned().collect() }
}

/// Plays `capture` against a server that answers each package as `act` (given scenario, client, package) says.
pub(crate) fn play(
    capture: &Capture,
    transport: Option<Transport>,
    tune: impl FnOnce(&mut Options),
    act: impl Fn(&str, &str, &[u8]) -> Vec<Act> + Send + 'static,
) -> Report {
    play_apart(capture, capture, transport, tune, act)
}

/// Plays `client` against a server that follows another capture.
pub(crate) fn play_apart(
    server: &Capture,
    client: &Capture,
    transport: Option<Transport>,
    tune: impl FnOnce(&mut Options),
    act: impl Fn(&str, &str, &[u8]) -> Vec<Act> + Send + 'static,
) -> Report {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    let script = server.clone();
    let mut server = Server { listener, port, transport, lines: Vec::new(), act: Box::new(act) };
    thread::spawn(move || server.serve(&script));

    let mut options = Options::new("127.0.0.1");
    options.ports = [3014, 3050, 3051, 3052, 3114, 3150].map(|recorded| (recorded, port)).into();
    options.transport = transport;
    options.quiet = Duration::from_millis(40);
    tune(&mut options);
    replay(client, &options, |_| {})
}

/// The differences of all scenarios, in words.
pub(crate) fn differences(report: &Report) -> Vec<String> {
    let of = |scenario: &shaddock_replay::ScenarioReport| {
        scenario
            .differences
            .iter()
            .map(|difference| format!("{}: {difference}", scenario.name))
            .collect::<Vec<_>>()
    };
    report.scenarios.iter().flat_map(of).collect()
}

type Script = Box<dyn Fn(&str, &str, &[u8]) -> Vec<Act> + Send>;

struct Server {
    listener: TcpListener,
    port: u16,
    transport: Option<Transport>,
    lines: Vec<(String, Line)>,
    act: Script,
}

impl Server {
    /// Ends with the capture, or when the client does not do its part.
    fn serve(&mut self, capture: &Capture) -> Option<()> {
        for scenario in &capture.scenarios {
            for step in &scenario.steps {
                match step {
                    Step::Open { transport: Transport::Udp, .. } | Step::Note => {}
                    Step::Open { who, transport, .. } => {
                        let line = self.accept(self.transport.unwrap_or(*transport))?;
                        self.lines.push((who.clone(), line));
                    }
                    Step::Send { who, bytes } => {
                        if let Some(line) = self.line(who) {
                            line.expect(bytes)?;
                        }
                    }
                    Step::Expect { who, package } => self.answer(&scenario.name, who, package),
                    Step::Close { who } => self.take(who).map(Line::await_end).unwrap_or_default(),
                    Step::Closed { who, code } => {
                        if let Some(line) = self.take(who) {
                            line.close(code.unwrap_or(1000));
                        }
                    }
                }
            }
        }
        // What the client checks after the last step still finds its connections open.
        thread::sleep(CLIENT_TIME_MAX);
        Some(())
    }

    fn accept(&self, transport: Transport) -> Option<Line> {
        let deadline = Instant::now() + CLIENT_TIME_MAX;
        while Instant::now() < deadline {
            match self.listener.accept() {
                Ok((stream, _)) => return Some(Line::new(stream, transport)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    thread::sleep(Duration::from_millis(1));
                }
                Err(_) => return None,
            }
        }
        None
    }

    fn line(&mut self, who: &str) -> Option<&mut Line> {
        self.lines.iter_mut().rfind(|(name, _)| name == who).map(|(_, line)| line)
    }

    fn take(&mut self, who: &str) -> Option<Line> {
        let index = self.lines.iter().rposition(|(name, _)| name == who)?;
        Some(self.lines.remove(index).1)
    }

    fn answer(&mut self, scenario: &str, who: &str, package: &[u8]) {
        for act in (self.act)(scenario, who, package) {
            let port = self.port;
            let Some(line) = self.line(who) else { return };
            match act {
                Act::Send(package) => line.send(&with_port(&package, port)),
                Act::Raw(bytes) => drop(line.stream.write_all(&bytes)),
                Act::AwaitHeartbeats(count) => (0..count).for_each(|_| line.expect(&[3, 0, 0, 0]).unwrap()),
                Act::Close(code) => {
                    if let Some(line) = self.take(who) {
                        line.close(code);
                    }
                }
                Act::Freeze => thread::sleep(CLIENT_TIME_MAX),
            }
        }
    }
}

/// A gate answers the port of this server, which has another number of digits than the recorded one.
fn with_port(package: &[u8], port: u16) -> Vec<u8> {
    let Ok(text) = str::from_utf8(&package[4..]) else { return package.to_vec() };
    if !text.contains(r#""host":"127.0.0.1","port":3050"#) {
        return package.to_vec();
    }
    let body = text.replace(r#""port":3050"#, &format!(r#""port":{port}"#));
    [&[package[0], 0, 0, body.len() as u8][..], body.as_bytes()].concat()
}

struct Line {
    stream: TcpStream,
    transport: Transport,
}

impl Line {
    fn new(mut stream: TcpStream, transport: Transport) -> Self {
        stream.set_nonblocking(false).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(CLIENT_TIME_MAX)).unwrap();
        if transport == Transport::Ws {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(read(&mut stream, 1).unwrap()[0]);
            }
            let answer = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                          Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
            stream.write_all(answer.as_bytes()).unwrap();
        }
        Self { stream, transport }
    }

    /// Reads what the client has to send; answers heartbeats that come in between.
    fn expect(&mut self, bytes: &[u8]) -> Option<()> {
        loop {
            let got = match self.transport {
                Transport::Ws => self.frame()?,
                _ => {
                    let head = read(&mut self.stream, bytes.len().min(4))?;
                    let rest = if head == HEARTBEAT { 4 } else { bytes.len() };
                    [head.clone(), read(&mut self.stream, rest - head.len())?].concat()
                }
            };
            if got != HEARTBEAT || bytes == HEARTBEAT {
                assert_eq!(got, bytes, "the runner sent something else than recorded");
                return Some(());
            }
            self.send(&HEARTBEAT);
        }
    }

    /// The payload of a frame.
    fn frame(&mut self) -> Option<Vec<u8>> {
        let head = read(&mut self.stream, 2)?;
        let len = match head[1] & 0x7f {
            126 => u16::from_be_bytes(read(&mut self.stream, 2)?.try_into().unwrap()).into(),
            short => usize::from(short),
        };
        let mask = read(&mut self.stream, 4)?;
        let masked = read(&mut self.stream, len)?;
        Some(masked.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key).collect())
    }

    /// Waits until the client has closed.
    fn await_end(mut self) {
        match self.transport {
            Transport::Ws => while self.frame().is_some_and(|payload| payload != [0x03, 0xe8]) {},
            _ => drop(self.stream.read_to_end(&mut Vec::new())),
        }
    }

    fn send(&mut self, package: &[u8]) {
        let mut bytes = Vec::new();
        if self.transport == Transport::Ws {
            bytes.push(0x82);
            match package.len() {
                short @ 0..126 => bytes.push(short as u8),
                long => bytes.extend([126, (long >> 8) as u8, long as u8]),
            }
        }
        bytes.extend_from_slice(package);
        // A client that has gone does not matter here: the test looks at its report.
        let _ = self.stream.write_all(&bytes);
    }

    fn close(mut self, code: u16) {
        if self.transport == Transport::Ws {
            let _ = self.stream.write_all(&[&[0x88, 2][..], &code.to_be_bytes()].concat());
        }
    }
}

fn read(stream: &mut TcpStream, len: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![0; len];
    stream.read_exact(&mut bytes).ok()?;
    Some(bytes)
}
