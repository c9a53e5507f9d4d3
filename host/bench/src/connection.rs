//! One client connection: upgrade, handshake, and reading that counts instead of decoding.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use crate::answer::{Counts, Expected};
use crate::frame::{FRAME_BYTES_MAX, first_frame, put_client_frame};
use crate::pomelo::{self, Greeting, ServerMessage};

/// Longest time for anything that happens before the load starts.
pub(crate) const SETUP_TIME_MAX: Duration = Duration::from_secs(15);
/// The read buffer of a connection starts with this size and grows only if answers do not fit.
const BUFFER_BYTES: usize = 4096;
const CLOSE: u8 = 8;

/// A client after the WebSocket upgrade.
pub(crate) struct Connection {
    pub(crate) reader: Reader,
    pub(crate) writer: OwnedWriteHalf,
}

/// The receiving half.
pub(crate) struct Reader {
    stream: OwnedReadHalf,
    buffer: Vec<u8>,
    filled: usize,
}

impl Connection {
    /// Connects and upgrades to WebSocket at `path`.
    pub(crate) async fn open(address: SocketAddr, path: &str) -> Result<Self> {
        let opened = tokio::time::timeout(SETUP_TIME_MAX, Self::upgrade(address, path)).await;
        opened.context("no answer in time").flatten().with_context(|| format!("connecting to {address}"))
    }

    async fn upgrade(address: SocketAddr, path: &str) -> Result<Self> {
        let mut stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            ensure!(head.len() < 4096, "the server's answer to the WebSocket upgrade does not end");
            // Byte by byte: what follows the head is frames already.
            head.push(stream.read_u8().await.context("the server closed during the WebSocket upgrade")?);
        }
        let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
        // The accept value that RFC 6455 (1.3) gives for the key above.
        let accepted = head.starts_with("http/1.1 101") && head.contains("s3pplmbitxaq9kygzzhzrbk+xoo=");
        ensure!(
            accepted,
            "the server refused the WebSocket upgrade: {}",
            head.lines().next().unwrap_or_default()
        );
        let (stream, writer) = stream.into_split();
        Ok(Self { reader: Reader { stream, buffer: vec![0; BUFFER_BYTES], filled: 0 }, writer })
    }

    /// Handshake and acknowledgement.
    pub(crate) async fn greet(&mut self) -> Result<Greeting> {
        self.send_package(&pomelo::handshake()).await?;
        let greet = async {
            loop {
                if let (pomelo::HANDSHAKE, body) = self.reader.package().await? {
                    return Greeting::parse(&body);
                }
            }
        };
        let greeting =
            tokio::time::timeout(SETUP_TIME_MAX, greet).await.context("no handshake reply in time")??;
        self.send_package(&pomelo::package(pomelo::ACK, &[])).await?;
        Ok(greeting)
    }

    /// Sends one request and waits for its answer; everything else that comes is dropped.
    pub(crate) async fn ask(&mut self, greeting: &Greeting, route: &str, body: &[u8]) -> Result<Vec<u8>> {
        self.send_package(&greeting.request(1, route, body)?).await?;
        let answer = async {
            loop {
                if let (pomelo::DATA, data) = self.reader.package().await?
                    && let ServerMessage::Response { id: 1, body } = pomelo::server_message(&data)?
                {
                    return anyhow::Ok(body.to_vec());
                }
            }
        };
        let answer = tokio::time::timeout(SETUP_TIME_MAX, answer).await;
        answer.context("no answer in time").flatten().with_context(|| format!("request {route}"))
    }

    /// Sends one package in a frame of its own.
    pub(crate) async fn send_package(&mut self, package: &[u8]) -> Result<()> {
        let mut frame = Vec::with_capacity(package.len() + 14);
        put_client_frame(package, &mut frame);
        self.writer.write_all(&frame).await.context("sending")
    }
}

impl Reader {
    /// Waits for bytes.
    pub(crate) async fn fill(&mut self) -> Result<()> {
        if self.filled == self.buffer.len() {
            ensure!(
                self.buffer.len() < FRAME_BYTES_MAX,
                "a frame of the server does not fit the read buffer"
            );
            self.buffer.resize(self.buffer.len() * 2, 0);
        }
        let free = self.buffer.get_mut(self.filled..).unwrap_or_default();
        match self.stream.read(free).await.context("receiving")? {
            0 => bail!("the server closed the connection"),
            count => self.filled += count,
        }
        Ok(())
    }

    /// Counts the whole frames that have arrived, and drops them.
    pub(crate) fn count(&mut self, expected: &Expected) -> Result<Counts> {
        let mut counts = Counts::default();
        self.each_payload(|payload| expected.count(payload, &mut counts))?;
        Ok(counts)
    }

    /// Looks at the payloads of the whole data frames that have arrived, and drops them.
    pub(crate) fn each_payload(&mut self, mut look: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let mut used = 0;
        while let Some(frame) = first_frame(self.buffer.get(used..self.filled).unwrap_or_default())? {
            match frame.opcode {
                1 | 2 => look(frame.payload)?,
                CLOSE => bail!("the server closed the WebSocket"),
                _ => {}
            }
            used += frame.len;
        }
        self.drop_front(used);
        Ok(())
    }

    /// The next data frame.
    pub(crate) async fn payload(&mut self) -> Result<Vec<u8>> {
        loop {
            let arrived = self.buffer.get(..self.filled).unwrap_or_default();
            let Some(frame) = first_frame(arrived)? else {
                self.fill().await?;
                continue;
            };
            ensure!(frame.opcode != CLOSE, "the server closed the WebSocket");
            let (len, data) = (frame.len, (frame.opcode < 3).then(|| frame.payload.to_vec()));
            self.drop_front(len);
            if let Some(data) = data {
                return Ok(data);
            }
        }
    }

    /// The next package. Before the load starts a server has no reason to put two into one frame; if it does, the
    /// ones behind the first are dropped.
    async fn package(&mut self) -> Result<(u8, Vec<u8>)> {
        loop {
            let payload = self.payload().await?;
            if let Some((kind, body)) = pomelo::take_package(&mut payload.as_slice())? {
                ensure!(kind != pomelo::KICK, "kicked: {}", String::from_utf8_lossy(body));
                return Ok((kind, body.to_vec()));
            }
        }
    }

    fn drop_front(&mut self, used: usize) {
        self.buffer.copy_within(used..self.filled, 0);
        self.filled -= used;
    }
}
