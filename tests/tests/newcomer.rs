//! What somebody meets who begins with nothing but the program: projects, tools, `dev`, `call`, and mistakes.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::fs;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};
use shaddock_tests::client::Client;
use shaddock_tests::{Cluster, Config, Dev, Ports, Workshop, component, need, root};

const GREET: &str = "connector.helloHandler.greet";

/// The commands as they are written have the ports of a new project.
fn ports_of_a_new_project() -> MutexGuard<'static, ()> {
    static TAKEN: Mutex<()> = Mutex::new(());
    TAKEN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn quickstart(language: &str, source: &str) {
    let _ports = ports_of_a_new_project();
    let workshop = Workshop::new();
    let mut script = Command::new("bash");
    script.arg(root().join("tests/quickstart.sh")).args([language, source]);
    let done = workshop.run_command(workshop.prepare(&mut script)).expect(0);
    let answers: Vec<&str> = done.stdout.lines().filter(|line| line.starts_with("{\"text\"")).collect();
    assert_eq!(
        answers,
        [r#"{"text":"Hello, Ada!","visits":1}"#, r#"{"text":"Hello, Ada, welcome!","visits":1}"#],
        "{done:#?}"
    );
}

#[test]
fn the_quickstart_works_in_rust() {
    quickstart("rust", "src/lib.rs");
}

#[test]
fn the_quickstart_works_in_javascript() {
    if need("NODE").is_some() {
        quickstart("javascript", "handlers.js");
    }
}

#[test]
fn the_quickstart_is_what_the_page_says() {
    let page = fs::read_to_string(root().join("docs/plugins.md")).unwrap();
    let (_, section) = page.split_once("## From nothing to a new version").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let on_the_page: Vec<&str> = section
        .split("```sh\n")
        .skip(1)
        .flat_map(|block| block.split("```").next().unwrap().lines())
        .map(|line| line.split("  #").next().unwrap().trim_end())
        .collect();
    let script = fs::read_to_string(root().join("tests/quickstart.sh")).unwrap();
    let (_, commands) = script.split_once("EXIT\n\n").unwrap();
    let commands = commands.replace("\"$lang\"", "javascript").replace("\"$source\"", "handlers.js");
    assert_eq!(on_the_page, commands.lines().collect::<Vec<_>>());
    assert!(on_the_page.len() > 8, "{on_the_page:?}");
}

/// A new project `area` that `shaddock dev` serves, and a client of it.
struct Developed {
    client: Client,
    dev: Dev,
    workshop: Workshop,
    _ports: Ports,
}

impl Developed {
    fn new(language: &str) -> Developed {
        let workshop = Workshop::with_project("area", language);
        workshop.run(&["toolchain", language]).expect(0);
        let ports = workshop.exchange_ports("area");
        let mut dev = Dev::start(&workshop, "area");
        dev.says("stop with  Ctrl-C", 1);
        let client = Client::connect(workshop.port("area", "servers.json", "clientPort"));
        Developed { client, dev, workshop, _ports: ports }
    }
}

/// Saves are built and swapped in, what does not compile is shown, and the version before runs on.
fn develop(language: &str, source: &str, broken: (&str, &str, &str)) {
    let Developed { workshop, _ports, mut dev, mut client } = Developed::new(language);
    let mut greet = || client.request(GREET, &json!({ "name": "Ada" }))["text"].clone();
    assert_eq!(greet(), "Hello, Ada!");
    dev.says("Ada came 1 times", 1);

    let source = format!("area/{source}");
    workshop.replace(&source, "{name}!", "{name}, welcome!");
    dev.says("swapped in", 1);
    assert_eq!(greet(), "Hello, Ada, welcome!");

    let (from, to, error) = broken;
    workshop.replace(&source, from, to);
    dev.says("the version before runs on", 1);
    assert!(dev.said().contains(error), "the compiler's message is missing: {}", dev.said());
    assert_eq!(greet(), "Hello, Ada, welcome!");

    workshop.replace(&source, to, from);
    workshop.replace(&source, "{name}, welcome!", "{name}, again!");
    dev.says("swapped in", 2);
    assert_eq!(greet(), "Hello, Ada, again!");
    eprintln!(
        "{}",
        dev.said().lines().filter(|line| line.contains("swapped in")).collect::<Vec<_>>().join("\n")
    );
    assert_eq!(dev.stop(), Some(0));
}

#[test]
fn rust_that_is_saved_runs_at_once() {
    develop("rust", "src/lib.rs", ("let visits", "let vsits", "cannot find value `visits`"));
}

#[test]
fn javascript_that_is_saved_runs_at_once() {
    if need("NODE").is_some() {
        develop("javascript", "handlers.js", ("const visits =", "const visits = =", "Unexpected \"=\""));
    }
}

#[test]
fn the_test_page_sends_messages_and_shows_what_comes() {
    let (Some(node), Some(chromium)) = (need("NODE"), need("CHROMIUM")) else { return };
    let workshop = Workshop::with_project("area", "javascript");
    workshop.run(&["toolchain", "javascript"]).expect(0);
    let _ports = workshop.exchange_ports("area");
    let mut dev = Dev::start(&workshop, "area");
    dev.says("test page", 1);
    let page = format!("http://127.0.0.1:{}/dev/", workshop.port("area", "master.json", "webPort"));
    assert!(dev.said().contains(&format!("test page  {page}")), "{}", dev.said());
    let mut script = Command::new(node);
    script.arg(root().join("tests/clients/node/test-page.mjs")).arg(page).env("SHADDOCK_CHROMIUM", chromium);
    workshop.run_command(&mut script).expect(0).says("ok all");
}

#[test]
fn dev_waits_for_a_first_version_that_compiles() {
    if need("NODE").is_none() {
        return;
    }
    let workshop = Workshop::with_project("area", "typescript");
    workshop.run(&["toolchain", "typescript"]).expect(0);
    let _ports = workshop.exchange_ports("area");
    workshop.replace("area/handlers.ts", "const visits: number", "const visits: string");
    let mut dev = Dev::start(&workshop, "area");
    dev.says("waiting for a change", 1);
    assert!(dev.said().contains("Type 'string' is not assignable to type 'number'"), "{}", dev.said());
    workshop.replace("area/handlers.ts", "const visits: string", "const visits: number");
    dev.says("stop with  Ctrl-C", 1);
    let mut client = Client::connect(workshop.port("area", "servers.json", "clientPort"));
    assert_eq!(client.request(GREET, &json!({ "name": "Ada" }))["text"], "Hello, Ada!");
    assert_eq!(dev.stop(), Some(0));
}

#[test]
fn unit_tests_of_new_projects_pass_and_those_that_fail_are_told() {
    for (language, needed, test, from) in [
        ("javascript", Some("NODE"), "test/handlers.test.js", "visits: 1"),
        ("typescript", Some("NODE"), "test/handlers.test.ts", "visits: 1"),
        ("rust", None, "src/lib.rs", "\"visits\": 1"),
        ("c", Some("GUESS_C"), "test/test_handlers.c", r#"\"visits\":1"#),
        ("zig", Some("GUESS_ZIG"), "handlers.zig", r#"\"visits\":1"#),
    ] {
        if needed.is_some_and(|name| need(name).is_none()) {
            continue;
        }
        let workshop = Workshop::with_project("area", language);
        workshop.run(&["toolchain", language]).expect(0);
        workshop.run(&["test", "area"]).expect(0);
        workshop.replace(&format!("area/{test}"), from, &from.replace('1', "7"));
        workshop.run(&["test", "area"]).expect(1).says("tests failed");
    }
}

/// A project in a language whose tools the examples need, too, built and called.
fn builds_and_answers(language: &str) {
    let guess = format!("GUESS_{}", language.to_uppercase());
    if need(&guess).is_none() {
        return;
    }
    let Developed { workshop: _workshop, _ports, dev, mut client } = Developed::new(language);
    for visits in 1..=2 {
        let answer = client.request(GREET, &json!({ "name": "Zoë 🦀" }));
        assert_eq!(answer, json!({ "text": "Hello, Zoë 🦀!", "visits": visits }));
        assert_eq!(client.push(), ("onGreet".to_owned(), json!({ "visits": visits })));
    }
    assert_eq!(client.request(GREET, &json!({ "name": "" })), json!({ "code": 400 }));
    assert_eq!(dev.stop(), Some(0));
}

#[test]
fn a_new_project_in_c_answers() {
    builds_and_answers("c");
}

#[test]
fn a_new_project_in_zig_answers() {
    builds_and_answers("zig");
}

#[test]
fn a_new_project_in_go_answers() {
    builds_and_answers("go");
}

#[test]
fn a_new_project_in_python_answers() {
    builds_and_answers("python");
}

#[test]
fn call_tells_answers_pushes_and_failures_apart() {
    let cluster = Cluster::start(&Config::small());
    let gate = ["call", "gate.gateHandler.queryEntry", r#"{"uid":"ada"}"#];
    let answer = cluster.run(&gate).expect(0).json();
    assert_eq!((&answer["code"], &answer["port"]), (&json!(200), &json!(cluster.connector_port(1))));

    let address = format!("127.0.0.1:{}", cluster.connector_port(1));
    let (mut ada, _) = Client::enter(cluster.gate_port(), "ada", "room");
    let enter = r#"{"username":"bob","rid":"room"}"#;
    let entered =
        cluster.run(&["call", "connector.entryHandler.enter", enter, "--address", &address]).expect(0);
    let mut users: Vec<Value> = entered.json()["users"].as_array().unwrap().clone();
    users.sort_by_key(ToString::to_string);
    assert_eq!(users, [json!("ada"), json!("bob")]);
    assert_eq!(ada.push().0, "onAdd");

    cluster.run(&["call", "connector.entryHandler.nothing"]).expect(1).says("code 500");
    cluster.run(&["call", "connector.entryHandler.enter", "{name}"]).expect(2).says("is no JSON");
    cluster
        .run(&[
            "call",
            "connector.entryHandler.enter",
            enter,
            "--notify",
            "--wait-ms",
            "300",
            "--address",
            &address,
        ])
        .expect(0);
    // Nobody listens on a port that only the system may open.
    cluster.run(&["call", "a.b.c", "--address", "127.0.0.1:1"]).expect(1).says("connecting to 127.0.0.1:1");
}

#[test]
fn a_call_without_a_cluster_says_so() {
    let workshop = Workshop::with_project("area", "c");
    let mut call = workshop.command(&["call", GREET]);
    workshop.run_command(call.current_dir(workshop.path().join("area"))).expect(3).says("no cluster runs");
}

#[test]
fn mistakes_of_a_beginning_are_told_with_what_to_do() {
    let workshop = Workshop::new();
    workshop.run(&["new", "area", "--lang", "cobol"]).expect(2).says("it is one of rust, javascript");
    workshop.run(&["toolchain", "cobol"]).expect(2).says("unknown language \"cobol\"");
    workshop.run(&["new", "My Game"]).expect(2).says("such as my-game");
    workshop.run(&["new", "../area"]).expect(2);
    workshop.run(&["build"]).expect(2).says("shaddock new NAME");
    workshop.run(&["dev", "nowhere"]).expect(1).says("nowhere");
    workshop.run(&["new", "area", "--lang", "c"]).expect(0).says("shaddock dev");
    workshop.run(&["new", "area", "--lang", "c"]).expect(2).says("not an empty directory");
    workshop.replace("area/shaddock.json", "\"c\"", "\"d\"");
    workshop.run(&["build", "area"]).expect(2).says("area/shaddock.json: unknown language \"d\"");
}

#[test]
fn a_project_without_its_tools_says_how_to_get_them() {
    for language in ["javascript", "typescript", "c", "zig", "go", "python"] {
        let workshop = Workshop::with_project("area", language);
        let empty = workshop.path().join("toolchains");
        let remedy = format!("install them with `shaddock toolchain {language}`");
        for command in [["build", "area"], ["dev", "area"]] {
            let mut command = workshop.command(&command);
            workshop.run_command(command.env("SHADDOCK_TOOLCHAIN_DIR", &empty)).expect(1).says(&remedy);
        }
        // A machine that has nothing but the program.
        let mut toolchain = workshop.command(&["toolchain", language]);
        toolchain.env("SHADDOCK_TOOLCHAIN_DIR", &empty).env("PATH", workshop.path());
        workshop
            .run_command(&mut toolchain)
            .expect(1)
            .says("cannot be installed: there is no program")
            .says("install ");
    }
    let workshop = Workshop::with_project("area", "rust");
    let mut build = workshop.command(&["build", "area"]);
    workshop.run_command(build.env("PATH", workshop.path())).expect(1).says("there is no program `cargo`");
}

#[test]
fn broken_sources_are_shown_as_the_compiler_sees_them() {
    for (language, source, from, to, error) in [
        ("javascript", "handlers.js", "function greet(", "function greet((", "handlers.js:9"),
        ("typescript", "handlers.ts", "name: unknown", "nam: unknown", "handlers.ts"),
        ("rust", "src/lib.rs", "visits: u32,", "visits: String,", "mismatched types"),
    ] {
        if language != "rust" && need("NODE").is_none() {
            continue;
        }
        let workshop = Workshop::with_project("area", language);
        workshop.run(&["toolchain", language]).expect(0);
        let from = if language == "typescript" { "name?: unknown" } else { from };
        workshop.replace(&format!("area/{source}"), from, to);
        workshop.run(&["build", "area"]).expect(1).says(error);
        assert!(!workshop.path().join("area/build/area.wasm").exists());
    }
}

#[test]
fn a_component_of_the_wrong_kind_is_refused_by_name() {
    let workshop = Workshop::with_project("area", "javascript");
    let built = workshop.path().join("area/build/area.wasm");
    fs::create_dir(built.parent().unwrap()).unwrap();
    let config = workshop.path().join("area/config");
    let check = || workshop.run(&["check", "--config", config.to_str().unwrap()]);
    check().expect(2).says("area.wasm");
    for (binary, expected) in [
        (&b"\0asm\x01\0\0\0"[..], "it is a core module"),
        (b"not wasm at all", "it does not begin as WebAssembly does"),
        (b"\0asm\x0d\x00\x01\x00", "exports none of the roles of shaddock:plugin"),
    ] {
        fs::write(&built, binary).unwrap();
        check().expect(2).says(expected);
    }
    fs::copy(component("chat"), &built).unwrap();
    check().expect(2).says("see serverTypes in plugins.json");
}
