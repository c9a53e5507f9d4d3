//! `shaddock start`: check, compile, start everything, wait, print, serve.

use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use shaddock_config::Config;
use shaddock_engine::Cache;
use shaddock_master::control::Listing;
use shaddock_master::{
    Launch, LineSink, Master, MasterError, MasterOptions, Output, RunFile, StateDir, WebFile,
};
use tokio_util::sync::CancellationToken;

use crate::args::{LogFormat, StartArgs};
use crate::exit::{Code, Failure};
use crate::screen::{self, Task};
use crate::{configuration, daemon, listing, logging, paths, plugins, signals, watch};

/// What a start needs to know, with every path absolute.
pub(crate) struct Plan<'a> {
    pub(crate) args: &'a StartArgs,
    pub(crate) config: Arc<Config>,
    pub(crate) state: StateDir,
    pub(crate) cache: Cache,
    /// Served by the web port beside the application's own page.
    pub(crate) files: Vec<WebFile>,
}

/// Starts the cluster; in the foreground, returns when it has been stopped.
pub(crate) fn run(args: &StartArgs) -> Result<(), Failure> {
    if args.detached {
        daemon::detach()?;
    }
    logging::start(&args.log, None)?;
    let config_dir = paths::config_dir(&args.cluster)?;
    let state = paths::state_dir(&args.cluster, &config_dir)?;
    // Asked again, without a race, when the master claims the file.
    if let Some(pid) = RunFile::holder(&state.master_run_file()) {
        return Err(running_already(args, Some(pid)));
    }
    let config = Arc::new(configuration::load(&config_dir, &args.cluster.env)?);
    if !args.detached {
        configuration::warn(&config);
    }
    let cache = Cache::open(&paths::cache_dir(args.cache.cache_dir.as_deref())?)?;
    let plan = Plan { args, config, state, cache, files: Vec::new() };
    let runtime = crate::one_thread()?;
    let result = runtime.block_on(plan.run());
    runtime.shutdown_timeout(Duration::from_millis(200));
    result
}

impl Plan<'_> {
    async fn run(&self) -> Result<(), Failure> {
        let shutdown = CancellationToken::new();
        signals::on_signal(shutdown.clone()).context("signal handlers")?;
        let quiet = self.args.json.json;
        let watched = self.args.watch.then(|| watch::open(&self.config)).transpose()?;
        tokio::select! {
            prepared = plugins::prepare(&self.config, &self.cache, quiet) => prepared?,
            () = shutdown.cancelled() => return Err(interrupted()),
        };
        if self.args.daemon && !self.args.detached {
            let listing = daemon::start(self, &shutdown).await?;
            self.print(&listing);
            return Ok(());
        }
        let master = self.start_master(&shutdown).await?;
        self.print(&master.listing().await);
        let watch = watched.map(|watched| watched.deploy_with(master.plugins()));
        master.run(&shutdown).await;
        drop(watch);
        Ok(())
    }

    pub(crate) async fn start_master(&self, shutdown: &CancellationToken) -> Result<Master, Failure> {
        let options = MasterOptions {
            config: self.config.clone(),
            state: self.state.clone(),
            launch: self.launch()?,
            ready_timeout: Duration::from_secs(self.args.ready_timeout),
            components: plugins::components(&self.cache)?,
            files: self.files.clone(),
        };
        let master = tokio::select! {
            // A deployed version may have to be compiled first.
            started = Master::start(options) => started.map_err(|error| self.failure(error))?,
            () = shutdown.cancelled() => return Err(interrupted()),
        };
        let task = Task::begin(format!("starting {}", self.config.env), self.args.json.json);
        let launched = master.launch(shutdown, |progress| task.at(progress.ready, progress.total)).await;
        drop(task);
        launched.map_err(|error| self.failure(error))
    }

    /// The command line of a server process; its id comes last.
    fn launch(&self) -> Result<Launch, Failure> {
        let mut arguments: Vec<OsString> = vec!["server".into(), "--supervised".into()];
        arguments.extend(self.cluster_arguments());
        let output = if self.args.detached {
            Output::Files
        } else {
            arguments.push("--lifeline".into());
            Output::Relay(self.relay())
        };
        arguments.push("--id".into());
        Ok(Launch {
            program: std::env::current_exe().context("finding this program's own file")?,
            arguments,
            output,
        })
    }

    /// What every process of this cluster is told on its command line.
    pub(crate) fn cluster_arguments(&self) -> Vec<OsString> {
        let option = |name: &str, value: &Path| [name.into(), value.into()];
        let log_format = match self.args.log.log_format {
            LogFormat::Plain => "plain",
            LogFormat::Json => "json",
        };
        let texts =
            [("--env", &*self.config.env), ("--log", &self.args.log.log), ("--log-format", log_format)];
        option("--config", &self.config.dir)
            .into_iter()
            .chain(option("--state-dir", self.state.path()))
            .chain(option("--cache-dir", self.cache.dir()))
            .chain(texts.into_iter().flat_map(|(name, value)| [name.into(), value.into()]))
            .collect()
    }

    /// Shows lines of the servers: plain ones with the id in front, JSON ones carry it themselves.
    fn relay(&self) -> LineSink {
        if self.args.log.log_format == LogFormat::Json {
            return Arc::new(|_, line| screen::line(line));
        }
        let width = self.config.servers.iter().map(|server| server.id.len()).max().unwrap_or_default();
        Arc::new(move |id, line| screen::line(format_args!("{id:width$} | {line}")))
    }

    fn failure(&self, error: MasterError) -> Failure {
        match error {
            MasterError::Claimed { pid, .. } => running_already(self.args, pid),
            MasterError::Interrupted => interrupted(),
            MasterError::WebRoot { .. } => Failure::new(Code::Usage, error),
            MasterError::NotReady(servers) => {
                let details = serde_json::json!({ "servers": servers });
                let error = anyhow::Error::new(MasterError::NotReady(servers)).context("not started");
                Failure::new(Code::Failed, error).with_details(details)
            }
            other => Failure::from(other),
        }
    }

    fn print(&self, listing: &Listing) {
        if self.args.json.json {
            let mut value = serde_json::to_value(listing).unwrap_or_default();
            if let Some(object) = value.as_object_mut() {
                object.insert("ready".to_owned(), true.into());
                object.insert("state_dir".to_owned(), self.state.path().to_string_lossy().into());
            }
            screen::print(value);
            return;
        }
        screen::print(listing::started(listing));
        if let Some(url) = &listing.master.web_url {
            screen::print(format_args!("\nopen       {url}"));
        }
        if self.args.daemon {
            screen::print(format_args!("logs       {}", self.state.log_dir().display()));
            screen::print(format_args!("stop with  {}", tool_command("stop", self.args)));
        } else {
            screen::print("stop with  Ctrl-C");
        }
    }
}

pub(crate) fn interrupted() -> Failure {
    Failure::message(Code::Failed, "stopped while starting")
}

fn running_already(args: &StartArgs, pid: Option<u32>) -> Failure {
    let master = pid.map_or_else(String::new, |pid| format!(" (master: process {pid})"));
    let (list, stop) = (tool_command("list", args), tool_command("stop", args));
    Failure::message(
        Code::AlreadyRunning,
        format_args!("this cluster is running already{master}; see it with `{list}`, stop it with `{stop}`"),
    )
}

/// The command line of a tool for the same cluster.
fn tool_command(tool: &str, args: &StartArgs) -> String {
    let mut command = format!("shaddock {tool}");
    if args.cluster.config != Path::new("config") {
        command.push_str(&format!(" --config {}", args.cluster.config.display()));
    }
    if args.cluster.env != shaddock_config::DEVELOPMENT {
        command.push_str(&format!(" --env {}", args.cluster.env));
    }
    if let Some(dir) = &args.cluster.state_dir {
        command.push_str(&format!(" --state-dir {}", dir.display()));
    }
    command
}
