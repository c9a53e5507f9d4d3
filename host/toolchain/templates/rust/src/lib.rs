//! Greets whoever asks.

use shaddock_sdk::prelude::*;

shaddock_sdk::plugin! {
    routes { "connector.helloHandler.greet" => greet }
}

#[derive(Deserialize)]
struct Settings {
    greeting: String,
}

#[derive(Deserialize)]
struct Greet {
    name: String,
}

#[derive(Serialize)]
struct Greeting {
    text: String,
    visits: u32,
}

/// Greets a client, counts how often it came, and pushes `onGreet` to it.
fn greet(message: Greet, session: &mut Session) -> Result<Greeting> {
    if message.name.is_empty() {
        return Err(fail(400, "a name has at least one letter"));
    }
    let visits = session.get::<u32>("visits")?.unwrap_or(0) + 1;
    session.set("visits", &visits)?;
    session.push()?;
    session.send("onGreet", &json!({ "visits": visits }))?;
    info!("{} came {visits} times", message.name);
    let settings: Settings = app::settings()?;
    Ok(Greeting { text: format!("{}, {}!", settings.greeting, message.name), visits })
}
