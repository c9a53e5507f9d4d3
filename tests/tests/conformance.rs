//! What holds for plugins in every language: one list of cases, put to all of them.
//!
//! Where languages differ, [`LANGUAGES`] says how, and the cases hold each to exactly that.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::time::Duration;

use serde_json::{Value, json};
use shaddock_tests::client::Client;
use shaddock_tests::languages::{is_built, with_two_servers};
use shaddock_tests::{Cluster, Config, component, component_path, root, wait_for};

/// How a language does what languages do in different ways.
struct Language {
    name: &'static str,
    /// What comes back of [`IDS`] as a value of any JSON.
    any_ids: [&'static str; 3],
    /// What comes back of them as what the language has for whole numbers.
    ids: [&'static str; 3],
    /// An error that nobody handles; `{}` stands for its text.
    crash: Ends,
    /// Throwing what is no error.
    odd: Ends,
    /// Answering what is no JSON.
    wrong: Ends,
    /// The worst end that an instance can come to.
    trap: Ends,
    /// A recursion without an end.
    recurse: Ends,
}

/// How a call ends that gives no answer.
#[derive(Clone, Copy)]
enum Ends {
    /// With the code 500 and this in the log; the instance lives on.
    Failing(&'static str),
    /// The same, and the instance is lost.
    Trapping(&'static str),
    /// The language has no such thing, for this reason.
    Without(&'static str),
}

use Ends::{Failing, Trapping, Without};

/// The first whole number that a double does not have, the largest of 64 bits, and one that any has.
const IDS: [&str; 3] = ["9007199254740993", "18446744073709551615", "9007199254740991"];
/// What a double makes of them.
const AS_DOUBLES: [&str; 3] = ["9007199254740992", "18446744073709552000", "9007199254740991"];

const NO_ODD: &str = "every error is a value of the error type";
/// Their own stack lies at the beginning of the memory, and is smaller than the machine's.
const STACK_IN_MEMORY: &str = "out of bounds memory access";
const NO_TRAP: &str = "nothing in the language ends the process; an endless recursion does";

const LANGUAGES: [Language; 7] = [
    Language {
        name: "rust",
        any_ids: IDS,
        ids: IDS,
        crash: Failing("{}"),
        odd: Without(NO_ODD),
        wrong: Failing("JSON"),
        trap: Trapping("this is a panic"),
        recurse: Trapping("call stack exhausted"),
    },
    Language {
        name: "c",
        any_ids: IDS,
        ids: IDS,
        crash: Failing("{}"),
        odd: Without(NO_ODD),
        wrong: Failing("JSON"),
        trap: Trapping("unreachable"),
        recurse: Trapping(STACK_IN_MEMORY),
    },
    Language {
        name: "zig",
        any_ids: IDS,
        ids: IDS,
        crash: Failing("NobodyExpectedThis"),
        odd: Without(NO_ODD),
        wrong: Failing("JSON"),
        trap: Trapping("this is a panic"),
        recurse: Trapping(STACK_IN_MEMORY),
    },
    Language {
        name: "go",
        any_ids: AS_DOUBLES,
        ids: IDS,
        crash: Failing("{}"),
        odd: Failing("panic: {{}}"),
        wrong: Failing("func()"),
        trap: Trapping("unreachable"),
        recurse: Trapping("call stack exhausted"),
    },
    Language {
        name: "javascript",
        any_ids: AS_DOUBLES,
        ids: AS_DOUBLES,
        crash: Failing("{}"),
        odd: Failing("{}"),
        wrong: Failing("circular"),
        trap: Without(NO_TRAP),
        recurse: Trapping("call stack exhausted"),
    },
    Language {
        name: "typescript",
        any_ids: AS_DOUBLES,
        ids: AS_DOUBLES,
        crash: Failing("{}"),
        odd: Failing("{}"),
        wrong: Failing("circular"),
        trap: Without(NO_TRAP),
        recurse: Trapping("call stack exhausted"),
    },
    Language {
        name: "python",
        any_ids: IDS,
        ids: IDS,
        crash: Failing("{}"),
        odd: Failing("exceptions must derive from BaseException"),
        wrong: Failing("set is not JSON serializable"),
        trap: Trapping("unreachable"),
        recurse: Failing("RecursionError"),
    },
];

/// The same with many calls in flight, in languages that can. They have no route function: another plugin has it for them.
const ASYNC: [Language; 3] = [
    Language { name: "rust-async", ..LANGUAGES[0] },
    Language { name: "c-async", ..LANGUAGES[1] },
    Language { name: "python-async", ..LANGUAGES[6] },
];

#[test]
fn rust_conforms() {
    conforms("rust");
}

#[test]
fn c_conforms() {
    conforms("c");
}

#[test]
fn zig_conforms() {
    conforms("zig");
}

#[test]
fn go_conforms() {
    conforms("go");
}

#[test]
fn javascript_conforms() {
    conforms("javascript");
}

#[test]
fn typescript_conforms() {
    conforms("typescript");
}

#[test]
fn python_conforms() {
    conforms("python");
}

#[test]
fn rust_conforms_with_many_calls_in_flight() {
    conforms("rust-async");
}

#[test]
fn c_conforms_with_many_calls_in_flight() {
    conforms("c-async");
}

#[test]
fn python_conforms_with_many_calls_in_flight() {
    conforms("python-async");
}

type Case = (&'static str, fn(&Stage));

/// What only plugins with many calls in flight can do.
const ASYNC_CASES: [Case; 3] = [
    ("many calls are made and served at once", many_calls_are_made_and_served_at_once),
    ("each call has its own copy of its session", each_call_has_its_own_copy_of_its_session),
    ("a timer's function waits, too", a_timers_function_waits_too),
];

/// In this order: what comes last costs instances.
const CASES: [Case; 17] = [
    ("requests are answered, and notifies are not", requests_are_answered_and_notifies_are_not),
    ("values of all kinds come back", values_of_all_kinds_come_back),
    ("text of all alphabets comes back", text_of_all_alphabets_comes_back),
    ("what is empty stays empty", what_is_empty_stays_empty),
    ("null is as good as missing", null_is_as_good_as_missing),
    ("whole numbers of 64 bits", whole_numbers_of_64_bits),
    ("a megabyte each way", a_megabyte_each_way),
    ("remotes take and give any value", remotes_take_and_give_any_value),
    ("failures have a code and a message", failures_have_a_code_and_a_message),
    ("route functions see the session, and may fail", route_functions_see_the_session_and_may_fail),
    ("errors that nobody handles are failures", errors_that_nobody_handles_are_failures),
    ("what is printed is in the log", what_is_printed_is_in_the_log),
    ("random numbers differ from instance to instance", random_numbers_differ),
    ("a state has no place in this world", a_state_has_no_place_in_this_world),
    ("a trap costs one call", a_trap_costs_one_call),
    ("an endless recursion costs one call", an_endless_recursion_costs_one_call),
    ("an endless loop is cut off", an_endless_loop_is_cut_off),
];

struct Stage {
    cluster: Cluster,
    language: &'static Language,
}

fn conforms(name: &str) {
    let language = LANGUAGES.iter().chain(&ASYNC).find(|language| language.name == name).unwrap();
    if !is_built(name.trim_end_matches("-async"), &language.component()) {
        return;
    }
    let stage = Stage { cluster: start(language), language };
    let own: &[Case] = if language.is_async() { &ASYNC_CASES } else { &[] };
    for (case, check) in own.iter().chain(&CASES) {
        eprintln!("{name}: {case}");
        check(&stage);
    }
}

/// A connector that takes bodies of a megabyte, and two servers of the type `conform`. The limits are those of a slow machine.
fn start(language: &Language) -> Cluster {
    let entry = json!({
        "component": component_path(&language.component()),
        "serverTypes": ["connector", "conform"],
        "limits": { "deadlineMs": 30_000, "cpuMsMax": 2000 },
        "grants": ["sessions", "channels", "rpc", "timers"],
    });
    let connector = json!({ "connector": { "bodyBytesMax": 4 << 20 } });
    let app = json!({ "development": { "connector": connector } });
    let mut config = Config::small().without_plugin("chat").plugin("conform", entry).file("app.json", app);
    if language.is_async() {
        let router =
            json!({ "component": component("conformance_router"), "serverTypes": ["connector", "conform"] });
        config = config.plugin("router", router);
    }
    with_two_servers(&config, "conform")
}

impl Language {
    fn is_async(&self) -> bool {
        self.name.ends_with("-async")
    }

    fn component(&self) -> String {
        format!("conformance_{}", self.name.replace('-', "_"))
    }
}

impl Stage {
    /// A client on the server that the text leads to.
    fn client(&self, to: &str) -> Client {
        let mut client = Client::connect(self.cluster.connector_port(1));
        let answer = client.request("connector.caseHandler.enter", &json!({ "name": "zoe", "to": to }));
        assert_eq!(answer, json!({ "name": "zoe" }));
        client
    }

    /// Waits for a text in the log.
    #[track_caller]
    fn logs(&self, text: &str) {
        wait_for(&format!("{text:?} in the log"), Duration::from_secs(30), || {
            self.cluster.logs().contains(text)
        });
    }

    /// Whether a text is in the component.
    fn has(&self, text: &str) -> bool {
        let binary = std::fs::read(component_path(&self.language.component())).unwrap();
        binary.windows(text.len()).any(|bytes| bytes == text.as_bytes())
    }

    fn traps(&self) -> usize {
        self.cluster.logs().matches("wasm trap").count()
    }

    /// Makes a call that ends in this way, and another one that works.
    #[track_caller]
    fn ends(&self, client: &mut Client, case: &str, text: &str, how: Ends) {
        let (reason, traps) = match how {
            Failing(reason) => (reason, 0),
            Trapping(reason) => (reason, 1),
            Without(reason) => {
                return assert!(!self.has(&format!("conform.caseHandler.{case}")), "{case}: {reason}");
            }
        };
        let before = self.traps();
        let answer = ask(client, case, &json!({ "text": text }).to_string());
        assert_eq!(answer, r#"{"code":500}"#, "{case}");
        self.logs(&reason.replace("{}", text));
        assert_eq!(ask(client, "echo", "7"), "7", "after {case}");
        assert_eq!(self.traps() - before, traps, "{case}: instances lost:\n{}", self.cluster.logs());
    }
}

/// The text of the answer to a request whose body is that text.
fn ask(client: &mut Client, case: &str, body: &str) -> String {
    client.request_text(&format!("conform.caseHandler.{case}"), body.as_bytes())
}

/// An answer as clients get it: for their sake the host escapes what lies beyond the first plane.
fn on_the_wire(text: &str) -> String {
    let mut wire = String::new();
    for char in text.chars() {
        if char > '\u{ffff}' {
            char.encode_utf16(&mut [0; 2]).iter().for_each(|unit| wire.push_str(&format!("\\u{unit:04x}")));
        } else {
            wire.push(char);
        }
    }
    wire
}

fn requests_are_answered_and_notifies_are_not(stage: &Stage) {
    let mut client = stage.client("a");
    assert_eq!(ask(&mut client, "join", "{}"), "{}", "no answer is an empty one");
    let note = json!({ "of": "zoe", "numbers": [1, 2.5, null] });
    client.notify("conform.caseHandler.note", &note);
    assert_eq!(client.push(), ("onNote".to_owned(), note.clone()));
    assert_eq!(ask(&mut client, "note", &note.to_string()), "{}");
    assert_eq!(client.push(), ("onNote".to_owned(), note));
}

fn many_calls_are_made_and_served_at_once(stage: &Stage) {
    let mut client = stage.client("a");
    let answer = client.request("connector.caseHandler.gather", &json!({ "count": 100 }));
    assert_eq!(answer["sum"], (0..100).sum::<u32>(), "{answer}");
    assert!(answer["most"].as_u64().unwrap() > 1, "one after the other: {answer}");
}

fn each_call_has_its_own_copy_of_its_session(stage: &Stage) {
    let mut clients: Vec<Client> = (0..20).map(|_| stage.client("a")).collect();
    let asked: Vec<u32> = clients
        .iter_mut()
        .enumerate()
        .map(|(number, client)| client.ask("connector.caseHandler.own", &json!(number)))
        .collect();
    for (number, (client, id)) in clients.iter_mut().zip(asked).enumerate() {
        assert_eq!(client.answer(id), json!({ "now": number }));
    }
}

fn a_timers_function_waits_too(stage: &Stage) {
    let mut client = stage.client("a");
    assert_eq!(ask(&mut client, "join", "{}"), "{}");
    assert_eq!(ask(&mut client, "soon", r#"{"of":"zoe"}"#), "{}");
    assert_eq!(client.push(), ("onSoon".to_owned(), json!({ "of": "zoe" })));
}

fn values_of_all_kinds_come_back(stage: &Stage) {
    let mut client = stage.client("a");
    assert_eq!(ask(&mut client, "echo", "null"), "{}", "no answer");
    for value in &ANY[1..] {
        let answer: Value = serde_json::from_str(&ask(&mut client, "echo", value)).unwrap();
        assert_eq!(answer, serde_json::from_str::<Value>(value).unwrap());
    }
}

/// Values of every kind; the first is null.
const ANY: [&str; 14] = [
    "null",
    "true",
    "false",
    "0",
    "-17",
    "2.5",
    "-0.001",
    r#""text""#,
    "[1,[2,[3,[]]],{}]",
    r#"[null,true,"three",4]"#,
    r#"{"a":{"b":{"c":[null]}}}"#,
    r#"{"":"empty key","a b":1,"\"\\":2}"#,
    r#"["several","arguments",7]"#,
    r#"{"constructor":1,"__class__":2,"toString":3}"#,
];

fn text_of_all_alphabets_comes_back(stage: &Stage) {
    let mut client = stage.client("a");
    let texts = [
        "Zo\u{eb}",
        "\u{623f}\u{9593}",
        "\u{1f469}\u{200d}\u{1f680}\u{1f3b2}",
        "\u{5e9}\u{5dc}\u{5d5}\u{5dd} \u{2028}\u{2029}\u{feff}",
        "\u{0}\u{1}\u{1f}\u{7f}\t\r\n\u{8}\u{c}",
        "\"\\/<>&'",
        "\u{10ffff}\u{fffd}\u{d7ff}\u{e000}",
    ];
    for text in texts {
        let body = json!({ text: text }).to_string();
        assert_eq!(ask(&mut client, "echo", &body), on_the_wire(&body), "{text:?}");
        let size = ask(&mut client, "size", &json!({ "text": text }).to_string());
        assert_eq!(size, json!({ "chars": text.chars().count() }).to_string(), "{text:?}");
    }
    let escaped = r#""\u005a\ud83c\udfb2\u00e9""#;
    assert_eq!(ask(&mut client, "echo", escaped), on_the_wire("\"Z\u{1f3b2}\u{e9}\""));
}

fn what_is_empty_stays_empty(stage: &Stage) {
    let mut client = stage.client("a");
    for value in ["\"\"", "{}", "[]", "[[]]", r#"{"":""}"#, r#"{"a":{}}"#] {
        assert_eq!(ask(&mut client, "echo", value), value);
    }
    assert_eq!(ask(&mut client, "echo", ""), "{}", "an empty body");
    assert_eq!(ask(&mut client, "size", r#"{"text":""}"#), r#"{"chars":0}"#);
    assert_eq!(ask(&mut client, "big", r#"{"chars":0}"#), r#"{"text":""}"#);
}

fn null_is_as_good_as_missing(stage: &Stage) {
    let mut client = stage.client("a");
    for body in [r#"{"maybe":null}"#, "{}", r#"{"other":1}"#] {
        assert_eq!(ask(&mut client, "fields", body), r#"{"maybe":null}"#, "{body}");
    }
    assert_eq!(ask(&mut client, "fields", r#"{"maybe":"x"}"#), r#"{"maybe":"x"}"#);
}

fn whole_numbers_of_64_bits(stage: &Stage) {
    let mut client = stage.client("a");
    for (at, id) in IDS.iter().enumerate() {
        let any = ask(&mut client, "echo", id);
        assert_eq!(any, stage.language.any_ids[at], "{id} as any value");
        let whole = stage.language.ids[at];
        let answer = ask(&mut client, "ids", &format!(r#"{{"id":{id}}}"#));
        assert_eq!(answer, format!(r#"{{"id":{whole},"text":"{whole}"}}"#), "{id}");
    }
}

fn a_megabyte_each_way(stage: &Stage) {
    let mut client = stage.client("a");
    let count = 1_000_000;
    let text = "x".repeat(count);
    for _ in 0..3 {
        let size = ask(&mut client, "size", &json!({ "text": text }).to_string());
        assert_eq!(size, json!({ "chars": count }).to_string());
        let big = ask(&mut client, "big", &json!({ "chars": count }).to_string());
        assert_eq!(big.len(), json!({ "text": text }).to_string().len());
    }
    assert_eq!(stage.traps(), 0, "{}", stage.cluster.logs());
}

fn relay(client: &mut Client, method: &str, args: &Value) -> Value {
    client.request("connector.caseHandler.relay", &json!({ "method": method, "args": args }))
}

fn remotes_take_and_give_any_value(stage: &Stage) {
    let mut client = stage.client("a");
    for value in ANY {
        let value: Value = serde_json::from_str(value).unwrap();
        assert_eq!(relay(&mut client, "echo", &value), json!({ "answer": value }));
    }
}

fn failures_have_a_code_and_a_message(stage: &Stage) {
    let mut client = stage.client("a");
    for (code, message) in [(404, "no such thing"), (418, ""), (599, "\u{1f4a5} %s %d {} {0}")] {
        let failing = json!({ "code": code, "message": message });
        assert_eq!(ask(&mut client, "fail", &failing.to_string()), json!({ "code": code }).to_string());
        let caught = relay(&mut client, "fail", &failing);
        assert_eq!(caught["code"], code, "{caught}");
        assert!(caught["message"].as_str().unwrap().ends_with(message), "{caught}");
        // What is the caller's own fault is no news for the log.
        if code >= 500 {
            stage.logs(message);
        }
    }
}

fn route_functions_see_the_session_and_may_fail(stage: &Stage) {
    // abs(crc32) % 2 over the low byte of each UTF-16 unit
    for (to, number) in [("porch", 1), ("den", 1), ("yard", 0), ("clock", 0), ("\u{4e2d}\u{6587}", 1)] {
        let expected = json!({ "server": format!("conform-{number}") });
        assert_eq!(ask(&mut stage.client(to), "where", "{}"), expected.to_string(), "{to}");
    }
    let answer = ask(&mut stage.client("nowhere"), "where", "{}");
    assert!(answer.starts_with(r#"{"server":"conform-"#), "the built-in router picks: {answer}");
    stage.logs("no such way");
}

fn errors_that_nobody_handles_are_failures(stage: &Stage) {
    let mut client = stage.client("a");
    stage.ends(&mut client, "crash", "nobody expected \u{1f4a5}", stage.language.crash);
    stage.ends(&mut client, "odd", "what is no error", stage.language.odd);
    stage.ends(&mut client, "wrong", "", stage.language.wrong);
}

fn what_is_printed_is_in_the_log(stage: &Stage) {
    let mut client = stage.client("a");
    for text in ["printed once", "printed \u{1f5a8}"] {
        assert_eq!(ask(&mut client, "print", &json!({ "text": text }).to_string()), "{}");
        stage.logs(text);
    }
    let logs = stage.cluster.logs();
    let wild = |char: char| char.is_control() && char != '\n';
    assert!(!logs.contains(wild), "the log has no control characters: {logs:?}");
    for line in logs.lines().filter(|line| line.contains("forged")) {
        assert!(line.contains(" INFO ") && line.contains("plugin=\"conform\""), "forged: {line}");
    }
}

fn random_numbers_differ(stage: &Stage) {
    let number = |to| ask(&mut stage.client(to), "chance", "{}");
    let (one, other) = (number("yard"), number("den"));
    assert!(one.starts_with(r#"{"number":"#), "{one}");
    assert_ne!(one, other, "two servers, and so two instances");
}

/// The SDKs' world, `sdk-plugin`, has no export `state`, so that a version that takes over begins without one. The Rust
/// SDK adds it to plugins that name it; tests/tests/live_update.rs is about those.
fn a_state_has_no_place_in_this_world(stage: &Stage) {
    let handler = if stage.language.is_async() { "async-handler" } else { "handler" };
    assert!(stage.has(&format!("shaddock:plugin/{handler}@0.1.0")));
    assert!(!stage.has("shaddock:plugin/state@0.1.0"));
}

fn a_trap_costs_one_call(stage: &Stage) {
    stage.ends(&mut stage.client("a"), "trap", "", stage.language.trap);
}

fn an_endless_recursion_costs_one_call(stage: &Stage) {
    stage.ends(&mut stage.client("a"), "recurse", "", stage.language.recurse);
}

fn an_endless_loop_is_cut_off(stage: &Stage) {
    let (mut one, mut other) = (stage.client("a"), stage.client("a"));
    let id = one.ask("conform.caseHandler.spin", &json!({}));
    assert_eq!(ask(&mut other, "echo", "7"), "7", "meanwhile");
    assert_eq!(one.answer(id), json!({ "code": 500 }));
    stage.logs("the CPU budget is used up");
    assert_eq!(ask(&mut one, "echo", "7"), "7", "afterwards");
}

#[test]
fn the_table_of_the_manual_has_every_language() {
    let manual = std::fs::read_to_string(root().join("docs/languages.md")).unwrap();
    let (_, rest) = manual.split_once("<!-- conformance -->").expect("the table's begin");
    let (table, _) = rest.split_once("<!-- /conformance -->").expect("the table's end");
    for language in &LANGUAGES {
        let row = |line: &&str| line.to_lowercase().starts_with(&format!("| {} |", language.name));
        let rows = table.lines().filter(row).count();
        assert_eq!(rows, 1, "run `cargo xtask conformance`: rows of {} in {table}", language.name);
    }
}
