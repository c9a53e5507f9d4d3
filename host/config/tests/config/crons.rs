//! crons.json.

use crate::report::{check, load};

/// Checks the crons of the chat servers, each on a line of its own from line 2 on.
fn crons(entries: &[&str], expected: &[&str]) {
    check(&[("crons.json", &text(entries))], expected);
}

fn text(entries: &[&str]) -> String {
    format!("{{\"chat\": [\n{}\n]}}", entries.join(",\n"))
}

#[test]
fn all_fields_are_read_and_each_server_gets_its_crons() {
    let text = text(&[
        r#"{"id": 1, "time": "0 30 10 * * *", "action": "chatCron.send"}"#,
        r#"{"id": "two", "cron": "*/5 * * * *", "action": "chatCron.sweep", "serverId": "chat-2", "note": "kept"}"#,
        r#"{"id": "two", "time": "0 0 0 * * *", "action": "chatCron.sweep", "serverId": "chat-1"}"#,
    ]);
    let config = load("development", &[("crons.json", &text)]);
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
    let of = |server_type: &str, id: &str| {
        let crons = config.crons_for(server_type, id);
        crons.map(|cron| format!("{} {} {}", cron.id, cron.schedule, cron.action)).collect::<Vec<_>>()
    };
    assert_eq!(of("chat", "chat-1"), ["1 0 30 10 * * * chatCron.send", "two 0 0 0 * * * chatCron.sweep"]);
    assert_eq!(of("chat", "chat-2"), ["1 0 30 10 * * * chatCron.send", "two */5 * * * * chatCron.sweep"]);
    assert_eq!(of("gate", "gate-1"), [""; 0]);
    assert!(load("development", &[]).crons.is_empty());
}

#[test]
fn it_is_looked_for_as_pomelos_other_files_are() {
    let cron =
        |id: u8| format!("{{\"chat\": [{{\"id\": {id}, \"time\": \"* * * * * *\", \"action\": \"a.b\"}}]}}");
    let sections = format!("{{\"development\": {}, \"production\": {}}}", cron(1), cron(2));
    let ids = |env: &str, name: &str, text: &str| {
        load(env, &[(name, text)]).crons.into_iter().map(|cron| cron.id).collect::<Vec<_>>()
    };
    assert_eq!(ids("development", "crons.json", &sections), ["1"]);
    assert_eq!(ids("production", "crons.json", &sections), ["2"]);
    assert_eq!(ids("production", "production/crons.json", &cron(3)), ["3"]);
    assert_eq!(ids("development", "production/crons.json", &cron(3)), [""; 0]);
}

#[test]
fn one_id_may_stand_at_two_types_and_for_two_servers_but_not_twice_for_one() {
    check(
        &[(
            "crons.json",
            "{\"gate\": [{\"id\": 1, \"time\": \"* * * * * *\", \"action\": \"a.b\"}],\n\"chat\": [\n{\"id\": 1, \"time\": \"* * * * * *\", \"action\": \"a.b\", \"serverId\": \"chat-1\"},\n{\"id\": 1, \"time\": \"* * * * * *\", \"action\": \"a.b\", \"serverId\": \"chat-2\"},\n{\"id\": \"1\", \"time\": \"* * * * * *\", \"action\": \"a.b\"},\n{\"id\": 1, \"time\": \"* * * * * *\", \"action\": \"a.b\", \"serverId\": \"chat-2\"}]}",
        )],
        &[
            "crons.json:5: chat[2].id: \"1\" is also the id of the cron at line 3; each cron of a server has an id of its own",
            "crons.json:6: chat[3].id: \"1\" is also the id of the cron at line 4; each cron of a server has an id of its own",
        ],
    );
}

#[test]
fn what_is_missing_or_not_allowed_is_refused() {
    crons(
        &[
            r#"{}"#,
            r#"{"id": 1.5, "time": 7, "action": ""}"#,
            r#"{"id": "", "time": "* * * * * *", "cron": "* * * * *", "action": "a b"}"#,
            r#"{"id": 4, "cron": "61 * * * *", "action": "a.b"}"#,
            r#"{"id": 5, "time": "0 61 * * * *", "action": "a.b"}"#,
            r#"7"#,
        ],
        &[
            "crons.json:2: chat[0]: missing \"id\"; needed: a number or a text that no other cron of the server has",
            "crons.json:2: chat[0]: missing \"time\"; needed: when to run, as \"time\" in pomelo's syntax or as \"cron\" in cron's",
            "crons.json:2: chat[0]: missing \"action\"; needed: what to run, such as \"chatCron.send\"",
            "crons.json:3: chat[1].id: found 1.5; allowed: a whole number, or a text of 1 to 64 characters",
            "crons.json:3: chat[1].time: found 7; allowed: a text such as \"0 30 10 * * *\"",
            "crons.json:3: chat[1].action: found \"\"; allowed: a text of 1 to 255 bytes without white space, such as \"chatCron.send\"",
            "crons.json:4: chat[2].id: found \"\"; allowed: a whole number, or a text of 1 to 64 characters",
            "crons.json:4: chat[2].cron: both \"time\" and \"cron\"; they say the same in two syntaxes: keep one",
            "crons.json:4: chat[2].action: found \"a b\"; allowed: a text of 1 to 255 bytes without white space, such as \"chatCron.send\"",
            "crons.json:5: chat[3].cron: found the minute \"61\" in \"61 * * * *\"; allowed: *, 0 to 59; a range a-b, */n or a-b/n, a list with commas",
            "crons.json:6: chat[4].time: found the minute \"61\" in \"0 61 * * * *\"; allowed: *, 0 to 59, a range a-b, r/p for every value that divided by p leaves r, a list with commas; cron's own syntax stands in \"cron\"",
            "crons.json:7: chat[5]: found 7; allowed: an object",
        ],
    );
    check(
        &[("crons.json", "[]")],
        &["crons.json:1: found a list of 0; allowed: an object of server types, each with a list of crons"],
    );
}

#[test]
fn types_and_servers_that_are_not_there_are_refused() {
    check(
        &[(
            "crons.json",
            "{\"caht\": [],\n\"chat\": [\n{\"id\": 1, \"time\": \"* * * * * *\", \"action\": \"a.b\", \"serverId\": \"chat1\"},\n{\"id\": 2, \"time\": \"* * * * * *\", \"action\": \"a.b\", \"serverId\": \"gate-1\"},\n{\"id\": 3, \"time\": \"* * * * * *\", \"action\": \"a.b\", \"serverId\": \"elsewhere\"}]}",
        )],
        &[
            "crons.json:1: caht: servers.json has no server type \"caht\"; did you mean \"chat\"?",
            "crons.json:3: chat[0].serverId: servers.json has no server \"chat1\"; did you mean \"chat-1\"?",
            "crons.json:4: chat[1].serverId: \"gate-1\" is a server of the type \"gate\"; allowed: a server of the type \"chat\", under which this stands",
            "crons.json:5: chat[2].serverId: servers.json has no server \"elsewhere\"; allowed: the id of a server of the type \"chat\"",
        ],
    );
}

#[test]
fn what_is_never_due_and_slips_of_the_keyboard_are_warned_of() {
    crons(
        &[
            r#"{"id": 1, "time": "0 0 24 * * *", "action": "a.b"}"#,
            r#"{"id": 2, "cron": "0 0 30 2 *", "action": "a.b"}"#,
            r#"{"id": 3, "time": "0 0 0 * * *", "action": "a.b", "serverid": "chat-1"}"#,
        ],
        &[
            "warning: crons.json:2: chat[0].time: \"0 0 24 * * *\" is never due; no day has all of this; midnight is hour 0",
            "warning: crons.json:3: chat[1].cron: \"0 0 30 2 *\" is never due; no day has all of this; midnight is hour 0",
            "warning: crons.json:4: chat[2].serverid: unknown field, kept for plugins to read; did you mean \"serverId\"?",
        ],
    );
}
