//! Handlers of the types that the recorded cluster had for its other connectors. Here they have no servers, but their routes
//! are part of the dictionary.

use shaddock_sdk::prelude::*;

fn echo(msg: Value, route: &str) -> Result<Value> {
    Ok(json!({ "code": 200, "got": crate::with_route(msg, route) }))
}

/// Answers what came.
pub(crate) fn crypto_echo(msg: Value) -> Result<Value> {
    echo(msg, "crypto.entryHandler.echo")
}

/// Answers what came.
pub(crate) fn sio_echo(msg: Value) -> Result<Value> {
    echo(msg, "sio.entryHandler.echo")
}

/// Answers what came.
pub(crate) fn udp_echo(msg: Value) -> Result<Value> {
    echo(msg, "udp.entryHandler.echo")
}

/// Kicks the session.
pub(crate) fn kick(_: Value, session: &Session) -> Result<()> {
    session.kick("bye")
}

/// A user to be bound.
#[derive(Deserialize)]
pub(crate) struct User {
    uid: String,
}

/// Binds a user, and pushes to it.
pub(crate) fn bind_push(User { uid }: User, session: &mut Session) -> Result<Value> {
    session.bind(&uid)?;
    channels::push_to(&[session.member()?], "onHi", &json!({ "hi": 1 }))?;
    Ok(json!({ "code": 200 }))
}

/// A message that a client of MQTT publishes is sent back to it.
pub(crate) fn publish(msg: Value) -> Result<Value> {
    Ok(msg)
}

/// What a client of MQTT asks for.
#[derive(Deserialize)]
pub(crate) struct Subscriptions {
    subscriptions: Vec<Subscription>,
}

/// One topic.
#[derive(Deserialize)]
struct Subscription {
    qos: u8,
}

/// Grants the quality of service that was asked for.
pub(crate) fn subscribe(Subscriptions { subscriptions }: Subscriptions) -> Result<Vec<u8>> {
    Ok(subscriptions.into_iter().map(|subscription| subscription.qos).collect())
}
