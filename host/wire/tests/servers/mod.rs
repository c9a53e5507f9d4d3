//! What the recorded servers were set to speak.

use serde_json::{Value, json};
use shaddock_wire::dictionary::Dictionary;
use shaddock_wire::protobuf::Protos;
use shaddock_wire::protocol::Protocol;
use std::path::PathBuf;
use std::time::Duration;

fn file(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/lab/config").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

pub(crate) fn chat_dictionary() -> Dictionary {
    let routes = ["gate.gateHandler.queryEntry", "connector.entryHandler.enter", "chat.chatHandler.send"];
    Dictionary::new(routes.map(str::to_owned), &[]).unwrap()
}

pub(crate) fn chat_protos() -> Protos {
    let on_chat =
        json!({"onChat": {"required string msg": 1, "required string from": 2, "required string target": 3}});
    Protos::parse(&json!({}), &on_chat).unwrap()
}

pub(crate) fn lab_dictionary() -> Dictionary {
    let handlers = [
        ("udp.entryHandler", "echo bindPush kick"),
        ("sio.entryHandler", "echo bindPush kick"),
        ("crypto.entryHandler", "echo bindPush kick"),
        ("mqtt.entryHandler", "publish subscribe"),
        ("gate.gateHandler", "q"),
        ("connector.protoHandler", "all bad"),
        (
            "connector.entryHandler",
            "echo str num zero arr nul nothing fail failResp failCode failString thrower never twice login logout \
             info kickme kicksid push pushFail broadcast rpcs",
        ),
        ("area.areaHandler", "echo fail failCode nothing set bind join leave say kick"),
    ];
    let routes = handlers.iter().flat_map(|(handler, methods)| {
        methods.split_whitespace().map(move |method| format!("{handler}.{method}"))
    });
    let extra: Vec<String> = serde_json::from_str(&file("dictionary.json")).unwrap();
    Dictionary::new(routes, &extra).unwrap()
}

pub(crate) fn lab_protos() -> Protos {
    let [client, server] = ["clientProtos", "serverProtos"]
        .map(|side| serde_json::from_str::<Value>(&file(&format!("{side}.json"))).unwrap());
    Protos::parse(&client, &server).unwrap()
}

/// What the recorded server on this port spoke.
pub(crate) fn protocol(port: u16) -> Protocol {
    let seconds = |seconds| Some(Duration::from_secs(seconds));
    let base = Protocol::default();
    match port {
        3014 => Protocol { protos: Some(chat_protos()), ..base },
        3050..=3052 => Protocol {
            heartbeat: seconds(3),
            dictionary: Some(chat_dictionary()),
            protos: Some(chat_protos()),
            ..base
        },
        3114 => base,
        3150 => Protocol {
            heartbeat: seconds(3),
            dictionary: Some(lab_dictionary()),
            protos: Some(lab_protos()),
            ..base
        },
        3152 => Protocol { heartbeat: seconds(5), ..base },
        other => panic!("no recorded server listened on port {other}"),
    }
}
