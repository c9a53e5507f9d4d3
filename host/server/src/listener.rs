//! The port for clients.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use shaddock_cluster::Instant;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::connection;
use crate::error::ServerError;
use crate::gate::{Gate, Place, Refusal};
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
    let gate = Arc::new(Gate::new(&server.settings.connector));
    let hang_up = CancellationToken::new();
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((socket, peer)) => {
                let is_full = connections.len() >= connections_max as usize;
                match check(&gate, peer.ip(), is_full) {
                    Ok(place) => admit(&server, &connections, socket, place, &hang_up),
                    Err(refusal) => {
                        server.metrics.refused(refusal.label());
                        tracing::debug!(%peer, reason = refusal.label(), "a connection is refused");
                    }
                }
            }
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

/// A connection that is refused is closed at once without any package, as pomelo does, and counts nowhere.
fn check(gate: &Arc<Gate>, address: IpAddr, is_full: bool) -> Result<Option<Place>, Refusal> {
    if gate.is_blacklisted(address) {
        return Err(Refusal::Blacklist);
    }
    if is_full {
        return Err(Refusal::Limit);
    }
    gate.enter(address, Instant::now())
}

fn admit(
    server: &Arc<Server>,
    connections: &TaskTracker,
    socket: TcpStream,
    place: Option<Place>,
    hang_up: &CancellationToken,
) {
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
        drop(place);
    });
}
