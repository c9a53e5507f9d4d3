//! `shaddock server`: one server in the foreground.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use shaddock_cluster::Secret;
use shaddock_config::Config;
use shaddock_engine::Cache;
use shaddock_master::{MasterError, RunFile};
use shaddock_server::ServerOptions;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use crate::args::ServerArgs;
use crate::exit::{Code, Failure};
use crate::{configuration, logging, paths, screen, signals};

/// Threads that serve if `--threads` does not say: more than this rarely helps one server, and costs memory.
const THREADS_MAX: usize = 4;
/// How long a server may take to stop, beside what its plugins may add; the master ends it by force a little later.
const STOP_GRACE: Duration = Duration::from_secs(4);

/// Runs the server until it is asked to stop.
pub(crate) fn run(args: &ServerArgs) -> Result<(), Failure> {
    let result = serve(args);
    if let (Err(failure), true) = (&result, args.supervised) {
        // For the master, which shows it to the person who started the cluster.
        screen::print(serde_json::json!({ "fatal": failure.text() }));
    }
    result
}

fn serve(args: &ServerArgs) -> Result<(), Failure> {
    logging::start(&args.log, Some(&args.id))?;
    let config_dir = paths::config_dir(&args.cluster)?;
    let mut config = configuration::load(&config_dir, &args.cluster.env)?;
    if let Some(entry) = &args.entry {
        let fields = serde_json::from_str(entry).context("--entry: not a JSON object")?;
        config.put_server(&fields).map_err(|error| Failure::new(Code::Usage, error))?;
    }
    if config.server(&args.id).is_none() {
        return Err(unknown_server(&config, &args.id));
    }
    let state = paths::state_dir(&args.cluster, &config_dir)?;
    state.create()?;
    let _claim = match RunFile::claim(&state.server_run_file(&args.id)) {
        Err(MasterError::Claimed { pid, .. }) => return Err(running_already(&args.id, pid)),
        claim => claim?,
    };
    let secret_file = args.secret.clone().unwrap_or_else(|| state.secret());
    let secret = Secret::load(&secret_file).map_err(|error| {
        let what =
            "the cluster is not started on this machine (from another one, take its secret: --secret FILE)";
        Failure::new(Code::NotRunning, anyhow::Error::new(error).context(what))
    })?;
    let cache = Cache::open(&paths::cache_dir(args.cache.cache_dir.as_deref())?)?;
    let program = std::env::current_exe().context("finding this program's own file")?;
    let options = ServerOptions { config: Arc::new(config), id: args.id.clone(), secret, cache, program };
    let runtime = runtime(usize::from(args.threads))?;
    let hold = Duration::from_millis(options.config.stop_hold_ms(&options.id));
    let result = runtime.block_on(run_until_stopped(options, args.lifeline, STOP_GRACE + hold));
    runtime.shutdown_timeout(Duration::from_millis(200));
    result
}

async fn run_until_stopped(options: ServerOptions, lifeline: bool, grace: Duration) -> Result<(), Failure> {
    let shutdown = CancellationToken::new();
    signals::on_signal(shutdown.clone()).context("signal handlers")?;
    if lifeline {
        signals::on_lifeline_end(shutdown.clone()).context("the lifeline to the master")?;
    }
    match signals::bounded(shaddock_server::run(options, shutdown.clone()), &shutdown, grace).await {
        Some(result) => Ok(result?),
        None => Err(Failure::message(
            Code::Failed,
            format_args!("not stopped after {} s, ended by force", grace.as_secs()),
        )),
    }
}

fn runtime(threads: usize) -> Result<Runtime, Failure> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = if threads == 0 { cores.min(THREADS_MAX) } else { threads };
    Ok(tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .thread_name("worker")
        .enable_all()
        .build()
        .context("starting the threads")?)
}

fn unknown_server(config: &Config, id: &str) -> Failure {
    let known = config.servers.iter().map(|server| server.id.as_str()).collect::<Vec<_>>().join(", ");
    Failure::message(
        Code::Usage,
        format_args!(
            "servers.json has no server {id:?} in the environment {:?}; it has: {known}",
            config.env
        ),
    )
}

fn running_already(id: &str, pid: Option<u32>) -> Failure {
    let holder = pid.map_or_else(String::new, |pid| format!(" (process {pid})"));
    Failure::message(Code::AlreadyRunning, format_args!("the server {id} is running already{holder}"))
}
