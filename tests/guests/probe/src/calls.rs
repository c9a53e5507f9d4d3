//! Handlers and remotes: `probe.t.<what to do>`.

use std::cell::Cell;

use serde_json::{Value, json};
use shaddock_sdk::bindings::exports::shaddock::plugin::{handler, remote};
use shaddock_sdk::bindings::shaddock::plugin::types::{Failure, Member, Session};
use shaddock_sdk::bindings::shaddock::plugin::{app, channels, rpc, sessions};

use crate::{Probe, attack, fail, names};

const ROUTES: &[&str] = &[
    "probe.t.echo",
    "probe.t.nothing",
    "probe.t.count",
    "probe.t.session",
    "probe.t.fail",
    "probe.t.failLong",
    "probe.t.panic",
    "probe.t.spin",
    "probe.t.work",
    "probe.t.eat",
    "probe.t.recurse",
    "probe.t.big",
    "probe.t.outOfBounds",
    "probe.t.notUtf8",
    "probe.t.hugeList",
    "probe.t.random",
    "probe.t.log",
    "probe.t.app",
    "probe.t.settings",
    "probe.t.set",
    "probe.t.push",
    "probe.t.fetchAndSet",
    "probe.t.bind",
    "probe.t.kick",
    "probe.t.routeBySession",
    "probe.t.call",
    "probe.t.callArgs",
    "probe.t.callAll",
    "probe.t.channels",
    "probe.t.pushTo",
];
const METHODS: &[&str] = &["probe.r.echo", "probe.r.nest", "probe.r.count", "probe.r.panic"];

thread_local! {
    static COUNT: Cell<u32> = const { Cell::new(0) };
}

impl handler::Guest for Probe {
    fn routes() -> Vec<String> {
        names("routes", ROUTES)
    }

    fn handle(route: String, body: Vec<u8>, session: Session) -> Result<Vec<u8>, Failure> {
        crate::forward_panics();
        match route.rsplit('.').next().unwrap() {
            "echo" => Ok(body),
            "nothing" => Ok(Vec::new()),
            "count" => Ok(count()),
            "session" => answer(&show(&session)),
            "fail" => Err(Failure { code: 418, message: "a teapot".into(), retryable: true }),
            "failLong" => Err(fail(500, "é".repeat(10_000))),
            "panic" => panic!("the probe was asked to panic"),
            "spin" => attack::spin(),
            "work" => Ok(attack::work(number(&body))),
            "eat" => attack::eat(),
            "recurse" => Ok(vec![attack::recurse(0)]),
            "big" => Ok(vec![b'7'; number(&body) as usize]),
            "outOfBounds" => Ok(attack::out_of_bounds()),
            "notUtf8" => Err(fail(500, attack::not_utf8())),
            "hugeList" => Ok(attack::huge_list()),
            "random" => Ok(app::random_bytes(number(&body) as u32)),
            "log" => {
                app::log(app::Level::Warn, &"é".repeat(number(&body) as usize));
                Ok(Vec::new())
            }
            "app" => about(),
            "settings" => Ok(app::settings().into_bytes()),
            "set" => set(&session, &body),
            "push" => push(&session, &body),
            "fetchAndSet" => fetch_and_set(&session),
            "bind" => bind(&session, &body),
            "kick" => sessions::kick(&session.id, &text(&body)).map(|()| Vec::new()),
            "routeBySession" => route_by_session(&session),
            "call" => rpc::call("probe", &rpc::RouteKey::Value("key".into()), &text(&body), b"args"),
            "callArgs" => rpc::call_server("probe-1", "r.echo", &vec![7; number(&body) as usize]),
            "callAll" => Ok(call_all()),
            "channels" => try_channels(),
            "pushTo" => push_to(number(&body) as usize),
            other => Err(fail(404, other)),
        }
    }
}

impl remote::Guest for Probe {
    fn methods() -> Vec<String> {
        names("methods", METHODS)
    }

    fn call(method: String, args: Vec<u8>) -> Result<Vec<u8>, Failure> {
        crate::forward_panics();
        match method.rsplit('.').next().unwrap() {
            "echo" => Ok(args),
            "count" => Ok(count()),
            "panic" => panic!("the probe's remote was asked to panic"),
            // As deep as the host lets it.
            "nest" => rpc::call("probe", &rpc::RouteKey::Value("key".into()), "r.nest", &args),
            other => Err(fail(404, other)),
        }
    }
}

/// How many calls this instance has had.
fn count() -> Vec<u8> {
    COUNT.set(COUNT.get() + 1);
    COUNT.get().to_string().into_bytes()
}

fn number(body: &[u8]) -> u64 {
    text(body).parse().expect("the body is a number")
}

fn text(body: &[u8]) -> String {
    String::from_utf8(body.to_vec()).unwrap()
}

fn answer(value: &Value) -> Result<Vec<u8>, Failure> {
    Ok(value.to_string().into_bytes())
}

fn show(session: &Session) -> Value {
    let settings: Vec<_> = session.settings.iter().map(|one| json!([one.key, one.value])).collect();
    json!({ "frontend": session.id.frontend_id, "number": session.id.number, "uid": session.uid, "settings": settings })
}

fn about() -> Result<Vec<u8>, Failure> {
    let (first, second) = (app::monotonic_ns(), app::monotonic_ns());
    assert!(first <= second, "the clock went back");
    let servers: Vec<_> = app::servers("chat").iter().map(|server| server.id.clone()).collect();
    answer(&json!({ "own": app::own_server().id, "servers": servers, "nowMs": app::now_ms() }))
}

/// The body is `key=value`.
fn set(session: &Session, body: &[u8]) -> Result<Vec<u8>, Failure> {
    let body = text(body);
    let (key, value) = body.split_once('=').unwrap();
    sessions::set(&session.id, key, value).map(|()| Vec::new())
}

/// Sets and pushes a key; then pushes what the body names.
fn push(session: &Session, body: &[u8]) -> Result<Vec<u8>, Failure> {
    sessions::set(&session.id, "room", "\"blue\"")?;
    let keys: Vec<_> = text(body).split_whitespace().map(str::to_owned).collect();
    sessions::push(&session.id, &keys).map(|()| Vec::new())
}

/// What is set survives a look at the session, and sessions fetched can be set too.
fn fetch_and_set(session: &Session) -> Result<Vec<u8>, Failure> {
    sessions::set(&session.id, "mine", "1")?;
    let fresh = sessions::get(&session.id)?;
    sessions::push(&session.id, &["mine".to_owned()])?;
    let others = sessions::by_uid("connector-1", "bob")?;
    for other in &others {
        sessions::set(&other.id, "seen", "true")?;
        sessions::push(&other.id, &[])?;
    }
    answer(&json!({ "fresh": show(&fresh), "others": others.len() }))
}

/// Binds, then routes by the session, whose copy is bound now; then unbinds and routes once more.
fn bind(session: &Session, body: &[u8]) -> Result<Vec<u8>, Failure> {
    let uid = text(body);
    sessions::bind(&session.id, &uid)?;
    route_by_session(session)?;
    sessions::unbind(&session.id, &uid)?;
    route_by_session(session)
}

fn route_by_session(session: &Session) -> Result<Vec<u8>, Failure> {
    rpc::call("chat", &rpc::RouteKey::Session(session.id.clone()), "r.echo", b"args")
}

fn call_all() -> Vec<u8> {
    let answers = rpc::call_all("probe", "r.echo", b"all");
    let lines = answers.into_iter().map(|(server, result)| match result {
        Ok(value) => json!([server, value.len()]),
        Err(failure) => json!([server, failure.code, failure.message]),
    });
    Value::Array(lines.collect()).to_string().into_bytes()
}

fn try_channels() -> Result<Vec<u8>, Failure> {
    let member = Member { uid: "bob".into(), frontend_id: "connector-1".into() };
    let made = channels::create("room")?;
    let joined = channels::join("room", &member)?;
    channels::push("room", "onChat", b"{}")?;
    channels::broadcast("connector", "onNews", b"{}", true)?;
    let members = channels::members("room")?.len();
    let found = channels::find("room", "bob").is_some();
    let left = channels::leave("room", &member);
    let gone = channels::destroy("room");
    answer(&json!([made, joined, members, found, left, gone]))
}

fn push_to(members: usize) -> Result<Vec<u8>, Failure> {
    let member = Member { uid: "u".into(), frontend_id: "c".into() };
    channels::push_to(&vec![member; members], "onChat", b"{}").map(|()| Vec::new())
}
