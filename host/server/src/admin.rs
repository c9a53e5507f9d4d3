//! The admin port: `/metrics` as Prometheus text and `/health` as JSON, on loopback.

use std::net::Ipv4Addr;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use serde_json::{Value, json};
use shaddock_engine::Plugin;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::error::ServerError;
use crate::metrics::resident_bytes;
use crate::server::Server;

/// Opens the port; 0 means any free one.
pub(crate) async fn bind(port: u16) -> Result<TcpListener, ServerError> {
    let address = (Ipv4Addr::LOCALHOST, port);
    TcpListener::bind(address)
        .await
        .map_err(|source| ServerError::AdminPort { address: format!("{}:{port}", address.0), source })
}

/// Answers until `stop`.
pub(crate) async fn serve(server: Arc<Server>, listener: TcpListener, stop: CancellationToken) {
    let app = Router::new().route("/metrics", get(metrics)).route("/health", get(health)).with_state(server);
    let serving = axum::serve(listener, app).with_graceful_shutdown(stop.cancelled_owned());
    if let Err(error) = serving.await {
        tracing::error!(%error, "the admin port failed");
    }
}

async fn metrics(State(server): State<Arc<Server>>) -> impl IntoResponse {
    let text = server.metrics.text(server.levels(), &server.own_versions());
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text)
}

async fn health(State(server): State<Arc<Server>>) -> impl IntoResponse {
    axum::Json(json!({ "status": "ok", "id": &*server.info.id, "type": &*server.info.server_type }))
}

/// What `shaddock list` shows of this server.
pub(crate) fn stats(server: &Server) -> Value {
    let plugin = |plugin: &Plugin| {
        let stats = plugin.stats();
        json!({
            "name": &*plugin.name().name,
            "version": &*plugin.name().version,
            "digest": &*plugin.name().digest,
            "calls": stats.calls,
            "instances": stats.instances_live,
        })
    };
    let plugins: Vec<Value> = server.own_plugins().iter().map(plugin).collect();
    json!({
        "id": &*server.info.id,
        "type": &*server.info.server_type,
        "pid": std::process::id(),
        "port": server.info.port,
        "client_port": server.info.client_port,
        "uptime_s": server.started.elapsed().as_secs(),
        "memory_bytes": resident_bytes(),
        "connections": server.metrics.connections.get(),
        "sessions": server.sessions.len(),
        "plugins": plugins,
    })
}
