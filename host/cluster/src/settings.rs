use std::time::Duration;

/// The limits of links and of the ways to make them. One per process is enough.
///
/// At a limit a call fails with an error that names it; nothing grows beyond.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The longest message, header included. Both sides of a link must agree: a longer frame closes the
    /// link of a peer that sends it. Default 4 MiB.
    pub message_bytes_max: usize,
    /// How much may wait to be written to one link; beyond it calls fail with `Overloaded`. Default 32 MiB,
    /// enough for eight of the longest messages.
    pub outbound_bytes_max: usize,
    /// How long frames to another server wait for more, to be written together; zero: not at all. More
    /// than 64 KiB do not wait. Default 0.
    pub buffer: Duration,
    /// Calls in flight on one link. Default 100,000.
    pub pending_calls_max: usize,
    /// Calls that may wait while a link is being opened (pomelo's `pendingSize`). Default 10,000.
    pub connecting_calls_max: usize,
    /// Bytes that may wait while a link is being opened. Default 8 MiB.
    pub connecting_bytes_max: usize,
    /// How long opening a connection may take. Default 2 s.
    pub connect_timeout: Duration,
    /// How long both sides give each other to prove the secret. Default 5 s.
    pub auth_timeout: Duration,
    /// Connections that may be proving the secret at one time on one listener; further ones are closed
    /// at once. Default 256.
    pub auth_connections_max: usize,
    /// The first pause after a failed attempt to connect. Default 50 ms.
    pub backoff_min: Duration,
    /// The longest pause between attempts to connect. Default 5 s.
    pub backoff_max: Duration,
    /// How long a closing link may take to write what was queued. Default 1 s.
    pub close_timeout: Duration,
    /// How long a server that has left the member list may still answer, over a link that stands, what is
    /// under way; then its calls fail. Default 5 s.
    pub leaving_timeout: Duration,
    /// How long a server waits for its first registration: the master must answer by then. Default 5 s.
    pub register_timeout: Duration,
    /// How long a server still counts members that a *restarted* master does not name yet, so that the
    /// servers' way back to it does not look like a cluster that shrank. Default 15 s.
    pub new_master_grace: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            message_bytes_max: 4 * 1024 * 1024,
            outbound_bytes_max: 32 * 1024 * 1024,
            buffer: Duration::ZERO,
            pending_calls_max: 100_000,
            connecting_calls_max: 10_000,
            connecting_bytes_max: 8 * 1024 * 1024,
            connect_timeout: Duration::from_secs(2),
            auth_timeout: Duration::from_secs(5),
            auth_connections_max: 256,
            backoff_min: Duration::from_millis(50),
            backoff_max: Duration::from_secs(5),
            close_timeout: Duration::from_secs(1),
            leaving_timeout: Duration::from_secs(5),
            register_timeout: Duration::from_secs(5),
            new_master_grace: Duration::from_secs(15),
        }
    }
}
