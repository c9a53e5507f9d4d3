//! A small bounded HTTP server: the web port and the admin port are both one of these with another router.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Connections that one port serves at a time; more wait in the kernel's accept queue.
const CONNECTIONS_MAX: usize = 256;
/// How long a client may take to send the head of a request (also the keep-alive limit).
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// Largest head of a request.
const HEADER_BYTES_MAX: usize = 16 * 1024;
/// Pause after a failed accept (out of file descriptors), so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves `router` on `listener` until `shutdown`; open connections are cut off then.
pub(crate) async fn serve(listener: TcpListener, router: Router, shutdown: CancellationToken) {
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        let accept = async {
            let permit = permits.clone().acquire_owned().await.ok()?;
            Some((listener.accept().await, permit))
        };
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => continue,
            accepted = accept => accepted,
        };
        match accepted {
            Some((Ok((stream, peer)), permit)) => {
                let router = router.clone();
                connections.spawn(async move {
                    serve_one(stream, peer, router).await;
                    drop(permit);
                });
            }
            Some((Err(error), _)) => {
                tracing::warn!(%error, "http accept failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
            None => break,
        }
    }
}

async fn serve_one(stream: TcpStream, peer: SocketAddr, router: Router) {
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(HEADER_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
        .await;
    if let Err(error) = served {
        tracing::debug!(%peer, %error, "http connection ended early");
    }
}
