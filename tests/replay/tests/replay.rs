//! The runner against a scripted server: what it takes for the same, what it tells, and that it never hangs.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, missing_docs, reason = "tests")]

mod support;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use shaddock_replay::{
    Capture, Intended, Intent, Kick, KickHook, Options, Scenario, ScenarioReport, Step, Transport, Verdict,
    describe,
};
use support::{Act, as_recorded, differences, golden, only, play, play_apart};

const NO_DIFFERENCE: [String; 0] = [];

/// A server that does what was recorded but for one package: `act` gets scenario, client and description.
fn play_chat(
    scenarios: &[&str],
    tune: impl FnOnce(&mut Options),
    act: impl Fn(&str, &str, &str) -> Option<Vec<Act>> + Send + 'static,
) -> Vec<String> {
    let capture = only(&golden("chat-websocket.json"), scenarios);
    let act = move |scenario: &str, who: &str, package: &[u8]| {
        act(scenario, who, &describe(package)).unwrap_or_else(|| as_recorded(package))
    };
    differences(&play(&capture, Some(Transport::Tcp), tune, act))
}

fn response(id: u8, body: &str) -> Vec<u8> {
    [&[4, 0, 0, body.len() as u8 + 2, 4, id][..], body.as_bytes()].concat()
}

#[test]
fn a_server_that_does_as_recorded_has_no_differences_over_either_transport() {
    for transport in [None, Some(Transport::Tcp), Some(Transport::Ws)] {
        let kicked = Arc::new(Mutex::new(Vec::new()));
        let log = kicked.clone();
        let kick = move |kick: &Kick| {
            log.lock().unwrap().push(kick.clone());
            Ok(())
        };
        let tune = |options: &mut Options| {
            options.kick = Some(Arc::new(kick));
            // Nobody listens there: connections have to go where the gate says.
            options.ports.insert(3050, 1);
        };
        let given = kicked.clone();
        let act = move |scenario: &str, who: &str, package: &[u8]| {
            if scenario == "chat/kick" && who == "carol" {
                await_kick(|| !given.lock().unwrap().is_empty());
            }
            as_recorded(package)
        };
        let report = play(&golden("chat-websocket.json"), transport, tune, act);
        assert_eq!(differences(&report), NO_DIFFERENCE);
        assert_eq!(report.scenarios.len(), 16);
        let expected = Kick { uid: "carol*room1".to_owned(), reason: "admin kick".to_owned() };
        assert_eq!(*kicked.lock().unwrap(), [expected]);
    }
}

/// A kick from outside comes when somebody gives it; without one the server goes on after a while.
fn await_kick(given: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(3);
    while !given() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn every_form_of_step_in_the_lab_capture_can_be_played() {
    let report = play(&golden("lab.json"), None, |_| {}, |_, _, package| as_recorded(package));
    assert_eq!(differences(&report), NO_DIFFERENCE);
    let skipped: Vec<_> =
        report.scenarios.iter().filter(|scenario| scenario.verdict() == Verdict::Skipped).collect();
    assert!(matches!(skipped[..], [udp] if udp.name == "lab/udp"), "{skipped:?}");
}

#[test]
fn another_answer_is_told_with_both_packages() {
    let found = play_chat(
        &["gate-query", "gate-no-uid"],
        |_| {},
        |_, _, text| {
            (text == r#"DATA RESP #1 {"code":500}"#).then(|| vec![Act::Send(response(1, r#"{"code":404}"#))])
        },
    );
    assert_eq!(found.len(), 1, "{found:?}");
    for part in [
        "chat/gate-no-uid: x.gate (step 6)",
        r#"{"code":500}"#,
        r#"{"code":404}"#,
        "7b22636f6465223a3430347d",
        "14",
    ] {
        assert!(found[0].contains(part), "{part} in {}", found[0]);
    }
}

#[test]
fn a_package_that_does_not_come_is_missed_after_the_time_allowed() {
    let start = Instant::now();
    let tune = |options: &mut Options| options.wait = Duration::from_millis(700);
    let found = play_chat(&["alice-enters", "bob-enters", "send-all"], tune, |scenario, who, text| {
        (scenario == "chat/send-all" && who == "bob" && text.contains("onChat")).then(Vec::new)
    });
    assert!(matches!(&found[..], [one] if one.contains("bob (step 4): a package did not come")), "{found:?}");
    assert!((Duration::from_millis(700)..Duration::from_secs(5)).contains(&start.elapsed()));
}

#[test]
fn a_package_too_many_is_told_in_its_scenario() {
    let found = play_chat(
        &["alice-enters", "bob-enters", "send-all"],
        |_| {},
        |scenario, who, text| {
            let twice = scenario == "chat/send-all" && who == "alice" && text.starts_with("DATA RESP #3");
            twice.then(|| vec![Act::Send(response(3, "{}")), Act::Send(response(3, "{}"))])
        },
    );
    assert!(
        matches!(&found[..], [one] if one.contains("chat/send-all: alice (end): a package came")),
        "{found:?}"
    );
}

#[test]
fn a_push_may_come_before_the_answer_and_has_to_in_the_servers_order() {
    let scenarios = ["alice-enters", "bob-enters", "send-all"];
    // The recording has the answer first, so a server that keeps its order differs from it.
    let held: Mutex<Vec<Vec<u8>>> = Mutex::default();
    let push_first = move |scenario: &str, who: &str, text: &str| {
        if scenario != "chat/send-all" || who != "alice" {
            return None;
        }
        if text.starts_with("DATA RESP #3") {
            held.lock().unwrap().push(response(3, "{}"));
            return Some(Vec::new());
        }
        None
    };
    // The push goes out when its step comes, and the held answer behind it.
    let capture = only(&golden("chat-websocket.json"), &scenarios);
    let act = move |scenario: &str, who: &str, package: &[u8]| match push_first(
        scenario,
        who,
        &describe(package),
    ) {
        Some(acts) => acts,
        None if scenario == "chat/send-all" && who == "alice" => {
            vec![Act::Send(package.to_vec()), Act::Send(response(3, "{}"))]
        }
        None => as_recorded(package),
    };
    let act = Arc::new(act);
    for server_order in [false, true] {
        let act = act.clone();
        let tune = move |options: &mut Options| options.server_order = server_order;
        let report = play(&capture, Some(Transport::Tcp), tune, move |a, b, c| act(a, b, c));
        assert_eq!(differences(&report), NO_DIFFERENCE, "server order {server_order}");
    }
    let found = play_chat(&scenarios, |options| options.server_order = true, |_, _, _| None);
    assert!(matches!(&found[..], [one] if one.contains("behind the answer")), "{found:?}");
}

#[test]
fn bobs_push_about_himself_may_be_left_out() {
    let found = play_chat(
        &["alice-enters", "bob-enters"],
        |_| {},
        |scenario, who, text| {
            (scenario == "chat/bob-enters" && who == "bob" && text.contains("onAdd")).then(Vec::new)
        },
    );
    assert_eq!(found, NO_DIFFERENCE);
    let found = play_chat(
        &["alice-enters", "bob-enters"],
        |options| options.wait = Duration::from_millis(300),
        |scenario, who, text| {
            (scenario == "chat/bob-enters" && who == "alice" && text.contains("onAdd")).then(Vec::new)
        },
    );
    assert_eq!(found.len(), 1, "alice has to hear of bob: {found:?}");
}

#[test]
fn an_early_end_of_a_connection_is_told_once_per_scenario() {
    let tune = |options: &mut Options| options.wait = Duration::from_millis(500);
    let found = play_chat(
        &["alice-enters", "bob-enters", "send-all", "send-private"],
        tune,
        |scenario, who, text| {
            (scenario == "chat/send-all" && who == "bob" && text.contains("onChat"))
                .then(|| vec![Act::Close(1000)])
        },
    );
    assert!(found[0].contains("chat/send-all: bob (step 4): a package did not come"), "{found:?}");
    assert!(found[1].contains("chat/send-all: bob (end): the server closed the connection"), "{found:?}");
    assert!(found[2].contains("chat/send-private: bob (step 3): no open connection"), "{found:?}");
    assert_eq!(found.len(), 3, "{found:?}");
}

#[test]
fn how_the_server_closes_is_compared() {
    let capture = only(&golden("lab.json"), &["handshake-bad-json"]);
    let close_with = |code| {
        let act = move |_: &str, _: &str, package: &[u8]| vec![Act::Send(package.to_vec()), Act::Close(code)];
        differences(&play(&capture, None, |_| {}, act))
    };
    assert_eq!(close_with(1000), NO_DIFFERENCE);
    let found = close_with(1002);
    assert!(
        matches!(&found[..], [one] if one.contains("closed with code 1002; expected: 1000")),
        "{found:?}"
    );
}

#[test]
fn a_connection_that_the_server_should_close_but_does_not_is_told() {
    let mut capture = only(&golden("lab.json"), &["handshake-bad-json"]);
    let script = capture.clone();
    // The server under test does not know the last step.
    capture.scenarios[0].steps.retain(|step| !matches!(step, Step::Closed { .. }));
    let tune = |options: &mut Options| options.wait = Duration::from_millis(300);
    let as_scripted = |_: &str, _: &str, package: &[u8]| as_recorded(package);
    let open = differences(&play_apart(&capture, &script, None, tune, as_scripted));
    assert!(matches!(&open[..], [one] if one.contains("left the connection open")), "{open:?}");
}

#[test]
fn a_server_that_never_answers_ends_in_differences() {
    let start = Instant::now();
    let tune = |options: &mut Options| options.wait = Duration::from_millis(100);
    let found =
        play_chat(&["gate-query", "gate-no-uid", "alice-enters"], tune, |_, _, _| Some(vec![Act::Freeze]));
    assert!(found.len() >= 3, "{found:?}");
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
}

#[test]
fn a_server_that_is_not_there_is_told_with_its_address() {
    let capture = only(&golden("chat-websocket.json"), &["gate-query"]);
    let options = Options { ports: [(3014, 1)].into(), ..Options::new("127.0.0.1") };
    let found = differences(&shaddock_replay::replay(&capture, &options, |_| {}));
    assert!(matches!(&found[..], [one] if one.contains("127.0.0.1:1")), "{found:?}");
}

#[test]
fn a_kick_from_outside_needs_somebody_who_gives_it() {
    let kicks = |kick: Option<KickHook>| {
        let tune = |options: &mut Options| options.kick = kick;
        play_chat(&["alice-enters", "versions-cached", "chat/kick"], tune, |scenario, who, _| {
            if scenario == "chat/kick" && who == "carol" {
                await_kick(|| false);
            }
            None
        })
    };
    // Bob is not in this selection, which is told; the rest is about the kick.
    let problems =
        |found: Vec<String>| found.into_iter().filter(|one| one.contains("chat/kick")).collect::<Vec<_>>();
    let found = problems(kicks(None));
    assert!(matches!(&found[..], [one] if one.contains("no kick command")), "{found:?}");
    let found = problems(kicks(Some(Arc::new(|_| Err("no such user".to_owned())))));
    assert!(matches!(&found[..], [one] if one.contains("no such user")), "{found:?}");
    assert_eq!(problems(kicks(Some(Arc::new(|_| Ok(()))))), NO_DIFFERENCE);
}

#[test]
fn connections_are_kept_alive_where_the_handshake_asks_for_heartbeats() {
    // The recorded server asks for a heartbeat every 3 s, and here answers the last request only after two.
    let found = play_chat(
        &["alice-enters"],
        |options| options.wait = Duration::from_secs(10),
        |_, who, text| {
            let last = who == "alice" && text.starts_with("DATA RESP #2");
            let answer = response(2, r#"{"users":["alice"]}"#);
            let beat = || Act::Send(vec![3, 0, 0, 0]);
            last.then(|| vec![Act::AwaitHeartbeats(2), beat(), beat(), Act::Send(answer)])
        },
    );
    assert_eq!(found, NO_DIFFERENCE);
}

#[test]
fn garbage_from_the_server_is_told() {
    let capture = only(&golden("chat-websocket.json"), &["gate-query"]);
    let masked = |_: &str, _: &str, _: &[u8]| vec![Act::Raw(vec![0x82, 0x81, 1, 2, 3, 4, 5])];
    let tune = |options: &mut Options| options.wait = Duration::from_millis(500);
    let found = differences(&play(&capture, None, tune, masked));
    assert!(found.iter().any(|one| one.contains("masked WebSocket frame")), "{found:?}");
}

/// The scenario of two packages in one frame: the recorded server closes, a right one answers both.
fn two_packages() -> (Capture, Capture) {
    let recorded = only(&golden("lab.json"), &["two-packages-one-ws-frame"]);
    let mut right = recorded.clone();
    let who = || "B".to_owned();
    let steps = &mut right.scenarios[0].steps;
    steps.retain(|step| !matches!(step, Step::Closed { .. }));
    let beat = || Step::Expect { who: who(), package: vec![3, 0, 0, 0] };
    steps.extend([beat(), beat(), Step::Close { who: who() }]);
    (recorded, right)
}

/// Plays the recording with the right answers given along, against a server that does `server`.
fn play_intended(server: &Capture, recorded: &Capture, right: &Capture) -> ScenarioReport {
    let intent = Intent { reason: "both are answered".to_owned(), steps: right.scenarios[0].steps.clone() };
    let intended = Intended::from_iter([(right.scenarios[0].name.clone(), intent)]);
    let tune = move |options: &mut Options| {
        options.intended = intended;
        options.wait = Duration::from_millis(500);
    };
    let report = play_apart(server, recorded, None, tune, |_, _, package| as_recorded(package));
    report.scenarios[0].clone()
}

#[test]
fn what_is_intended_is_fixed_and_what_was_recorded_is_kept() {
    let (recorded, right) = two_packages();
    let fixed = play_intended(&right, &recorded, &right);
    assert_eq!((fixed.verdict(), fixed.fixed.as_deref()), (Verdict::Fixed, Some("both are answered")));
    let kept = play_intended(&recorded, &recorded, &right);
    assert_eq!((kept.verdict(), kept.differences.len()), (Verdict::Kept, 0), "{kept}");
}

#[test]
fn a_server_that_does_neither_differs_from_what_is_intended() {
    let (recorded, right) = two_packages();
    let mut closes_with_another_code = recorded.clone();
    let last = closes_with_another_code.scenarios[0].steps.last_mut().unwrap();
    *last = Step::Closed { who: "B".to_owned(), code: Some(1002) };
    let report = play_intended(&closes_with_another_code, &recorded, &right);
    assert_eq!(report.verdict(), Verdict::Differs);
    assert!(report.to_string().contains("B (step"), "{report}");
}

#[test]
fn answers_that_are_expected_for_other_steps_are_not_used_and_that_is_told() {
    let (recorded, right) = two_packages();
    let mut other = right.clone();
    other.scenarios[0].steps.insert(1, Step::Send { who: "B".to_owned(), bytes: vec![3, 0, 0, 0] });
    let kept = play_intended(&recorded, &recorded, &other);
    assert_eq!(kept.verdict(), Verdict::Kept, "{kept}");
    let differs = play_intended(&right, &recorded, &other);
    assert_eq!(differs.verdict(), Verdict::Differs);
    assert!(differs.to_string().contains("for other steps of the clients"), "{differs}");
}

#[test]
fn a_server_may_close_before_it_has_read_what_makes_it_close() {
    let (who, send) =
        (|| "a".to_owned(), |byte| Step::Send { who: "a".to_owned(), bytes: vec![byte, 0, 0, 0] });
    let open = Step::Open { who: who(), transport: Transport::Tcp, port: 3150 };
    let closed = Step::Closed { who: who(), code: None };
    let recorded = |steps: Vec<Step>| Capture { scenarios: vec![Scenario { name: "x".to_owned(), steps }] };
    let server = recorded(vec![open.clone(), closed.clone()]);
    let pause = Step::Open { who: "b".to_owned(), transport: Transport::Tcp, port: 3150 };
    let client = recorded(vec![open.clone(), pause.clone(), send(3), send(3), closed]);
    let tune = |options: &mut Options| options.wait = Duration::from_millis(500);
    let found = |client: &Capture| {
        differences(&play_apart(&server, client, None, tune, |_, _, package| as_recorded(package)))
    };
    assert_eq!(found(&client), NO_DIFFERENCE);
    let stays_open = recorded(vec![open, pause, send(3), send(3)]);
    assert!(matches!(&found(&stays_open)[..], [one] if one.contains("the server closed the connection")));
}
