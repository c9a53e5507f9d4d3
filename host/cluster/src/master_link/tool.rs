use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use serde_json::Value;
use tokio::{
    task::JoinHandle,
    time::{Instant, timeout},
};

use super::{client::MASTER, exchange::ask};
use crate::{
    ClusterError, Reply, RpcError, Secret, Service, Settings,
    auth::{self, Caller, Hello, Purpose},
    link::{Link, LinkEnd, drive},
    secret::random,
    socket,
};

/// A command line tool's connection to the master. Dropping it closes it.
pub struct Tool {
    link: Arc<Link>,
    driven: JoinHandle<LinkEnd>,
}

impl Tool {
    /// Connects to the master at `host:port` and proves the secret.
    ///
    /// # Errors
    /// No master there, or a wrong secret, in words for the operator.
    pub async fn connect(host: &str, port: u16, secret: &Secret) -> Result<Self, ClusterError> {
        let settings = Settings::default();
        let mut stream = socket::connect(MASTER, host, port, settings.connect_timeout).await?;
        let hello = Hello {
            purpose: Purpose::Tool,
            nonce: random()?,
            incarnation: 0,
            previous: 0,
            id: format!("tool, process {}", std::process::id()),
            server_type: String::new(),
            to: String::new(),
        };
        let caller = Caller { secret, token: None, peer: MASTER, hello };
        auth::open(&mut stream, &caller, settings.auth_timeout).await?;
        let link = Arc::new(Link::new(&settings));
        link.open();
        let driven = tokio::spawn(drive(Arc::clone(&link), stream, MASTER.into(), Arc::new(AskedNothing)));
        Ok(Self { link, driven })
    }

    /// Asks the master.
    ///
    /// # Errors
    /// [`ClusterError::Answer`] with the master's own error, or why there is no answer.
    pub async fn request(&self, request: &Value, timeout: Duration) -> Result<Value, ClusterError> {
        ask(&self.link, MASTER, request, timeout).await
    }

    /// Waits until the master has closed the connection, as it does when it ends; at most `limit`. True if
    /// it has.
    pub async fn closed(&mut self, limit: Duration) -> bool {
        self.driven.is_finished() || timeout(limit, &mut self.driven).await.is_ok()
    }
}

impl Drop for Tool {
    fn drop(&mut self) {
        self.link.close(&RpcError::LinkLost);
    }
}

struct AskedNothing;

impl Service for AskedNothing {
    fn request(&self, _: &Arc<str>, _: Bytes, _: Instant, reply: Reply) {
        reply.fail(RpcError::Refused("a tool answers nothing".to_owned()));
    }

    fn notify(&self, _: &Arc<str>, _: Bytes) {}
}
