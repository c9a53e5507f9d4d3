//! The game of `plugins/examples` in every language: each plays it in the same way, to the byte.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use shaddock_tests::client::Client;
use shaddock_tests::languages::{is_built, with_two_servers};
use shaddock_tests::{Cluster, Config, Workshop, component_path, root, wait_for};

#[test]
fn rust_plays_the_game() {
    play("rust");
}

#[test]
fn javascript_plays_the_game() {
    play("javascript");
}

#[test]
fn typescript_plays_the_game() {
    play("typescript");
}

#[test]
fn c_plays_the_game() {
    play("c");
}

#[test]
fn zig_plays_the_game() {
    play("zig");
}

#[test]
fn go_plays_the_game() {
    play("go");
}

#[test]
fn python_plays_the_game() {
    play("python");
}

#[test]
fn the_examples_pass_their_own_tests() {
    for language in ["c", "zig", "go", "python"] {
        if is_built(language, &format!("guess_{language}")) {
            let dir = root().join("plugins/examples").join(language);
            Workshop::new().run(&["test", &dir.display().to_string()]).expect(0);
        }
    }
}

/// Milliseconds of a round.
const ROUND_MS: u64 = 5000;

const ENTER: &str = "connector.roomHandler.enter";
const STATUS: &str = "connector.roomHandler.status";
const JOIN: &str = "guess.roomHandler.join";
const GUESS: &str = "guess.roomHandler.guess";
const CRASH: &str = "guess.roomHandler.crash";

type Case = (&'static str, fn(&Cluster));

/// What every language has to do in the same way, each in rooms of its own.
const CASES: [Case; 10] = [
    ("players hear who joins", players_hear_who_joins),
    ("whoever finds the number begins a new round", whoever_finds_the_number_begins_a_new_round),
    ("a round ends when its time is up", a_round_ends_when_its_time_is_up),
    ("text of all alphabets comes back as it was", text_of_all_alphabets_comes_back_as_it_was),
    ("bodies that make no sense are refused", bodies_that_make_no_sense_are_refused),
    ("names that do not fit are refused", names_that_do_not_fit_are_refused),
    ("steps out of order are refused", steps_out_of_order_are_refused),
    ("an error that nobody handles is a failure", an_error_that_nobody_handles_is_a_failure),
    ("a room is on the server of its name", a_room_is_on_the_server_of_its_name),
    ("players who leave are missed", players_who_leave_are_missed),
];

fn play(language: &str) {
    let name = format!("guess_{language}");
    if !is_built(language, &name) {
        return;
    }
    let cluster = start(&name);
    for (case, check) in CASES {
        eprintln!("{language}: {case}");
        check(&cluster);
    }
    let logs = cluster.logs();
    assert!(!logs.contains("wasm trap"), "an instance was lost:\n{logs}");
}

/// A connector and two servers of the type `guess`, without heartbeats: who waits for a timer says nothing for long. The
/// limits are those of a slow machine, where a call that has no time left is one that leaves no push behind.
fn start(name: &str) -> Cluster {
    let entry = json!({
        "component": component_path(name),
        "serverTypes": ["connector", "guess"],
        "pool": { "policy": "single", "queueMsMax": 10_000 },
        "limits": { "deadlineMs": 10_000, "cpuMsMax": 10_000 },
        "grants": ["sessions", "channels", "rpc", "timers"],
        "settings": { "roundMs": ROUND_MS },
    });
    let config = Config::small().without_plugin("chat").plugin("guess", entry).file("app.json", json!({}));
    with_two_servers(&config, "guess")
}

fn connect(cluster: &Cluster) -> Client {
    Client::connect(cluster.connector_port(1))
}

fn ask(client: &mut Client, route: &str, body: &Value) -> String {
    client.request_text(route, body.to_string().as_bytes())
}

fn enter(client: &mut Client, name: &str, room: &str) {
    let answer = ask(client, ENTER, &json!({ "name": name, "room": room }));
    assert_eq!(answer, on_the_wire(&json!({ "name": name, "room": room })));
}

/// An answer as clients get it: for their sake the host escapes what lies beyond the first plane.
fn on_the_wire(answer: &Value) -> String {
    let mut text = String::new();
    for char in answer.to_string().chars() {
        if char > '\u{ffff}' {
            char.encode_utf16(&mut [0; 2]).iter().for_each(|unit| text.push_str(&format!("\\u{unit:04x}")));
        } else {
            text.push(char);
        }
    }
    text
}

/// A player who has joined a room, alone or as the last of several, and has heard so.
fn player(cluster: &Cluster, name: &str, room: &str) -> Client {
    let mut client = connect(cluster);
    enter(&mut client, name, room);
    let answer = client.request(JOIN, &json!({}));
    assert_eq!(answer["players"].as_array().unwrap().last().unwrap(), name);
    assert_eq!(push(&mut client), format!("onJoin {}", json!({ "name": name, "room": room })));
    client
}

/// The next push, those of two rounds whose time is up aside; the keys of its body are in the order in which they came.
#[track_caller]
fn push(client: &mut Client) -> String {
    let mut pushes = std::iter::repeat_with(|| client.push()).take(3);
    let (route, body) =
        pushes.find(|(route, _)| route != "onTimeout").unwrap_or_else(|| panic!("no push came"));
    format!("{route} {body}")
}

fn players_hear_who_joins(cluster: &Cluster) {
    let (mut ann, mut bob) = (connect(cluster), connect(cluster));
    assert_eq!(
        ask(&mut ann, ENTER, &json!({ "name": "ann", "room": "lobby" })),
        r#"{"name":"ann","room":"lobby"}"#
    );
    assert_eq!(ask(&mut ann, JOIN, &json!({})), r#"{"players":["ann"],"room":"lobby","round":1}"#);
    assert_eq!(push(&mut ann), r#"onJoin {"name":"ann","room":"lobby"}"#);
    enter(&mut bob, "bob", "lobby");
    assert_eq!(ask(&mut bob, JOIN, &json!({})), r#"{"players":["ann","bob"],"room":"lobby","round":1}"#);
    for client in [&mut ann, &mut bob] {
        assert_eq!(push(client), r#"onJoin {"name":"bob","room":"lobby"}"#);
    }
    // again, without a push: the next one is that of the timer
    assert_eq!(ask(&mut bob, JOIN, &json!({})), r#"{"players":["ann","bob"],"room":"lobby","round":1}"#);
    assert_eq!(bob.push().0, "onTimeout");
}

/// Guesses until the number is found; answers it and its round. A new round, on a slow machine, is a new search.
fn find(client: &mut Client) -> (u32, u64) {
    let (mut low, mut high, mut round) = (1, 100, 0);
    loop {
        let number = u32::midpoint(low, high);
        let answer = ask(client, GUESS, &json!({ "number": number }));
        let parsed: Value = serde_json::from_str(&answer).unwrap();
        let hint = parsed["answer"].as_str().unwrap_or_else(|| panic!("{answer} to {number}"));
        let playing = parsed["round"].as_u64().unwrap();
        assert_eq!(answer, format!(r#"{{"answer":"{hint}","round":{playing}}}"#));
        if round != 0 && round != playing {
            (low, high, round) = (1, 100, 0);
            continue;
        }
        round = playing;
        match hint {
            "higher" => low = number + 1,
            "lower" => high = number - 1,
            "right" => return (number, round),
            _ => panic!("{answer}"),
        }
        assert!(low <= high, "no number from 1 to 100 is right in round {round}");
    }
}

fn whoever_finds_the_number_begins_a_new_round(cluster: &Cluster) {
    let mut ann = player(cluster, "ann", "kitchen");
    let mut bob = player(cluster, "bob", "kitchen");
    assert_eq!(push(&mut ann), r#"onJoin {"name":"bob","room":"kitchen"}"#);
    let mut before = 0;
    for name in ["ann", "bob", "bob"] {
        let (number, round) = find(if name == "ann" { &mut ann } else { &mut bob });
        for client in [&mut ann, &mut bob] {
            let expected =
                format!(r#"{{"name":"{name}","number":{number},"room":"kitchen","round":{round}}}"#);
            assert_eq!(push(client), format!("onRight {expected}"));
        }
        assert!(round > before, "{round} after {before}");
        before = round;
    }
    // a number with a fraction of zero is whole
    for number in ["100.0", "1e2"] {
        let answer = ann.request_text(GUESS, format!(r#"{{"number":{number}}}"#).as_bytes());
        assert!(answer.starts_with(r#"{"answer":"lower","#) || answer.contains("right"), "{answer}");
    }
}

fn a_round_ends_when_its_time_is_up(cluster: &Cluster) {
    let mut ann = player(cluster, "ann", "hall");
    let (_, found) = find(&mut ann);
    let begun = Instant::now();
    while !push(&mut ann).starts_with("onRight ") {}
    let (route, body) = ann.push();
    let early = Duration::from_millis(ROUND_MS * 3 / 4);
    assert!(begun.elapsed() > early, "the timer of a round that was found goes off no more");
    let number = body["number"].as_u64().unwrap();
    assert!((1..=100).contains(&number));
    let expected = format!(r#"onTimeout {{"number":{number},"room":"hall","round":{}}}"#, found + 1);
    assert_eq!(format!("{route} {body}"), expected);
    assert!(find(&mut ann).1 > found + 1);
}

fn text_of_all_alphabets_comes_back_as_it_was(cluster: &Cluster) {
    let name = "Zo\u{eb} \u{1f469}\u{200d}\u{1f680} \"\\/";
    let room = "\u{623f}\u{9593}\u{2028}\u{1f3b2}\u{0}\t\n\u{7f}";
    let mut zoe = player(cluster, name, room);
    let expected = json!({ "players": [name], "room": room, "round": 1 });
    assert_eq!(ask(&mut zoe, JOIN, &json!({})), on_the_wire(&expected));
    let escaped = br#"{"na\u006de":"\u00e9\ud83c\udfb2","room":"\u0041"}"#;
    let expected = json!({ "name": "\u{e9}\u{1f3b2}", "room": "A" });
    assert_eq!(connect(cluster).request_text(ENTER, escaped), on_the_wire(&expected));
    let most = "\u{1f3b2}".repeat(32);
    player(cluster, &most, &most);
}

fn bodies_that_make_no_sense_are_refused(cluster: &Cluster) {
    let mut ann = player(cluster, "ann", "garden");
    let bodies: [&str; 25] = [
        "",
        " ",
        "{",
        "null",
        "[]",
        "7",
        r#""7""#,
        "true",
        "{}",
        r#"{"number":}"#,
        r#"{"number":null}"#,
        r#"{"number":true}"#,
        r#"{"number":"50"}"#,
        r#"{"number":[50]}"#,
        r#"{"number":{}}"#,
        r#"{"number":0}"#,
        r#"{"number":-1}"#,
        r#"{"number":101}"#,
        r#"{"number":1.5}"#,
        r#"{"number":1e999}"#,
        r#"{"number":NaN}"#,
        r#"{"number":0x10}"#,
        r#"{"number":050}"#,
        r#"{"number":50}x"#,
        r#"{"number":50,}"#,
    ];
    for body in bodies {
        assert_eq!(ann.request_text(GUESS, body.as_bytes()), r#"{"code":400}"#, "{body}");
    }
    let deep = format!(r#"{{"number":{}{}}}"#, "[".repeat(30_000), "]".repeat(30_000));
    assert_eq!(ann.request_text(GUESS, deep.as_bytes()), r#"{"code":400}"#, "nested deeply");
}

fn names_that_do_not_fit_are_refused(cluster: &Cluster) {
    let mut client = connect(cluster);
    let most = "x".repeat(33);
    let bodies = [
        json!({ "name": "ann" }).to_string(),
        json!({ "room": "attic" }).to_string(),
        json!({ "name": "", "room": "attic" }).to_string(),
        json!({ "name": "ann", "room": "" }).to_string(),
        json!({ "name": "ann", "room": most }).to_string(),
        json!({ "name": "ann", "room": 7 }).to_string(),
        json!({ "name": ["ann"], "room": "attic" }).to_string(),
        json!({ "name": null, "room": "attic" }).to_string(),
        r#"{"name":"a"b","room":"attic"}"#.to_owned(),
        "{\"name\":\"a\nb\",\"room\":\"attic\"}".to_owned(),
    ];
    for body in bodies {
        assert_eq!(client.request_text(ENTER, body.as_bytes()), r#"{"code":400}"#, "{body}");
    }
    for body in [json!({}), json!({ "room": 7 }), json!(null)] {
        assert_eq!(ask(&mut client, STATUS, &body), r#"{"code":400}"#, "{body}");
    }
}

fn steps_out_of_order_are_refused(cluster: &Cluster) {
    let mut client = connect(cluster);
    assert_eq!(ask(&mut client, JOIN, &json!({})), r#"{"code":403}"#, "before a room was entered");
    assert_eq!(ask(&mut client, GUESS, &json!({ "number": 50 })), r#"{"code":403}"#);
    enter(&mut client, "ann", "cellar");
    assert_eq!(ask(&mut client, GUESS, &json!({ "number": 50 })), r#"{"code":403}"#, "before it was joined");
    let other = json!({ "name": "bob", "room": "cellar" });
    assert_eq!(ask(&mut client, ENTER, &other), r#"{"code":409}"#, "a session keeps its user");
}

fn an_error_that_nobody_handles_is_a_failure(cluster: &Cluster) {
    let mut client = player(cluster, "ann", "shed");
    for text in ["nobody expected this", "nor that \u{1f4a5}"] {
        assert_eq!(ask(&mut client, CRASH, &json!({ "text": text })), r#"{"code":500}"#);
        wait_for("its message is in the log", Duration::from_secs(5), || cluster.logs().contains(text));
    }
    let answer = ask(&mut client, JOIN, &json!({}));
    assert!(answer.starts_with(r#"{"players":["ann"],"room":"shed","round":"#), "the game goes on: {answer}");
}

fn a_room_is_on_the_server_of_its_name(cluster: &Cluster) {
    // abs(crc32) % 2 over the low byte of each UTF-16 unit, some of them negative as signed numbers
    let rooms =
        [("porch", 1), ("den", 1), ("yard", 0), ("clock", 0), ("\u{4e2d}\u{6587}", 1), ("\u{1f3b2}", 0)];
    for (room, number) in rooms {
        let mut ann = player(cluster, "ann", room);
        let status = ask(&mut ann, STATUS, &json!({ "room": room }));
        let server = format!("guess-{number}");
        let expected = json!({ "players": 1, "room": room, "round": 1, "server": server });
        assert_eq!(status, on_the_wire(&expected));
    }
    assert_eq!(ask(&mut connect(cluster), STATUS, &json!({ "room": "nowhere" })), r#"{"code":404}"#);
}

fn players_who_leave_are_missed(cluster: &Cluster) {
    let mut ann = player(cluster, "ann", "tower");
    let bob = player(cluster, "bob", "tower");
    let mut eve = player(cluster, "eve", "tower");
    for name in ["bob", "eve"] {
        assert_eq!(push(&mut ann), format!(r#"onJoin {{"name":"{name}","room":"tower"}}"#));
    }
    bob.close();
    assert_eq!(push(&mut ann), r#"onLeave {"name":"bob","room":"tower"}"#);
    enter(&mut eve, "eve", "moat");
    assert_eq!(push(&mut ann), r#"onLeave {"name":"eve","room":"tower"}"#);
    ann.close();
    wait_for("the end of the room", Duration::from_secs(5), || {
        ask(&mut eve, STATUS, &json!({ "room": "tower" })) == r#"{"code":404}"#
    });
}
