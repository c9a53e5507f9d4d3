//! Registration, member lists and orders between a master, servers and tools.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant as WallInstant},
};

use serde_json::{Value, json};
use shaddock_cluster::{
    ClusterError, Members, Secret, Settings,
    master_link::{
        Answer, Control, LostReason, MasterClient, MasterClientSettings, MasterEvent, MasterListener,
        MasterListenerSettings, MasterService, Process, Tool,
    },
};
use support::{free_port, member, until};

const SECOND: Duration = Duration::from_secs(1);

#[derive(Default)]
struct Events(Mutex<Vec<String>>);

impl Events {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }

    async fn expect(&self, expected: &[&str]) {
        until(&format!("{expected:?} happened"), || self.0.lock().unwrap().len() >= expected.len()).await;
        assert_eq!(self.take(), expected);
    }
}

impl MasterService for Events {
    fn event(&self, event: MasterEvent) {
        self.0.lock().unwrap().push(match event {
            MasterEvent::Registered { member, process } => {
                format!("registered {} {}", member.id, process.pid)
            }
            MasterEvent::Ready { id } => format!("ready {id}"),
            MasterEvent::Leaving { id } => format!("leaving {id}"),
            MasterEvent::Failed { id, message } => format!("failed {id}: {message}"),
            MasterEvent::Lost { id, reason: LostReason::Left } => format!("left {id}"),
            MasterEvent::Lost { id, reason: LostReason::Broken(_) } => format!("broken {id}"),
        });
    }

    fn tool(&self, request: Value) -> Answer {
        Box::pin(async move {
            match request["op"].as_str() {
                Some("list") => Ok(json!(["a-1"])),
                Some("slow") => {
                    tokio::time::sleep(Duration::from_millis(200)).await;
                    Ok(json!("slow but sure"))
                }
                Some("never") => std::future::pending().await,
                _ => Err(format!("no such op: {request}")),
            }
        })
    }

    fn server(&self, id: &Arc<str>, request: Value) -> Answer {
        let id = Arc::clone(id);
        Box::pin(async move { Ok(json!({"asked by": &*id, "request": request})) })
    }
}

/// Answers what it was asked.
struct Mirror;

impl Control for Mirror {
    fn control(&self, request: Value) -> Answer {
        Box::pin(async move {
            match request["op"].as_str() {
                Some("fail") => Err("as you wish".to_owned()),
                Some("never") => std::future::pending().await,
                _ => Ok(request),
            }
        })
    }
}

struct Rig {
    secret: Secret,
    port: u16,
    cluster: Settings,
    tokens: Option<BTreeMap<String, String>>,
    events: Arc<Events>,
}

impl Rig {
    async fn new() -> Self {
        let cluster = Settings {
            backoff_min: Duration::from_millis(20),
            backoff_max: Duration::from_millis(100),
            register_timeout: Duration::from_millis(800),
            new_master_grace: Duration::from_millis(1500),
            ..Settings::default()
        };
        let secret = Secret::generate().unwrap();
        Self { secret, port: free_port().await, cluster, tokens: None, events: Arc::default() }
    }

    async fn master(&self) -> MasterListener {
        let settings = MasterListenerSettings {
            cluster: self.cluster.clone(),
            host: "127.0.0.1".to_owned(),
            port: self.port,
            secret: self.secret.clone(),
            tokens: self.tokens.clone(),
        };
        MasterListener::start(settings, Arc::<Events>::clone(&self.events)).await.unwrap()
    }

    fn client(&self, id: &str, pid: u32) -> MasterClientSettings {
        MasterClientSettings {
            cluster: self.cluster.clone(),
            host: "127.0.0.1".to_owned(),
            port: self.port,
            secret: self.secret.clone(),
            token: None,
            own: member(id, Some(1)),
            process: Process { pid, admin_port: Some(9) },
        }
    }

    async fn server(&self, id: &str, pid: u32) -> MasterClient {
        MasterClient::connect(self.client(id, pid), Arc::new(Mirror)).await.unwrap()
    }

    async fn refused(&self, settings: MasterClientSettings) -> ClusterError {
        MasterClient::connect(settings, Arc::new(Mirror)).await.err().expect("an error")
    }
}

fn ids(members: &Members) -> Vec<String> {
    members.all().iter().map(|member| member.id.to_string()).collect()
}

async fn until_members(client: &MasterClient, expected: &[&str]) {
    let watch = client.watch();
    until(&format!("the members are {expected:?}"), || ids(&watch.borrow()) == expected).await;
}

#[tokio::test]
async fn ready_servers_are_members_for_all() {
    let rig = Rig::new().await;
    let master = rig.master().await;
    let b = rig.server("b-1", 2).await;
    let a = rig.server("a-1", 1).await;
    rig.events.expect(&["registered b-1 2", "registered a-1 1"]).await;
    assert_eq!(master.registered().iter().map(|s| s.process.pid).collect::<Vec<_>>(), [1, 2]);
    assert!(master.snapshot().members.is_empty());
    b.report_ready();
    until_members(&a, &["b-1"]).await;
    a.report_ready();
    until_members(&b, &["a-1", "b-1"]).await;
    rig.events.expect(&["ready b-1", "ready a-1"]).await;
    // One that comes later is told at once; what it is told is the whole entry.
    let c = rig.server("c-1", 3).await;
    until_members(&c, &["a-1", "b-1"]).await;
    assert_eq!(**c.watch().borrow().get("a-1").unwrap(), *member("a-1", Some(1)));

    b.report_leaving();
    until_members(&c, &["a-1"]).await;
    b.close().await;
    drop(a);
    until_members(&c, &[]).await;
    rig.events.expect(&["registered c-1 3", "leaving b-1", "left b-1", "broken a-1"]).await;
    assert_eq!(master.registered().len(), 1);
}

#[tokio::test]
async fn a_server_that_cannot_start_says_why() {
    let rig = Rig::new().await;
    let _master = rig.master().await;
    let a = rig.server("a-1", 1).await;
    a.report_failed("port 3150 is taken");
    a.close().await;
    rig.events.expect(&["registered a-1 1", "failed a-1: port 3150 is taken", "left a-1"]).await;
}

#[tokio::test]
async fn requests_go_both_ways_and_from_tools() {
    let rig = Rig::new().await;
    let master = rig.master().await;
    let a = rig.server("a-1", 1).await;
    let stats = json!({"op": "stats", "n": [1, 2, {"x": null}]});
    assert_eq!(master.request("a-1", &stats, SECOND).await.unwrap(), stats);
    let error = master.request("a-1", &json!({"op": "fail"}), SECOND).await.unwrap_err();
    assert_eq!(error.to_string(), "as you wish");
    let error = master.request("b-1", &stats, SECOND).await.unwrap_err();
    assert_eq!(error.to_string(), "the request to b-1 failed: no such server in the cluster");
    let limit = Duration::from_millis(50);
    let error = master.request("a-1", &json!({"op": "never"}), limit).await.unwrap_err();
    assert_eq!(error.to_string(), "a-1 did not answer within 50ms");
    let answer = a.request(&json!("hello"), SECOND).await.unwrap();
    assert_eq!(answer, json!({"asked by": "a-1", "request": "hello"}));

    let tool = Tool::connect("127.0.0.1", rig.port, &rig.secret).await.unwrap();
    assert_eq!(tool.request(&json!({"op": "list"}), SECOND).await.unwrap(), json!(["a-1"]));
    let error = tool.request(&json!({"op": "dance"}), SECOND).await.unwrap_err();
    assert_eq!(error.to_string(), "no such op: {\"op\":\"dance\"}");
}

#[tokio::test]
async fn a_closing_master_finishes_its_answers() {
    let rig = Rig::new().await;
    let master = rig.master().await;
    let mut tool = Tool::connect("127.0.0.1", rig.port, &rig.secret).await.unwrap();
    let (slow, ()) = tokio::join!(async { tool.request(&json!({"op": "slow"}), SECOND).await }, async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        master.close().await;
    });
    assert_eq!(slow.unwrap(), json!("slow but sure"));
    assert!(tool.closed(SECOND).await);
    let error = Tool::connect("127.0.0.1", rig.port, &rig.secret).await.err().unwrap().to_string();
    assert!(error.starts_with("cannot connect to the master at 127.0.0.1:"), "{error}");
}

#[tokio::test]
async fn a_master_that_goes_fails_requests_at_once() {
    let rig = Rig::new().await;
    let master = rig.master().await;
    let tool = Tool::connect("127.0.0.1", rig.port, &rig.secret).await.unwrap();
    let start = WallInstant::now();
    let (never, ()) =
        tokio::join!(async { tool.request(&json!({"op": "never"}), Duration::from_secs(60)).await }, async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            drop(master);
        });
    assert_eq!(
        never.unwrap_err().to_string(),
        "the request to the master failed: the link to the server broke"
    );
    assert!(start.elapsed() < SECOND);
}

#[tokio::test]
async fn an_id_is_registered_once_and_is_free_when_its_server_has_gone() {
    let rig = Rig::new().await;
    let _master = rig.master().await;
    let first = rig.server("a-1", 11).await;
    let error = rig.refused(rig.client("a-1", 22)).await;
    assert_eq!(error.to_string(), "the master refused: id `a-1` is registered already, by process 11");
    assert!(first.is_linked());
    first.close().await;
    rig.events.expect(&["registered a-1 11", "left a-1"]).await;
    let _second = rig.server("a-1", 22).await;
    rig.events.expect(&["registered a-1 22"]).await;
}

#[tokio::test]
async fn a_wrong_secret_is_refused_in_words_for_servers_and_tools() {
    let rig = Rig::new().await;
    let _master = rig.master().await;
    let wrong = Secret::generate().unwrap();
    let settings = MasterClientSettings { secret: wrong.clone(), ..rig.client("a-1", 1) };
    let start = WallInstant::now();
    assert_eq!(rig.refused(settings).await.to_string(), "the master refused: wrong cluster secret");
    assert!(start.elapsed() < Duration::from_millis(500), "a refusal is not tried again");
    let error = Tool::connect("127.0.0.1", rig.port, &wrong).await.err().unwrap();
    assert_eq!(error.to_string(), "the master refused: wrong cluster secret");
    assert!(rig.events.take().is_empty());
}

#[tokio::test]
async fn tokens_are_asked_of_servers_and_not_of_tools() {
    let mut rig = Rig::new().await;
    rig.tokens = Some(BTreeMap::from([("a".to_owned(), "agarxhqb98".to_owned())]));
    let _master = rig.master().await;
    let with = |id, token: Option<&str>| MasterClientSettings {
        token: token.map(str::to_owned),
        ..rig.client(id, 1)
    };
    for (id, token, reason) in [
        ("a-1", Some("wrong"), "the master refused: wrong token for the server type (adminServer.json)"),
        ("a-1", None, "the master asks for a token for server type `a`, but adminServer.json has none"),
        (
            "b-1",
            Some("agarxhqb98"),
            "the master refused: adminServer.json there has no token for the server type",
        ),
    ] {
        assert_eq!(rig.refused(with(id, token)).await.to_string(), reason);
    }
    let good = MasterClient::connect(with("a-1", Some("agarxhqb98")), Arc::new(Mirror)).await;
    assert!(good.unwrap().is_linked());
    Tool::connect("127.0.0.1", rig.port, &rig.secret).await.unwrap();
}

#[tokio::test]
async fn a_master_that_is_not_up_yet_is_waited_for_but_not_for_ever() {
    let rig = Rig::new().await;
    let start = WallInstant::now();
    let error = rig.refused(rig.client("a-1", 1)).await.to_string();
    assert!(error.starts_with(&format!("cannot connect to the master at 127.0.0.1:{}", rig.port)), "{error}");
    assert!(start.elapsed() < SECOND, "register_timeout is 800 ms");
    let (server, _master) = tokio::join!(rig.server("a-1", 1), async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        rig.master().await
    });
    assert!(server.is_linked());
}

#[tokio::test]
async fn the_cluster_outlives_its_master_and_is_registered_with_the_next() {
    let rig = Rig::new().await;
    let master = rig.master().await;
    let (a, b) = (rig.server("a-1", 1).await, rig.server("b-1", 2).await);
    let c = rig.server("c-1", 3).await;
    a.report_ready();
    b.report_ready();
    c.report_ready();
    until_members(&a, &["a-1", "b-1", "c-1"]).await;
    until_members(&b, &["a-1", "b-1", "c-1"]).await;
    let watched: Arc<Mutex<Vec<Vec<String>>>> = Arc::default();
    let (mut watch, seen) = (a.watch(), Arc::clone(&watched));
    watch.mark_unchanged();
    tokio::spawn(async move {
        while watch.changed().await.is_ok() {
            seen.lock().unwrap().push(ids(&watch.borrow_and_update()));
        }
    });
    drop(master);
    until("all have noticed", || !a.is_linked() && !b.is_linked() && !c.is_linked()).await;
    drop(c);
    let error = a.request(&json!(1), SECOND).await.unwrap_err().to_string();
    assert_eq!(error, "the request to the master failed: the server cannot be reached");
    assert_eq!(ids(&a.watch().borrow()), ["a-1", "b-1", "c-1"]);
    rig.events.take();

    let master = rig.master().await;
    until("both are back", || master.snapshot().members.len() == 2).await;
    assert_eq!(rig.events.take().len(), 4, "registered and ready, each");
    until("both know it", || a.is_linked() && b.is_linked()).await;
    // The one that died meanwhile is kept until the grace is over; nobody else ever vanished.
    until_members(&a, &["a-1", "b-1"]).await;
    until_members(&b, &["a-1", "b-1"]).await;
    assert_eq!(*watched.lock().unwrap(), [["a-1", "b-1"]]);
}

#[tokio::test]
async fn a_server_reports_ready_while_the_master_is_away() {
    let rig = Rig::new().await;
    let master = rig.master().await;
    let a = rig.server("a-1", 1).await;
    drop(master);
    until("it has noticed", || !a.is_linked()).await;
    a.report_ready();
    let master = rig.master().await;
    until("it is a member", || master.snapshot().members.len() == 1).await;
    until_members(&a, &["a-1"]).await;
}

#[tokio::test]
async fn a_server_closes_fast_with_and_without_a_master() {
    let rig = Rig::new().await;
    let master = rig.master().await;
    let (a, b) = (rig.server("a-1", 1).await, rig.server("b-1", 1).await);
    let start = WallInstant::now();
    a.close().await;
    drop(master);
    until("it has noticed", || !b.is_linked()).await;
    b.close().await;
    assert!(start.elapsed() < Duration::from_millis(600), "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_master_port_that_is_taken_is_named() {
    let rig = Rig::new().await;
    let _master = rig.master().await;
    let settings = MasterListenerSettings {
        cluster: rig.cluster.clone(),
        host: "127.0.0.1".to_owned(),
        port: rig.port,
        secret: rig.secret.clone(),
        tokens: None,
    };
    let error = MasterListener::start(settings, Arc::<Events>::default()).await.err().unwrap().to_string();
    assert!(error.starts_with(&format!("cannot listen on 127.0.0.1:{}", rig.port)), "{error}");
}

#[tokio::test]
async fn a_server_link_at_the_masters_port_is_refused() {
    let rig = Rig::new().await;
    let _master = rig.master().await;
    let mut net = support::Net::new(&["a-1"]).await;
    net.secret = rig.secret.clone();
    let own = Arc::clone(net.members.get("a-1").unwrap());
    net.members = Arc::new(Members::new([own, member("b-1", Some(rig.port))]));
    let a = net.start("a-1").await;
    assert_eq!(support::call(&a, "b-1", "x").await, "Unreachable");
}
