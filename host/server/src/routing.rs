//! Which server gets a call.
//!
//! A plugin's route function decides for the types it names. Where there is none, or it fails, the built-in router
//! does that app.json names for the type.

use std::sync::Arc;

use shaddock_engine::types::{Failure, RouteKey};
use shaddock_engine::{CallError, PluginName, Throttle};

use crate::balancer::Active;
use crate::metrics::Metrics;
use crate::plugins::Plugins;
use crate::roster::{Group, Roster};

/// The server that gets a call.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) id: Arc<str>,
    /// To be kept until the call has ended.
    pub(crate) active: Active,
}

/// What is said of route functions that name no server.
#[derive(Debug)]
pub(crate) struct Complaints<'a> {
    pub(crate) metrics: &'a Metrics,
    pub(crate) throttle: &'a Throttle,
}

/// Picks the server of a type for a call. `method` is what the route function gets to see.
pub(crate) fn pick(
    roster: &Roster,
    plugins: &Plugins,
    server_type: &str,
    key: &RouteKey,
    method: &str,
    complaints: &Complaints<'_>,
) -> Result<Target, Failure> {
    let Some(group) = roster.group_of(server_type) else {
        return Err(Failure::retryable(404, format!("no server of type {server_type:?} is up")));
    };
    if let Some(plugin) = plugins.router(server_type) {
        let chosen = plugin.route(server_type, key, method);
        let asked = (&**plugin.name(), server_type, method);
        if let Some(target) = chosen_target(&group, chosen, asked, complaints) {
            return Ok(target);
        }
    }
    built_in(&group, key)
}

/// What a route function has chosen, if that is up. The server of a list told may have gone meanwhile.
fn chosen_target(
    group: &Group,
    chosen: Result<Arc<str>, CallError>,
    (of, server_type, method): (&PluginName, &str, &str),
    complaints: &Complaints<'_>,
) -> Option<Target> {
    let error = match chosen {
        Ok(id) => match group.index_of(&id) {
            Some(index) => return Some(Target { id, active: group.balancer.begin(index) }),
            None => CallError::UnknownTarget(id.to_string()),
        },
        Err(error) => error,
    };
    complaints.metrics.routes_replaced.inc();
    if let Some(left_out) = complaints.throttle.admit() {
        tracing::warn!(plugin = %of.name, version = %of.version, digest = %of.digest, server_type, method, %error, left_out, "a route function names no server that is up; the built-in router is taken");
    }
    None
}

fn built_in(group: &Group, key: &RouteKey) -> Result<Target, Failure> {
    let index = group.balancer.pick(key, group.servers.len());
    let server = group.servers.get(index).ok_or_else(|| Failure::retryable(404, "no server is up"))?;
    Ok(Target { id: Arc::clone(&server.id), active: group.balancer.begin(index) })
}

#[cfg(test)]
mod tests {
    use shaddock_config::Router;

    use super::*;
    use crate::roster::tests::members;

    #[tokio::test(start_paused = true)]
    async fn a_route_function_that_names_no_server_is_counted_and_said_once_a_second() {
        let roster = Roster::new([("chat".to_owned(), Router::RoundRobin)].into());
        roster.update(&members(&["chat-1", "chat-2"]));
        let group = roster.group_of("chat").unwrap();
        let (metrics, throttle) = (Metrics::new().unwrap(), Throttle::with_lines_max(1));
        let complaints = Complaints { metrics: &metrics, throttle: &throttle };
        let name = PluginName { name: "p".into(), version: "v".into(), digest: "d".into() };
        let ask =
            |chosen| chosen_target(&group, chosen, (&name, "chat", "m"), &complaints).map(|target| target.id);
        assert_eq!(ask(Ok("chat-2".into())).as_deref(), Some("chat-2"));
        assert_eq!(metrics.routes_replaced.get(), 0);
        for _ in 0..100 {
            assert_eq!(ask(Ok("chat-3".into())), None);
            assert_eq!(ask(Err(CallError::UnknownTarget("nowhere".into()))), None);
        }
        assert_eq!(metrics.routes_replaced.get(), 200);
        assert_eq!(throttle.admit(), None, "a line has been written in this second");
        let picked: Vec<_> =
            (0..3).map(|_| built_in(&group, &RouteKey::Value("".into())).unwrap().id).collect();
        assert_eq!(picked, ["chat-1".into(), "chat-2".into(), "chat-1".into()]);
    }
}
