//! A WebSocket echo in the fastest form that tokio-tungstenite has.

use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;

use super::websocket_config;

/// Messages that may wait for the writer of one connection.
const QUEUE_MESSAGES: usize = 256;

/// Reader and writer task, joined by a bounded queue; the writer feeds everything queued, then flushes once.
pub(super) async fn serve(stream: TcpStream) {
    let Ok(socket) = tokio_tungstenite::accept_async_with_config(stream, Some(websocket_config())).await
    else {
        return;
    };
    let (mut sink, mut source) = socket.split();
    let (queue, mut queued) = tokio::sync::mpsc::channel::<Message>(QUEUE_MESSAGES);
    let writer = tokio::spawn(async move {
        while let Some(message) = queued.recv().await {
            sink.feed(message).await?;
            while let Ok(message) = queued.try_recv() {
                sink.feed(message).await?;
            }
            sink.flush().await?;
        }
        Ok::<_, tokio_tungstenite::tungstenite::Error>(())
    });
    while let Some(Ok(message)) = source.next().await {
        if queue.send(message).await.is_err() {
            break;
        }
    }
    drop(queue);
    // Both halves have to end before the connection is closed; how they ended matters to nobody.
    let _ = writer.await;
}
