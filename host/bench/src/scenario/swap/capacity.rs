//! What the cluster can do: every player says the next thing as soon as the last was answered.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::task::JoinSet;

use super::crowd::{Crowd, Lane, Listener};
use crate::load::{DRAIN_TIME_MAX, Progress, WARM_UP_TIME};

/// Requests per second over some time, after a warm-up. All are answered when it ends.
pub(super) async fn find(crowd: Crowd, time: Duration) -> Result<(Crowd, f64)> {
    let Crowd { lanes, listeners } = crowd;
    let progress = Arc::new(Progress::default());
    let mut tasks = JoinSet::new();
    for listener in listeners {
        tasks.spawn(player(lanes.clone(), listener, progress.clone()));
    }
    tokio::time::sleep(WARM_UP_TIME).await;
    let (begun, before) = (Instant::now(), progress.done());
    tokio::time::sleep(time).await;
    let per_second = (progress.done() - before) as f64 / begun.elapsed().as_secs_f64();
    progress.stop();
    let mut listeners = Vec::with_capacity(lanes.len());
    let rest = async {
        while let Some(ended) = tasks.join_next().await {
            listeners.push(ended??);
        }
        anyhow::Ok(())
    };
    let rest = tokio::time::timeout(DRAIN_TIME_MAX, rest).await;
    rest.context("requests were left unanswered").flatten().context("finding what the cluster can do")?;
    Ok((Crowd { lanes, listeners }, per_second))
}

async fn player(lanes: Arc<Vec<Lane>>, mut listener: Listener, progress: Arc<Progress>) -> Result<Listener> {
    let lane = lanes.get(listener.index).context("a player has a lane")?;
    while !progress.stopped() {
        let number = lane.say()?;
        let mut is_answered = false;
        while !is_answered {
            listener.fill().await?;
            listener.take(lane, |answered, _| is_answered |= answered == number)?;
        }
        progress.add(1);
    }
    Ok(listener)
}
