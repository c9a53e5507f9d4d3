//! Reading app.json.

use std::collections::{BTreeMap, BTreeSet};

use crate::blacklist;
use crate::fields::Fields;
use crate::filters;
use crate::json::{Member, Shape, quoted};
use crate::nearest::suggestion;
use crate::problem::Findings;
use crate::spot::Spot;
use crate::{
    App, ConnectorSettings, FailMode, OnDuplicate, Router, RpcSettings, ServerTypeSettings, SessionSettings,
    SingleSession, Transport, UpdateSettings,
};

/// The fields of a type.
const TYPE: [&str; 9] = [
    "connector",
    "rpc",
    "router",
    "filters",
    "filterSettings",
    "update",
    "session",
    "channel",
    "globalFilters",
];

/// Tells a section from a server type: it is called like none, holds objects, and no field of a type.
pub(crate) fn is_section(member: &Member, types: Option<&BTreeSet<&str>>) -> bool {
    let is_type = |member: &Member| member.node.members().is_some() && !TYPE.contains(&member.key.as_str());
    let named = is_all(&member.key) || types.is_some_and(|types| types.contains(member.key.as_str()));
    !named && member.node.members().is_some_and(|types| types.iter().all(is_type))
}

/// Reads a section; `types` are the keys of servers.json, none if that could not be read.
pub(crate) fn read(section: &Spot<'_>, types: Option<&BTreeSet<&str>>, findings: &mut Findings) -> App {
    let mut app = App::default();
    let mut entries = section.entries("server types, each with its settings", findings).unwrap_or_default();
    // What holds for all comes first, wherever it stands.
    entries.sort_by_key(|(name, _)| !is_all(name));
    let mut all_seen = false;
    for (name, spot) in entries {
        if is_all(name) {
            if all_seen {
                findings.problem(spot.place(), "both \"all\" and \"*\"", "they mean the same: keep one");
            }
            all_seen = true;
            read_type(&spot, types, &mut app.all, findings);
            continue;
        }
        check_type(name, &spot, types, findings);
        let mut settings = app.all.clone();
        read_type(&spot, types, &mut settings, findings);
        warn_of_idle_timeout(&spot, &settings.connector, findings);
        warn_of_idle_burst(&spot, &settings.connector, findings);
        app.types.insert(name.to_owned(), settings);
    }
    fill(&mut app.all.connector);
    app.types.values_mut().for_each(|settings| fill(&mut settings.connector));
    app
}

fn is_all(name: &str) -> bool {
    matches!(name, "all" | "*")
}

fn check_type(name: &str, spot: &Spot<'_>, types: Option<&BTreeSet<&str>>, findings: &mut Findings) {
    if let Some(types) = types.filter(|types| !types.contains(name)) {
        let known: Vec<_> = types.iter().copied().chain(["all"]).collect();
        let found = format!("servers.json has no server type {}", quoted(name));
        findings.problem(spot.place(), found, suggestion(name, &known));
    }
}

/// Changes the settings by the fields of a type.
fn read_type(
    spot: &Spot<'_>,
    types: Option<&BTreeSet<&str>>,
    settings: &mut ServerTypeSettings,
    findings: &mut Findings,
) {
    let Some(mut fields) = Fields::open(spot, findings) else { return };
    fields.object("connector", |fields| read_connector(fields, &mut settings.connector));
    fields.object("rpc", |fields| read_rpc(fields, &mut settings.rpc));
    if let Some(spot) = fields.get("router") {
        read_routers(&spot, types, &mut settings.routers, fields.findings);
    }
    filters::read(&mut fields, &mut settings.filters);
    fields.whole("stopHoldMs", 0..=600_000, &mut settings.stop.hold_ms);
    fields.object("update", |fields| read_update(fields, &mut settings.update));
    fields.object("session", |fields| {
        fields.whole("settingsBytesMax", 1 << 10..=16 << 20, &mut settings.session.settings_bytes_max);
        read_single_session(fields, &mut settings.session);
    });
    fields.object("channel", |fields| {
        fields.whole("channelsMax", 1..=10_000_000, &mut settings.channel.channels_max);
        fields.whole("membersMax", 1..=1_000_000, &mut settings.channel.members_max);
        fields.idle(&[
            ("prefix", "channels are not stored"),
            ("store", "channels are not stored"),
            ("broadcastFilter", "a broadcast names its filter, which a plugin exports"),
        ]);
    });
    fields.renamed(&[
        ("connectorConfig", "connector"),
        ("proxyConfig", "rpc"),
        ("sessionConfig", "session"),
        ("channelConfig", "channel"),
        ("filter", "filters"),
        ("route", "router"),
    ]);
    fields.idle(&[
        ("remoteConfig", "a server answers calls with no settings of its own"),
        ("serverConfig", "handlers are plugins: nothing is reloaded or logged per forward"),
        ("pushSchedulerConfig", "pushes are written at once, several at a time where they wait"),
        ("schedulerConfig", "pushes are written at once, several at a time where they wait"),
        ("dictionaryConfig", "the dictionary is read from dictionary.json"),
        ("protobufConfig", "schemas are read from clientProtos.json and serverProtos.json"),
    ]);
    fields.close();
}

fn read_update(fields: &mut Fields<'_, '_>, update: &mut UpdateSettings) {
    fields.whole("probationS", 0..=86_400, &mut update.probation_s);
    fields.whole("callsMin", 1..=1_000_000, &mut update.calls_min);
    fields.whole("trapPercentMax", 0..=100, &mut update.trap_percent_max);
    fields.whole("deadlinePercentMax", 0..=100, &mut update.deadline_percent_max);
    fields.whole("p99FactorMax", 1..=1_000, &mut update.p99_factor_max);
    fields.whole("p99FloorMs", 0..=600_000, &mut update.p99_floor_ms);
    fields.whole("graceMs", 0..=600_000, &mut update.grace_ms);
    fields.whole("stateHoldMs", 10..=60_000, &mut update.state_hold_ms);
    fields.whole("stateBytesMax", 1 << 10..=256 << 20, &mut update.state_bytes_max);
    fields.flag("versionInAnswers", &mut update.version_in_answers);
}

/// pomelo's form is true or false.
fn read_single_session(fields: &mut Fields<'_, '_>, session: &mut SessionSettings) {
    if let Some(spot) = fields.get("singleSession") {
        let names = [
            ("off", SingleSession::Off),
            ("frontend", SingleSession::Frontend),
            ("cluster", SingleSession::Cluster),
        ];
        let value = match spot.node.shape {
            Shape::Bool(true) => Some(SingleSession::Frontend),
            Shape::Bool(false) => Some(SingleSession::Off),
            Shape::Text(_) => spot.name_of(&names, fields.findings),
            _ => {
                spot.refuse("off, frontend, cluster, true, false", fields.findings);
                None
            }
        };
        session.single_session = value.unwrap_or(session.single_session);
    }
    let names = [("refuse-new", OnDuplicate::RefuseNew), ("kick-old", OnDuplicate::KickOld)];
    fields.name_of("onDuplicate", &names, &mut session.on_duplicate);
    if let Some(spot) = fields.get("onDuplicate").filter(|_| session.single_session == SingleSession::Off) {
        fields.findings.warning(spot.place(), "has no effect", "\"singleSession\" is off");
    }
}

fn read_connector(fields: &mut Fields<'_, '_>, connector: &mut ConnectorSettings) {
    if let Some(spot) = fields.get("transports") {
        let names = [("ws", Transport::Ws), ("tcp", Transport::Tcp)];
        let transports = spot.names_of(&names, fields.findings);
        if transports.as_ref().is_some_and(Vec::is_empty) {
            spot.refuse("at least one of ws, tcp", fields.findings);
        } else if let Some(transports) = transports {
            connector.transports = transports;
        }
    }
    if let Some(spot) = fields.get("listenHost") {
        connector.listen_host = spot.address(fields.findings).or(connector.listen_host);
    }
    fields.whole_or_null("heartbeat", 1..=3_600, &mut connector.heartbeat_s);
    fields.whole_or_null("heartbeatTimeout", 2..=7_200, &mut connector.heartbeat_timeout_s);
    fields.flag("useDict", &mut connector.use_dict);
    fields.flag("useProtobuf", &mut connector.use_protobuf);
    fields.whole("handshakeTimeoutMs", 100..=600_000, &mut connector.handshake_timeout_ms);
    fields.whole("idleTimeoutMs", 100..=86_400_000, &mut connector.idle_timeout_ms);
    fields.whole("bodyBytesMax", 256..=PACKAGE_BYTES_MAX, &mut connector.body_bytes_max);
    fields.whole("handshakeBodyBytesMax", 256..=PACKAGE_BYTES_MAX, &mut connector.handshake_body_bytes_max);
    fields.whole("outboundBytesMax", 4_096..=1 << 30, &mut connector.outbound_bytes_max);
    fields.whole("queuedRequestsMax", 1..=100_000, &mut connector.queued_requests_max);
    fields.whole("connectionsMax", 1..=1_000_000, &mut connector.connections_max);
    fields.whole_or_null("requestsPerSecond", 1..=1_000_000, &mut connector.requests_per_second);
    fields.whole_or_null("requestBurst", 1..=1_000_000, &mut connector.request_burst);
    fields.whole_or_null("rateLimitStrikesMax", 1..=1_000_000_000, &mut connector.rate_limit_strikes_max);
    fields.whole_or_null(
        "connectionsPerAddressMax",
        1..=1_000_000,
        &mut connector.connections_per_address_max,
    );
    fields.whole_or_null(
        "connectionsPerAddressPerSecond",
        1..=1_000_000,
        &mut connector.connections_per_address_per_second,
    );
    if let Some(spot) = fields.get("blacklist") {
        connector.blacklist = blacklist::read(&spot, fields.findings).unwrap_or_default();
    }
    fields.renamed(&[("timeout", "heartbeatTimeout (seconds) and idleTimeoutMs")]);
    fields.idle(IDLE_OF_CONNECTOR);
    check_heartbeat(fields, connector);
}

/// The length field of a package has three bytes.
const PACKAGE_BYTES_MAX: u64 = (1 << 24) - 1;

/// Options of pomelo's connectors that change nothing here.
const IDLE_OF_CONNECTOR: &[(&str, &str)] = &[
    ("connector", "there is one connector, which speaks WebSocket and TCP; see transports"),
    ("ssl", "a client port speaks no TLS; put a proxy in front that does"),
    ("useCrypto", "messages are not signed; put a proxy with TLS in front"),
    ("useHostFilter", "see blacklist, which holds wherever it is not empty"),
    ("blacklistFun", "see blacklist"),
    ("useAsyncCoder", "messages have one encoding"),
    ("encode", "messages have one encoding"),
    ("decode", "messages have one encoding"),
    ("checkClient", "a plugin with the export `handshake` checks clients"),
    ("handshake", "a plugin with the export `handshake` checks clients"),
    ("disconnectOnTimeout", "a client that falls silent is always closed"),
    ("distinctHost", "see listenHost for the address to listen on"),
    ("setNoDelay", "TCP_NODELAY is always on"),
    ("closeMethod", "connections are always closed in full"),
];

/// A timeout that is no longer than the heartbeat would close every client.
fn check_heartbeat(fields: &mut Fields<'_, '_>, connector: &ConnectorSettings) {
    let timeout = fields.spot.member("heartbeatTimeout");
    let Some(spot) = timeout.or_else(|| fields.spot.member("heartbeat")) else { return };
    let (Some(heartbeat), Some(timeout)) = (connector.heartbeat_s, connector.heartbeat_timeout_s) else {
        return;
    };
    if timeout <= heartbeat {
        let found = format!("a timeout of {timeout} s with a heartbeat of {heartbeat} s");
        fields.findings.problem(spot.place(), found, "allowed: a timeout longer than the heartbeat");
    }
}

fn warn_of_idle_timeout(spot: &Spot<'_>, connector: &ConnectorSettings, findings: &mut Findings) {
    let timeout = spot.member("connector").and_then(|connector| connector.member("heartbeatTimeout"));
    if let (Some(spot), None, Some(_)) = (timeout, connector.heartbeat_s, connector.heartbeat_timeout_s) {
        findings.warning(
            spot.place(),
            "has no effect",
            "there are no heartbeats unless \"heartbeat\" is set",
        );
    }
}

fn warn_of_idle_burst(spot: &Spot<'_>, connector: &ConnectorSettings, findings: &mut Findings) {
    let burst = spot.member("connector").and_then(|connector| connector.member("requestBurst"));
    if let (Some(spot), None, Some(_)) = (burst, connector.requests_per_second, connector.request_burst) {
        findings.warning(
            spot.place(),
            "has no effect",
            "there is no limit unless \"requestsPerSecond\" is set",
        );
    }
}

/// Fills in what depends on other settings.
fn fill(connector: &mut ConnectorSettings) {
    let burst = connector.request_burst;
    connector.request_burst = connector.requests_per_second.map(|per_second| burst.unwrap_or(per_second));
    let wanted = connector.heartbeat_timeout_s;
    connector.heartbeat_timeout_s = connector.heartbeat_s.map(|heartbeat| wanted.unwrap_or(2 * heartbeat));
}

fn read_rpc(fields: &mut Fields<'_, '_>, rpc: &mut RpcSettings) {
    fields.whole("timeoutMs", 1..=600_000, &mut rpc.timeout_ms);
    fields.whole("pendingMax", 1..=1_000_000, &mut rpc.pending_max);
    fields.whole("messageBytesMax", 64 << 10..=64 << 20, &mut rpc.message_bytes_max);
    fields.whole("bufferMs", 0..=100, &mut rpc.buffer_ms);
    fields.name_of("failMode", FAIL_MODES, &mut rpc.fail_mode);
    fields.whole("retriesMax", 0..=10, &mut rpc.retries_max);
    fields.whole("retryBackoffMs", 1..=60_000, &mut rpc.retry_backoff_ms);
    fields.renamed(&[("timeout", "timeoutMs"), ("pendingSize", "pendingMax")]);
    fields.idle(&[
        ("bufferMsg", "see bufferMs"),
        ("cacheMsg", "see bufferMs"),
        ("interval", "see bufferMs"),
        ("keepalive", "a broken link is noticed by the system"),
        ("routerType", "see router"),
        ("replicas", "the router \"ch\" always has 100 places for each server"),
        ("algorithm", "the router \"ch\" always takes md5"),
        ("hashFieldIndex", "the router \"ch\" takes the key of the call"),
    ]);
}

const FAIL_MODES: &[(&str, FailMode)] =
    &[("failfast", FailMode::Failfast), ("failover", FailMode::Failover), ("retry", FailMode::Retry)];

const ROUTERS: &[(&str, Router)] = &[
    ("crc32", Router::Crc32),
    ("hash", Router::Hash),
    ("rr", Router::RoundRobin),
    ("wrr", Router::WeightedRoundRobin),
    ("la", Router::LeastActive),
    ("ch", Router::ConsistentHash),
    ("random", Router::Random),
];

fn read_routers(
    spot: &Spot<'_>,
    types: Option<&BTreeSet<&str>>,
    routers: &mut BTreeMap<String, Router>,
    findings: &mut Findings,
) {
    for (target, spot) in spot.entries("server types, each with a router", findings).unwrap_or_default() {
        if let Some(types) = types.filter(|types| !types.contains(target)) {
            let known: Vec<_> = types.iter().copied().collect();
            let found = format!("servers.json has no server type {}", quoted(target));
            findings.problem(spot.place(), found, suggestion(target, &known));
        }
        if let Some(router) = spot.name_of(ROUTERS, findings) {
            routers.insert(target.to_owned(), router);
        }
    }
}
