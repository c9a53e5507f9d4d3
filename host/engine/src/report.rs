//! One log line for a call that failed by the guest's doing.

use crate::error::CallError;
use crate::host::PluginName;

/// The plugin's own failures are answers, and limits of the pool are the server's to count: neither is logged.
pub(crate) fn failed_call(name: &PluginName, route: &str, error: &CallError) {
    if matches!(
        error,
        CallError::Failure(_)
            | CallError::UnknownRoute(_)
            | CallError::Overloaded(_)
            | CallError::TooDeep
            | CallError::Reentered
            | CallError::Replaced { .. }
    ) {
        return;
    }
    tracing::error!(
        plugin = %name.name,
        version = %name.version,
        digest = %name.digest,
        route,
        kind = error.kind(),
        error = %error,
        backtrace = error.backtrace(),
        "call failed"
    );
}
