//! A fan-out that encodes each message once and shares the finished frame among all members.

use std::io::IoSlice;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Buf, Bytes};
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};

use super::{WebSocket, websocket_config};
use crate::frame::put_server_frame;

/// Frames that may wait for one member; one that is further behind misses frames, and the load generator notices.
const QUEUE_FRAMES: usize = 4096;
/// Frames that one vectored write takes along.
const WRITE_FRAMES: usize = 64;

/// The queues of all members.
pub(super) type Members = Arc<Mutex<Vec<mpsc::Sender<Bytes>>>>;

/// A client that connects to `/member` gets what any other sends.
pub(super) async fn serve(stream: TcpStream, members: Members) {
    let mut member = false;
    #[expect(clippy::result_large_err, reason = "the signature is tungstenite's")]
    let look = |request: &Request, response: Response| -> Result<Response, ErrorResponse> {
        member = request.uri().path() == "/member";
        Ok(response)
    };
    let accepted =
        tokio_tungstenite::accept_hdr_async_with_config(stream, look, Some(websocket_config())).await;
    match accepted {
        Ok(socket) if member => serve_member(socket.into_inner(), &members).await,
        Ok(socket) => serve_sender(socket, &members).await,
        Err(_) => {}
    }
}

/// Hands on what comes, then acknowledges with an echo.
async fn serve_sender(mut socket: WebSocket, members: &Members) {
    while let Some(Ok(message)) = socket.next().await {
        if let Message::Binary(payload) = &message {
            let mut frame = Vec::with_capacity(payload.len() + 10);
            put_server_frame(payload, &mut frame);
            let frame = Bytes::from(frame);
            let mut members = members.lock().unwrap_or_else(PoisonError::into_inner);
            members.retain(|queue| {
                !matches!(queue.try_send(frame.clone()), Err(mpsc::error::TrySendError::Closed(_)))
            });
        }
        if socket.send(message).await.is_err() {
            return;
        }
    }
}

/// Writes finished frames to the bare TCP stream. A member sends nothing but its end.
async fn serve_member(stream: TcpStream, members: &Members) {
    let (queue, queued) = mpsc::channel(QUEUE_FRAMES);
    members.lock().unwrap_or_else(PoisonError::into_inner).push(queue);
    let (mut reader, writer) = stream.into_split();
    let mut scrap = [0; 256];
    tokio::select! {
        _ = write_all_queued(writer, queued) => {}
        () = async { while reader.read(&mut scrap).await.is_ok_and(|read| read > 0) {} } => {}
    }
}

async fn write_all_queued(
    mut writer: OwnedWriteHalf,
    mut queued: mpsc::Receiver<Bytes>,
) -> std::io::Result<()> {
    let mut frames = Vec::with_capacity(WRITE_FRAMES);
    while queued.recv_many(&mut frames, WRITE_FRAMES).await > 0 {
        let mut rest: Vec<Bytes> = std::mem::replace(&mut frames, Vec::with_capacity(WRITE_FRAMES));
        while !rest.is_empty() {
            let slices: Vec<IoSlice<'_>> = rest.iter().map(|frame| IoSlice::new(frame)).collect();
            let mut written = writer.write_vectored(&slices).await?;
            rest.retain_mut(|frame| {
                let part = written.min(frame.len());
                frame.advance(part);
                written -= part;
                !frame.is_empty()
            });
        }
    }
    Ok(())
}
