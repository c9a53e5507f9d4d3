//! What asks this process to stop.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Cancels `shutdown` at the first SIGINT, SIGTERM or SIGHUP; at a second one the process ends at once.
///
/// # Errors
/// If the system refuses the signal handlers.
pub(crate) fn on_signal(shutdown: CancellationToken) -> io::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::spawn(async move {
        loop {
            let name = tokio::select! {
                _ = interrupt.recv() => "SIGINT",
                _ = terminate.recv() => "SIGTERM",
                _ = hangup.recv() => "SIGHUP",
            };
            if shutdown.is_cancelled() {
                tracing::warn!(signal = name, "second signal, ending at once");
                std::process::exit(1);
            }
            tracing::info!(signal = name, "stopping");
            shutdown.cancel();
        }
    });
    Ok(())
}

/// Waits until somebody asks this process to stop, but no longer than `time`.
///
/// # Errors
/// If the system refuses the signal handlers.
pub(crate) async fn asked_to_stop(time: Duration) -> io::Result<()> {
    let shutdown = CancellationToken::new();
    on_signal(shutdown.clone())?;
    let _ = tokio::time::timeout(time, shutdown.cancelled()).await;
    Ok(())
}

/// Cancels `shutdown` when standard input, a pipe that the master holds open, ends: the master is gone.
///
/// # Errors
/// If standard input is not a pipe.
pub(crate) fn on_lifeline_end(shutdown: CancellationToken) -> io::Result<()> {
    let mut lifeline = pipe::Receiver::from_owned_fd(io::stdin().as_fd().try_clone_to_owned()?)?;
    tokio::spawn(async move {
        let mut buffer = [0; 16];
        while let Ok(1..) = lifeline.read(&mut buffer).await {}
        if !shutdown.is_cancelled() {
            tracing::info!("the master is gone, stopping");
            shutdown.cancel();
        }
    });
    Ok(())
}

/// Runs `work` to its end, or until `grace` has passed since `shutdown` was cancelled; `None` then.
pub(crate) async fn bounded<T>(
    work: impl Future<Output = T>,
    shutdown: &CancellationToken,
    grace: Duration,
) -> Option<T> {
    let bound = async {
        shutdown.cancelled().await;
        tokio::time::sleep(grace).await;
    };
    tokio::select! {
        result = work => Some(result),
        () = bound => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn work_is_cut_off_only_after_the_grace_of_a_shutdown() {
        let grace = Duration::from_secs(4);
        let shutdown = CancellationToken::new();
        let slow = tokio::time::sleep(Duration::from_secs(100));
        assert_eq!(bounded(slow, &shutdown, grace).await, Some(()), "no shutdown, no bound");
        shutdown.cancel();
        assert_eq!(bounded(std::future::pending::<()>(), &shutdown, grace).await, None);
    }
}
