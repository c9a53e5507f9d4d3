//! The plugin that `shaddock bench` puts load on: as little as a plugin can do.
//!
//! Served by both a frontend type `connector` and a backend type `backend`, with the grants `sessions`,
//! `channels` and `rpc`.
#![forbid(unsafe_code)]

use serde_json::value::RawValue;
use shaddock_sdk::Raw;
use shaddock_sdk::prelude::*;

shaddock_sdk::plugin! {
    routes {
        "connector.benchHandler.echo" => echo,
        "connector.benchHandler.join" => join,
        "connector.benchHandler.push" => push,
        "backend.benchHandler.echo" => echo,
        "backend.benchHandler.join" => join,
        "backend.benchHandler.push" => push,
    }
    remotes { "backend.benchRemote.leave" => leave }
    routers { "backend" => by_session }
    events { session_closed => left }
}

/// The channel of all members, and the route of what is pushed to them.
const CHANNEL: &str = "bench";
const PUSH_ROUTE: &str = "onBench";

/// Answers with the body as it came.
fn echo(body: Raw) -> Result<Raw> {
    Ok(body)
}

#[derive(Deserialize)]
struct Join {
    uid: String,
}

/// Binds the session to a user and makes that user a member of the channel.
fn join(msg: Join, session: &mut Session) -> Result<Value> {
    session.bind(&msg.uid)?;
    Channel::named(CHANNEL).join(&session.member()?)?;
    Ok(json!({ "code": 200 }))
}

/// Pushes the body to all members.
fn push(body: Box<RawValue>) -> Result<()> {
    Channel::named(CHANNEL).push(PUSH_ROUTE, &body)
}

/// A member that goes leaves the channel, where that is kept.
fn left(session: &Session, _reason: &str) -> Result<()> {
    match session.member() {
        Ok(member) if !Channel::named(CHANNEL).leave(&member) => {
            rpc::notify("backend", session, "benchRemote.leave", &member)
        }
        _ => Ok(()),
    }
}

/// Backend: takes a member out of the channel.
fn leave(member: Member) -> Result<bool> {
    Ok(Channel::named(CHANNEL).leave(&member))
}

/// Route function: spreads sessions evenly. The channel is kept by the first backend, so its requests all go there.
fn by_session(key: &RouteKey, backends: &[Server], route: &str) -> Result<Target> {
    let number = match key {
        RouteKey::Session(session) if route.ends_with(".echo") => session.number(),
        _ => 0,
    };
    let index =
        number.checked_rem(backends.len() as u64).ok_or_else(|| fail(503, "no backend is up").retryable())?;
    Ok(Target::Index(index as u32))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backends(count: usize) -> Vec<Server> {
        let backend = |number| Server {
            id: format!("backend-{number}"),
            server_type: "backend".into(),
            frontend: false,
            host: "127.0.0.1".into(),
            port: Some(4000),
            client_host: None,
            client_port: None,
            fields: "{}".into(),
        };
        (1..=count).map(backend).collect()
    }

    #[test]
    fn sessions_are_spread_and_the_channel_stays_together() {
        let key = |number| RouteKey::Session(Session::made_up("connector-1", number, None, &[]));
        let to = |number, route| by_session(&key(number), &backends(3), route);
        assert_eq!(to(4, "backend.benchHandler.echo"), Ok(Target::Index(1)));
        assert_eq!(to(6, "backend.benchHandler.echo"), Ok(Target::Index(0)));
        assert_eq!(to(4, "backend.benchHandler.join"), Ok(Target::Index(0)));
        assert!(by_session(&key(1), &[], "backend.benchHandler.echo").is_err_and(|e| e.code == 503));
    }
}
