//! What is not compared, because it cannot be the same on every server.
//!
//! * The connector port that a gate answers: any connector may be the one. The runner then connects to the one named.
//! * Which `area` server serves a session of no user: one that is not logged in has not chosen one.
//! * The order of a push and a response on one connection ([`Options::server_order`](crate::Options) compares even
//!   that), and the order of packages on different connections.
//! * An `onAdd` about the client that gets it: the recorded server had a race there, a right one does not send it.
//! * The form of characters beyond U+FFFF, which the recorded server sent in one that its JavaScript clients cannot read.
//! * Heartbeats, outside of scenarios with `heartbeat` in their name: the runner keeps connections alive by itself.

use crate::astral;
use crate::package::{self, Message, MessageKind, Route, message};

/// Whether a scenario is about heartbeats: these are then compared, and none are sent but the recorded ones.
pub(crate) fn is_about_heartbeats(scenario: &str) -> bool {
    scenario.contains("heartbeat")
}

/// Whether a right server leaves this package out.
pub(crate) fn is_optional(who: &str, expected: &[u8]) -> bool {
    let is_join = || message(expected).is_some_and(|message| message.route == Route::Text(b"onAdd"));
    let about_itself =
        || package::json(expected).is_some_and(|json| json.get("user").is_some_and(|user| user == who));
    package::is_push(expected) && is_join() && about_itself()
}

/// Whether a package is the expected one, but for what is not compared.
pub(crate) fn same(expected: &[u8], found: &[u8]) -> bool {
    if expected == found {
        return true;
    }
    let (Some(expected), Some(found)) = (message(expected), message(found)) else { return false };
    if astral::is_in(expected.body) && astral::as_utf8(found.body) == astral::as_utf8(expected.body) {
        let head = |message: &Message<'_>| (message.kind, message.id);
        return head(&expected) == head(&found) && expected.route == found.route;
    }
    let answers =
        expected.kind == MessageKind::Response && found.kind == expected.kind && found.id == expected.id;
    answers && markers(&expected).any(|marker| same_but_digits(expected.body, found.body, marker))
}

/// The text before the digits that are not compared.
fn markers(expected: &Message<'_>) -> impl Iterator<Item = &'static [u8]> {
    let gate = find(expected.body, br#""host":"#).is_some().then_some(&br#""port":"#[..]);
    let area =
        find(expected.body, br#""uid":null"#).is_some().then_some(&br#""at":"cluster-server-area-"#[..]);
    gate.into_iter().chain(area)
}

fn same_but_digits(expected: &[u8], found: &[u8], marker: &[u8]) -> bool {
    match (around_digits(expected, marker), around_digits(found, marker)) {
        (Some(expected), Some(found)) => expected == found,
        _ => false,
    }
}

/// What is before and behind the digits that follow the marker; `None` without marker or digits.
fn around_digits<'a>(text: &'a [u8], marker: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let (before, rest) = text.split_at_checked(find(text, marker)? + marker.len())?;
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    (digits > 0).then(|| (before, rest.get(digits..).unwrap_or_default()))
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

/// The host's port in a gate's answer.
pub(crate) fn gate_port(package: &[u8]) -> Option<u16> {
    if message(package)?.kind != MessageKind::Response {
        return None;
    }
    let json = package::json(package)?;
    json.get("host")?;
    json.get("port")?.as_u64()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(id: u8, body: &str) -> Vec<u8> {
        [&[4, 0, 0, body.len() as u8 + 2, 4, id][..], body.as_bytes()].concat()
    }

    #[test]
    fn only_the_port_of_a_gate_may_differ() {
        let recorded = response(1, r#"{"code":200,"host":"127.0.0.1","port":3050}"#);
        for (id, body, expected) in [
            (1, r#"{"code":200,"host":"127.0.0.1","port":40123}"#, true),
            (2, r#"{"code":200,"host":"127.0.0.1","port":40123}"#, false),
            (1, r#"{"code":200,"host":"127.0.0.2","port":3050}"#, false),
            (1, r#"{"code":200,"host":"127.0.0.1","port":3050,"x":1}"#, false),
            (1, r#"{"code":200,"host":"127.0.0.1","port":null}"#, false),
            (1, r#"{"code":500}"#, false),
        ] {
            assert_eq!(same(&recorded, &response(id, body)), expected, "{id} {body}");
        }
        let other = response(1, r#"{"code":200,"port":3050}"#);
        assert!(!same(&other, &response(1, r#"{"code":200,"port":3051}"#)), "no gate's answer");
    }

    #[test]
    fn the_area_server_is_free_only_before_login() {
        let at = |server: u8, uid: &str| {
            response(1, &format!(r#"{{"at":"cluster-server-area-{server}","uid":{uid}}}"#))
        };
        assert!(same(&at(1, "null"), &at(0, "null")));
        assert!(!same(&at(1, r#""u1""#), &at(0, r#""u1""#)));
        assert!(!same(&at(1, "null"), &at(0, r#""u1""#)));
    }

    #[test]
    fn a_character_may_come_in_the_form_that_its_client_reads() {
        let recorded = response(1, "{\"msg\":\"😀\"}");
        assert!(same(&recorded, &response(1, r#"{"msg":"\ud83d\ude00"}"#)));
        assert!(!same(&recorded, &response(2, r#"{"msg":"\ud83d\ude00"}"#)), "another request");
        assert!(!same(&recorded, &response(1, r#"{"msg":"\ud83d\ude01"}"#)), "another character");
        assert!(!same(&response(1, "[1]"), &response(1, "[ 1]")), "no such character");
    }

    #[test]
    fn bob_need_not_hear_of_himself() {
        let push = |user: &str| {
            let body = format!(r#"{{"route":"onAdd","user":"{user}"}}"#);
            [&[4, 0, 0, body.len() as u8 + 7, 6, 5][..], b"onAdd", body.as_bytes()].concat()
        };
        assert!(is_optional("bob", &push("bob")));
        assert!(!is_optional("alice", &push("bob")));
        assert!(!is_optional("bob", &response(2, r#"{"user":"bob"}"#)));
    }

    #[test]
    fn a_gates_answer_names_a_port() {
        assert_eq!(gate_port(&response(1, r#"{"code":200,"host":"h","port":3051}"#)), Some(3051));
        assert_eq!(gate_port(&response(1, r#"{"code":500}"#)), None);
        assert_eq!(gate_port(&response(1, r#"{"host":"h","port":70000}"#)), None);
    }
}
