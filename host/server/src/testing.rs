//! A frontend without sockets and plugins, for unit tests.

use std::sync::Arc;

use shaddock_config::Config;
use shaddock_wire::text::TextForm;

use crate::edition::{Edition, Loaded};
use crate::frame::Transport;
use crate::load::protocol;
use crate::outbound::Outbound;
use crate::plugins::Plugins;
use crate::run::{member, new_server};
use crate::server::Server;
use crate::session::{Others, Session, Speaker};

/// The frontend `c1`, ready to serve.
pub(crate) fn frontend() -> Arc<Server> {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in [
        ("master.json", r#"{"id": "m", "host": "127.0.0.1", "port": 3005}"#),
        (
            "servers.json",
            r#"{"connector": [{"id": "c1", "host": "127.0.0.1", "clientPort": 3010, "frontend": true}]}"#,
        ),
    ] {
        std::fs::write(dir.path().join(name), text).unwrap();
    }
    let config = Config::load(dir.path(), "development").unwrap();
    let entry = config.server("c1").unwrap();
    let server = new_server(&config, entry, &member(entry)).unwrap();
    let plugins = Plugins::default();
    let protocol = Arc::new(protocol(&config, &server.settings, plugins.routes()).unwrap());
    let edition = Arc::new(Edition::new(&server.settings, plugins).unwrap());
    server.current.set(Loaded { edition, canary: None, protocol });
    Arc::new(server)
}

/// A client over TCP that speaks plain JSON.
pub(crate) fn speaker() -> Speaker {
    Speaker {
        transport: Transport::Tcp,
        text_form: TextForm::Utf8,
        protocol: Arc::default(),
        address: ([127, 0, 0, 1], 1).into(),
    }
}

/// A session of a user there, whose client reads nothing.
pub(crate) fn session_of(server: &Server, uid: &str) -> Arc<Session> {
    let outbound = Arc::new(Outbound::new(1 << 20));
    let session = server.sessions.open(outbound, speaker());
    server.sessions.bind(session.number(), uid.into(), Others::Stay).unwrap();
    session
}
