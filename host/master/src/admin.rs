//! The master's admin port: `/metrics` and `/health`, on loopback.

use std::sync::{Arc, Weak};

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;

use crate::Phase;
use crate::master::Hub;

/// `/metrics` (Prometheus text) and `/health` (JSON; 503 while a server is not ready).
pub(crate) fn router(hub: &Arc<Hub>) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/health", get(health))
        .with_state(Arc::downgrade(hub))
}

async fn metrics(State(hub): State<Weak<Hub>>) -> Result<impl IntoResponse, StatusCode> {
    let hub = hub.upgrade().ok_or(StatusCode::SERVICE_UNAVAILABLE)?;
    let text = hub.table.read(|entries| {
        hub.metrics
            .text(entries.values().map(|entry| (entry.server.server_type.as_str(), entry.phase.name())))
    });
    let text = text.map_err(|error| {
        tracing::error!(%error, "metrics not written");
        StatusCode::INTERNAL_SERVER_ERROR
    })?;
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text))
}

async fn health(State(hub): State<Weak<Hub>>) -> Result<impl IntoResponse, StatusCode> {
    let hub = hub.upgrade().ok_or(StatusCode::SERVICE_UNAVAILABLE)?;
    let not_ready: Vec<String> = hub.table.read(|entries| {
        let others = entries.values().filter(|entry| entry.phase != Phase::Ready);
        others.map(|entry| entry.id.clone()).collect()
    });
    let (code, status) = match not_ready.as_slice() {
        [] => (StatusCode::OK, "ok"),
        _ => (StatusCode::SERVICE_UNAVAILABLE, "degraded"),
    };
    let body =
        json!({ "status": status, "id": hub.config.master.id, "type": "master", "not_ready": not_ready });
    Ok((code, Json(body)))
}
