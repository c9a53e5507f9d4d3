//! Reading packages from a client's socket, WebSocket or bare TCP, told apart by the first byte.
//!
//! The socket is split. The write half belongs to the connection's task, which writes what the
//! [`Outbound`] queue holds; the read half is behind [`PackageReader`]. tungstenite gets the read half
//! with a write side that only queues, so its own replies (the upgrade, pongs, close) keep their place
//! among the frames that the server queues ready-made.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use futures_util::Stream;
use shaddock_wire::WireError;
use shaddock_wire::package::{self, Package, Split};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::http::header::SEC_WEBSOCKET_PROTOCOL;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error as WebSocketError, Message};

use crate::frame::Transport;
use crate::outbound::Outbound;

/// Read buffer of a connection, bytes. tungstenite's default of 128 KiB costs a third of the throughput at
/// 500 connections, and most of the memory of an idle one.
const READ_BUFFER_BYTES: usize = 4096;

/// What an HTTP client that asks for no WebSocket is told.
const NOT_A_WEBSOCKET: &[u8] = b"HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nConnection: Upgrade, close\r\n\
Content-Type: text/plain; charset=utf-8\r\nContent-Length: 57\r\n\r\nThis port speaks the pomelo protocol over WebSocket/TCP.\n";

/// Why no more packages come.
#[derive(Debug)]
pub(crate) enum ReadError {
    /// The network failed.
    Io,
    /// The bytes are not what the client protocol allows.
    Protocol(WireError),
    /// The bytes are not what WebSocket allows.
    WebSocket(WebSocketError),
}

impl From<WireError> for ReadError {
    fn from(error: WireError) -> Self {
        Self::Protocol(error)
    }
}

impl From<WebSocketError> for ReadError {
    fn from(error: WebSocketError) -> Self {
        match error {
            WebSocketError::Io(_) => Self::Io,
            other => Self::WebSocket(other),
        }
    }
}

/// Tells by the first byte what a client speaks; `None` if it closed before saying anything.
///
/// GET, POST, PUT and HEAD begin an HTTP request; no package type has the code of their first letter.
pub(crate) async fn detect(socket: &TcpStream) -> io::Result<Option<Transport>> {
    let mut first = [0u8; 1];
    let read = socket.peek(&mut first).await?;
    let transport = if matches!(first, [b'G' | b'P' | b'H']) { Transport::WebSocket } else { Transport::Tcp };
    Ok((read > 0).then_some(transport))
}

/// The packages of one client.
pub(crate) enum PackageReader {
    WebSocket { stream: Box<WebSocketStream<Tap>>, rest: Option<Split> },
    Tcp { socket: OwnedReadHalf, buffer: BytesMut },
}

impl PackageReader {
    /// For a client of bare TCP.
    pub(crate) fn tcp(socket: OwnedReadHalf) -> Self {
        Self::Tcp { socket, buffer: BytesMut::new() }
    }

    /// Upgrades a client of HTTP. A request that asks for no upgrade is answered with 426.
    ///
    /// Nothing is written here: the response is in the queue when this returns.
    pub(crate) async fn websocket(
        socket: OwnedReadHalf,
        outbound: Arc<Outbound>,
        frame_bytes_max: usize,
    ) -> Result<Self, ReadError> {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER_BYTES)
            .write_buffer_size(0)
            .max_message_size(Some(frame_bytes_max))
            .max_frame_size(Some(frame_bytes_max));
        let tap = Tap { socket, outbound: Arc::clone(&outbound) };
        match tokio_tungstenite::accept_hdr_async_with_config(tap, echo_subprotocol, Some(config)).await {
            Ok(stream) => Ok(Self::WebSocket { stream: Box::new(stream), rest: None }),
            Err(error) => {
                if matches!(error, WebSocketError::Protocol(_) | WebSocketError::Http(_)) {
                    outbound.write(|out| out.extend_from_slice(NOT_A_WEBSOCKET));
                }
                Err(error.into())
            }
        }
    }

    /// The next package; `None` when the client has closed.
    pub(crate) fn poll_package(
        &mut self,
        cx: &mut Context<'_>,
        body_max: usize,
    ) -> Poll<Option<Result<Package, ReadError>>> {
        match self {
            Self::WebSocket { stream, rest } => loop {
                if let Some(split) = rest {
                    split.set_body_bytes_max(body_max);
                }
                if let Some(package) = rest.as_mut().and_then(Iterator::next) {
                    return Poll::Ready(Some(package.map_err(ReadError::from)));
                }
                *rest = None;
                match ready!(Pin::new(&mut **stream).poll_next(cx)) {
                    Some(Ok(Message::Binary(frame))) => *rest = Some(package::split(frame, body_max)),
                    Some(Ok(Message::Text(frame))) => {
                        *rest = Some(package::split(Bytes::from(frame), body_max));
                    }
                    Some(Ok(_)) => {}
                    None | Some(Err(WebSocketError::ConnectionClosed | WebSocketError::AlreadyClosed)) => {
                        return Poll::Ready(None);
                    }
                    Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
                }
            },
            Self::Tcp { socket, buffer } => loop {
                match package::decode(buffer, body_max) {
                    Ok(Some(package)) => return Poll::Ready(Some(Ok(package))),
                    Ok(None) => {}
                    Err(error) => return Poll::Ready(Some(Err(error.into()))),
                }
                match ready!(poll_read_buf(socket, cx, buffer)) {
                    Ok(0) => return Poll::Ready(None),
                    Ok(_) => {}
                    Err(_) => return Poll::Ready(Some(Err(ReadError::Io))),
                }
            },
        }
    }

    /// Reads and forgets, so that the kernel does not answer unread bytes with a reset that would take the
    /// last frames from the client. Ready when the client has closed too.
    pub(crate) fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let socket = match self {
            Self::WebSocket { stream, .. } => &mut stream.get_mut().socket,
            Self::Tcp { socket, .. } => socket,
        };
        let mut space = [0u8; 1024];
        loop {
            let mut buffer = ReadBuf::new(&mut space);
            match ready!(Pin::new(&mut *socket).poll_read(cx, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => {}
                _ => return Poll::Ready(()),
            }
        }
    }
}

fn poll_read_buf(
    socket: &mut OwnedReadHalf,
    cx: &mut Context<'_>,
    buffer: &mut BytesMut,
) -> Poll<io::Result<usize>> {
    buffer.reserve(READ_BUFFER_BYTES);
    let read = std::pin::pin!(tokio::io::AsyncReadExt::read_buf(socket, buffer));
    std::future::Future::poll(read, cx)
}

/// pomelo's WebSocket server takes the first subprotocol that is offered, whatever it is.
#[expect(clippy::result_large_err, reason = "the callback's type is tungstenite's")]
fn echo_subprotocol(request: &Request, mut response: Response) -> Result<Response, ErrorResponse> {
    let offered = request.headers().get(SEC_WEBSOCKET_PROTOCOL).and_then(|value| value.to_str().ok());
    let first = offered.and_then(|offered| offered.split(',').next()).map(str::trim);
    if let Some(value) = first.and_then(|first| HeaderValue::from_str(first).ok()) {
        response.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, value);
    }
    Ok(response)
}

/// The socket as tungstenite sees it: reads come from the client, writes go to the queue.
#[derive(Debug)]
pub(crate) struct Tap {
    socket: OwnedReadHalf,
    outbound: Arc<Outbound>,
}

impl AsyncRead for Tap {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Tap {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.outbound.write(|out| out.extend_from_slice(bytes)) {
            Poll::Ready(Ok(bytes.len()))
        } else {
            Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()))
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
