//! The lab: an application that does one small thing of pomelo's per route, so that each can be recorded.
//!
//! `tests/golden/lab.json` holds what a pomelo application of the same routes did; this one is replayed against it. Where
//! it does otherwise on purpose, `tests/lab/expected.json` says why.
#![forbid(unsafe_code)]

mod area;
mod entry;
mod filters;
mod gate;
mod handshake;
mod others;
mod proto;
mod push;
mod rpcs;

use shaddock_sdk::prelude::*;

shaddock_sdk::plugin! {
    routes {
        "area.areaHandler.bind" => area::bind,
        "area.areaHandler.echo" => area::echo,
        "area.areaHandler.fail" => area::boom,
        "area.areaHandler.failCode" => area::fail_code,
        "area.areaHandler.join" => area::join,
        "area.areaHandler.kick" => area::kick,
        "area.areaHandler.leave" => area::leave,
        "area.areaHandler.nothing" => nothing,
        "area.areaHandler.say" => area::say,
        "area.areaHandler.set" => area::set,
        "connector.entryHandler.arr" => entry::arr,
        "connector.entryHandler.broadcast" => push::broadcast,
        "connector.entryHandler.echo" => entry::echo,
        "connector.entryHandler.fail" => entry::boom,
        "connector.entryHandler.failCode" => entry::fail_code,
        "connector.entryHandler.failResp" => entry::fail_resp,
        "connector.entryHandler.failString" => entry::fail_string,
        "connector.entryHandler.info" => entry::info,
        "connector.entryHandler.kickme" => entry::kickme,
        "connector.entryHandler.kicksid" => entry::kicksid,
        "connector.entryHandler.login" => entry::login,
        "connector.entryHandler.logout" => entry::logout,
        "connector.entryHandler.never" => never,
        "connector.entryHandler.nothing" => nothing,
        "connector.entryHandler.nul" => nothing,
        "connector.entryHandler.num" => entry::num,
        "connector.entryHandler.push" => push::push,
        "connector.entryHandler.pushFail" => push::push_fail,
        "connector.entryHandler.rpcs" => rpcs::rpcs,
        "connector.entryHandler.str" => entry::text,
        "connector.entryHandler.thrower" => entry::thrower,
        "connector.entryHandler.twice" => entry::twice,
        "connector.entryHandler.zero" => nothing,
        "connector.protoHandler.all" => proto::all,
        "connector.protoHandler.bad" => proto::bad,
        "crypto.entryHandler.bindPush" => others::bind_push,
        "crypto.entryHandler.echo" => others::crypto_echo,
        "crypto.entryHandler.kick" => others::kick,
        "gate.gateHandler.q" => gate::query,
        "mqtt.entryHandler.publish" => others::publish,
        "mqtt.entryHandler.subscribe" => others::subscribe,
        "sio.entryHandler.bindPush" => others::bind_push,
        "sio.entryHandler.echo" => others::sio_echo,
        "sio.entryHandler.kick" => others::kick,
        "udp.entryHandler.bindPush" => others::bind_push,
        "udp.entryHandler.echo" => others::udp_echo,
        "udp.entryHandler.kick" => others::kick,
    }
    remotes {
        "area.areaRemote.add" => rpcs::add,
        "area.areaRemote.fail" => rpcs::fails,
        "area.areaRemote.who" => rpcs::who,
        "area.areaRemote.slow" => never,
        "connector.connRemote.ping" => rpcs::who,
    }
    routers { "area" => area::route, "ghost" => refuse }
    handshake { handshake::check }
    filters {
        "g1" => filters::Order("g1"),
        "g2" => filters::Order("g2"),
        "c1" => filters::Order("c1"),
        "a1" => filters::Order("a1"),
        "a2" => filters::Order("a2"),
    }
    error_handlers { "global" => filters::global, "area" => filters::of_area }
    timers { "kick" => entry::kick }
}

/// Answers nothing, which a client gets as `{}`; so do pomelo's falsy answers `0` and `null`.
fn nothing() -> Result<()> {
    Ok(())
}

/// Never ends by itself: the host ends it when its time is up.
fn never() -> Result<()> {
    loop {
        std::hint::spin_loop();
    }
}

/// Route function of a type that has no servers.
fn refuse(_: &RouteKey, _: &[Server]) -> Result<Target> {
    Err(fail(500, "route refused"))
}

/// What an echo answers: pomelo puts the route into a message that is an object, where the client sees it.
fn with_route(mut msg: Value, route: &str) -> Value {
    if let Value::Object(fields) = &mut msg {
        fields.insert("__route__".to_owned(), route.into());
    }
    msg
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_echo_carries_its_route_if_it_can() {
        assert_eq!(with_route(json!({ "x": 1 }), "a.b.c"), json!({ "x": 1, "__route__": "a.b.c" }));
        for other in [json!([]), json!(7), json!("x")] {
            assert_eq!(with_route(other.clone(), "a.b.c"), other);
        }
    }
}
