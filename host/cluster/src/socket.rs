//! Sockets: how they are opened, set up and accepted.

use std::{future::Future, io, net::SocketAddr, sync::Arc, time::Duration};

use socket2::{SockRef, TcpKeepalive};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{info, warn};

use crate::{ClusterError, Settings};

/// A dead machine is noticed after 15 s + 3 × 5 s, by the kernel: an idle link wakes no process.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(15);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEPALIVE_RETRIES: u32 = 3;
/// The same for bytes that nobody acknowledges, for which keepalive does not run.
#[cfg(target_os = "linux")]
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(30);
/// The pause after a failed accept, which tends to fail again at once (no file descriptors left).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

pub(crate) async fn listen(host: &str, port: u16) -> Result<TcpListener, ClusterError> {
    TcpListener::bind((host, port))
        .await
        .map_err(|source| ClusterError::Listen { address: format!("{host}:{port}"), source })
}

pub(crate) async fn connect(
    peer: &str,
    host: &str,
    port: u16,
    limit: Duration,
) -> Result<TcpStream, ClusterError> {
    let fail =
        |source| ClusterError::Connect { peer: peer.to_owned(), address: format!("{host}:{port}"), source };
    let connected = timeout(limit, TcpStream::connect((host, port))).await;
    let stream = connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())).map_err(fail)?;
    set_up(&stream).map_err(fail)?;
    if is_own_echo(&stream) {
        return Err(fail(io::ErrorKind::ConnectionRefused.into()));
    }
    Ok(stream)
}

/// A loopback port that nobody listens on may be given to the caller itself as its own end: TCP then
/// connects the socket to itself, which also keeps the port from the server that should have it.
fn is_own_echo(stream: &TcpStream) -> bool {
    matches!((stream.local_addr(), stream.peer_addr()), (Ok(local), Ok(peer)) if local == peer)
}

fn set_up(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE_IDLE)
        .with_interval(KEEPALIVE_INTERVAL)
        .with_retries(KEEPALIVE_RETRIES);
    socket.set_tcp_keepalive(&keepalive)?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED_MAX))?;
    Ok(())
}

/// A connection that has not proved itself yet. Its permit is given back when it has.
pub(crate) struct Visitor {
    pub(crate) stream: TcpStream,
    pub(crate) address: SocketAddr,
    pub(crate) permit: OwnedSemaphorePermit,
}

/// Accepts connections and gives each a task, until `stop`. With too many unproved ones, new ones are
/// closed at once.
pub(crate) async fn serve<F>(
    listener: TcpListener,
    settings: &Settings,
    stop: CancellationToken,
    tasks: TaskTracker,
    handle: impl Fn(Visitor) -> F,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let permits = Arc::new(Semaphore::new(settings.auth_connections_max));
    let mut is_full = false;
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let visit = accepted.and_then(|(stream, address)| set_up(&stream).map(|()| (stream, address)));
        let (stream, address) = match visit {
            Ok(visit) => visit,
            Err(error) => {
                warn!(%error, "accepting a connection failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        match Arc::clone(&permits).try_acquire_owned() {
            Ok(permit) => {
                if is_full {
                    is_full = false;
                    info!("connections are accepted again");
                }
                tasks.spawn(handle(Visitor { stream, address, permit }));
            }
            Err(_) if is_full => {}
            Err(_) => {
                is_full = true;
                warn!(%address, limit = settings.auth_connections_max, "too many connections prove the secret at one time, closing new ones");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpSocket;

    use super::*;

    #[tokio::test]
    async fn a_socket_that_is_connected_to_itself_is_told_apart() {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
        let own = socket.local_addr().unwrap();
        assert!(is_own_echo(&socket.connect(own).await.unwrap()));

        let listener = listen("127.0.0.1", 0).await.unwrap();
        let address = listener.local_addr().unwrap();
        let limit = Duration::from_secs(2);
        assert!(!is_own_echo(&connect("x", "127.0.0.1", address.port(), limit).await.unwrap()));
    }
}
