//! app.json.

use shaddock_config::{
    FailMode, Filter, FilterSettings, OnDuplicate, Router, RpcFilter, ServerTypeSettings, SingleSession,
    Transport,
};

use crate::report::{check, load};

/// Checks the settings of the frontend's type, which stand on line 2.
fn gate(settings: &str, expected: &[&str]) {
    check(&[("app.json", &format!("{{\"gate\": {{\n{settings}}}}}"))], expected);
}

fn settings(app: &str, server_type: &str) -> ServerTypeSettings {
    load("development", &[("app.json", app)]).app_for(server_type).clone()
}

#[test]
fn what_is_absent_has_its_default() {
    for app in ["{}", r#"{"gate": {}}"#, r#"{"*": {}}"#, r#"{"gate": {"connector": {}, "rpc": {}}}"#] {
        assert_eq!(settings(app, "gate"), ServerTypeSettings::default(), "{app}");
        assert_eq!(settings(app, "chat"), ServerTypeSettings::default(), "{app}");
    }
    let config = load("development", &[]);
    assert_eq!(*config.app_for("gate"), ServerTypeSettings::default());
    assert_eq!(config.app_for("gate").router_for("chat"), Router::Crc32);
}

#[test]
fn all_fields_are_read() {
    let read = settings(
        r#"{"$schema": "x", "development": {"gate": {
            "connector": {
                "transports": ["tcp"], "listenHost": "10.0.0.1", "heartbeat": 3, "heartbeatTimeout": 5,
                "useDict": true, "useProtobuf": true, "handshakeTimeoutMs": 101, "idleTimeoutMs": 102,
                "bodyBytesMax": 303, "handshakeBodyBytesMax": 304, "outboundBytesMax": 5005,
                "queuedRequestsMax": 6, "connectionsMax": 7,
                "requestsPerSecond": 14, "requestBurst": 15, "rateLimitStrikesMax": null,
                "connectionsPerAddressMax": 16, "connectionsPerAddressPerSecond": 17,
                "blacklist": ["10.0.0.7", "192.168.1.1/16"]
            },
            "rpc": {
                "timeoutMs": 8, "pendingMax": 9, "messageBytesMax": 100000, "bufferMs": 14, "failMode": "retry",
                "retriesMax": 0, "retryBackoffMs": 15
            },
            "router": {"chat": "crc32"},
            "session": {"settingsBytesMax": 1111},
            "channel": {"channelsMax": 12, "membersMax": 13}
        }}}"#,
        "gate",
    );
    let connector = &read.connector;
    assert_eq!(connector.transports, [Transport::Tcp]);
    assert_eq!(connector.listen_host, Some("10.0.0.1".parse().unwrap()));
    assert_eq!((connector.heartbeat_s, connector.heartbeat_timeout_s), (Some(3), Some(5)));
    assert_eq!((connector.use_dict, connector.use_protobuf), (true, true));
    assert_eq!((connector.handshake_timeout_ms, connector.idle_timeout_ms), (101, 102));
    assert_eq!((connector.body_bytes_max, connector.handshake_body_bytes_max), (303, 304));
    assert_eq!((connector.outbound_bytes_max, connector.queued_requests_max), (5_005, 6));
    assert_eq!(connector.connections_max, 7);
    assert_eq!((connector.requests_per_second, connector.request_burst), (Some(14), Some(15)));
    assert_eq!(connector.rate_limit_strikes_max, None);
    assert_eq!(connector.connections_per_address_max, Some(16));
    assert_eq!(connector.connections_per_address_per_second, Some(17));
    let networks = ["10.0.0.7/32", "192.168.0.0/16"].map(|network| network.parse().unwrap());
    assert_eq!(connector.blacklist, networks);
    assert_eq!((read.rpc.timeout_ms, read.rpc.pending_max, read.rpc.message_bytes_max), (8, 9, 100_000));
    assert_eq!((read.rpc.buffer_ms, read.rpc.fail_mode), (14, FailMode::Retry));
    assert_eq!((read.rpc.retries_max, read.rpc.retry_backoff_ms), (0, 15));
    assert_eq!(read.routers["chat"], Router::Crc32);
    assert_eq!(read.session.settings_bytes_max, 1_111);
    assert_eq!((read.channel.channels_max, read.channel.members_max), (12, 13));
}

#[test]
fn a_type_changes_what_all_have_field_by_field() {
    for all in ["all", "*"] {
        let app = format!(
            r#"{{
                "gate": {{"connector": {{"heartbeat": null, "useDict": false}}, "rpc": {{"pendingMax": 5}}}},
                "{all}": {{"connector": {{"heartbeat": 10, "useDict": true, "useProtobuf": true}}, "rpc": {{"timeoutMs": 70}}}}
            }}"#
        );
        let gate = settings(&app, "gate");
        assert_eq!((gate.connector.heartbeat_s, gate.connector.heartbeat_timeout_s), (None, None));
        assert_eq!((gate.connector.use_dict, gate.connector.use_protobuf), (false, true));
        assert_eq!((gate.rpc.timeout_ms, gate.rpc.pending_max), (70, 5));
        let chat = settings(&app, "chat");
        assert_eq!((chat.connector.heartbeat_s, chat.connector.heartbeat_timeout_s), (Some(10), Some(20)));
        assert_eq!((chat.rpc.timeout_ms, chat.rpc.pending_max), (70, 10_000));
    }
    check(
        &[("app.json", "{\"*\": {},\n\"all\": {}}")],
        &["app.json:2: all: both \"all\" and \"*\"; they mean the same: keep one"],
    );
}

#[test]
fn a_burst_is_as_large_as_the_rate_unless_it_is_named() {
    let app =
        r#"{"all": {"connector": {"requestsPerSecond": 20}}, "gate": {"connector": {"requestBurst": 30}}}"#;
    assert_eq!(settings(app, "gate").connector.request_burst, Some(30));
    assert_eq!(settings(app, "chat").connector.request_burst, Some(20));
    let app = r#"{"all": {"connector": {"requestsPerSecond": 20}}, "gate": {"connector": {"requestsPerSecond": null}}}"#;
    let connector = settings(app, "gate").connector;
    assert_eq!((connector.requests_per_second, connector.request_burst), (None, None));
}

#[test]
fn types_that_are_not_there_are_refused() {
    check(
        &[(
            "app.json",
            "{\"gat\": {},\n\"world\": {},\n\"gate\": {\"router\": {\"caht\": \"crc32\", \"world\": \"crc32\"}}}",
        )],
        &[
            "app.json:1: gat: servers.json has no server type \"gat\"; did you mean \"gate\"?",
            "app.json:2: world: servers.json has no server type \"world\"; allowed: chat, gate, all",
            "app.json:3: gate.router.caht: servers.json has no server type \"caht\"; did you mean \"chat\"?",
            "app.json:3: gate.router.world: servers.json has no server type \"world\"; allowed: chat, gate",
        ],
    );
}

#[test]
fn every_value_that_is_not_allowed_is_refused() {
    for (text, expected) in [
        ("\"connector\": true", "connector: found true; allowed: an object"),
        (
            "\"connector\": {\"heartbeat\": 0}",
            "connector.heartbeat: found 0; allowed: a whole number from 1 to 3600",
        ),
        (
            "\"connector\": {\"heartbeat\": \"3\"}",
            "connector.heartbeat: found \"3\"; allowed: a whole number from 1 to 3600, without quotes",
        ),
        (
            "\"connector\": {\"heartbeet\": 3}",
            "connector.heartbeet: unknown field; did you mean \"heartbeat\"?",
        ),
        (
            "\"connector\": {\"heartbeat\": 3, \"heartbeatTimeout\": 3}",
            "connector.heartbeatTimeout: a timeout of 3 s with a heartbeat of 3 s; allowed: a timeout longer than the heartbeat",
        ),
        ("\"connector\": {\"useDict\": 1}", "connector.useDict: found 1; allowed: true or false"),
        (
            "\"connector\": {\"transports\": []}",
            "connector.transports: found a list of 0; allowed: at least one of ws, tcp",
        ),
        (
            "\"connector\": {\"transports\": [\"udp\"]}",
            "connector.transports[0]: found \"udp\"; allowed: ws, tcp",
        ),
        (
            "\"connector\": {\"transports\": [\"ws\", \"ws\"]}",
            "connector.transports[1]: \"ws\" a second time; each name stands once",
        ),
        (
            "\"connector\": {\"listenHost\": \"home\"}",
            "connector.listenHost: found \"home\"; allowed: an IP address such as \"127.0.0.1\", \"0.0.0.0\" or \"::\"",
        ),
        (
            "\"connector\": {\"bodyBytesMax\": 16777216}",
            "connector.bodyBytesMax: found 16777216; allowed: a whole number from 256 to 16777215",
        ),
        (
            "\"connector\": {\"timeout\": 5}",
            "connector.timeout: \"timeout\" is pomelo's name; here it is \"heartbeatTimeout (seconds) and idleTimeoutMs\"",
        ),
        (
            "\"connector\": {\"requestsPerSecond\": 0.5}",
            "connector.requestsPerSecond: found 0.5; allowed: a whole number from 1 to 1000000",
        ),
        (
            "\"connector\": {\"blacklist\": \"10.0.0.1\"}",
            "connector.blacklist: found \"10.0.0.1\"; allowed: a list of IP addresses and networks",
        ),
        (
            "\"connector\": {\"blacklist\": [\"10.0.0.*\"]}",
            "connector.blacklist[0]: found \"10.0.0.*\"; allowed: an IP address or network such as \"192.0.2.7\", \"192.0.2.0/24\" or \"2001:db8::/32\"",
        ),
        (
            "\"connector\": {\"blacklist\": [\"::1\", \"::1\"]}",
            "connector.blacklist[1]: \"::1\" a second time; each name stands once",
        ),
        ("\"rpc\": {\"timeout\": 5}", "rpc.timeout: \"timeout\" is pomelo's name; here it is \"timeoutMs\""),
        (
            "\"rpc\": {\"pendingSize\": 5}",
            "rpc.pendingSize: \"pendingSize\" is pomelo's name; here it is \"pendingMax\"",
        ),
        (
            "\"rpc\": {\"colour\": 5}",
            "rpc.colour: unknown field; allowed: timeoutMs, pendingMax, messageBytesMax, bufferMs, failMode, retriesMax, retryBackoffMs",
        ),
        (
            "\"router\": \"crc32\"",
            "router: found \"crc32\"; allowed: an object of server types, each with a router",
        ),
        ("\"rpc\": {\"bufferMs\": 101}", "rpc.bufferMs: found 101; allowed: a whole number from 0 to 100"),
        (
            "\"rpc\": {\"failMode\": \"failback\"}",
            "rpc.failMode: found \"failback\"; allowed: failfast, failover, retry",
        ),
        (
            "\"rpc\": {\"failMode\": \"failOver\"}",
            "rpc.failMode: found \"failOver\"; did you mean \"failover\"?",
        ),
        (
            "\"router\": {\"chat\": \"nearest\"}",
            "router.chat: found \"nearest\"; allowed: crc32, hash, rr, wrr, la, ch, random",
        ),
        ("\"filters\": {}", "filters: found an object; allowed: a list of names of filters"),
        ("\"filters\": [7]", "filters[0]: found 7; allowed: a name of 1 to 255 bytes"),
        ("\"globalFilters\": [\"a\", \"a\"]", "globalFilters[1]: \"a\" a second time; each name stands once"),
        ("\"errorHandler\": \"\"", "errorHandler: found \"\"; allowed: a name of 1 to 255 bytes"),
        (
            "\"filterSettings\": {\"slowMs\": 0}",
            "filterSettings.slowMs: found 0; allowed: a whole number from 1 to 600000",
        ),
        ("\"stopHoldMs\": -1", "stopHoldMs: found -1; allowed: a whole number from 0 to 600000"),
        (
            "\"session\": {\"settingsBytesMax\": 1}",
            "session.settingsBytesMax: found 1; allowed: a whole number from 1024 to 16777216",
        ),
        (
            "\"session\": {\"singleSession\": \"clusters\"}",
            "session.singleSession: found \"clusters\"; did you mean \"cluster\"?",
        ),
        (
            "\"session\": {\"singleSession\": 1}",
            "session.singleSession: found 1; allowed: off, frontend, cluster, true, false",
        ),
        (
            "\"session\": {\"singleSession\": true, \"onDuplicate\": true}",
            "session.onDuplicate: found true; allowed: refuse-new, kick-old",
        ),
        ("\"channel\": {\"max\": 1}", "channel.max: unknown field; allowed: channelsMax, membersMax"),
        (
            "\"connectorConfig\": {}",
            "connectorConfig: \"connectorConfig\" is pomelo's name; here it is \"connector\"",
        ),
        ("\"conector\": {}, \"rpc\": {}", "conector: unknown field; did you mean \"connector\"?"),
    ] {
        gate(text, &[&format!("app.json:2: gate.{expected}")]);
    }
    check(&[("app.json", "{\"gate\": 1}")], &["app.json:1: gate: found 1; allowed: an object"]);
    check(
        &[("app.json", "7")],
        &["app.json:1: found 7; allowed: an object of server types, each with its settings"],
    );
}

#[test]
fn a_heartbeat_longer_than_the_timeout_that_all_have_is_refused_where_it_stands() {
    check(
        &[(
            "app.json",
            "{\"all\": {\"connector\": {\"heartbeatTimeout\": 5}},\n\"gate\": {\"connector\": {\n\"heartbeat\": 9}}}",
        )],
        &[
            "app.json:3: gate.connector.heartbeat: a timeout of 5 s with a heartbeat of 9 s; allowed: a timeout longer than the heartbeat",
        ],
    );
}

#[test]
fn what_pomelo_has_and_we_have_not_is_warned_of_with_the_reason() {
    for (text, field, reason) in [
        (
            "\"connector\": {\"ssl\": {}}",
            "connector.ssl",
            "a client port speaks no TLS; put a proxy in front that does",
        ),
        (
            "\"connector\": {\"useCrypto\": true}",
            "connector.useCrypto",
            "messages are not signed; put a proxy with TLS in front",
        ),
        (
            "\"connector\": {\"distinctHost\": true}",
            "connector.distinctHost",
            "see listenHost for the address to listen on",
        ),
        ("\"rpc\": {\"bufferMsg\": true}", "rpc.bufferMsg", "see bufferMs"),
        ("\"rpc\": {\"interval\": 30}", "rpc.interval", "see bufferMs"),
        ("\"rpc\": {\"routerType\": \"rr\"}", "rpc.routerType", "see router"),
        ("\"channel\": {\"store\": {}}", "channel.store", "channels are not stored"),
        (
            "\"serverConfig\": {}",
            "serverConfig",
            "handlers are plugins: nothing is reloaded or logged per forward",
        ),
    ] {
        gate(text, &[&format!("warning: app.json:2: gate.{field}: has no effect yet; {reason}")]);
    }
}

#[test]
fn a_router_is_named_for_each_type_called() {
    for (name, router) in [
        ("crc32", Router::Crc32),
        ("hash", Router::Hash),
        ("rr", Router::RoundRobin),
        ("wrr", Router::WeightedRoundRobin),
        ("la", Router::LeastActive),
        ("ch", Router::ConsistentHash),
        ("random", Router::Random),
    ] {
        let read = settings(&format!(r#"{{"gate": {{"router": {{"chat": "{name}"}}}}}}"#), "gate");
        assert_eq!((read.router_for("chat"), read.router_for("gate")), (router, Router::Crc32), "{name}");
    }
}

#[test]
fn a_user_may_have_one_session_at_a_frontend_or_in_the_cluster() {
    for (text, single, duplicate) in [
        ("{}", SingleSession::Off, OnDuplicate::RefuseNew),
        (r#"{"singleSession": false}"#, SingleSession::Off, OnDuplicate::RefuseNew),
        (r#"{"singleSession": true}"#, SingleSession::Frontend, OnDuplicate::RefuseNew),
        (
            r#"{"singleSession": "frontend", "onDuplicate": "kick-old"}"#,
            SingleSession::Frontend,
            OnDuplicate::KickOld,
        ),
        (
            r#"{"onDuplicate": "refuse-new", "singleSession": "cluster"}"#,
            SingleSession::Cluster,
            OnDuplicate::RefuseNew,
        ),
    ] {
        let read = settings(&format!("{{\"gate\": {{\"session\": {text}}}}}"), "gate").session;
        assert_eq!((read.single_session, read.on_duplicate), (single, duplicate), "{text}");
    }
}

#[test]
fn settings_that_nothing_reads_are_warned_of() {
    gate(
        "\"session\": {\"onDuplicate\": \"kick-old\"}",
        &["warning: app.json:2: gate.session.onDuplicate: has no effect; \"singleSession\" is off"],
    );
    gate(
        "\"connector\": {\"heartbeatTimeout\": 5}",
        &[
            "warning: app.json:2: gate.connector.heartbeatTimeout: has no effect; there are no heartbeats unless \"heartbeat\" is set",
        ],
    );
    gate(
        "\"connector\": {\"requestBurst\": 5}",
        &[
            "warning: app.json:2: gate.connector.requestBurst: has no effect; there is no limit unless \"requestsPerSecond\" is set",
        ],
    );
    check(
        &[("app.json", "{\"chat\": {\"connector\": {\"useDict\": true}}}")],
        &["warning: app.json:1: chat.connector: has no effect; no server of this type is a frontend"],
    );
}

#[test]
fn filters_are_built_in_or_named_by_plugins_and_keep_their_order() {
    let read = settings(
        r#"{"all": {"globalErrorHandler": "all", "filterSettings": {"slowMs": 5}}, "gate": {
            "filters": ["timeout", "abuse", "serial"], "globalFilters": ["time", "toobusy"],
            "rpcFilters": ["rpcLog", "audit", "toobusy"], "errorHandler": "polite", "globalErrorHandler": null,
            "filterSettings": {"requestTimeoutMs": 7}, "stopHoldMs": 0}}"#,
        "gate",
    );
    let filters = &read.filters;
    assert_eq!(filters.own, [Filter::Timeout, Filter::Plugin("abuse".into()), Filter::Serial]);
    assert_eq!(filters.global, [Filter::Time, Filter::Toobusy]);
    assert_eq!(filters.rpc, [RpcFilter::RpcLog, RpcFilter::Plugin("audit".into()), RpcFilter::Toobusy]);
    assert_eq!(filters.error_handler.as_deref(), Some("polite"));
    assert_eq!(filters.global_error_handler, None);
    assert_eq!(filters.settings, FilterSettings { slow_ms: 5, timeout_ms: 7, lag_ms_max: 70 });
    assert_eq!(read.stop.hold_ms, 0);
}
