//! Runs what crons.json says.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jiff::Zoned;
use shaddock_config::{Config, CronEntry};
use shaddock_engine::Track;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::error::ServerError;
use crate::filters::Offered;
use crate::plugins::Plugins;
use crate::server::Server;

/// The wall clock may be set while a cron waits: it is looked at again at least this often.
const LOOK_AGAIN: Duration = Duration::from_secs(600);

/// Finds the action of a cron among what the plugins of its server type offer.
pub(crate) fn action_of<'a>(cron: &CronEntry, plugins: &'a Plugins) -> Result<&'a Offered, ServerError> {
    let missing = || ServerError::not_offered("crons.json: action", "action of crons", &cron.action);
    plugins.cron_action(&cron.action).ok_or_else(missing)
}

/// Checks that every cron of a server has its action.
pub(crate) fn check(
    config: &Config,
    server_type: &str,
    server_id: &str,
    plugins: &Plugins,
) -> Result<(), ServerError> {
    config.crons_for(server_type, server_id).try_for_each(|cron| action_of(cron, plugins).map(drop))
}

/// Runs the crons of a server until `stop`.
pub(crate) fn start(config: &Config, server: &Arc<Server>, tasks: &TaskTracker, stop: &CancellationToken) {
    for cron in config.crons_for(&server.info.server_type, &server.info.id) {
        tasks.spawn(run(Arc::clone(server), cron.clone(), stop.clone()));
    }
}

async fn run(server: Arc<Server>, cron: CronEntry, stop: CancellationToken) {
    let is_running = Arc::new(AtomicBool::new(false));
    let mut after = Zoned::now();
    while let Some(due) = cron.schedule.next_after(&after) {
        while let Ok(left) = Duration::try_from(Zoned::now().duration_until(&due))
            && !left.is_zero()
        {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(left.min(LOOK_AGAIN)) => {}
            }
        }
        // What was due while the machine slept is past.
        after = due.max(Zoned::now());
        // Checked before a version of a plugin runs.
        let action = server.look(Track::UNDECIDED, |edition| Ok(action_of(&cron, &edition.plugins).cloned()));
        let Ok(Ok((plugin, name))) = action else { continue };
        if is_running.swap(true, Ordering::AcqRel) {
            server.metrics.cron("skipped");
            tracing::warn!(cron = %cron.id, action = %cron.action, "a cron is due while it still runs; skipped");
            continue;
        }
        let (of_call, id, is_running) = (Arc::clone(&server), cron.id.clone(), Arc::clone(&is_running));
        server.tasks.spawn(async move {
            let outcome = plugin.run_cron(&name, &id).await;
            of_call.metrics.cron(if outcome.is_ok() { "ok" } else { "failed" });
            if let Err(error) = outcome {
                let of = plugin.name();
                tracing::warn!(cron = %id, action = %name, plugin = %of.name, version = %of.version, digest = %of.digest, %error, "a cron failed");
            }
            is_running.store(false, Ordering::Release);
        });
    }
}
