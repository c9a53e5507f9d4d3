//! The connectors' handshake: who is let in, and what is said to them.

use shaddock_sdk::prelude::*;

/// What a client says of its user.
#[derive(Default, Deserialize)]
struct User {
    name: Option<String>,
    deny: Option<Value>,
}

/// Refuses old clients and those who want to be refused; greets the others by their names. The gate has no such check.
pub(crate) fn check(client: &Client) -> Result<Welcome> {
    if app::own_server().server_type == "connector" { greet(client) } else { Ok(Welcome::new()) }
}

fn greet(client: &Client) -> Result<Welcome> {
    if client.version == "old" {
        return Err(fail(501, "an old client"));
    }
    let user = client.user::<Option<User>>()?.unwrap_or_default();
    if user.deny.is_some_and(|deny| is_true(&deny)) {
        return Err(fail(500, "no"));
    }
    let name = user.name.filter(|name| !name.is_empty());
    Welcome::new().replying(&json!({ "hello": name.as_deref().unwrap_or("anon") }))
}

/// Whether JavaScript takes a value for true.
fn is_true(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(value) => *value,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(_) | Value::Object(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn greeting(version: &str, user: &str) -> Result<Welcome, u32> {
        let client = Client { version: version.into(), user: user.into(), ..Client::default() };
        greet(&client).map_err(|error| error.code)
    }

    #[test]
    fn clients_are_greeted_or_refused() {
        let hello = |name: &str| Welcome::new().replying(&json!({ "hello": name })).map_err(|e| e.code);
        assert_eq!(greeting("1", r#"{"name":"ann"}"#), hello("ann"));
        for nobody in ["null", "{}", r#"{"name":""}"#, r#"{"deny":0}"#] {
            assert_eq!(greeting("1", nobody), hello("anon"), "{nobody}");
        }
        assert_eq!(greeting("1", r#"{"deny":1}"#), Err(500));
        assert_eq!(greeting("old", r#"{"deny":1}"#), Err(501));
    }
}
