//! What app.json says about a server type: the settings that a pomelo application makes in app.js.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::Filters;
use ipnet::IpNet;

/// app.json: the settings of every server type, defaults filled in.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct App {
    /// What holds for a type that app.json does not name: the defaults, then the key `all`.
    pub all: ServerTypeSettings,
    /// The types that app.json names: the same, then the type's own fields.
    pub types: BTreeMap<String, ServerTypeSettings>,
}

/// The settings of one server type.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ServerTypeSettings {
    /// How a frontend serves its clients; of no use to a backend.
    pub connector: ConnectorSettings,
    /// Calls from a server of this type to others.
    pub rpc: RpcSettings,
    /// The built-in router per target type, for calls that no plugin's route function decides.
    pub routers: BTreeMap<String, Router>,
    /// Filters and error handlers.
    pub filters: Filters,
    /// Limits of the sessions that a frontend of this type holds.
    pub session: SessionSettings,
    /// Limits of the channels that a server of this type holds.
    pub channel: ChannelSettings,
    /// How a server of this type stops.
    pub stop: StopSettings,
    /// How another version of a plugin takes over while a server of this type runs.
    pub update: UpdateSettings,
}

/// How another version of a plugin takes over.
#[derive(Clone, Debug, PartialEq)]
pub struct UpdateSettings {
    /// Seconds for which a new version is watched; beyond its budget the version before comes back. 0: never.
    pub probation_s: u64,
    /// Calls that a version must have had before it is judged.
    pub calls_min: u64,
    /// Percent of the calls that may trap, or break another limit than the deadline.
    pub trap_percent_max: u32,
    /// Percent of the calls that may miss their deadline.
    pub deadline_percent_max: u32,
    /// How many times the p99 of the version before the new one's may be.
    pub p99_factor_max: u32,
    /// Milliseconds of a p99 that is never too slow, whatever it was before.
    pub p99_floor_ms: u64,
    /// Milliseconds that calls may go on in the version before.
    pub grace_ms: u64,
    /// Milliseconds for which calls may be held while state is handed over.
    pub state_hold_ms: u64,
    /// Bytes of a state that is handed over.
    pub state_bytes_max: usize,
    /// Whether answers to clients name the version that gave them.
    pub version_in_answers: bool,
}

impl Default for UpdateSettings {
    fn default() -> Self {
        Self {
            probation_s: 180,
            calls_min: 20,
            trap_percent_max: 1,
            deadline_percent_max: 1,
            p99_factor_max: 3,
            p99_floor_ms: 10,
            grace_ms: 10_000,
            state_hold_ms: 2_000,
            state_bytes_max: 16 << 20,
            version_in_answers: false,
        }
    }
}

/// How a server stops.
#[derive(Clone, Debug, PartialEq)]
pub struct StopSettings {
    /// Milliseconds for which plugins may hold the stop.
    pub hold_ms: u64,
}

impl Default for StopSettings {
    fn default() -> Self {
        Self { hold_ms: 500 }
    }
}

impl ServerTypeSettings {
    /// The built-in router for calls to servers of a type.
    pub fn router_for(&self, target_type: &str) -> Router {
        self.routers.get(target_type).copied().unwrap_or_default()
    }
}

/// How a frontend serves its clients.
#[derive(Clone, Debug, PartialEq)]
pub struct ConnectorSettings {
    /// The protocols accepted on the client port; never empty.
    pub transports: Vec<Transport>,
    /// The address to listen on, unless the server's own entry names one; see
    /// [`Config::listen_address`](crate::Config::listen_address) for the whole rule.
    pub listen_host: Option<IpAddr>,
    /// Seconds between heartbeats; none: no heartbeats at all.
    pub heartbeat_s: Option<u64>,
    /// Seconds without a sign of life after which a client is closed; set exactly if `heartbeat_s` is
    /// (twice the heartbeat by default).
    pub heartbeat_timeout_s: Option<u64>,
    /// Compress routes by the dictionary.
    pub use_dict: bool,
    /// Encode bodies by clientProtos.json and serverProtos.json.
    pub use_protobuf: bool,
    /// Milliseconds from the connection to the client's handshake ACK.
    pub handshake_timeout_ms: u64,
    /// Milliseconds without a byte from a client after which it is closed where heartbeats are off.
    pub idle_timeout_ms: u64,
    /// Largest body of a package from a client after the handshake.
    pub body_bytes_max: usize,
    /// Largest body of a package from a client before its handshake ACK.
    pub handshake_body_bytes_max: usize,
    /// Bytes that may wait to be written to one client; a client over it is closed as too slow.
    pub outbound_bytes_max: usize,
    /// Requests of one client that may wait or run at a time; above, its connection is not read.
    pub queued_requests_max: usize,
    /// Connections of one server at a time, unless the entry in servers.json has `max-connections`.
    pub connections_max: u32,
    /// Requests and notifies that one session may send in a second, on average; none: as many as it likes.
    pub requests_per_second: Option<u32>,
    /// How many of them may come at once; set exactly if `requests_per_second` is (the same number by default).
    pub request_burst: Option<u32>,
    /// Requests above the limit within a minute after which the session is kicked; none: never.
    pub rate_limit_strikes_max: Option<u32>,
    /// Connections of one address at a time; none: as many as there may be at all.
    pub connections_per_address_max: Option<u32>,
    /// New connections of one address in a second; none: as many as there may be at all.
    pub connections_per_address_per_second: Option<u32>,
    /// Networks whose connections are closed before anything is read.
    pub blacklist: Vec<IpNet>,
}

impl Default for ConnectorSettings {
    fn default() -> Self {
        Self {
            transports: vec![Transport::Ws, Transport::Tcp],
            listen_host: None,
            heartbeat_s: None,
            heartbeat_timeout_s: None,
            use_dict: false,
            use_protobuf: false,
            handshake_timeout_ms: 10_000,
            idle_timeout_ms: 90_000,
            body_bytes_max: 64 << 10,
            handshake_body_bytes_max: 16 << 10,
            outbound_bytes_max: 1 << 20,
            queued_requests_max: 128,
            connections_max: 10_000,
            requests_per_second: None,
            request_burst: None,
            rate_limit_strikes_max: Some(1_000),
            connections_per_address_max: None,
            connections_per_address_per_second: None,
            blacklist: Vec::new(),
        }
    }
}

/// A protocol of the client port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// WebSocket.
    Ws,
    /// Packages on a bare TCP stream.
    Tcp,
}

/// Calls from one server to others.
#[derive(Clone, Debug, PartialEq)]
pub struct RpcSettings {
    /// Milliseconds until a call without an answer fails, unless its caller's deadline is nearer.
    pub timeout_ms: u64,
    /// Calls to one server that may wait for an answer at a time; more fail at once.
    pub pending_max: usize,
    /// Largest message between two servers.
    pub message_bytes_max: usize,
    /// Milliseconds that messages to another server wait for more, to be written together; 0: not at all.
    pub buffer_ms: u64,
    /// What becomes of a call that fails on its way.
    pub fail_mode: FailMode,
    /// How often one call is made anew at most, where the fail mode does so.
    pub retries_max: u32,
    /// Milliseconds before a call is made anew; doubled from one time to the next.
    pub retry_backoff_ms: u64,
}

impl Default for RpcSettings {
    fn default() -> Self {
        Self {
            timeout_ms: 30_000,
            pending_max: 10_000,
            message_bytes_max: 4 << 20,
            buffer_ms: 0,
            fail_mode: FailMode::default(),
            retries_max: 2,
            retry_backoff_ms: 50,
        }
    }
}

/// What becomes of a call that fails on its way. One that may have run is made anew only if it is idempotent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FailMode {
    /// Its caller gets the error at once.
    #[default]
    Failfast,
    /// It goes to another server of the type.
    Failover,
    /// It goes to the same server again after a pause.
    Retry,
}

/// A built-in way to pick one server of a type.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Router {
    /// `|crc32(uid or value)| % n` over the servers sorted by id; a session without a user counts as the empty text.
    #[default]
    Crc32,
    /// The same, but a session without a user counts by its own id.
    Hash,
    /// One after the other.
    RoundRobin,
    /// One after the other, each as often as its `weight` in servers.json says.
    WeightedRoundRobin,
    /// The one with the fewest calls of this server under way.
    LeastActive,
    /// A ring of hashes: when servers come and go, only the keys of those move.
    ConsistentHash,
    /// Any.
    Random,
}

/// Sessions of a frontend.
#[derive(Clone, Debug, PartialEq)]
pub struct SessionSettings {
    /// Keys and values of one session's settings together.
    pub settings_bytes_max: usize,
    /// Within what a user has one session at the most.
    pub single_session: SingleSession,
    /// What becomes of a second one.
    pub on_duplicate: OnDuplicate,
}

/// Within what a user has one session at the most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SingleSession {
    /// A user may have any number.
    #[default]
    Off,
    /// One at each frontend: pomelo's `singleSession`.
    Frontend,
    /// One in the cluster; the master knows of all of them.
    Cluster,
}

/// What becomes of a second session of a user.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnDuplicate {
    /// It is not bound: an error.
    #[default]
    RefuseNew,
    /// The first one is kicked.
    KickOld,
}

impl Default for SessionSettings {
    fn default() -> Self {
        Self {
            settings_bytes_max: 64 << 10,
            single_session: SingleSession::default(),
            on_duplicate: OnDuplicate::default(),
        }
    }
}

/// Limits of channels.
#[derive(Clone, Debug, PartialEq)]
pub struct ChannelSettings {
    /// Channels on one server.
    pub channels_max: usize,
    /// Members of one channel.
    pub members_max: usize,
}

impl Default for ChannelSettings {
    fn default() -> Self {
        Self { channels_max: 100_000, members_max: 10_000 }
    }
}
