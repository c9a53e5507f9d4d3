//! What this server does at the master's request.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};
use shaddock_cluster::master_link::{Answer, Control};
use tokio_util::sync::CancellationToken;

use crate::admin;
use crate::server::Server;

/// The server as the master sees it.
pub(crate) struct Orders {
    pub(crate) server: Arc<Server>,
    /// Cancelled by the order to stop.
    pub(crate) stop: CancellationToken,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
enum Order {
    /// What `shaddock list` shows.
    Stats,
    /// End this process in good order.
    Stop,
    /// Close the sessions of a user.
    Kick { uid: String, reason: String },
    /// A user's session here gives way to another one.
    Displace { uid: String, number: u64, keep: Option<u64> },
}

impl Control for Orders {
    fn control(&self, request: Value) -> Answer {
        let unknown = |error: serde_json::Error| format!("not an order known here: {error}");
        let op = request.get("op").and_then(Value::as_str).unwrap_or_default();
        if op.starts_with("plugin_") {
            return match serde_json::from_value(request) {
                Ok(order) => self.server.roll_out(order),
                Err(error) => Box::pin(std::future::ready(Err(unknown(error)))),
            };
        }
        let order = serde_json::from_value(request).map_err(unknown);
        let answer = order.map(|order| match order {
            Order::Stats => admin::stats(&self.server),
            Order::Stop => {
                tracing::info!("the master asks this server to stop");
                self.stop.cancel();
                Value::Null
            }
            Order::Kick { uid, reason } => json!({ "kicked": self.server.kick_here(&uid, &reason) }),
            Order::Displace { uid, number, keep } => {
                self.server.displace(&uid, number, keep);
                Value::Null
            }
        });
        Box::pin(std::future::ready(answer))
    }

    fn introduction(&self) -> Vec<Value> {
        self.server.introduction()
    }
}
