//! What the server counts, as Prometheus text.
//!
//! The names are a public interface, listed in `docs/operations.md`. Labels have a fixed set of values, but
//! for the plugin's name, which plugins.json bounds.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus::core::{Collector, Desc};
use prometheus::proto::{Bucket, Counter, Histogram, LabelPair, Metric, MetricFamily, MetricType};
use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder};
use shaddock_cluster::Instant;
use shaddock_engine::{PerThread, Plugin, PluginName};

/// Upper bounds of the request histogram, seconds.
const SECONDS: [f64; 10] = [0.000_1, 0.000_5, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0];

/// The counters of one server.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    pub(crate) connections: IntGauge,
    pub(crate) connections_opened: IntCounter,
    connections_refused: IntCounterVec,
    connections_closed: IntCounterVec,
    pub(crate) requests_local: Served,
    pub(crate) requests_forwarded: Served,
    pub(crate) requests_limited: IntCounter,
    /// Requests of clients of other servers, answered here.
    pub(crate) requests_for_peers: Served,
    pub(crate) rpc_calls: Served,
    /// Calls made anew by the fail modes.
    pub(crate) rpc_retries: IntCounter,
    /// Calls for which a route function named no server that is up.
    pub(crate) routes_replaced: IntCounter,
    pub(crate) pushes: IntCounter,
    pub(crate) refused_by_filter: IntCounter,
    pub(crate) refused_toobusy: IntCounter,
    pub(crate) slow_requests: IntCounter,
    pub(crate) timers_fired: IntCounter,
    pub(crate) timers_skipped: IntCounter,
    pub(crate) timers_put_off: IntCounter,
    ticks: IntCounterVec,
    crons: IntCounterVec,
    timers: IntGauge,
    pushes_dropped: IntCounterVec,
    sessions: IntGauge,
    channels: IntGauge,
    resident_bytes: IntGauge,
    plugin_calls: IntCounterVec,
    plugin_errors: IntCounterVec,
    plugin_instances: IntGaugeVec,
    plugin_recycled: IntCounterVec,
    /// Held while those of plugins are brought up to date and read.
    plugins_shown: Mutex<()>,
}

/// The counters of one game loop.
#[derive(Debug)]
pub(crate) struct Ticks {
    pub(crate) run: IntCounter,
    pub(crate) late: IntCounter,
    pub(crate) missed: IntCounter,
}

/// Calls of one kind: how many went well, how many failed, how long they took.
///
/// Counted by thread, since every request is: the threads would wait for each other's counters.
#[derive(Debug, Clone)]
pub(crate) struct Served(Arc<ServedInner>);

#[derive(Debug)]
struct ServedInner {
    outcomes: Desc,
    seconds: Desc,
    counts: PerThread<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    ok: AtomicU64,
    failed: AtomicU64,
    nanoseconds: AtomicU64,
    /// By the place of the upper bound in `SECONDS`; what took longer is in none.
    buckets: [AtomicU64; SECONDS.len()],
}

impl Served {
    /// `handled` is the value of the label of that name, if there is one.
    fn new(
        outcomes: (&str, &str),
        seconds: (&str, &str),
        handled: Option<&str>,
    ) -> Result<Self, prometheus::Error> {
        let labels: HashMap<String, String> =
            handled.map(|handled| ("handled".to_owned(), handled.to_owned())).into_iter().collect();
        let desc = |(name, help): (&str, &str), variable: &[&str]| {
            let variable = variable.iter().map(|&label| label.to_owned()).collect();
            Desc::new(name.to_owned(), help.to_owned(), variable, labels.clone())
        };
        Ok(Self(Arc::new(ServedInner {
            outcomes: desc(outcomes, &["outcome"])?,
            seconds: desc(seconds, &[])?,
            counts: PerThread::default(),
        })))
    }

    /// Counts one call; how long it took.
    pub(crate) fn count(&self, ok: bool, since: Instant) -> Duration {
        let took = since.elapsed();
        let counts = self.0.counts.own();
        let outcome = if ok { &counts.ok } else { &counts.failed };
        outcome.fetch_add(1, Ordering::Relaxed);
        counts.nanoseconds.fetch_add(took.as_nanos() as u64, Ordering::Relaxed);
        let seconds = took.as_secs_f64();
        if let Some((_, bucket)) = SECONDS.iter().zip(&counts.buckets).find(|(bound, _)| seconds <= **bound) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        took
    }

    fn sum(&self, of: impl Fn(&Counts) -> &AtomicU64) -> u64 {
        self.0.counts.iter().map(|counts| of(counts).load(Ordering::Relaxed)).sum()
    }
}

impl Collector for Served {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.0.outcomes, &self.0.seconds]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let (ok, failed) = (self.sum(|counts| &counts.ok), self.sum(|counts| &counts.failed));
        let counter = |outcome: &str, count: u64| {
            let mut label = LabelPair::default();
            label.set_name("outcome".to_owned());
            label.set_value(outcome.to_owned());
            let mut labels = self.0.outcomes.const_label_pairs.clone();
            labels.push(label);
            let mut value = Counter::default();
            value.set_value(count as f64);
            let mut metric = Metric::from_label(labels);
            metric.set_counter(value);
            metric
        };
        let mut histogram = Histogram::default();
        let mut cumulative = 0;
        let buckets = SECONDS.iter().enumerate().map(|(place, bound)| {
            cumulative += self
                .0
                .counts
                .iter()
                .filter_map(|counts| counts.buckets.get(place))
                .map(|count| count.load(Ordering::Relaxed))
                .sum::<u64>();
            let mut bucket = Bucket::default();
            bucket.set_cumulative_count(cumulative);
            bucket.set_upper_bound(*bound);
            bucket
        });
        histogram.set_bucket(buckets.collect());
        histogram.set_sample_count(ok + failed);
        histogram.set_sample_sum(self.sum(|counts| &counts.nanoseconds) as f64 / 1e9);
        let mut seconds = Metric::from_label(self.0.seconds.const_label_pairs.clone());
        seconds.set_histogram(histogram);
        vec![
            family(&self.0.outcomes, MetricType::COUNTER, vec![counter("failed", failed), counter("ok", ok)]),
            family(&self.0.seconds, MetricType::HISTOGRAM, vec![seconds]),
        ]
    }
}

fn family(desc: &Desc, kind: MetricType, metrics: Vec<Metric>) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(desc.fq_name.clone());
    family.set_help(desc.help.clone());
    family.set_field_type(kind);
    family.set_metric(metrics);
    family
}

/// Numbers that are read when somebody asks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Levels {
    pub(crate) sessions: usize,
    pub(crate) channels: usize,
    pub(crate) timers: usize,
}

impl Metrics {
    /// All at zero.
    pub(crate) fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let counter = |name: &str, help: &str| -> Result<IntCounter, prometheus::Error> {
            let counter = IntCounter::new(name, help)?;
            registry.register(Box::new(counter.clone()))?;
            Ok(counter)
        };
        let gauge = |name: &str, help: &str| -> Result<IntGauge, prometheus::Error> {
            let gauge = IntGauge::new(name, help)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok(gauge)
        };
        let gauges = |name: &str, help: &str, labels: &[&str]| -> Result<IntGaugeVec, prometheus::Error> {
            let gauges = IntGaugeVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(gauges.clone()))?;
            Ok(gauges)
        };
        let counters =
            |name: &str, help: &str, labels: &[&str]| -> Result<IntCounterVec, prometheus::Error> {
                let counters = IntCounterVec::new(Opts::new(name, help), labels)?;
                registry.register(Box::new(counters.clone()))?;
                Ok(counters)
            };
        let served = |outcomes: (&str, &str),
                      seconds: (&str, &str),
                      handled: Option<&str>|
         -> Result<Served, prometheus::Error> {
            let served = Served::new(outcomes, seconds, handled)?;
            registry.register(Box::new(served.clone()))?;
            Ok(served)
        };
        let requests = |handled: &str| {
            served(
                ("shaddock_requests_total", "requests and notifies of clients, by where they were handled"),
                ("shaddock_request_seconds", "time to answer a request"),
                Some(handled),
            )
        };
        let closed = IntCounterVec::new(
            Opts::new("shaddock_connections_closed_total", "connections of clients that ended, by reason"),
            &["reason"],
        )?;
        registry.register(Box::new(closed.clone()))?;
        Ok(Self {
            connections: gauge("shaddock_connections", "connections of clients")?,
            connections_opened: counter("shaddock_connections_opened_total", "connections accepted")?,
            connections_refused: counters(
                "shaddock_connections_refused_total",
                "connections closed before anything was read, by reason",
                &["reason"],
            )?,
            connections_closed: closed,
            requests_local: requests("local")?,
            requests_forwarded: requests("forwarded")?,
            requests_limited: counter(
                "shaddock_requests_limited_total",
                "requests and notifies refused because their session sent too many",
            )?,
            requests_for_peers: requests("for_peer")?,
            rpc_calls: served(
                ("shaddock_rpc_calls_total", "calls of plugins to remotes"),
                ("shaddock_rpc_seconds", "time of a call to a remote"),
                None,
            )?,
            rpc_retries: counter("shaddock_rpc_retries_total", "calls to remotes that were made anew")?,
            routes_replaced: counter(
                "shaddock_routes_replaced_total",
                "calls whose route function named no server that is up",
            )?,
            pushes: counter("shaddock_pushes_total", "push messages queued to clients, one per receiver")?,
            refused_by_filter: counter(
                "shaddock_filter_refusals_total",
                "requests and calls that a plugin's filter refused, or that it failed at",
            )?,
            refused_toobusy: counter(
                "shaddock_toobusy_refusals_total",
                "requests and calls that the filter toobusy refused",
            )?,
            slow_requests: counter(
                "shaddock_slow_requests_total",
                "requests that the filter time found slow",
            )?,
            timers_fired: counter("shaddock_timers_fired_total", "timers of plugins that fired")?,
            timers_skipped: counter(
                "shaddock_timers_skipped_total",
                "times at which a repeating timer was due while its call before still ran, or no instance was free",
            )?,
            timers_put_off: counter(
                "shaddock_timers_put_off_total",
                "times at which a timer for once was due and no instance was free: it was tried again a little later",
            )?,
            ticks: counters(
                "shaddock_ticks_total",
                "ticks of game loops: run, of these late by more than a quarter of the period, and missed",
                &["plugin", "kind"],
            )?,
            crons: counters(
                "shaddock_crons_total",
                "crons that were due: run well, failed, or skipped since the one before still ran",
                &["outcome"],
            )?,
            timers: gauge("shaddock_timers", "timers that plugins have set")?,
            pushes_dropped: counters(
                "shaddock_pushes_dropped_total",
                "push messages that clients did not get because they did not keep up, by delivery policy",
                &["policy"],
            )?,
            sessions: gauge("shaddock_sessions", "sessions of clients")?,
            channels: gauge("shaddock_channels", "channels on this server")?,
            resident_bytes: gauge("process_resident_memory_bytes", "resident memory")?,
            plugin_calls: counters(
                "shaddock_plugin_calls_total",
                "calls into a plugin",
                &["plugin", "version", "digest"],
            )?,
            plugin_errors: counters(
                "shaddock_plugin_errors_total",
                "calls into a plugin that did not give a result, by kind",
                &["plugin", "version", "digest", "kind"],
            )?,
            plugin_instances: gauges(
                "shaddock_plugin_instances",
                "live instances of a plugin",
                &["plugin", "version", "digest"],
            )?,
            plugin_recycled: counters(
                "shaddock_plugin_instances_recycled_total",
                "instances of a plugin replaced after many calls or much growth",
                &["plugin", "version", "digest"],
            )?,
            plugins_shown: Mutex::default(),
            registry,
        })
    }

    /// Counts a connection that is closed before anything is read.
    pub(crate) fn refused(&self, reason: &'static str) {
        self.connections_refused.with_label_values(&[reason]).inc();
    }

    /// Counts the end of a connection.
    pub(crate) fn closed(&self, reason: &'static str) {
        self.connections_closed.with_label_values(&[reason]).inc();
    }

    /// Counts a cron that was due.
    pub(crate) fn cron(&self, outcome: &'static str) {
        self.crons.with_label_values(&[outcome]).inc();
    }

    /// The counters of a plugin's game loop.
    pub(crate) fn ticks(&self, plugin: &str) -> Ticks {
        let kind = |kind: &str| self.ticks.with_label_values(&[plugin, kind]);
        Ticks { run: kind("run"), late: kind("late"), missed: kind("missed") }
    }

    /// Counts a push message that a client does not get, under a delivery policy.
    pub(crate) fn push_dropped(&self, policy: &'static str) {
        self.pushes_dropped.with_label_values(&[policy]).inc();
    }

    /// Everything as Prometheus text.
    pub(crate) fn text(&self, levels: Levels, plugins: &[Plugin]) -> String {
        self.sessions.set(as_i64(levels.sessions));
        self.channels.set(as_i64(levels.channels));
        self.timers.set(as_i64(levels.timers));
        self.resident_bytes.set(resident_bytes().unwrap_or(0));
        // Versions that are gone vanish; one text at a time, since they are all counted anew for it.
        let _alone = self.plugins_shown.lock().unwrap_or_else(PoisonError::into_inner);
        self.plugin_calls.reset();
        self.plugin_errors.reset();
        self.plugin_instances.reset();
        self.plugin_recycled.reset();
        for plugin in plugins {
            let stats = plugin.stats();
            let PluginName { name, version, digest } = &**plugin.name();
            let labels = [&**name, &**version, &**digest];
            self.plugin_calls.with_label_values(&labels).inc_by(stats.calls);
            self.plugin_instances.with_label_values(&labels).set(stats.instances_live as i64);
            self.plugin_recycled.with_label_values(&labels).inc_by(stats.instances_recycled);
            for (kind, count) in stats.errors {
                let labels = [&**name, &**version, &**digest, kind];
                self.plugin_errors.with_label_values(&labels).inc_by(count);
            }
        }
        TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap_or_default()
    }
}

fn as_i64(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// Resident memory of this process; none where there is no /proc.
pub(crate) fn resident_bytes() -> Option<i64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: i64 = statm.split_whitespace().nth(1)?.parse().ok()?;
    Some(pages * 4096)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_has_what_was_counted() {
        let metrics = Metrics::new().unwrap();
        metrics.closed("kicked");
        metrics.requests_local.count(true, Instant::now());
        metrics.requests_local.count(false, Instant::now());
        let text = metrics.text(Levels { sessions: 3, channels: 0, timers: 0 }, &[]);
        for line in [
            "shaddock_connections_closed_total{reason=\"kicked\"} 1",
            "shaddock_requests_total{handled=\"local\",outcome=\"failed\"} 1",
            "shaddock_request_seconds_count{handled=\"local\"} 2",
            "shaddock_sessions 3",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }
}
