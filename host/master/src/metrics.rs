//! The master's own metrics, in Prometheus' text form.

use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder};

/// Outcomes of deployments.
const DONE: &str = "done";
const FAILED: &str = "failed";

/// Metrics of one master. Labels are server types, whose number servers.json bounds.
pub(crate) struct Metrics {
    registry: Registry,
    /// `shaddock_master_servers{server_type,phase}`
    servers: IntGaugeVec,
    /// `shaddock_master_server_exits_total`: processes that ended without having been asked to
    pub(crate) exits: IntCounter,
    /// `shaddock_master_tool_requests_total`
    pub(crate) tool_requests: IntCounter,
    /// `shaddock_master_deployments_total{outcome}`: `done` or `failed`
    deployments: IntCounterVec,
    /// `shaddock_master_rollbacks_total{plugin,reason}`: by themselves, canaries included
    rollbacks: IntCounterVec,
}

impl Metrics {
    /// Registers the metrics.
    ///
    /// # Errors
    /// Only if two metrics have one name, which the test below rules out.
    pub(crate) fn new() -> Result<Metrics, prometheus::Error> {
        let registry = Registry::new();
        let servers = IntGaugeVec::new(
            Opts::new("shaddock_master_servers", "servers of the cluster by type and phase"),
            &["server_type", "phase"],
        )?;
        let exits = IntCounter::new(
            "shaddock_master_server_exits_total",
            "server processes that ended without having been asked to",
        )?;
        let tool_requests = IntCounter::new("shaddock_master_tool_requests_total", "requests of tools")?;
        let deployments = IntCounterVec::new(
            Opts::new(
                "shaddock_master_deployments_total",
                "deployments of plugins that are over, by outcome",
            ),
            &["outcome"],
        )?;
        let rollbacks = IntCounterVec::new(
            Opts::new(
                "shaddock_master_rollbacks_total",
                "versions that were left for going over their budget",
            ),
            &["plugin", "reason"],
        )?;
        for outcome in [DONE, FAILED] {
            deployments.with_label_values(&[outcome]).inc_by(0);
        }
        let start = IntGauge::new(
            "shaddock_master_start_time_seconds",
            "when the master started, in seconds since 1970",
        )?;
        let since_1970 =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        start.set(i64::try_from(since_1970.as_secs()).unwrap_or(i64::MAX));
        registry.register(Box::new(servers.clone()))?;
        registry.register(Box::new(exits.clone()))?;
        registry.register(Box::new(tool_requests.clone()))?;
        registry.register(Box::new(deployments.clone()))?;
        registry.register(Box::new(rollbacks.clone()))?;
        registry.register(Box::new(start))?;
        Ok(Metrics { registry, servers, exits, tool_requests, deployments, rollbacks })
    }

    /// Counts a deployment that is over.
    pub(crate) fn deployment(&self, is_done: bool) {
        self.deployments.with_label_values(&[if is_done { DONE } else { FAILED }]).inc();
    }

    /// Counts a version that is left because of a kind of budget; servers have a few kinds.
    pub(crate) fn rollback(&self, plugin: &str, kind: &str) {
        self.rollbacks.with_label_values(&[plugin, kind]).inc();
    }

    /// The text of `/metrics`; `servers` gives type and phase of each server now.
    pub(crate) fn text<'a>(
        &self,
        servers: impl IntoIterator<Item = (&'a str, &'static str)>,
    ) -> Result<String, prometheus::Error> {
        self.servers.reset();
        for (server_type, phase) in servers {
            self.servers.with_label_values(&[server_type, phase]).inc();
        }
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_counted_by_type_and_phase_of_the_moment() {
        let metrics = Metrics::new().unwrap();
        let text = metrics.text([("chat", "ready"), ("chat", "ready"), ("gate", "down")]).unwrap();
        assert!(text.contains(r#"shaddock_master_servers{phase="ready",server_type="chat"} 2"#), "{text}");
        let text = metrics.text([("chat", "ready")]).unwrap();
        assert!(text.contains(r#"shaddock_master_servers{phase="ready",server_type="chat"} 1"#), "{text}");
        assert!(!text.contains("gate"), "a server that is gone is not counted on: {text}");
    }

    #[test]
    fn deployments_are_counted_by_outcome_and_rollbacks_by_reason() {
        let metrics = Metrics::new().unwrap();
        metrics.deployment(true);
        metrics.rollback("chat", "p99");
        let text = metrics.text([]).unwrap();
        for line in [
            r#"shaddock_master_deployments_total{outcome="done"} 1"#,
            r#"shaddock_master_deployments_total{outcome="failed"} 0"#,
            r#"shaddock_master_rollbacks_total{plugin="chat",reason="p99"} 1"#,
        ] {
            assert!(text.contains(line), "{line} is missing in {text}");
        }
    }
}
