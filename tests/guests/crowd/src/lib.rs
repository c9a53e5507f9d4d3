//! A plugin with many calls in flight in one instance: each route is one thing that the host has to keep apart.
//!
//! It uses the raw bindings: the SDK has none of the interfaces `async-…`.

#![allow(
    missing_docs,
    unsafe_code,
    unreachable_pub,
    dead_code,
    clippy::all,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::allow_attributes_without_reason,
    reason = "a test guest that panics where a test asks for the impossible, and generated code"
)]

use std::cell::Cell;

wit_bindgen::generate!({
    path: "../../../wit",
    inline: "package test:crowd;
        world crowd {
            include shaddock:plugin/async-plugin@0.1.0;
            include shaddock:plugin/async-timer-plugin@0.1.0;
        }",
    world: "test:crowd/crowd",
    generate_all,
});

use exports::shaddock::plugin::{async_handler, async_remote, async_timer, lifecycle};
use shaddock::plugin::types::{Failure, Member, Session};
use shaddock::plugin::{app, async_rpc as rpc, async_sessions as sessions, channels, timers};

struct Crowd;

export!(Crowd);

thread_local! {
    static IN_FLIGHT: Cell<u32> = const { Cell::new(0) };
    static BEGUN: Cell<u32> = const { Cell::new(0) };
    static MOST: Cell<u32> = const { Cell::new(0) };
}

const ROUTES: [&str; 18] = [
    "echo", "ask", "gather", "wait", "most", "count", "copies", "fetch", "set", "see", "bind", "log", "push",
    "fail", "trap", "spin", "eat", "big",
];

impl async_handler::Guest for Crowd {
    fn routes() -> Vec<String> {
        ROUTES.map(|name| format!("probe.t.{name}")).to_vec()
    }

    async fn handle(route: String, body: Vec<u8>, session: Session) -> Result<Vec<u8>, Failure> {
        BEGUN.set(BEGUN.get() + 1);
        IN_FLIGHT.set(IN_FLIGHT.get() + 1);
        MOST.set(MOST.get().max(IN_FLIGHT.get()));
        let answer = answer(route.rsplit('.').next().unwrap(), body, session).await;
        IN_FLIGHT.set(IN_FLIGHT.get() - 1);
        answer
    }
}

async fn answer(what: &str, body: Vec<u8>, session: Session) -> Result<Vec<u8>, Failure> {
    let text = String::from_utf8(body.clone()).unwrap();
    match what {
        "echo" => Ok(body),
        "gather" => gather("nap", text.parse().unwrap()).await,
        "ask" => gather("r.echo", text.parse().unwrap()).await,
        "wait" => call(if text == "forever" { "sleep" } else { "nap" }, &body).await,
        "most" => Ok(MOST.get().to_string().into()),
        "count" => Ok(BEGUN.get().to_string().into()),
        "copies" => copies(&session, &text).await,
        "fetch" => fetch().await,
        "set" => {
            sessions::set(&session.id, "key", &text)?;
            sessions::push(session.id, vec!["key".into()]).await?;
            Ok(Vec::new())
        }
        "see" => Ok(session.settings.into_iter().map(|one| one.value).collect::<Vec<_>>().join(",").into()),
        "bind" => sessions::bind(session.id, text).await.map(|()| Vec::new()),
        "log" => {
            app::log(app::Level::Info, &text);
            call("nap", b"5").await?;
            app::log(app::Level::Info, &text);
            Ok(Vec::new())
        }
        "push" => {
            let member = Member { uid: session.uid.unwrap(), frontend_id: session.id.frontend_id };
            channels::join("room", &member)?;
            channels::push("room", "onTest", &body)?;
            timers::after(1000, "again", b"payload")?;
            Ok(channels::push_and_report("room", "onTest", &body)?.len().to_string().into())
        }
        "fail" => Err(Failure { code: 418, message: "a teapot".into(), retryable: true }),
        "trap" => panic!("asked to panic"),
        "spin" => loop {
            std::hint::black_box(0);
        },
        "eat" => {
            let mut all = Vec::new();
            loop {
                all.push(std::hint::black_box(vec![1_u8; 1 << 20]));
            }
        }
        "big" => Ok(vec![b'7'; text.parse().unwrap()]),
        other => Err(Failure { code: 404, message: other.into(), retryable: false }),
    }
}

async fn call(method: &str, args: &[u8]) -> Result<Vec<u8>, Failure> {
    let key = rpc::RouteKey::Value("key".into());
    rpc::call("probe".into(), key, method.into(), args.to_vec()).await
}

/// So many calls of other servers at once, one after the other begun and all awaited together.
async fn gather(method: &'static str, count: usize) -> Result<Vec<u8>, Failure> {
    let calls: Vec<_> = (0..count).map(|_| Box::pin(call(method, b"5"))).collect();
    let mut answers = 0;
    for answer in join_all(calls).await {
        answer?;
        answers += 1;
    }
    Ok(answers.to_string().into())
}

async fn join_all<F: Future + Unpin>(mut futures: Vec<F>) -> Vec<F::Output> {
    let mut outputs: Vec<Option<F::Output>> = futures.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        for (future, output) in futures.iter_mut().zip(&mut outputs) {
            if output.is_none()
                && let std::task::Poll::Ready(value) = std::pin::Pin::new(future).poll(context)
            {
                *output = Some(value);
            }
        }
        if outputs.iter().all(Option::is_some) {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
    outputs.into_iter().flatten().collect()
}

/// Sets the call's own copy, waits, and pushes it: what others set meanwhile must not be in it.
async fn copies(session: &Session, value: &str) -> Result<Vec<u8>, Failure> {
    sessions::set(&session.id, "key", value)?;
    call("nap", b"20").await?;
    sessions::push(session.id.clone(), Vec::new()).await?;
    Ok(Vec::new())
}

/// Gets two sessions at once, and then sets both: both copies must be there.
async fn fetch() -> Result<Vec<u8>, Failure> {
    let gets = ["alice", "bob"].map(|uid| Box::pin(sessions::by_uid(format!("connector-{uid}"), uid.into())));
    for found in join_all(gets.into()).await {
        for session in found? {
            sessions::set(&session.id, "seen", "true")?;
        }
    }
    Ok(Vec::new())
}

impl async_remote::Guest for Crowd {
    fn methods() -> Vec<String> {
        vec!["probe.r.echo".into()]
    }

    async fn call(_method: String, args: Vec<u8>) -> Result<Vec<u8>, Failure> {
        Ok(args)
    }
}

impl async_timer::Guest for Crowd {
    async fn fired(name: String, id: u64, payload: Vec<u8>) -> Result<(), Failure> {
        app::log(app::Level::Info, &format!("{name} {id} {}", payload.len()));
        Ok(())
    }
}

impl lifecycle::Guest for Crowd {
    fn init(settings: String) -> Result<(), Failure> {
        if settings.contains("failInit") {
            return Err(Failure { code: 500, message: "asked to fail".into(), retryable: false });
        }
        app::log(app::Level::Debug, "init");
        Ok(())
    }

    fn start(_settings: String) -> Result<(), Failure> {
        app::log(app::Level::Info, "start");
        Ok(())
    }

    fn session_closed(session: Session, reason: String) {
        app::log(app::Level::Info, &format!("closed {} {reason}", session.id.number));
    }

    fn stop() {
        app::log(app::Level::Info, "stop");
    }
}
