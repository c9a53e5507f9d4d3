//! One client connection over TCP or WebSocket. A thread reads; what it reads waits in a bounded queue.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream, ToSocketAddrs};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::capture::Transport;
use crate::package::{HEARTBEAT_PACKAGE, take_whole};
use crate::websocket::{self, Decoder, Received};

/// Packages that may wait; a server that sends more is read no further.
const QUEUE_PACKAGES: usize = 4096;
/// How often a reader looks whether it is still wanted.
const LOOK_UP: Duration = Duration::from_millis(100);
/// How long the bytes of a closed connection are still taken, so that the server can end it in its own way.
const LINGER: Duration = Duration::from_secs(1);

/// What a connection does.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// A whole package.
    Package(Vec<u8>),
    /// The server closed, over WebSocket with this code.
    Closed(Option<u16>),
    /// It sent what is no frame.
    Broken(String),
}

/// An open connection.
pub(crate) struct Connection {
    transport: Transport,
    writer: Arc<Mutex<TcpStream>>,
    events: Receiver<Event>,
    closing: Arc<AtomicBool>,
}

impl Connection {
    /// Connects, over WebSocket with the upgrade; waits at most `wait` for each.
    pub(crate) fn open(host: &str, port: u16, transport: Transport, wait: Duration) -> Result<Self, String> {
        let failed = |error: std::io::Error| format!("connecting to {host}:{port}: {error}");
        let address = (host, port).to_socket_addrs().map_err(failed)?.next();
        let address = address.ok_or_else(|| format!("connecting to {host}:{port}: no such host"))?;
        let mut stream = TcpStream::connect_timeout(&address, wait).map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        stream.set_write_timeout(Some(wait)).map_err(failed)?;
        stream.set_read_timeout(Some(wait)).map_err(failed)?;
        if transport == Transport::Ws {
            websocket::upgrade(&mut stream, host).map_err(|problem| format!("{host}:{port}: {problem}"))?;
        }
        stream.set_read_timeout(Some(LOOK_UP)).map_err(failed)?;

        let writer = Arc::new(Mutex::new(stream.try_clone().map_err(failed)?));
        let closing = Arc::new(AtomicBool::new(false));
        let (queue, events) = sync_channel(QUEUE_PACKAGES);
        let reader = Reader { stream, writer: writer.clone(), queue, closing: closing.clone() };
        thread::spawn(move || reader.run(transport));
        Ok(Self { transport, writer, events, closing })
    }

    /// Writes these bytes at once, over WebSocket as one frame.
    pub(crate) fn send(&self, bytes: &[u8]) -> Result<(), String> {
        let written = match self.transport {
            Transport::Ws => write(&self.writer, &websocket::binary_frame(bytes)),
            Transport::Tcp | Transport::Udp => write(&self.writer, bytes),
        };
        written.map_err(|error| format!("sending: {error}"))
    }

    /// The next event; `None` if none comes in time.
    pub(crate) fn event(&self, wait: Duration) -> Option<Event> {
        match self.events.recv_timeout(wait) {
            Ok(event) => Some(event),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => Some(Event::Closed(None)),
        }
    }

    /// Sends a heartbeat at each interval until the guard is dropped. A failure shows in reading.
    pub(crate) fn keep_alive(&self, interval: Duration) -> KeepAlive {
        let (writer, transport) = (self.writer.clone(), self.transport);
        let (stop, stopped) = sync_channel::<()>(0);
        thread::spawn(move || {
            let beat = match transport {
                Transport::Ws => websocket::binary_frame(&HEARTBEAT_PACKAGE),
                Transport::Tcp | Transport::Udp => HEARTBEAT_PACKAGE.to_vec(),
            };
            while stopped.recv_timeout(interval) == Err(RecvTimeoutError::Timeout) {
                if write(&writer, &beat).is_err() {
                    return;
                }
            }
        });
        KeepAlive { _stop: stop }
    }
}

/// Heartbeats go out while this lives.
pub(crate) struct KeepAlive {
    _stop: SyncSender<()>,
}

impl Drop for Connection {
    /// Closes as a client does: over WebSocket with code 1000, over TCP by the end of the stream.
    fn drop(&mut self) {
        self.closing.store(true, Relaxed);
        // The server may have closed first; then there is nobody to tell.
        if self.transport == Transport::Ws {
            let _ = write(&self.writer, &websocket::close_frame());
        } else {
            let _ = self.writer.lock().unwrap_or_else(PoisonError::into_inner).shutdown(Shutdown::Write);
        }
    }
}

fn write(writer: &Mutex<TcpStream>, bytes: &[u8]) -> std::io::Result<()> {
    writer.lock().unwrap_or_else(PoisonError::into_inner).write_all(bytes)
}

struct Reader {
    stream: TcpStream,
    writer: Arc<Mutex<TcpStream>>,
    queue: SyncSender<Event>,
    closing: Arc<AtomicBool>,
}

impl Reader {
    /// Reads until the connection ends, or for a moment after this side closed it.
    fn run(mut self, transport: Transport) {
        let (mut decoder, mut packages) = (Decoder::default(), Vec::new());
        let mut code = None;
        let mut linger_until = None;
        let mut chunk = vec![0; 16 << 10];
        let end = loop {
            if self.closing.load(Relaxed)
                && *linger_until.get_or_insert(Instant::now() + LINGER) < Instant::now()
            {
                break Event::Closed(code);
            }
            let read = match self.stream.read(&mut chunk) {
                Ok(0) => break Event::Closed(code),
                Ok(read) => read,
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => continue,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                // A reset is how a server's end looks when it had not read everything.
                Err(_) => break Event::Closed(code),
            };
            let bytes = chunk.get(..read).unwrap_or_default();
            if transport == Transport::Ws {
                decoder.push(bytes);
                if let Err(problem) = self.decode(&mut decoder, &mut packages, &mut code) {
                    break Event::Broken(problem);
                }
            } else {
                packages.extend_from_slice(bytes);
            }
            while let Some(package) = take_whole(&mut packages) {
                self.tell(Event::Package(package));
            }
        };
        self.tell(end);
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    /// Puts the payloads of whole messages behind each other: one holds one package or several.
    fn decode(
        &self,
        decoder: &mut Decoder,
        packages: &mut Vec<u8>,
        code: &mut Option<u16>,
    ) -> Result<(), String> {
        while let Some(received) = decoder.next()? {
            match received {
                Received::Message(message) => packages.extend_from_slice(&message),
                Received::Ping(payload) => drop(write(&self.writer, &websocket::pong_frame(&payload))),
                Received::Close(given) => {
                    *code = given;
                    // The answer that lets the server end the TCP connection (RFC 6455, 5.5.1).
                    let _ = write(&self.writer, &websocket::close_frame());
                }
            }
        }
        Ok(())
    }

    /// Nobody listens any more once the connection was closed from this side.
    fn tell(&self, event: Event) {
        let _ = self.queue.send(event);
    }
}
