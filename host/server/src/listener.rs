//! The port for clients.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::connection;
use crate::error::ServerError;
use crate::server::Server;

/// Connections that the kernel keeps until they are accepted.
const BACKLOG: u32 = 4096;
/// How long to wait when the process is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Opens the port. Clients that connect wait until [`accept`] runs.
pub(crate) fn bind(address: SocketAddr) -> Result<TcpListener, ServerError> {
    let open = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    open().map_err(|source| ServerError::ClientPort { address: address.to_string(), source })
}

/// Serves clients until `stop`, then waits until the last connection has ended.
pub(crate) async fn accept(
    server: Arc<Server>,
    listener: TcpListener,
    connections_max: u32,
    stop: CancellationToken,
) {
    let connections = TaskTracker::new();
    let hang_up = CancellationToken::new();
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((socket, _)) => admit(&server, &connections, socket, connections_max, &hang_up),
            Err(error) => {
                tracing::warn!(%error, "a client could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    server.is_hanging_up.store(true, Ordering::Release);
    hang_up.cancel();
    connections.close();
    connections.wait().await;
}

/// A connection over the limit is closed at once without any package, as pomelo does.
fn admit(
    server: &Arc<Server>,
    connections: &TaskTracker,
    socket: TcpStream,
    connections_max: u32,
    hang_up: &CancellationToken,
) {
    if connections.len() >= connections_max as usize {
        server.metrics.connections_refused.inc();
        return;
    }
    if let Err(error) = socket.set_nodelay(true) {
        tracing::debug!(%error, "a client was gone before it was served");
        return;
    }
    server.metrics.connections_opened.inc();
    server.metrics.connections.inc();
    let (server, hang_up) = (Arc::clone(server), hang_up.clone());
    connections.spawn(async move {
        connection::serve(Arc::clone(&server), socket, hang_up).await;
        server.metrics.connections.dec();
    });
}
