//! `shaddock dev`: a plugin project and its cluster, in which what is saved runs at once.

mod page;
mod sources;

use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use shaddock_config::Config;
use shaddock_engine::Cache;
use shaddock_master::{Plugins, Saved};
use shaddock_toolchain::{Built, Profile, Project, ToolchainError, Tools};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::args::{ClusterArgs, DevArgs, JsonArgs, StartArgs};
use crate::exit::{Code, Failure};
use crate::start::{Plan, interrupted};
use crate::{configuration, listing, logging, paths, plugins, project, screen, signals};
use sources::Sources;

/// Where the page is, if that port is free: then a tab that is open finds it after the next start, too.
const PAGE_PORT: u16 = 3001;
/// While something else is deployed.
const BUSY: Duration = Duration::from_millis(200);
/// How long the servers may take until all are ready.
const READY_SECONDS: u64 = 30;

/// `shaddock dev`
pub(crate) fn run(args: DevArgs) -> Result<(), Failure> {
    logging::start(&args.log, None)?;
    let project = Project::open(&args.project).map_err(project::failure)?;
    let tools = project::tools_for(&project, &args.dir)?;
    let cache = Cache::open(&paths::cache_dir(args.cache.cache_dir.as_deref())?)?;
    let start = start_args(args, &project);
    let runtime = crate::one_thread()?;
    let result = runtime.block_on(develop(Workshop { project, tools }, &start, cache));
    runtime.shutdown_timeout(Duration::from_millis(200));
    result
}

/// The cluster of the project as `shaddock start` would start it.
fn start_args(args: DevArgs, project: &Project) -> StartArgs {
    StartArgs {
        cluster: ClusterArgs { config: project.config.clone(), env: args.env, state_dir: args.state_dir },
        cache: args.cache,
        log: args.log,
        json: JsonArgs { json: false },
        daemon: false,
        watch: false,
        ready_timeout: READY_SECONDS,
        detached: false,
    }
}

async fn develop(workshop: Workshop, args: &StartArgs, cache: Cache) -> Result<(), Failure> {
    let shutdown = CancellationToken::new();
    signals::on_signal(shutdown.clone()).context("signal handlers")?;
    // From here on nothing that is saved is missed.
    let mut sources = Sources::watch(&workshop.project)?;
    tokio::select! {
        () = workshop.build_at_first(&mut sources) => {}
        () = shutdown.cancelled() => return Ok(()),
    }
    let config_dir = paths::config_dir(&args.cluster)?;
    let mut config = configuration::load(&config_dir, &args.cluster.env)?;
    configuration::warn(&config);
    let plugin = plugin_of(&workshop.project, &config)?;
    if config.master.web_port.is_none() {
        config.master.web_port = Some(free_port());
    }
    let state = paths::state_dir(&args.cluster, &config_dir)?;
    let files = page::files(&config, &plugin);
    let plan = Plan { args, config: Arc::new(config), state, cache, files };
    tokio::select! {
        prepared = plugins::prepare(&plan.config, &plan.cache, false) => prepared?,
        () = shutdown.cancelled() => return Err(interrupted()),
    };
    let master = plan.start_master(&shutdown).await?;
    screen::print(listing::started(&master.listing().await));
    if let Some(url) = master.web_url() {
        screen::print(format_args!("\ntest page  {url}{}", page::INDEX));
    }
    let dir = workshop.project.dir.display();
    screen::print(format_args!("watching   {dir}\nstop with  Ctrl-C"));
    let task = tokio::spawn(workshop.follow(sources, plugin, master.plugins()));
    master.run(&shutdown).await;
    task.abort();
    Ok(())
}

/// The plugin of plugins.json whose component the project is built into.
fn plugin_of(project: &Project, config: &Config) -> Result<String, Failure> {
    let is_output = |file: &std::path::Path| file.canonicalize().is_ok_and(|file| file == project.output);
    let found = config.plugins.iter().find(|plugin| is_output(&plugin.component));
    found.map(|plugin| plugin.name.clone()).ok_or_else(|| {
        let text = anyhow!(
            "{} names no plugin with the component {}, which shaddock.json says the project is built into",
            config.dir.join("plugins.json").display(),
            project.output.display()
        );
        Failure::new(Code::Usage, text)
    })
}

/// 0 lets the system choose.
fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, PAGE_PORT)).map_or(0, |_| PAGE_PORT)
}

/// A project and what builds it.
#[derive(Clone)]
struct Workshop {
    project: Project,
    tools: Tools,
}

impl Workshop {
    /// Builds again and again until there is something to start.
    async fn build_at_first(&self, sources: &mut Sources) {
        loop {
            screen::line(format_args!("building {} …", self.project.output.display()));
            let begun = Instant::now();
            match self.build().await {
                Ok(built) => {
                    tell_warnings(&built);
                    return screen::line(format_args!("built in {}", seconds(begun.elapsed())));
                }
                Err(error) => screen::line(format_args!("{error}\nwaiting for a change")),
            }
            sources.changed().await;
        }
    }

    /// Builds what is saved, and swaps it in.
    async fn follow(self, mut sources: Sources, plugin: String, plugins: Plugins) {
        loop {
            let change = sources.changed().await;
            let begun = Instant::now();
            let built = match self.build().await {
                Ok(built) => built,
                Err(error) => {
                    screen::line(format_args!("{error}\n{change} is not built; the version before runs on"));
                    continue;
                }
            };
            tell_warnings(&built);
            if !built.changed {
                screen::line(format_args!("{change} is saved without a change to the plugin"));
                continue;
            }
            let build = begun.elapsed();
            let begun = Instant::now();
            let saved = self.swap_in(&plugin, &plugins).await;
            let since = change.age();
            match saved {
                Saved::Ended(entry) if entry.done => screen::line(format_args!(
                    "{change}: built in {}, swapped in {}; {plugin} runs {} {} after it was saved",
                    seconds(build),
                    seconds(begun.elapsed()),
                    entry.digest.short(),
                    seconds(since),
                )),
                Saved::Unchanged => screen::line(format_args!("{change}: this version runs already")),
                other => {
                    let error = other.error().unwrap_or_default();
                    screen::line(format_args!(
                        "{change} is not swapped in, the version before runs on: {error}"
                    ));
                }
            }
        }
    }

    async fn build(&self) -> Result<Built, ToolchainError> {
        let job = self.clone();
        let built = tokio::task::spawn_blocking(move || job.tools.build(&job.project, Profile::Dev)).await;
        built.unwrap_or_else(|error| {
            Err(ToolchainError::Failed { tool: "the build".to_owned(), output: error.to_string() })
        })
    }

    async fn swap_in(&self, plugin: &str, plugins: &Plugins) -> Saved {
        loop {
            match plugins.saved(plugin, &self.project.output).await {
                Saved::Busy(_) => sleep(BUSY).await,
                saved => return saved,
            }
        }
    }
}

fn tell_warnings(built: &Built) {
    if !built.said.is_empty() {
        screen::line(&built.said);
    }
}

fn seconds(time: Duration) -> String {
    format!("{:.2} s", time.as_secs_f64())
}
