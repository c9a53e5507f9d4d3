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
    let Settings { greeting } = app::settings()?;
    let name = message.name;
    Ok(Greeting { text: format!("{greeting}, {name}!"), visits })
}

#[cfg(test)]
mod tests {
    use super::*;
    use shaddock_sdk::testing::{Host, To};

    const ROUTE: &str = "connector.helloHandler.greet";

    #[test]
    fn a_client_is_greeted_and_its_visits_are_counted() {
        let host = Host::new();
        host.set_settings(&json!({ "greeting": "Hello" }));
        let session = host.session();
        let greet = || host.request(&PLUGIN, ROUTE, &json!({ "name": "Ada" }), &session);
        assert_eq!(greet(), Ok(json!({ "text": "Hello, Ada!", "visits": 1 })));
        assert_eq!(greet(), Ok(json!({ "text": "Hello, Ada!", "visits": 2 })));
        let push = &host.pushes()[1];
        assert_eq!((&push.to, &push.body), (&To::Session(session.number()), &json!({ "visits": 2 })));
        assert_eq!(host.log()[0].1, "Ada came 1 times");
    }

    #[test]
    fn a_client_without_a_name_is_refused() {
        let host = Host::new();
        let refused = host.request(&PLUGIN, ROUTE, &json!({ "name": "" }), &host.session());
        assert_eq!(refused.map_err(|error| error.code), Err(400));
    }
}
