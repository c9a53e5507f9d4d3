//! Opening a link.

use std::sync::Arc;

use tokio::{net::TcpStream, time::timeout};
use tracing::{debug, info, warn};

use super::{Inner, peer::Peer};
use crate::{
    ClusterError, Member, RpcError,
    auth::{self, Caller, Hello, Purpose, Refusal},
    link::{Link, while_connecting},
    secret::random,
    socket,
};

impl Inner {
    /// Opens the link for the calls that wait in it and serves it until it ends.
    pub(super) async fn dial(
        self: Arc<Self>,
        peer: Arc<Peer>,
        link: Arc<Link>,
        member: Arc<Member>,
        previous: u64,
    ) {
        let attempt = tokio::select! {
            biased;
            attempt = self.attempt(&member, previous) => attempt,
            // The peer's own attempt came first, or the link was closed.
            () = while_connecting(&link) => return self.let_go(&peer, &link),
        };
        match attempt {
            Ok((stream, name, incarnation)) => {
                if let Some(current) = peer.established(&link, name, incarnation) {
                    info!(peer = %peer.id, "link opened");
                    return self.serve(peer, current, stream).await;
                }
                self.let_go(&peer, &link);
            }
            Err(ClusterError::Refused { refusal: Refusal::Crossed, .. }) => {
                debug!(peer = %peer.id, "waiting for the other side's own attempt");
                peer.crossed(&link);
                match timeout(self.settings.connect_timeout, while_connecting(&link)).await {
                    Ok(()) => self.let_go(&peer, &link),
                    Err(_) => self.give_up(&peer, &link, "it opens a link itself, which did not arrive"),
                }
            }
            Err(error) => self.give_up(&peer, &link, &error.to_string()),
        }
    }

    /// The link has its socket by other means, or was closed before it had one.
    fn let_go(&self, peer: &Arc<Peer>, link: &Arc<Link>) {
        peer.drop_closed(link);
        self.forget(peer);
    }

    fn give_up(&self, peer: &Arc<Peer>, link: &Arc<Link>, reason: &str) {
        if peer.failed(link) {
            warn!(peer = %peer.id, %reason, "no link");
        } else {
            debug!(peer = %peer.id, %reason, "still no link");
        }
        self.forget(peer);
    }

    async fn attempt(&self, member: &Member, previous: u64) -> Result<(TcpStream, u64, u64), ClusterError> {
        let port = member.port.ok_or_else(|| ClusterError::Request {
            peer: member.id.to_string(),
            source: RpcError::Unreachable,
        })?;
        let hello = Hello {
            purpose: Purpose::Link,
            nonce: random()?,
            incarnation: self.incarnation,
            previous,
            id: self.own.id.to_string(),
            server_type: self.own.server_type.to_string(),
            to: member.id.to_string(),
        };
        let name = hello.link_id();
        let mut stream =
            socket::connect(&member.id, &member.host, port, self.settings.connect_timeout).await?;
        let caller = Caller { secret: &self.secret, token: None, peer: &member.id, hello };
        let incarnation = auth::open(&mut stream, &caller, self.settings.auth_timeout).await?;
        Ok((stream, name, incarnation))
    }
}
