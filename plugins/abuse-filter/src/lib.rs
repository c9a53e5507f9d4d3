//! The abuse filter of pomelo's tutorial, as a plugin of its own: it runs in front of the chat plugin, which knows
//! nothing of it.
//!
//! plugins.json loads it for the server type `chat`, with the words as its settings, and app.json switches it on:
//!
//! ```json
//! { "chat": { "filters": ["abuse"] } }
//! ```
//!
//! Each of the words becomes asterisks. Who has used one is remembered in the session (`abuses`), and gets no further
//! after `abusesMax` of them.
#![forbid(unsafe_code)]

use shaddock_sdk::prelude::*;

shaddock_sdk::plugin! {
    filters { "abuse" => Abuse }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Settings {
    words: Vec<String>,
    abuses_max: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self { words: vec!["damn".into()], abuses_max: 3 }
    }
}

struct Abuse;

impl Filter for Abuse {
    fn before(&self, request: &mut Request, session: &mut Session) -> Result<()> {
        let mut body: Value = request.body()?;
        let Some(content) = body.get("content").and_then(Value::as_str) else { return Ok(()) };
        let settings: Settings = app::settings()?;
        let Some(clean) = cleaned(content, &settings.words) else { return Ok(()) };
        let abuses = session.get::<u32>("abuses")?.unwrap_or(0) + 1;
        session.set("abuses", &abuses)?;
        session.push_only(&["abuses"])?;
        if abuses > settings.abuses_max {
            return Err(fail(403, "too many bad words").answering(&json!({ "code": 403, "abuse": true })));
        }
        if let Some(content) = body.get_mut("content") {
            *content = clean.into();
        }
        request.set_body(&body)
    }

    fn after(&self, request: &Request, session: &mut Session, outcome: &Outcome) -> Result<Option<Raw>> {
        if let (Err(e), Some(uid)) = (outcome, session.uid()) {
            debug!("{uid} at {}: {e}", request.route());
        }
        Ok(None)
    }
}

/// The text with asterisks for the words; `None` if it has none of them.
fn cleaned(text: &str, words: &[String]) -> Option<String> {
    let stars = |word: &str| "*".repeat(word.chars().count());
    let mut clean = text.to_owned();
    for word in words.iter().filter(|word| !word.is_empty()) {
        clean = clean.replace(word.as_str(), &stars(word));
    }
    (clean != text).then_some(clean)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_words_become_asterisks() {
        let words = ["bad".to_owned(), "böse".to_owned(), String::new()];
        assert_eq!(cleaned("not bad, böse", &words).as_deref(), Some("not ***, ****"));
        assert_eq!(cleaned("fine", &words), None);
    }
}
