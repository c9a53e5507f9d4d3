//! Limits of the contract that are the same for every plugin. What a deployment may want to change is in
//! [`PluginLimits`](crate::PluginLimits).

/// Calls nested in calls; one deeper is refused.
pub const CALL_DEPTH_MAX: u32 = 8;
/// One line of `app.log`; longer ones are cut.
pub const LOG_BYTES_MAX: usize = 8 * 1024;
/// `app.random-bytes`.
pub const RANDOM_BYTES_MAX: u32 = 4096;
/// Names that cross: uids, channels, server ids and types, session keys.
pub const NAME_BYTES_MAX: usize = 1024;
/// Routes and methods: what fits the one length byte of pomelo's message.
pub const ROUTE_BYTES_MAX: usize = 255;
/// A kick reason.
pub const REASON_BYTES_MAX: usize = 1024;
/// Routes, methods or router types that one plugin may serve.
pub const ROUTES_MAX: usize = 4096;
/// Settings in a call's copy of a session.
pub const SETTINGS_MAX: usize = 256;
/// One value in a call's copy of a session.
pub const SETTING_BYTES_MAX: usize = 64 * 1024;
/// Sessions of which one call may hold a copy.
pub const SESSION_COPIES_MAX: usize = 64;
/// Members in one `push-to`.
pub const PUSH_MEMBERS_MAX: usize = 65_536;
/// The longest timer: 100 days.
pub const TIMER_MS_MAX: u64 = 100 * 24 * 60 * 60 * 1000;
/// The shortest period of a repeating timer.
pub const TIMER_PERIOD_MS_MIN: u64 = 10;
/// What a broadcast gives its filter to see.
pub const FILTER_PARAM_BYTES_MAX: usize = 8 * 1024;
/// A component file.
pub const COMPONENT_BYTES_MAX: u64 = 32 * 1024 * 1024;
/// Elements of all tables of an instance.
pub(crate) const TABLE_ELEMENTS_MAX: usize = 100_000;
/// Guest-made resource handles in an instance.
pub(crate) const HANDLES_MAX: usize = 4096;
/// What may cross beside the largest value in one host call: routes, names, list heads.
pub(crate) const HOSTCALL_SLACK_BYTES: usize = 64 * 1024;
