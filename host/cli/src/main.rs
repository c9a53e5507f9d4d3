//! The `shaddock` program: commands, printing, progress. What is done is done in the crates below.
#![forbid(unsafe_code)]

mod add;
mod args;
mod call;
mod check;
mod compile;
mod configuration;
mod daemon;
mod dev;
mod exit;
mod listing;
mod logging;
mod paths;
mod plugin;
mod plugins;
mod project;
mod replay;
mod screen;
mod server;
mod signals;
mod start;
mod table;
mod tools;
mod watch;

use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;

use crate::args::{Cli, Command};
use crate::exit::{Code, Failure};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let json = cli.command.json();
    match run(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if json {
                if let Some(error) = failure.json() {
                    screen::print(error);
                }
            } else {
                screen::line(format_args!("error: {}", failure.text()));
            }
            failure.code.into()
        }
    }
}

fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::New(args) => project::new(&args),
        Command::Toolchain(args) => project::toolchain(&args),
        Command::Build(args) => project::build(&args),
        Command::Test(args) => project::test(&args),
        Command::Dev(args) => dev::run(args),
        Command::Call(args) => call::run(&args),
        Command::Start(args) => start::run(&args),
        Command::Server(args) => server::run(&args),
        Command::List(args) => tools::list(&args),
        Command::Stop(args) => tools::stop(&args),
        Command::Add(args) => add::run(&args),
        Command::Kick(args) => tools::kick(&args),
        Command::Plugin(command) => plugin::run(&command),
        Command::Replay(args) => replay::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Compile(args) => compile::run(&args),
        Command::Bench(args) => bench(*args),
        Command::BenchBaseline(args) => {
            many_threads()?.block_on(shaddock_bench::baseline(args)).map_err(Into::into)
        }
    }
}

fn bench(args: shaddock_bench::Args) -> Result<(), Failure> {
    let json = args.json;
    let report = many_threads()?.block_on(shaddock_bench::run(args))?;
    if json {
        screen::print(serde_json::to_string(&report).context("the report as JSON")?);
    } else {
        screen::print(&report);
    }
    match report.broken() {
        Some(broken) => Err(Failure::message(Code::Failed, broken).printed(json)),
        None => Ok(()),
    }
}

/// The runtime of commands that only start and watch processes.
fn one_thread() -> Result<tokio::runtime::Runtime, Failure> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build().context("starting the runtime")?)
}

fn many_threads() -> Result<tokio::runtime::Runtime, Failure> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build().context("starting the runtime")?)
}
