//! Taking the links that others open.

use std::sync::Arc;

use tracing::{debug, info, warn};

use super::{
    Inner,
    peer::{Admitted, Peer},
};
use crate::{
    RpcError,
    auth::{Gate, Hello, Purpose, Refusal, log_rejected, refuse},
    socket::Visitor,
};

impl Inner {
    /// Checks who is there, agrees on the link to use and serves it until it ends.
    pub(super) async fn accept(self: Arc<Self>, visitor: Visitor) {
        let Visitor { mut stream, address, permit } = visitor;
        let gate = Gate { secret: &self.secret, tokens: None, purposes: &[Purpose::Link] };
        let verified = match gate.check(&mut stream, self.settings.auth_timeout).await {
            Ok(verified) => verified,
            Err(rejected) => return log_rejected(address, &rejected),
        };
        drop(permit);
        let (peer, admitted) = match self.admit(&verified.hello) {
            Ok(admitted) => admitted,
            Err(refusal) => {
                if refusal == Refusal::Crossed {
                    debug!(peer = %verified.hello.id, "refused a crossed link");
                } else {
                    warn!(%address, claimed_id = %verified.hello.id, meant = %verified.hello.to, %refusal, "refused a link");
                }
                return refuse(&mut stream, &refusal).await;
            }
        };
        let Admitted { current, replaced } = admitted;
        if let Some(old) = replaced {
            // What the peer sent on it is delivered, or lost, before anything on the new one.
            old.link.close(&RpcError::LinkLost);
            old.ended.cancelled().await;
        }
        if let Err(error) = verified.welcome(&mut stream, &self.secret, self.incarnation).await {
            debug!(peer = %peer.id, %error, "the other side left before its link stood");
            current.link.close(&RpcError::LinkLost);
            peer.ended(&current);
            return self.forget(&peer);
        }
        info!(peer = %peer.id, "link accepted");
        self.serve(peer, current, stream).await;
    }

    fn admit(&self, hello: &Hello) -> Result<(Arc<Peer>, Admitted), Refusal> {
        if hello.to != *self.own.id || hello.id == *self.own.id {
            return Err(Refusal::OtherServer);
        }
        // Under the lock of all peers, so that nobody forgets this one meanwhile.
        let mut peers = self.write_peers();
        let peer = peers.entry(hello.id.as_str().into()).or_insert_with_key(|id| self.new_peer(id));
        let admitted = peer.admit(&self.own.id, hello, &self.settings)?;
        Ok((Arc::clone(peer), admitted))
    }
}
