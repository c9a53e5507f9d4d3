//! Tests of what needs no host.

use super::*;

fn chats() -> Vec<Server> {
    (1..=3)
        .map(|n| Server {
            id: format!("chat-server-{n}"),
            server_type: "chat".into(),
            frontend: false,
            host: "127.0.0.1".into(),
            port: Some(6049 + n),
            client_host: None,
            client_port: None,
            fields: "{}".into(),
        })
        .collect()
}

fn target(settings: &[(&str, &str)], chats: &[Server]) -> Target {
    let session = Session::made_up("connector-server-1", 1, Some("alice*room1"), settings);
    by_room(&RouteKey::Session(session), chats).unwrap()
}

#[test]
fn the_name_of_the_room_picks_the_chat_server() {
    for (room, index) in [("room1", 2), ("room2", 0), ("arena", 1), ("", 0)] {
        let json = format!("\"{room}\"");
        assert_eq!(target(&[("rid", &json)], &chats()), Target::Index(index), "{room}");
        assert_eq!(by_room(&RouteKey::Value(room.into()), &chats()), Ok(Target::Index(index)), "{room}");
    }
}

#[test]
fn a_session_stays_with_the_chat_server_it_entered_while_that_is_up() {
    let entered = [("rid", "\"room1\""), ("chat", "\"chat-server-3\"")];
    assert_eq!(target(&entered, &chats()), Target::Index(2));
    let without_the_first = chats().split_off(1);
    assert_eq!(target(&entered, &without_the_first), Target::Index(1));
    let without_the_last = &chats()[..2];
    assert_eq!(target(&entered, without_the_last), Target::hashed("room1", without_the_last).unwrap());
}

#[test]
fn a_session_that_left_goes_by_the_name_of_the_room_again() {
    assert_eq!(
        target(&[("rid", "\"room1\""), ("chat", "null")], &chats()),
        Target::hashed("room1", &chats()).unwrap()
    );
}

#[test]
fn a_session_in_no_room_is_told_so() {
    let bound = Session::made_up("connector-server-1", 1, Some("alice*room1"), &[]);
    let unbound = Session::made_up("connector-server-1", 1, None, &[("rid", "\"room1\"")]);
    for session in [bound, unbound] {
        let line = Line { content: "hi".into(), target: "*".into() };
        assert_eq!(send(line, &session).map_err(|e| e.code), Err(500));
    }
}

#[test]
fn names_have_bounds() {
    let session = &mut Session::made_up("connector-server-1", 1, None, &[]);
    let long = "x".repeat(NAME_CHARS_MAX + 1);
    for (username, rid) in [("", "room"), ("alice", ""), (&*long, "room"), ("alice", &*long), ("a*b", "room")]
    {
        let msg = Enter { username: username.into(), rid: rid.into() };
        assert_eq!(enter(msg, session).map_err(|e| e.code), Err(400), "{username} {rid}");
    }
}

#[test]
fn a_user_is_a_name_in_a_room() {
    let member = |uid: &str| Member { uid: uid.into(), frontend_id: "connector-server-1".into() };
    assert_eq!(name_of(&member(&uid_of("alice", "room1"))), "alice");
    assert_eq!(name_of(&member(&uid_of("alice", "a*b"))), "alice");
    assert_eq!(name_of(&member("nobody")), "nobody");
}
