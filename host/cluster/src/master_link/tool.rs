use std::time::Duration;

use serde_json::Value;

use crate::{ClusterError, Secret};

/// A command line tool's connection to the master.
pub struct Tool {}

impl Tool {
    /// Connects to the master at `host:port` and proves the secret.
    ///
    /// # Errors
    /// No master there, or a wrong secret, in words for the operator.
    pub async fn connect(host: &str, port: u16, secret: &Secret) -> Result<Self, ClusterError> {
        let _ = (host, port, secret);
        todo!()
    }

    /// Asks the master.
    ///
    /// # Errors
    /// [`ClusterError::Answer`] with the master's own error, or why there is no answer.
    pub async fn request(&self, request: &Value, timeout: Duration) -> Result<Value, ClusterError> {
        let _ = (request, timeout);
        todo!()
    }
}
