//! What app.json says about filters and error handlers of a server type.

use crate::fields::Fields;
use crate::problem::Findings;
use crate::spot::{Spot, report_twice};

/// A filter of requests: a built-in one, or one that a plugin offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Filter {
    /// One request of a session at a time, whatever server handles it.
    Serial,
    /// Logs requests that take longer than [`FilterSettings::slow_ms`].
    Time,
    /// Gives requests up after [`FilterSettings::timeout_ms`].
    Timeout,
    /// Refuses requests while the scheduler lags by more than [`FilterSettings::lag_ms_max`].
    Toobusy,
    /// The name of a filter of a plugin.
    Plugin(String),
}

/// A filter of calls to other servers: a built-in one, or one that a plugin offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RpcFilter {
    /// Logs calls that take longer than [`FilterSettings::slow_ms`].
    RpcLog,
    /// Refuses calls while the scheduler lags by more than [`FilterSettings::lag_ms_max`].
    Toobusy,
    /// The name of a filter of a plugin.
    Plugin(String),
}

/// The filters and error handlers of a server type, in the order in which they run before a request.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Filters {
    /// On the server that handles a request.
    pub own: Vec<Filter>,
    /// On the frontend, for every request of its clients.
    pub global: Vec<Filter>,
    /// At the caller of other servers.
    pub rpc: Vec<RpcFilter>,
    /// The error handler on the server that handles a request.
    pub error_handler: Option<String>,
    /// The error handler on the frontend.
    pub global_error_handler: Option<String>,
    /// What the built-in ones go by.
    pub settings: FilterSettings,
}

/// What the built-in filters go by.
#[derive(Clone, Debug, PartialEq)]
pub struct FilterSettings {
    /// Milliseconds from which a request or a call is slow.
    pub slow_ms: u64,
    /// Milliseconds after which a request is given up.
    pub timeout_ms: u64,
    /// Milliseconds by which the scheduler may lag.
    pub lag_ms_max: u64,
}

impl Default for FilterSettings {
    fn default() -> Self {
        Self { slow_ms: 500, timeout_ms: 3_000, lag_ms_max: 70 }
    }
}

/// Bytes of a filter's or an error handler's name at the most, as the contract has it.
const NAME_BYTES_MAX: usize = 255;

/// Reads the fields of a type that are about filters.
pub(crate) fn read(fields: &mut Fields<'_, '_>, filters: &mut Filters) {
    let request = |name: &str| match name {
        "serial" => Filter::Serial,
        "time" => Filter::Time,
        "timeout" => Filter::Timeout,
        "toobusy" => Filter::Toobusy,
        name => Filter::Plugin(name.to_owned()),
    };
    let call = |name: &str| match name {
        "rpcLog" => RpcFilter::RpcLog,
        "toobusy" => RpcFilter::Toobusy,
        name => RpcFilter::Plugin(name.to_owned()),
    };
    list(fields, "filters", &mut filters.own, request);
    list(fields, "globalFilters", &mut filters.global, request);
    list(fields, "rpcFilters", &mut filters.rpc, call);
    one(fields, "errorHandler", &mut filters.error_handler);
    one(fields, "globalErrorHandler", &mut filters.global_error_handler);
    fields.object("filterSettings", |fields| {
        fields.whole("slowMs", 1..=600_000, &mut filters.settings.slow_ms);
        fields.whole("requestTimeoutMs", 1..=600_000, &mut filters.settings.timeout_ms);
        fields.whole("lagMsMax", 5..=10_000, &mut filters.settings.lag_ms_max);
    });
}

fn list<T>(fields: &mut Fields<'_, '_>, field: &'static str, into: &mut Vec<T>, named: impl Fn(&str) -> T) {
    let Some(spot) = fields.get(field) else { return };
    let Some(items) = spot.list("names of filters", fields.findings) else { return };
    report_twice(&items, fields.findings);
    *into = items.iter().filter_map(|item| name(item, fields.findings)).map(named).collect();
}

/// A name; null takes it away.
fn one(fields: &mut Fields<'_, '_>, field: &'static str, into: &mut Option<String>) {
    let Some(spot) = fields.get(field) else { return };
    if matches!(spot.node.shape, crate::json::Shape::Null) {
        *into = None;
    } else if let Some(name) = name(&spot, fields.findings) {
        *into = Some(name.to_owned());
    }
}

fn name<'a>(spot: &Spot<'a>, findings: &mut Findings) -> Option<&'a str> {
    let name = spot.node.text().filter(|name| (1..=NAME_BYTES_MAX).contains(&name.len()));
    if name.is_none() {
        spot.refuse(format!("a name of 1 to {NAME_BYTES_MAX} bytes"), findings);
    }
    name
}
