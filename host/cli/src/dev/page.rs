//! The test page: where one types a route and a body, and sees answers and pushes.

use serde_json::json;
use shaddock_config::Config;
use shaddock_master::WebFile;

/// The page, as seen from the root of the web port.
pub(super) const INDEX: &str = "dev/";

const SCRIPT: &str = "text/javascript";

/// The page's own files, and the client that the chat page uses, too.
const FILES: [(&str, &str, &str); 7] = [
    ("", "text/html; charset=utf-8", include_str!("../../page/index.html")),
    ("page.css", "text/css", include_str!("../../page/page.css")),
    ("page.js", SCRIPT, include_str!("../../page/page.js")),
    ("icon.svg", "image/svg+xml", include_str!("../../../../plugins/chat/web/icon.svg")),
    ("shaddock.js", SCRIPT, include_str!("../../../../plugins/chat/web/shaddock.js")),
    ("wire.js", SCRIPT, include_str!("../../../../plugins/chat/web/wire.js")),
    ("protobuf.js", SCRIPT, include_str!("../../../../plugins/chat/web/protobuf.js")),
];

/// All files of the page, for this cluster.
pub(super) fn files(config: &Config, plugin: &str) -> Vec<WebFile> {
    let file = |name: &str, media_type, content: String| WebFile {
        path: format!("/{INDEX}{name}"),
        media_type,
        content,
    };
    let mut files: Vec<_> =
        FILES.iter().map(|(name, kind, text)| file(name, kind, (*text).to_owned())).collect();
    files.push(file("cluster.json", "application/json", cluster(config, plugin)));
    files
}

/// Where clients can connect.
fn cluster(config: &Config, plugin: &str) -> String {
    let frontends = config.servers.iter().filter(|server| server.frontend).filter_map(|server| {
        let port = server.client_port?;
        let url = format!("ws://{}:{port}/", server.host_for_clients());
        Some(json!({ "id": server.id, "type": server.server_type, "url": url }))
    });
    json!({ "plugin": plugin, "frontends": frontends.collect::<Vec<_>>() }).to_string()
}
