//! The master's own metrics, in Prometheus' text form.

use prometheus::{IntCounter, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder};

/// Metrics of one master. Labels are server types, whose number servers.json bounds.
pub(crate) struct Metrics {
    registry: Registry,
    /// `shaddock_master_servers{server_type,phase}`
    servers: IntGaugeVec,
    /// `shaddock_master_server_exits_total`: processes that ended without having been asked to
    pub(crate) exits: IntCounter,
    /// `shaddock_master_tool_requests_total`
    pub(crate) tool_requests: IntCounter,
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
        let tool_requests =
            IntCounter::new("shaddock_master_tool_requests_total", "requests of list, stop, add and kick")?;
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
        registry.register(Box::new(start))?;
        Ok(Metrics { registry, servers, exits, tool_requests })
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
}
