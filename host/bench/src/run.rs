//! A whole run: targets up, rounds in turn, targets down.

use anyhow::{Context, Result};

use crate::args::{Args, BaselineKind, Scenario};
use crate::baseline::BaselineServer;
use crate::cluster::{Application, Cluster, Layout, find_component};
use crate::load::{Dialect, Requests, Target};
use crate::report::{IdleReport, LoadReport, Outcome, Ratio, Report, Round, Side, plot};
use crate::scenario::{fanout, idle, startup, swap};
use crate::{closed_loop, fixed_rate};

/// Measures what the arguments ask for; progress goes to standard error. Ctrl-C and SIGTERM end what was started.
///
/// # Errors
///
/// If a server cannot be started or reached, or answers wrongly before the load starts. Errors under load are
/// counted in the report instead.
pub async fn run(args: Args) -> Result<Report> {
    for scenario in [Scenario::Fanout, Scenario::Idle, Scenario::Startup] {
        let fixed = args.rate.is_some() && args.scenarios.contains(&scenario);
        anyhow::ensure!(!fixed, "--rate is for echo and forward; {} has no fixed rate", scenario.name());
    }
    let swaps = args.scenarios.iter().filter(|scenario| **scenario == Scenario::Swap).count();
    anyhow::ensure!(
        args.component.is_none() || [0, args.scenarios.len()].contains(&swaps),
        "swap deploys another plugin than the other scenarios use; with --component run it by itself"
    );
    let mut outcomes = Vec::new();
    for scenario in args.scenarios.clone() {
        let outcome = measure(scenario, &args).await;
        outcomes.push(outcome.with_context(|| format!("scenario {}", scenario.name()))?);
    }
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    Ok(Report { cores, round_s: args.seconds, rounds: args.rounds, outcomes })
}

async fn measure(scenario: Scenario, args: &Args) -> Result<Outcome> {
    if scenario == Scenario::Startup {
        anyhow::ensure!(
            args.connect.is_none(),
            "startup measures a cluster that it starts; leave out --connect"
        );
        let component = find_component(Application::Bench, args.component.as_deref())?;
        let startup =
            unless_interrupted(startup::measure(&component, args.rounds, args.round_time())).await?;
        return Ok(Outcome::Startup { startup });
    }
    if scenario == Scenario::Swap {
        return measure_swap(args).await;
    }
    let product = unless_interrupted(Product::start(scenario, args)).await?;
    let outcome = unless_interrupted(measure_product(scenario, args, &product)).await;
    product.stop().await?;
    outcome
}

async fn measure_swap(args: &Args) -> Result<Outcome> {
    anyhow::ensure!(args.connect.is_none(), "swap measures a cluster that it starts; leave out --connect");
    anyhow::ensure!(!args.baseline, "swap has no baseline; leave out --baseline");
    let component = find_component(Application::Chat, args.component.as_deref())?;
    let swap = unless_interrupted(swap::measure(args, &component)).await?;
    if let Some(file) = &args.swap.svg {
        std::fs::write(file, plot::svg(&swap))
            .with_context(|| format!("writing the plot {}", file.display()))?;
    }
    Ok(Outcome::Swap { swap: Box::new(swap) })
}

/// What is dropped by an interrupt ends the processes that it started.
async fn unless_interrupted<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        done = work => done,
        _ = interrupt.recv() => anyhow::bail!("interrupted"),
        _ = terminate.recv() => anyhow::bail!("terminated"),
    }
}

async fn measure_product(scenario: Scenario, args: &Args, product: &Product) -> Result<Outcome> {
    let bare = match (args.baseline, scenario) {
        (false, _) | (true, Scenario::Startup | Scenario::Swap) => None,
        (true, Scenario::Fanout) => Some(BaselineServer::start(BaselineKind::Fanout).await?),
        (true, _) => Some(BaselineServer::start(BaselineKind::Echo).await?),
    };
    let outcome = match scenario {
        Scenario::Idle => measure_idle(args, product, bare.as_ref()).await,
        _ => measure_load(scenario, args, product, bare.as_ref()).await,
    };
    if let Some(bare) = bare {
        bare.stop().await;
    }
    outcome
}

async fn measure_idle(args: &Args, product: &Product, bare: Option<&BaselineServer>) -> Result<Outcome> {
    let connections = args.connections_for(Scenario::Idle);
    let (side, heartbeat) = idle::measure(product.target(0)?, connections, args.round_time()).await?;
    let baseline = match bare {
        Some(bare) => Some(idle::measure(bare.target(), connections, args.round_time()).await?.0),
        None => None,
    };
    let heartbeat_s = heartbeat.map(|interval| interval.as_secs());
    Ok(Outcome::Idle { idle: IdleReport { connections, heartbeat_s, product: side, baseline } })
}

async fn measure_load(
    scenario: Scenario,
    args: &Args,
    product: &Product,
    bare: Option<&BaselineServer>,
) -> Result<Outcome> {
    let (mut products, mut baselines) = (Vec::new(), Vec::new());
    for number in 1..=args.rounds {
        let round = load_round(scenario, args, &product.targets).await?;
        progress(scenario, "product", number, args.rounds, &round);
        products.push(round);
        if let Some(bare) = bare {
            let round = load_round(scenario, args, std::slice::from_ref(bare.target())).await?;
            progress(scenario, "baseline", number, args.rounds, &round);
            baselines.push(round);
        }
    }
    let product = Side::new(products);
    let baseline = bare.map(|_| Side::new(baselines));
    Ok(Outcome::Load(LoadReport {
        scenario,
        connections: args.connections_for(scenario),
        window: args.window,
        rate: args.rate,
        body_bytes: args.body_bytes,
        ratio: baseline.as_ref().map(|baseline| Ratio::new(&product, baseline)),
        product,
        baseline,
    }))
}

async fn load_round(scenario: Scenario, args: &Args, targets: &[Target]) -> Result<Round> {
    let connections = args.connections_for(scenario);
    let body_bytes = args.body_bytes as usize;
    if scenario == Scenario::Fanout {
        let routes = if targets.len() == 1 { fanout::ON_FRONTEND } else { fanout::ON_BACKEND };
        return fanout::round(targets, routes, body_bytes, connections, args.window, args.round_time()).await;
    }
    let route = match scenario {
        Scenario::Forward => "backend.benchHandler.echo",
        _ => "connector.benchHandler.echo",
    };
    let requests = Requests { route, body_bytes, window: args.window };
    match args.rate {
        Some(rate) => fixed_rate::round(targets, requests, connections, rate, args.round_time()).await,
        None => closed_loop::round(targets, requests, connections, args.round_time()).await,
    }
}

fn progress(scenario: Scenario, side: &str, number: u32, rounds: u32, round: &Round) {
    let unit = if scenario == Scenario::Fanout { "deliveries" } else { "requests" };
    let errors = if round.errors == 0 { String::new() } else { format!(", {} errors", round.errors) };
    eprintln!("{} {side} {number}/{rounds}: {:.0} {unit}/s{errors}", scenario.name(), round.per_second);
}

/// The cluster that is measured: one that was started for it, or one that runs already.
struct Product {
    cluster: Option<Cluster>,
    /// One per frontend; all name the same processes.
    targets: Vec<Target>,
}

impl Product {
    async fn start(scenario: Scenario, args: &Args) -> Result<Self> {
        if let Some(address) = args.connect {
            let target = Target { address, dialect: Dialect::Pomelo, pids: args.server_pids.clone() };
            return Ok(Self { cluster: None, targets: vec![target] });
        }
        let component = find_component(Application::Bench, args.component.as_deref())?;
        let layout = Layout {
            application: Application::Bench,
            frontends: args.frontends.unwrap_or(1),
            backends: args.backends.unwrap_or(1),
            connections_max: args.connections_for(scenario) + 100,
        };
        eprintln!("{}: starting a cluster", scenario.name());
        let cluster = Cluster::start(layout, &component).await?;
        let pids = cluster.server_pids();
        let target = |address| Target { address, dialect: Dialect::Pomelo, pids: pids.clone() };
        let targets = cluster.client_addresses().into_iter().map(target).collect();
        Ok(Self { cluster: Some(cluster), targets })
    }

    fn target(&self, index: usize) -> Result<&Target> {
        self.targets.get(index).context("the cluster has no frontend")
    }

    async fn stop(self) -> Result<()> {
        match self.cluster {
            Some(cluster) => cluster.stop().await,
            None => Ok(()),
        }
    }
}
