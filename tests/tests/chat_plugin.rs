//! The chat plugin in the real engine, on a cluster made of maps: every moment in between can be staged.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unimplemented,
    reason = "tests"
)]

mod maps;

use maps::{Cluster, ENTER, SEND};
use serde_json::json;

fn enter(name: &str, room: &str) -> serde_json::Value {
    json!({ "username": name, "rid": room })
}

fn line(content: &str, target: &str) -> serde_json::Value {
    json!({ "rid": "whatever", "from": "whoever", "content": content, "target": target })
}

#[tokio::test]
async fn the_gate_names_a_connector() {
    let cluster = Cluster::start().await;
    let gate = cluster.session("gate-server-1");
    let ask = async |uid| cluster.request(gate, "gate.gateHandler.queryEntry", uid).await;
    assert_eq!(ask(json!({ "uid": "alice" })).await, r#"{"code":200,"host":"127.0.0.1","port":3050}"#);
    assert_eq!(
        ask(json!({ "uid": "bob", "more": 1 })).await,
        r#"{"code":200,"host":"127.0.0.1","port":3050}"#
    );
    for nobody in [json!({}), json!({ "uid": "" }), json!({ "uid": null })] {
        assert_eq!(ask(nobody).await, r#"{"code":500}"#);
    }
    assert_eq!(ask(json!({ "uid": 7 })).await, "failure 400");
    cluster.stop_server("connector-server-1");
    assert_eq!(ask(json!({ "uid": "alice" })).await, r#"{"code":500}"#);
}

#[tokio::test]
async fn who_enters_hears_who_is_there_and_the_others_hear_of_it() {
    let cluster = Cluster::start().await;
    let (alice, bob) = (cluster.client(), cluster.client());
    assert_eq!(cluster.request(alice, ENTER, enter("alice", "room1")).await, r#"{"users":["alice"]}"#);
    assert_eq!(cluster.pushes(), [""; 0]);
    assert_eq!(cluster.request(bob, ENTER, enter("bob", "room1")).await, r#"{"users":["alice","bob"]}"#);
    assert_eq!(cluster.pushes(), [r#"onAdd {"route":"onAdd","user":"bob"} -> alice*room1"#]);
    cluster.close(bob).await;
    assert_eq!(cluster.pushes(), [r#"onLeave {"route":"onLeave","user":"bob"} -> alice*room1"#]);
    cluster.close(alice).await;
    assert_eq!(cluster.pushes(), [""; 0]);
    assert_eq!(cluster.rooms(), [""; 0]);
}

#[tokio::test]
async fn a_name_is_free_once_per_room() {
    let cluster = Cluster::start().await;
    let (first, second, third) = (cluster.client(), cluster.client(), cluster.client());
    cluster.request(first, ENTER, enter("alice", "room1")).await;
    for session in [second, first] {
        let again = cluster.request(session, ENTER, enter("alice", "room1")).await;
        assert_eq!(again, r#"{"code":500,"error":true}"#);
    }
    assert_eq!(cluster.request(second, SEND, line("x", "*")).await, "failure 500");
    assert_eq!(cluster.request(third, ENTER, enter("alice", "room2")).await, r#"{"users":["alice"]}"#);
    assert_eq!(cluster.request(first, SEND, line("x", "*")).await, "");
    assert_eq!(cluster.pushes(), [r#"onChat {"msg":"x","from":"alice","target":"*"} -> alice*room1"#]);
}

#[tokio::test]
async fn lines_go_to_all_or_to_one() {
    let cluster = Cluster::start().await;
    let (alice, bob) = (cluster.client(), cluster.client());
    cluster.request(alice, ENTER, enter("alice", "room1")).await;
    cluster.request(bob, ENTER, enter("bob", "room1")).await;
    cluster.pushes();
    assert_eq!(cluster.request(alice, SEND, line("hi 中文 😀", "*")).await, "");
    assert_eq!(
        cluster.pushes(),
        [r#"onChat {"msg":"hi 中文 😀","from":"alice","target":"*"} -> alice*room1 bob*room1"#]
    );
    assert_eq!(cluster.request(alice, SEND, line("psst", "bob")).await, "");
    assert_eq!(cluster.pushes(), [r#"onChat {"msg":"psst","from":"alice","target":"bob"} -> bob*room1"#]);
    assert_eq!(cluster.request(alice, SEND, line("psst", "nobody")).await, "failure 500");
    assert_eq!(cluster.request(alice, SEND, json!({ "content": 1 })).await, "failure 400");
    assert_eq!(cluster.request(cluster.client(), SEND, line("psst", "bob")).await, "failure 500");
    assert_eq!(cluster.pushes(), [""; 0]);
}

#[tokio::test]
async fn a_session_can_change_rooms() {
    let cluster = Cluster::start().await;
    let (alice, bob) = (cluster.client(), cluster.client());
    cluster.request(alice, ENTER, enter("alice", "room1")).await;
    cluster.request(bob, ENTER, enter("bob", "room1")).await;
    cluster.pushes();
    assert_eq!(cluster.request(alice, ENTER, enter("alice", "room2")).await, r#"{"users":["alice"]}"#);
    assert_eq!(cluster.pushes(), [r#"onLeave {"route":"onLeave","user":"alice"} -> bob*room1"#]);
    assert_eq!(cluster.rooms(), ["chat-server-1 room2: alice*room2", "chat-server-3 room1: bob*room1"]);
    assert_eq!(cluster.request(alice, SEND, line("psst", "bob")).await, "failure 500");
    cluster.request(alice, SEND, line("alone", "*")).await;
    assert_eq!(cluster.pushes(), [r#"onChat {"msg":"alone","from":"alice","target":"*"} -> alice*room2"#]);
    assert_eq!(cluster.request(alice, ENTER, enter("alice", "room1")).await, r#"{"users":["bob","alice"]}"#);
}

#[tokio::test]
async fn when_a_chat_server_dies_only_its_rooms_suffer() {
    let cluster = Cluster::start().await;
    // chat-server-3, chat-server-1 and chat-server-2 by the crc32 of the rooms' names
    let users = [("alice", "room1"), ("bob", "room2"), ("carol", "arena")]
        .map(|(name, room)| (cluster.client(), name, room));
    for (session, name, room) in users {
        cluster.request(session, ENTER, enter(name, room)).await;
    }
    cluster.stop_server("chat-server-1");
    for (session, name, _) in users {
        let expected = if name == "bob" { "failure 500" } else { "" };
        assert_eq!(cluster.request(session, SEND, line("hi", "*")).await, expected, "{name}");
    }
    let (bob, ..) = users[1];
    assert_eq!(cluster.request(bob, ENTER, enter("bob", "hall")).await, r#"{"users":["bob"]}"#);
    for (session, ..) in users {
        cluster.close(session).await;
    }
    assert_eq!(cluster.rooms(), ["chat-server-1 room2: bob*room2"], "what died with its server");
}

#[tokio::test]
async fn a_client_that_goes_while_it_enters_leaves_nothing_behind() {
    let cluster = Cluster::start().await;
    let (alice, bob) = (cluster.client(), cluster.client());
    cluster.request(alice, ENTER, enter("alice", "room1")).await;
    cluster.goes_during_next_rpc(bob);
    assert_eq!(cluster.request(bob, ENTER, enter("bob", "room1")).await, "failure 404");
    assert_eq!(cluster.rooms(), ["chat-server-3 room1: alice*room1"]);
}

#[tokio::test]
async fn who_could_not_enter_can_try_again() {
    let cluster = Cluster::start().await;
    let alice = cluster.client();
    for chat in ["chat-server-1", "chat-server-2", "chat-server-3"] {
        cluster.stop_server(chat);
    }
    assert_eq!(cluster.request(alice, ENTER, enter("alice", "room1")).await, "failure 404");
    cluster.start_servers();
    assert_eq!(cluster.request(alice, ENTER, enter("alice", "room1")).await, r#"{"users":["alice"]}"#);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_who_want_one_name_at_once_at_most_one_gets_it() {
    let cluster = Cluster::start().await;
    for _ in 0..50 {
        let sessions: Vec<u64> = (0..4).map(|_| cluster.client()).collect();
        let asked = sessions.iter().map(|&session| {
            let cluster = cluster.clone();
            tokio::spawn(async move { cluster.request(session, ENTER, enter("alice", "room1")).await })
        });
        let mut entered = 0;
        for answer in asked.collect::<Vec<_>>() {
            let answer = answer.await.unwrap();
            entered += usize::from(answer == r#"{"users":["alice"]}"#);
            assert!(answer.contains("alice") || answer == r#"{"code":500,"error":true}"#, "{answer}");
        }
        assert!(entered <= 1);
        assert_eq!(cluster.rooms().len(), entered);
        for session in sessions {
            cluster.close(session).await;
        }
        assert_eq!(cluster.rooms(), [""; 0]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_who_enter_at_once_each_hears_of_each() {
    let cluster = Cluster::start().await;
    let names: Vec<String> = (0..8).map(|n| format!("user{n}")).collect();
    let asked = names.iter().map(|name| {
        let (cluster, session, msg) = (cluster.clone(), cluster.client(), enter(name, "room1"));
        tokio::spawn(async move { cluster.request(session, ENTER, msg).await })
    });
    let mut lists = Vec::new();
    for answer in asked.collect::<Vec<_>>() {
        lists.push(answer.await.unwrap());
    }
    let pushes = cluster.pushes();
    for (name, list) in names.iter().zip(&lists) {
        for other in names.iter().filter(|other| *other != name) {
            let told = pushes.iter().any(|push| {
                push.contains(&format!("\"{other}\"")) && push.contains(&format!("{name}*room1"))
            });
            assert!(told || list.contains(&format!("\"{other}\"")), "{name} never heard of {other}");
        }
    }
}
