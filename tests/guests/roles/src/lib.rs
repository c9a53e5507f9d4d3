//! A plugin that plays the roles that the chat application does not: filters, error handlers, handshakes, events, crons
//! and timers. What happens is pushed to whoever has joined the channel `log`, or can be asked for.
#![forbid(unsafe_code)]
#![allow(clippy::panic, reason = "a test guest that fails where a test asks for it")]

use std::cell::RefCell;
use std::time::Duration;

use shaddock_sdk::channels::{Audience, Delivery};
use shaddock_sdk::prelude::*;

shaddock_sdk::plugin! {
    routes {
        "connector.roles.echo" => echo,
        "connector.roles.fail" => failing,
        "connector.roles.bind" => bind,
        "connector.roles.unbind" => unbind,
        "connector.roles.watch" => watch,
        "connector.roles.timer" => set_timer,
        "connector.roles.cancel" => cancel,
        "connector.roles.flood" => flood,
        "connector.roles.call" => call,
        "connector.roles.address" => address,
        "connector.roles.find" => find,
        "connector.roles.kickEverywhere" => kick_everywhere,
        "connector.roles.send" => send,
        "connector.roles.report" => report,
        "connector.roles.broadcast" => broadcast,
        "connector.roles.setting" => set_setting,
        "backend.roles.echo" => echo,
        "backend.roles.fail" => failing,
        "backend.roles.log" => log_of_backend,
    }
    remotes {
        "backend.rolesRemote.echo" => remote_echo,
        "backend.rolesRemote.sleep" => remote_sleep,
        "backend.rolesRemote.count" => remote_count,
    }
    events { session_closed => closed }
    server_events {
        after_start => after_start,
        all_started => all_started,
        before_stop => before_stop,
        servers_added => added,
        servers_removed => removed,
        servers_replaced => replaced,
    }
    session_events { session_bound => bound, session_unbound => unbound }
    handshake { check }
    filters {
        "outer" => Order("outer"),
        "inner" => Order("inner"),
        "own" => Order("own"),
        "traps" => Traps,
        "hangs" => Hangs,
        "passes" => Passes,
    }
    error_handlers { "polite" => polite, "global" => global }
    rpc_filters { "gate" => Gate }
    broadcast_filters { "level" => has_level }
    crons { "rolesCron.note" => note_cron, "rolesCron.slow" => slow_cron }
    timers { "note" => note_timer, "slow" => slow_timer }
}

/// Says what happened to all who watch.
fn note(what: impl Into<Value>) {
    let what = what.into();
    info!("noted {what}");
    let _ = Channel::named("log").push("onNote", &json!({ "what": what }));
}

fn echo(body: Value, session: &mut Session) -> Result<Value> {
    Ok(json!({ "body": body, "trace": session.get::<Vec<String>>("trace")?, "at": app::own_server().id }))
}

#[derive(Deserialize)]
struct Failing {
    code: Option<u32>,
    answer: Option<Value>,
}

fn failing(body: Failing) -> Result<()> {
    let e = fail(body.code.unwrap_or(500), "as asked");
    Err(match body.answer {
        Some(answer) => e.answering(&answer),
        None => e,
    })
}

fn bind(uid: String, session: &mut Session) -> Result<()> {
    session.bind(&uid)
}

fn unbind(_: Value, session: &mut Session) -> Result<()> {
    session.unbind()
}

fn watch(_: Value, session: &mut Session) -> Result<()> {
    Channel::named("log").join(&session.member()?).map(drop)
}

fn set_setting((key, value): (String, Value), session: &mut Session) -> Result<()> {
    session.set(&key, &value)?;
    session.push()
}

#[derive(Deserialize)]
struct SetTimer {
    name: String,
    after_ms: Option<u64>,
    every_ms: Option<u64>,
    count: Option<u32>,
    payload: Value,
}

fn set_timer(timer: SetTimer) -> Result<Vec<timers::Timer>> {
    let set = |_| match (timer.after_ms, timer.every_ms) {
        (Some(delay), _) => timers::after(Duration::from_millis(delay), &timer.name, &timer.payload),
        (None, period) => {
            timers::every(Duration::from_millis(period.unwrap_or(0)), &timer.name, &timer.payload)
        }
    };
    (0..timer.count.unwrap_or(1)).map(set).collect()
}

fn cancel(timer: timers::Timer) -> Result<bool> {
    Ok(timer.cancel())
}

fn note_timer(payload: Value) -> Result<()> {
    note(json!({ "timer": payload }));
    Ok(())
}

fn wait(milliseconds: u64) {
    let end = app::monotonic_ns() + milliseconds * 1_000_000;
    while app::monotonic_ns() < end {}
}

fn slow_timer(milliseconds: u64) -> Result<()> {
    wait(milliseconds);
    note("slow timer");
    Ok(())
}

fn note_cron(id: &str) -> Result<()> {
    note(json!({ "cron": id }));
    Ok(())
}

fn slow_cron(id: &str) -> Result<()> {
    wait(2_500);
    note(json!({ "slowCron": id }));
    Ok(())
}

#[derive(Deserialize)]
struct Flood {
    channel: String,
    delivery: String,
    field: Option<String>,
    count: u32,
    bytes: usize,
}

/// Pushes much to a client that does not read.
fn flood(flood: Flood, session: &mut Session) -> Result<()> {
    let channel = Channel::named(flood.channel);
    channel.join(&session.member()?)?;
    channel.set_delivery(match (flood.delivery.as_str(), flood.field) {
        ("latest", Some(field)) => Delivery::LatestBy(field),
        ("latest", None) => Delivery::Latest,
        ("drop-oldest", _) => Delivery::DropOldest(10),
        ("disconnect", _) => Delivery::Disconnect,
        _ => Delivery::Every,
    })?;
    let fill = "x".repeat(flood.bytes);
    for number in 0..flood.count {
        channel.push("onFlood", &json!({ "number": number, "player": number % 4, "fill": fill }))?;
    }
    Ok(())
}

#[derive(Deserialize)]
struct Calling {
    method: String,
    key: Option<String>,
    server: Option<String>,
    all: Option<bool>,
    notify: Option<bool>,
    args: Value,
    timeout_ms: Option<u64>,
    idempotent: Option<bool>,
}

/// Calls a remote and tells what came of it, error codes included.
fn call(calling: Calling, session: &mut Session) -> Result<Value> {
    let outcome = |result: Result<Value>| match result {
        Ok(value) => json!({ "ok": value }),
        Err(e) => json!({ "code": e.code, "message": e.message }),
    };
    let Calling { method, key, server, all, notify, args, timeout_ms, idempotent } = calling;
    if all == Some(true) {
        let answers = rpc::call_all::<Value>("backend", &method, &args)?;
        return Ok(answers.into_iter().map(|(id, result)| json!([id, outcome(result)])).collect());
    }
    if notify == Some(true) {
        return Ok(outcome(
            rpc::notify("backend", &key.unwrap_or_default(), &method, &args).map(|()| Value::Null),
        ));
    }
    if let Some(server) = server {
        return Ok(outcome(rpc::call_server(&server, &method, &args)));
    }
    let options = rpc::Options {
        timeout: timeout_ms.map(Duration::from_millis),
        idempotent: idempotent.unwrap_or(false),
    };
    Ok(outcome(match key {
        Some(key) => rpc::call_with("backend", &key, &method, &args, options),
        None => rpc::call_with("backend", &*session, &method, &args, options),
    }))
}

fn address(_: Value, session: &mut Session) -> Result<String> {
    session.address()
}

fn find(uid: String) -> Result<Vec<(String, u64)>> {
    Ok(sessions::find(&uid)?
        .iter()
        .map(|session| (session.frontend().to_owned(), session.number()))
        .collect())
}

fn kick_everywhere(uid: String) -> Result<u32> {
    sessions::kick_everywhere(&uid, "out")
}

fn send(body: Value, session: &mut Session) -> Result<()> {
    session.send("onSent", &body)
}

/// Pushes to users of a channel, some of whom may not be there, and answers who was not reached.
fn report(uids: Vec<String>, session: &mut Session) -> Result<Vec<Member>> {
    let channel = Channel::named("report");
    for uid in uids {
        channel.join(&Member { uid, frontend_id: session.frontend().to_owned() })?;
    }
    channel.push_and_report("onReport", &json!({ "hello": 1 }))
}

fn broadcast(level: String) -> Result<()> {
    let msg = json!({ "level": level });
    channels::broadcast_where("connector", Audience::Bound, "level", &level, "onLevel", &msg)
}

fn has_level(param: &str, session: &Session) -> bool {
    if param == "trap" {
        panic!("as asked");
    }
    session.get::<String>("level").is_ok_and(|level| level.as_deref() == Some(param))
}

fn remote_echo(args: Value) -> Result<Value> {
    Ok(json!({ "at": app::own_server().id, "args": args }))
}

fn remote_sleep(milliseconds: u64) -> Result<()> {
    wait(milliseconds);
    Ok(())
}

thread_local! {
    static COUNT: RefCell<u32> = const { RefCell::new(0) };
    static LOG: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

fn remote_count() -> Result<u32> {
    Ok(COUNT.with_borrow_mut(|count| {
        *count += 1;
        *count
    }))
}

fn log_of_backend() -> Result<Vec<String>> {
    Ok(LOG.with_borrow(Clone::clone))
}

/// Events go to the log and, on a backend with one instance, into its memory.
fn event(what: String) -> Result<()> {
    info!("event {what}");
    LOG.with_borrow_mut(|log| log.push(what));
    Ok(())
}

fn after_start() -> Result<()> {
    event("after start".into())
}

fn all_started() -> Result<()> {
    event("all started".into())
}

fn before_stop() -> Result<()> {
    note("before stop");
    event("before stop".into())
}

fn added(servers: &[Server]) -> Result<()> {
    for server in servers {
        event(format!("added {}", server.id))?;
    }
    Ok(())
}

fn removed(ids: &[String]) -> Result<()> {
    for id in ids {
        event(format!("removed {id}"))?;
    }
    Ok(())
}

fn replaced(servers: &[Server]) -> Result<()> {
    for server in servers {
        event(format!("replaced {}", server.id))?;
    }
    Ok(())
}

fn bound(session: &Session) -> Result<()> {
    event(format!("bound {}", session.uid().unwrap_or_default()))
}

fn unbound(_: &Session, uid: &str) -> Result<()> {
    event(format!("unbound {uid}"))
}

fn closed(session: &Session, reason: &str) -> Result<()> {
    event(format!("closed {} {reason}", session.uid().unwrap_or_default()))
}

/// Refuses old clients and those without a right token; welcomes the others by name.
fn check(client: &Client) -> Result<Welcome> {
    #[derive(Deserialize, Default)]
    #[serde(default)]
    struct User {
        deny: bool,
        name: Option<String>,
        trap: bool,
        broken: bool,
    }
    if client.version == "old" {
        return Err(fail(501, "too old"));
    }
    let user = client.user::<Option<User>>()?.unwrap_or_default();
    if user.trap {
        panic!("as asked");
    }
    if user.deny {
        return Err(fail(403, "denied"));
    }
    let welcome = Welcome::new().replying(&json!({ "from": client.address, "name": user.name }))?;
    let welcome = if user.broken { welcome.bound_to("") } else { welcome };
    match user.name {
        Some(name) => welcome.bound_to(name).setting("level", "new"),
        None => Ok(welcome),
    }
}

/// Leaves a trace in the session, refuses and changes where it is asked to.
struct Order(&'static str);

impl Order {
    fn trace(&self, session: &mut Session, when: &str) -> Result<()> {
        let mut trace = session.get::<Vec<String>>("trace")?.unwrap_or_default();
        trace.push(format!("{when} {}", self.0));
        session.set("trace", &trace)
    }
}

impl Filter for Order {
    fn before(&self, request: &mut Request, session: &mut Session) -> Result<()> {
        self.trace(session, "before")?;
        let mut body: Value = request.body()?;
        if body.get("denyAt").and_then(Value::as_str) == Some(self.0) {
            let e = fail(403, "denied");
            return Err(match body.get("answer") {
                Some(answer) => e.answering(answer),
                None => e,
            });
        }
        if body.get("changeAt").and_then(Value::as_str) == Some(self.0) {
            if let Some(body) = body.as_object_mut() {
                body.insert("changed".into(), true.into());
            }
            request.set_body(&body)?;
        }
        Ok(())
    }

    fn after(&self, request: &Request, session: &mut Session, outcome: &Outcome) -> Result<Option<Raw>> {
        let how = if outcome.is_ok() { "ok" } else { "failed" };
        info!("after {} {how} {}", self.0, session.number());
        let body: Value = request.body()?;
        match (body.get("replaceAt").and_then(Value::as_str), outcome) {
            (Some(at), Ok(answer)) if at == self.0 => {
                Raw::of(&json!({ "replaced": answer.get::<Value>()? })).map(Some)
            }
            _ => Ok(None),
        }
    }
}

struct Traps;

impl Filter for Traps {
    fn before(&self, _: &mut Request, _: &mut Session) -> Result<()> {
        panic!("as asked");
    }
}

struct Hangs;

impl Filter for Hangs {
    fn before(&self, _: &mut Request, _: &mut Session) -> Result<()> {
        loop {
            std::hint::black_box(());
        }
    }
}

struct Passes;

impl Filter for Passes {
    fn before(&self, _: &mut Request, _: &mut Session) -> Result<()> {
        Ok(())
    }
}

fn polite(_: &Request, _: &mut Session, error: &Error) -> Result<Raw> {
    if error.code == 418 {
        return Err(fail(419, "no politeness for teapots"));
    }
    Raw::of(&json!({ "sorry": error.code, "had": error.answer().is_some() }))
}

fn global(_: &Request, _: &mut Session, error: &Error) -> Result<Raw> {
    Raw::of(&json!({ "code": 499, "was": error.code }))
}

/// Refuses methods named `forbidden`, and marks the arguments of others.
struct Gate;

impl RpcFilter for Gate {
    fn before(&self, server: &str, method: &str, args: &Raw) -> Result<Option<Raw>> {
        if method.ends_with(".forbidden") {
            return Err(fail(403, format!("{method} at {server}")));
        }
        Raw::of(&json!({ "through": "gate", "args": args.get::<Value>()? })).map(Some)
    }

    fn after(&self, server: &str, method: &str, outcome: &Outcome) {
        info!("after {method} at {server}: {}", outcome.is_ok());
    }
}
